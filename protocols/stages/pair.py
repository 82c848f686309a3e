"""Stage ``pair``: each calibrated X-ray beside the DRR from the same camera; one item an acquisition.

``python -m protocols.stages.pair ACQUISITION FOLDER`` writes data/pair/ACQUISITION; ratings come from
data/qc/ACQUISITION.tsv. results/pair/ACQUISITION.png shows some of them.
"""

import sys
from pathlib import Path

from pydantic import Field

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from protocols.acquisition import read_acquisition
from protocols.calibration.result import read_calibration
from protocols.pairing import PairSettings, make_pairs
from protocols.pictures import write_pairs_picture
from protocols.ratings import read_ratings

CALIBRATIONS = Path("data/calibrate")
RATINGS = Path("data/qc")
OUT = Path("data/pair")
PICTURES = Path("results/pair")


class PairParameters(PairSettings):
    """What every pair looks like, and how many are drawn in the overview picture."""

    pictured: int = Field(ge=1)


def main(acquisition_id: str, folder: str) -> None:
    """Write data/pair/ACQUISITION."""
    parameters = read_parameters("pair", PairParameters)
    rows = make_pairs(
        read_acquisition(Path(folder)),
        read_calibration(CALIBRATIONS / acquisition_id),
        OUT / acquisition_id,
        PairSettings(**parameters.model_dump(exclude={"pictured"})),
        read_ratings(RATINGS / f"{acquisition_id}.tsv"),
    )
    step = max(1, len(rows) // parameters.pictured)
    chosen = [row.exposure_id for row in rows[::step]][: parameters.pictured]
    write_pairs_picture(
        OUT / acquisition_id, chosen, PICTURES / f"{acquisition_id}.png", f"Calibrated pairs of {acquisition_id}"
    )


if __name__ == "__main__":
    run_stage("pair", main, *sys.argv[1:3])
