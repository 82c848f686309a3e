"""Which spots of a vertebra are hard: surface errors of many donors on the mean vertebra of each level."""

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int32, UInt8

from drrkit.errors import InputError
from drrkit.io.store import write_bytes
from drrkit.phantom.anatomy import REGION_CODES
from reconstruction.grid import Grid
from reconstruction.judging.evaluation import EvaluationCase
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.viewplan import matched_views, views_for
from reconstruction.mesh import mesh_from_margin
from reconstruction.metrics import WHOLE, weighted_percentile
from reconstruction.model import ModelSpec
from reconstruction.studies.individuals import TrueVertebra, true_vertebrae
from reconstruction.studies.settings import HardRegionParameters
from reconstruction.surface_distance import signed_distances_mm
from reconstruction.upsampling import finer, grid_of, margins_on

REGION_COLUMNS = ("images", "level", "region", "mean_abs_mm", "p95_mm", "mean_signed_mm", "donors", "missed")
_PERCENT = 95.0


@dataclass(frozen=True, eq=False)
class DonorErrors:
    """Surface errors of one donor.

    Args:
        truths: Its true surfaces by level.
        signed_mm: (N,) by level and vertex of the truth: positive where the predicted surface lies outside of it, bone
            too many. None for a level that was not predicted at all.
    """

    truths: Mapping[str, TrueVertebra]
    signed_mm: Mapping[str, Float[np.ndarray, " n"] | None]


@dataclass(frozen=True, eq=False)
class LevelErrors:
    """Surface errors of many donors on the mean vertebra of a level.

    Args:
        vertices: (N, 3) mean of all donors, each in its vertebra's own frame.
        faces: (M, 3).
        regions: (N,) ``REGION_CODES``.
        signed_mm: (D, N) of the donors in whom the level was found.
        missed: Number of donors in whom it was not.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    regions: UInt8[np.ndarray, " n"]
    signed_mm: Float[np.ndarray, "d n"]
    missed: int


def surface_errors(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    parameters: HardRegionParameters,
    match_limit_deg: float,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, LevelErrors]:
    """Reconstruct phantoms from the first standard views and measure every vertex of their true surfaces.

    Args:
        predictor: Of all lumbar levels at once.
        cases: Those of donors that are no phantoms are left out.
        spec: Of the predictor.
        parameters: Views and meshes.
        match_limit_deg: How far off a view of another name may look.
        workers: Threads.
        on_done: Told the case after each.

    Returns:
        By level.

    Raises:
        InputError: A network for single vertebrae, no phantom among the cases, or as
            :func:`reconstruction.studies.individuals.true_vertebrae`.
    """
    if spec.mode != "lumbar":
        raise InputError("hard regions", f"a network of {spec.mode} mode", "one that reconstructs all levels at once")

    def measured(loaded: EvaluationCase) -> DonorErrors | None:
        truths = true_vertebrae(loaded)
        errors = _donor_errors(predictor, loaded, truths, spec, parameters, match_limit_deg) if truths else None
        on_done(loaded.case.case_id)
        return errors

    with ThreadPoolExecutor(workers) as pool:
        donors = [errors for errors in pool.map(measured, cases) if errors is not None]
    if not donors:
        found = ", ".join(loaded.case.donor_id for loaded in cases) or "no case"
        raise InputError("hard regions", found, "at least one phantom, whose surface is known in correspondence")
    levels = dict.fromkeys(level for donor in donors for level in donor.truths)
    return {level: _on_the_mean(donors, level) for level in levels}


def region_table(errors: Mapping[str, LevelErrors], images: str) -> pd.DataFrame:
    """Summarize errors by level and region, each vertex by its share of the surface.

    Args:
        errors: Of :func:`surface_errors`.
        images: What was shown to the network; first column.

    Returns:
        ``REGION_COLUMNS``: for each level all regions and ``whole``; NaN where no donor's level was found.
    """
    rows = []
    for level, of in errors.items():
        areas = vertex_areas_mm2(of.vertices, of.faces)
        regions = {WHOLE: np.ones(len(areas), bool)}
        regions |= {name: of.regions == code for name, code in REGION_CODES.items()}
        for region, chosen in regions.items():
            signed = of.signed_mm[:, chosen].ravel()
            numbers: tuple[float, ...] = (np.nan, np.nan, np.nan)
            if signed.size:
                weights = np.tile(areas[chosen], len(of.signed_mm))
                far = weighted_percentile(np.abs(signed), weights, _PERCENT)
                numbers = np.average(np.abs(signed), weights=weights), far, np.average(signed, weights=weights)
            rows.append((images, level, region, *numbers, len(of.signed_mm), of.missed))
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def write_mean_vertebra(path: Path, by_images: Mapping[str, Mapping[str, LevelErrors]]) -> None:
    """Write the mean vertebrae and their errors as one ``npz``.

    ``faces`` (M, 3), ``regions`` (N,), ``region_names`` by code from 1, and for each level ``vertices_<level>`` (N, 3)
    in the vertebra's own frame (mm; x left, y back, z head), ``error_mm_<level>`` the mean absolute error and
    ``signed_mm_<level>`` the mean signed one (positive: the prediction is too large there). Those of other images than
    the first come with the name of the images and ``_`` before. A level that was never found has NaN.

    Args:
        path: To write.
        by_images: Of :func:`surface_errors`, by what was shown to the network.

    Raises:
        InputError: A path that cannot be written.
    """
    first = next(iter(by_images.values()))
    any_level = next(iter(first.values()))
    arrays: dict[str, Any] = {
        "faces": any_level.faces.astype(np.int32),
        "regions": any_level.regions,
        "region_names": np.array(sorted(REGION_CODES, key=lambda name: REGION_CODES[name])),
    }
    for number, (images, errors) in enumerate(by_images.items()):
        prefix = f"{images}_" if number else ""
        for level, of in errors.items():
            if not number:
                arrays[f"vertices_{level}"] = of.vertices.astype(np.float32)
            absolute, signed = mean_errors(of)
            arrays[f"{prefix}error_mm_{level}"] = absolute.astype(np.float32)
            arrays[f"{prefix}signed_mm_{level}"] = signed.astype(np.float32)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def mean_errors(of: LevelErrors) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Average over donors: (N,) absolute and (N,) signed; NaN where the level was never found."""
    if not len(of.signed_mm):
        nothing = np.full(len(of.vertices), np.nan)
        return nothing, nothing
    return np.abs(of.signed_mm).mean(axis=0), of.signed_mm.mean(axis=0)


