"""The folder of one session: acquisition.yaml, a CT, X-rays; made, read and checked."""

from protocols.acquisition.check import RULES, Finding, check_acquisition
from protocols.acquisition.load import Acquisition, Exposure, read_acquisition, read_exposure, read_radiographs
from protocols.acquisition.schema import ACQUISITION_CONVENTION, SHEET_NAME, Balls, Device, Pixels, Sheet, Specimen
from protocols.acquisition.template import new_acquisition, template_text

__all__ = [
    "ACQUISITION_CONVENTION",
    "RULES",
    "SHEET_NAME",
    "Acquisition",
    "Balls",
    "Device",
    "Exposure",
    "Finding",
    "Pixels",
    "Sheet",
    "Specimen",
    "check_acquisition",
    "new_acquisition",
    "read_acquisition",
    "read_exposure",
    "read_radiographs",
    "template_text",
]
