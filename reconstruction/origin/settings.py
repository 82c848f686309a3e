"""Every number of origin estimation: how images are seen, how the network is made and trained, how points are found."""

from pydantic import Field

from drrkit.parameters import Parameters
from reconstruction.learning.augmentation import AugmentationName


class NetworkSettings(Parameters):
    """What the network sees and how large it is.

    Args:
        pixel_mm: Pixel size of whole images at the depth of the isocenter.
        stride: Input pixels a heat-map cell, along and across; 4 is quarter resolution.
        widths: Channels from fine to coarse; each further one halves the resolution again.
    """

    pixel_mm: float = Field(gt=0)
    stride: int = Field(ge=1)
    widths: tuple[int, ...] = Field(min_length=2)


class AugmentationSettings(Parameters):
    """How training images are changed: turned, scaled, shifted (uniformly within plus or minus the given), and more.

    Args:
        rotation_deg: Turn in the image: patients that lie obliquely, detectors that are mounted askew.
        scale: Relative size: patients above or below the isocenter.
        shift_mm: Along and across: a lumbar spine need not be in the middle.
        field_mm: Smallest and largest side of the exposed field; what is outside becomes 0. Small detectors lose
            levels in this way.
        pixels: What is done to pixels; see :mod:`reconstruction.learning.augmentation`.
    """

    rotation_deg: float = Field(ge=0)
    scale: float = Field(ge=0, lt=1)
    shift_mm: float = Field(ge=0)
    field_mm: tuple[float, float]
    pixels: AugmentationName


class TrainingSettings(Parameters):
    """The training of the heat maps.

    Args:
        seed: Draws weights, batches and augmentation.
        steps: Of the optimizer.
        batch_images: Images a step.
        views_per_case: Views that are kept of each case, drawn at random; all if it has fewer.
        size_px: Side of the square training images.
        learning_rate: Highest, after a rise of ``rising_steps`` and before a cosine fall to 0.
        rising_steps: At the beginning.
        gradient_limit: Norm that gradients are clipped to.
        weight_decay: Of AdamW.
        blob_sigma_mm: Standard deviation of the Gaussian that a heat map should show around a centroid.
        augmentation: How images are changed.
    """

    seed: int
    steps: int = Field(ge=1)
    batch_images: int = Field(ge=1)
    views_per_case: int = Field(ge=1)
    size_px: int = Field(ge=16)
    learning_rate: float = Field(gt=0)
    rising_steps: int = Field(ge=0)
    gradient_limit: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    blob_sigma_mm: float = Field(gt=0)
    augmentation: AugmentationSettings


class LocationSettings(Parameters):
    """How heat maps become points.

    Args:
        peaks: Maxima of a heat map that are considered; more than one, because levels may be taken for their neighbors.
        peak_radius_cells: Cells around a maximum that its place is averaged over.
        least_mass: Probability that a peak must hold to be considered.
        sigma_mm: Standard deviation of a peak's place around the projected centroid, at the isocenter.
        outlier_share: Probability that a view shows a level anywhere but where its peaks are.
        gate_sigmas: A peak farther from the projected point is an outlier.
        level_gate_sigmas: A level farther from where the other levels let it expect is dropped.
        shape_floor_mm: Standard deviation added to every point of the learned shape, for what few spines do not show.
        rotation_prior_deg: How obliquely patients lie, as a standard deviation about each axis.
    """

    peaks: int = Field(ge=1)
    peak_radius_cells: int = Field(ge=1)
    least_mass: float = Field(ge=0, lt=1)
    sigma_mm: float = Field(gt=0)
    outlier_share: float = Field(gt=0, lt=1)
    gate_sigmas: float = Field(gt=0)
    level_gate_sigmas: float = Field(gt=0)
    shape_floor_mm: float = Field(gt=0)
    rotation_prior_deg: float = Field(gt=0)


class OriginSettings(Parameters):
    """All settings; they travel with the model."""

    network: NetworkSettings
    training: TrainingSettings
    location: LocationSettings
