"""From the pixels of a file to line integrals, -log(I / I0), the domain in which real and synthetic images compare."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.io.xray import line_integral_from_intensity
from drrkit.radiograph import Radiograph

# The open beam is taken as the brightest part of the image where nobody measured it: this quantile, because single
# pixels are noise. In an image without air it is too low, and all line integrals are too small by one constant.
OPEN_FIELD_QUANTILE = 0.995

# Where a detector clips, its brightest pixels are about so many times those that automatic exposure looks at.
_BRIGHTEST_OF_MEDIAN = 4.0

# Counts below this become it: no logarithm of nothing. One count is the smallest that a detector tells from none.
LOWEST_COUNT = 1.0


@dataclass(frozen=True, eq=False)
class Linearized:
    """Line integrals, and what stood for the open beam.

    Args:
        radiograph: In the ``line_integral`` domain.
        open_field: The intensity whose line integral is zero; None where the pixels were logarithmic already.
        open_field_from: ``acquisition`` or ``image`` (its brightest part); empty where there is none.
    """

    radiograph: Radiograph
    open_field: float | None
    open_field_from: str


def linearize(radiograph: Radiograph, open_field: float | None = None) -> Linearized:
    """Turn an X-ray image into line integrals.

    Args:
        radiograph: ``intensity`` (counts), or ``line_integral`` already.
        open_field: Intensity of the open beam; None for the brightest part of the image.

    Raises:
        InputError: Display values, which no tag relates to the beam, or an image without any signal.
    """
    if radiograph.domain == "line_integral":
        return Linearized(radiograph, None, "")
    if radiograph.domain == "display":
        raise InputError(
            "X-ray pixels",
            "display values whose relation to the beam no tag tells",
            "the section `pixels` of acquisition.yaml (relation, log_slope, log_zero), or raw exports of the C-arm",
        )
    origin = "acquisition" if open_field is not None else "image"
    level = open_field if open_field is not None else float(np.quantile(radiograph.pixels, OPEN_FIELD_QUANTILE))
    if not level > LOWEST_COUNT:
        raise InputError("X-ray pixels", f"an open beam of {level:g} counts", "an image with signal")
    return Linearized(line_integral_from_intensity(radiograph, level, LOWEST_COUNT), level, origin)


def field_of_view(
    intensity: Radiograph,
    collimator_px: tuple[float, float, float, float] | None = None,
    darkest_fraction: float = 0.015,
    edge_px: int = 3,
) -> Bool[np.ndarray, "h w"]:
    """Find where the beam fell on the detector: what collimator blades and the rim of an intensifier left open.

    Rims leave nearly nothing; the darkest patient still lets scatter through. The field is the convex hull of what is
    lit, since rim, iris and blades are convex. Scatter reaches behind blades too, so where the file tells their edges,
    these count as well.

    Args:
        intensity: An image in the ``intensity`` domain.
        collimator_px: (left, top, right, bottom) pixels that rectangular blades leave open; None if unknown.
        darkest_fraction: Of the brightest part of the image; below it a pixel is dark.
        edge_px: The hull is drawn in by so much, for the penumbra.

    Returns:
        (H, W) true inside the field.

    Raises:
        InputError: Another domain, or an image without any signal.
    """
    from skimage.morphology import convex_hull_image

    if intensity.domain != "intensity":
        raise InputError("radiograph domain", intensity.domain, "intensity")
    smooth = ndimage.median_filter(intensity.pixels, size=5)
    brightest = float(np.quantile(smooth, OPEN_FIELD_QUANTILE))
    lit = smooth > max(darkest_fraction * brightest, LOWEST_COUNT)
    if lit.any():
        # Raw frames of many bits leave the open beam unclipped, far above all that the patient lets through.
        brightest = min(brightest, _BRIGHTEST_OF_MEDIAN * float(np.median(smooth[lit])))
        lit = smooth > max(darkest_fraction * brightest, LOWEST_COUNT)
    # Specks go; beyond the border the field goes on, or its corners would go with them.
    lit = ndimage.binary_opening(np.pad(lit, 4, mode="edge"), iterations=2)[4:-4, 4:-4]
    if not lit.any():
        raise InputError("X-ray pixels", "no lit area", "an image with signal")
    hull = convex_hull_image(lit)
    if collimator_px is not None:
        left, top, right, bottom = collimator_px
        rows, columns = np.ogrid[: hull.shape[0], : hull.shape[1]]
        hull &= (columns >= left) & (columns <= right) & (rows >= top) & (rows <= bottom)
    return ndimage.binary_erosion(hull, iterations=edge_px, border_value=1)