def vertex_areas_mm2(vertices: Float[np.ndarray, "n 3"], faces: Int32[np.ndarray, "m 3"]) -> Float[np.ndarray, " n"]:
    """Give each vertex a third of the area of the faces around it."""
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return np.bincount(faces.ravel(), np.repeat(areas / 3, 3), minlength=len(vertices))


def _donor_errors(
    predictor: Predictor,
    loaded: EvaluationCase,
    truths: Mapping[str, TrueVertebra],
    spec: ModelSpec,
    parameters: HardRegionParameters,
    match_limit_deg: float,
) -> DonorErrors:
    cameras = {view: image.camera for view, image in loaded.radiographs.items() if image.camera}
    views = matched_views(cameras, views_for(parameters.views), match_limit_deg, f"case {loaded.case.case_id}")
    grid = Grid.centered(loaded.lumbar_center_world, spec.grid_shape, spec.grid_spacing_mm)
    fine = finer(grid, parameters.mesh_spacing_mm)
    margins = margins_on(predictor([loaded.radiographs[view] for view in views], grid), grid, fine)
    signed_mm: dict[str, Float[np.ndarray, " n"] | None] = {}
    for level, truth in truths.items():
        margin = margins.get(spec.classes.index(level) + 1)
        mesh = None
        if margin is not None:
            mesh = mesh_from_margin(margin.values, grid_of(margin, fine), True, parameters.smoothing_steps)
        # Inside of the prediction, where distances to it are negative, the prediction is too large.
        signed_mm[level] = None if mesh is None else -signed_distances_mm(truth.vertices_world, mesh)
    return DonorErrors(truths, signed_mm)


def _on_the_mean(donors: Sequence[DonorErrors], level: str) -> LevelErrors:
    having = [donor for donor in donors if level in donor.truths]
    truths = [donor.truths[level] for donor in having]
    found = [errors for donor in having if (errors := donor.signed_mm[level]) is not None]
    vertices = np.mean([truth.vertices_local for truth in truths], axis=0)
    signed_mm = np.stack(found) if found else np.zeros((0, len(vertices)))
    return LevelErrors(vertices, truths[0].faces, truths[0].regions, signed_mm, len(having) - len(found))
