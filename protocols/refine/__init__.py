"""Optional refinement of a calibrated camera: bone of the CT rendered until its edges lie on those of the X-ray."""

from protocols.refine.bones import Bones, prepare_bones
from protocols.refine.refinement import HeldOutBalls, Refinement, refine
from protocols.refine.session import refine_session
from protocols.refine.settings import PosePrior, RefineSettings

__all__ = [
    "Bones",
    "HeldOutBalls",
    "PosePrior",
    "RefineSettings",
    "Refinement",
    "prepare_bones",
    "refine",
    "refine_session",
]
