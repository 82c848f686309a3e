"""drrkit: volumes, cameras and rays. From CT scans to digitally reconstructed radiographs (DRRs)."""

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume

__all__ = ["CArm", "Camera", "InputError", "Radiograph", "Volume", "render"]


def __getattr__(name: str) -> object:
    # numba and torch take seconds to import; only who renders pays for them.
    if name == "render":
        from drrkit.projection.renderer import render

        return render
    raise AttributeError(f"module 'drrkit' has no attribute {name!r}")
