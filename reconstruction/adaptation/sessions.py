"""Sessions of a pair set as cases that are judged: one truth and one set of cameras, several kinds of images."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from drrkit.io.store import read_cameras
from protocols.pairs import image_path
from protocols.pairset import PairedSession
from reconstruction.adaptation.regions import region_f1
from reconstruction.judging.evaluation import UNION, EvaluationCase, Row, load_evaluation_case, predicted_masks
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.viewplan import matched_views, views_for
from reconstruction.loading import read_case_radiographs
from reconstruction.metrics import METRICS, WHOLE, judge, voxel_f1
from reconstruction.model import ModelSpec
from reconstruction.sets.adapters import cases_from_pairs

# Kinds of images of a session; any other name is that of a translator.
REAL, SYNTHETIC = "real", "synthetic"
# Beside the labels of a phantom lie the regions of its vertebrae; a specimen has none.
REGIONS_NAME = "regions.nii.gz"
_SYNTHETIC_KIND = "drr_bone"


def load_session(session: PairedSession, view_count: int, match_limit_deg: float) -> EvaluationCase:
    """Read what judging a session needs: its truth, and the standard views as the C-arm recorded them.

    Args:
        session: Of a pair set.
        view_count: Number of standard views; those of fewer shots are the first of these.
        match_limit_deg: How far off a view of another name than the standard one may look.

    Raises:
        InputError: As :func:`reconstruction.sets.adapters.cases_from_pairs` and
            :func:`reconstruction.judging.viewplan.matched_views`.
    """
    kind: Literal["simulated", "real"] = "simulated" if session.simulated else "real"
    (case,) = cases_from_pairs(session.pairs, session.acquisition, session.split, kind)
    cameras = read_cameras(case.cameras)
    usable = {view: cameras[view] for view in case.views if view in cameras}
    where = f"session {session.acquisition_id}"
    views = matched_views(usable, views_for(view_count), match_limit_deg, where)
    regions = session.acquisition / REGIONS_NAME
    known = regions if regions.is_file() else None
    return load_evaluation_case(replace(case, views=tuple(views), population=session.group, regions=known))


def shown_by(loaded: EvaluationCase, session: PairedSession, images: str, translated: Path) -> EvaluationCase:
    """Show the same case by other images of the same cameras.

    Args:
        loaded: Of :func:`load_session`.
        session: That it was loaded from.
        images: ``real`` (as the C-arm recorded them), ``synthetic`` (the paired DRRs), or the name of a translator.
        translated: Folder of that translator, with ``<acquisition_id>/<exposure_id>.tif``; else it does not matter.

    Raises:
        InputError: An image that is not there or not of its camera's size.
    """
    if images == REAL:
        return loaded
    own = images == SYNTHETIC
    folder = session.pairs / Path(image_path(_SYNTHETIC_KIND, "view")).parent if own else translated
    kind: Literal["drr", "translated"] = "drr" if own else "translated"
    case = replace(
        loaded.case,
        kind=kind,
        images=folder if own else folder / session.acquisition_id,
        case_id=f"{loaded.case.case_id}-{images}",
    )
    return replace(loaded, case=case, radiographs=dict(zip(case.views, read_case_radiographs(case), strict=True)))


def score_rows(
    predictor: Predictor, spec: ModelSpec, case: EvaluationCase, view_count: int, level_surfaces: bool = True
) -> list[Row]:
    """Reconstruct a session from its first views and judge every level, their union, and the regions of each.

    ``f1`` of a region is of the union only: :func:`reconstruction.adaptation.regions.region_f1`.

    Args:
        predictor: From views and a grid to probabilities.
        spec: Mode, classes and grid.
        case: The session.
        view_count: Number of views, the first ones.
        level_surfaces: Whether levels are judged by their surfaces and regions as well, which takes as long as all the
            rest; else by voxels alone.
    """
    views = case.case.views[:view_count]
    masks = predicted_masks(predictor, case, views, spec)
    rows = []
    for level, truth in case.truths.items():
        if level != UNION and not level_surfaces:
            absent = dict.fromkeys(METRICS, np.nan)
            voxels = {"f1": voxel_f1(masks[level], truth), "n_missed": float(not masks[level].any())}
            rows.append({"views": "+".join(views), "level": level, "region": WHOLE, **absent, **voxels})
            continue
        regional = region_f1(masks[level], truth) if level == UNION else {}
        for region, scores in judge(masks[level], truth).items():
            known = dict(scores) if region == WHOLE else {**scores, "f1": regional.get(region, np.nan)}
            absent = dict.fromkeys((metric for metric in METRICS if metric not in known), np.nan)
            rows.append({"views": "+".join(views), "level": level, "region": region, **known, **absent})
    return rows
