"""From an exposure as it was taken to line integrals that fit a straight camera."""

import numpy as np
from jaxtyping import Bool
from skimage.transform import resize

from drrkit.geometry.camera import Camera
from drrkit.radiograph import Radiograph
from protocols.acquisition import Acquisition, Exposure, read_exposure
from protocols.calibration.result import ExposureCalibration
from protocols.linearize import Linearized, field_of_view, linearize
from protocols.undistort import Distortion, undistort_image


def flattened(
    acquisition: Acquisition, exposure: Exposure, found: ExposureCalibration, camera: Camera
) -> tuple[Linearized, Bool[np.ndarray, "h w"]]:
    """Read an exposure, undo its distortion, resample it to the pair's camera, and turn it into line integrals.

    Beams add up in a pixel, their logarithms do not: so first the size, then the logarithm.

    Returns:
        The line integrals, and (H, W) true where the beam fell on the detector.
    """
    radiograph = read_exposure(acquisition, exposure)
    pixels, field = radiograph.pixels, np.ones(radiograph.pixels.shape, bool)
    if radiograph.domain == "intensity":
        field = field_of_view(radiograph, exposure.collimator_px)
    if found.distortion is not None:
        distortion = Distortion.from_record(found.distortion)
        # What lies beyond the border is unknown, not what lies on it.
        field[[0, -1]] = field[:, [0, -1]] = False
        field = undistort_image(field.astype(np.float32), distortion, order=1) > 0.999
        pixels = undistort_image(pixels, distortion)
    if pixels.shape != (camera.height, camera.width):
        # The edges of the two pixel grids coincide, as in Camera.resized.
        size = (camera.height, camera.width)
        pixels = resize(pixels, size, order=1, anti_aliasing=True, preserve_range=True)
        field = resize(field.astype(np.float32), size, order=1, anti_aliasing=True) > 0.999
    linear = linearize(Radiograph(pixels.astype(np.float32), radiograph.domain, camera), acquisition.pixels.open_field)
    return linear, field
