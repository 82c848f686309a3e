"""Stage ``calibrate``: balls in, one camera with its proof for each exposure out; one item an acquisition.

``python -m protocols.stages.calibrate ACQUISITION FOLDER`` writes data/calibrate/ACQUISITION.
"""

import sys
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from protocols.acquisition import read_acquisition
from protocols.calibration.result import write_calibration
from protocols.calibration.run import calibrate_acquisition
from protocols.calibration.settings import CalibrationSettings
from protocols.refine import RefineSettings
from protocols.refine.run import refine_acquisition

OUT = Path("data/calibrate")


class CalibrateParameters(CalibrationSettings):
    """How every acquisition is calibrated; its own acquisition.yaml says which device it is.

    ``refine`` moves each camera by rendering as well, and keeps that only if held-out balls allow it.
    """

    refine: bool


def main(acquisition_id: str, folder: str) -> None:
    """Write data/calibrate/ACQUISITION."""
    parameters = read_parameters("calibrate", CalibrateParameters)
    acquisition = read_acquisition(Path(folder))
    calibration = calibrate_acquisition(acquisition, CalibrationSettings(**parameters.model_dump(exclude={"refine"})))
    if parameters.refine:
        calibration = refine_acquisition(acquisition, calibration, RefineSettings())
    write_calibration(calibration, OUT / acquisition_id)


if __name__ == "__main__":
    run_stage("calibrate", main, *sys.argv[1:3])
