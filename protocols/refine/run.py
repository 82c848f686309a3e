"""Refining an acquisition's cameras straight from its files."""

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.ct import read_volume
from drrkit.radiograph import Radiograph
from protocols.acquisition import Acquisition
from protocols.calibration.result import SessionCalibration
from protocols.erase import ball_shadows, inpaint
from protocols.flatten import flattened
from protocols.refine.session import BALL_REACH_MM, refine_session
from protocols.refine.settings import RefineSettings

# Longest side of the images that are compared; the finest level of the settings is coarser.
IMAGE_PX = 384


def refine_acquisition(
    acquisition: Acquisition, calibration: SessionCalibration, settings: RefineSettings
) -> SessionCalibration:
    """Refine every camera that did not fail by the bone of the CT; each is kept only if held-out balls allow it.

    Args:
        acquisition: The session.
        calibration: Of the same session, from its balls.
        settings: How.

    Returns:
        The calibration with the kept cameras; ``notes["refinement"]`` tells what was done.

    Raises:
        InputError: A calibration of another session, or files that cannot be read.
    """
    if calibration.acquisition_id != acquisition.acquisition_id:
        raise InputError("calibration", f"of {calibration.acquisition_id}", f"of {acquisition.acquisition_id}")
    exposures = {exposure.exposure_id: exposure for exposure in acquisition.exposures}
    found = {exposure.exposure_id: exposure for exposure in calibration.exposures}
    centers_world = np.array(list(calibration.balls_world.values())).reshape(-1, 3)
    volume = read_volume(acquisition.ct_path, acquisition.labels_path, acquisition.label_scheme)
    fields = {}

    def load_image(exposure_id: str) -> Radiograph | None:
        exact = found[exposure_id].camera
        if exact is None:
            return None
        camera = _reduced(exact)
        linear, field = flattened(acquisition, exposures[exposure_id], found[exposure_id], camera)
        fields[exposure_id] = field
        mm_per_px = float(np.median(camera.depth_mm(centers_world)) / camera.pixel_from_camera[1, 1])
        margin_px = (BALL_REACH_MM - acquisition.balls.diameter_mm / 2) / mm_per_px
        shadows = ball_shadows(camera, centers_world, acquisition.balls.diameter_mm, max(margin_px, 1.0))
        return Radiograph(inpaint(linear.radiograph.pixels, shadows), "line_integral", camera)

    return refine_session(calibration, load_image, volume, settings, load_usable=fields.get)


def _reduced(camera: Camera) -> Camera:
    scale = min(1.0, IMAGE_PX / max(camera.height, camera.width))
    return camera.resized(round(scale * camera.height), round(scale * camera.width))
