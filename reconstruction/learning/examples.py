"""What a network learns from: views and the classes of every voxel of a grid, drawn from loaded cases.

A draw depends on seed, step and place in the batch alone: a run that is resumed, or shared by more processes, sees the
same examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from pydantic import Field, field_validator
from scipy.spatial.transform import Rotation
from torch import Tensor

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.parameters import Parameters
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES
from reconstruction.classes import classes_from_codes
from reconstruction.grid import Grid
from reconstruction.learning.augmentation import AugmentationName, augmented
from reconstruction.learning.lookup import codes_on_grid
from reconstruction.learning.viewchoice import ViewChoice, choose_views
from reconstruction.loading import LoadedCase
from reconstruction.model import ModelSpec
from reconstruction.views import window_at

# Streams of random numbers that must not touch.
_ORDER, _COUNT, _EXAMPLE = range(3)


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples with equally many views.

    Args:
        images: (B, V, 1, H, W) normalized windows.
        pixel_from_grid: (B, V, 3, 4) homogeneous window pixels from voxel (x, y, z, 1).
        classes: (B, Z, Y, X) class of every voxel, 0 for background.
    """

    images: Float32[Tensor, "b v 1 h w"]
    pixel_from_grid: Float32[Tensor, "b v 3 4"]
    classes: UInt8[Tensor, "b z y x"]


@dataclass(frozen=True, eq=False)
class Example:
    """One entry of a batch, with what it was made of.

    Args:
        images: (V, 1, H, W) normalized windows.
        pixel_from_grid: (V, 3, 4) homogeneous window pixels from voxel (x, y, z, 1).
        classes: (Z, Y, X) class of every voxel, 0 for background.
        grid: Where it lies.
        views: Indices of the views of the case.
        level: The vertebra of the ``vertebra`` mode; "" in ``lumbar`` mode.
    """

    images: Float32[np.ndarray, "v 1 h w"]
    pixel_from_grid: Float32[np.ndarray, "v 3 4"]
    classes: UInt8[np.ndarray, "z y x"]
    grid: Grid
    views: tuple[int, ...]
    level: str


class Sampling(Parameters):
    """How examples are drawn.

    Args:
        view_counts: Probability of each number of views; they are scaled to add up to 1.
        view_choice: Which views; see :func:`reconstruction.learning.viewchoice.choose_views`.
        standard_view_tolerance_deg: Of ``ap-lateral``: how far off the two standard views may be.
        origin_jitter_mm: The grid is moved by up to this along each of its axes, uniformly.
        rotation_jitter_deg: The grid is turned by up to this about each of its axes, uniformly.
        camera_rotation_noise_deg: Standard deviation of each view's calibration error, a turn about the middle of the
            grid, for each world axis.
        camera_translation_noise_mm: Standard deviation of its shift, for each world axis.
        augmentation: What is done to pixels; see :mod:`reconstruction.learning.augmentation`.
    """

    view_counts: dict[int, float]
    view_choice: ViewChoice
    standard_view_tolerance_deg: float = Field(ge=0, le=45)
    origin_jitter_mm: float = Field(ge=0)
    rotation_jitter_deg: float = Field(ge=0, le=45)
    camera_rotation_noise_deg: float = Field(ge=0)
    camera_translation_noise_mm: float = Field(ge=0)
    augmentation: AugmentationName

    @field_validator("view_counts")
    @classmethod
    def _proper_counts(cls, counts: dict[int, float]) -> dict[int, float]:
        if not counts or min(counts) < 1 or min(counts.values()) < 0 or sum(counts.values()) <= 0:
            raise ValueError("numbers of views from 1 up, with weights of 0 or more that are not all 0")
        return counts

    @property
    def margin_mm(self) -> float:
        """How far the middle of a grid gets from where it belongs; what :func:`load_case` must leave room for."""
        return float(np.sqrt(3) * self.origin_jitter_mm)

    def draw_count(self, rng: np.random.Generator) -> int:
        """Draw a number of views."""
        weights = np.array(list(self.view_counts.values()))
        return int(rng.choice(list(self.view_counts), p=weights / weights.sum()))


def draw_example(
    loaded: LoadedCase, spec: ModelSpec, sampling: Sampling, rng: np.random.Generator, view_count: int | None = None
) -> Example:
    """Draw one example of a case.

    Args:
        loaded: The case.
        spec: Mode, classes, grid and window.
        sampling: How to draw.
        rng: Decides everything.
        view_count: How many views; drawn if None.

    Raises:
        InputError: Fewer views that show the middle of the grid than wanted.
    """
    count = sampling.draw_count(rng) if view_count is None else view_count
    level, center_world = _target(loaded, spec, rng)
    grid = _jittered_grid(center_world, spec, sampling, rng)
    usable = [index for index, camera in enumerate(loaded.cameras) if _shows(camera, grid.center_world)]
    if len(usable) < count:
        found = f"{len(usable)} views that show the middle of the grid"
        raise InputError(f"case {loaded.case.case_id}", found, f"{count} of them, or fewer views in view_counts")
    chosen = choose_views(
        [loaded.cameras[index] for index in usable],
        count,
        sampling.view_choice,
        sampling.standard_view_tolerance_deg,
        rng,
    )
    views = tuple(usable[index] for index in chosen)
    images, matrices = [], []
    for view in views:
        radiograph = loaded.image(view)
        assert radiograph.camera is not None  # a loaded case has only calibrated views
        camera = noisy_camera(
            radiograph.camera,
            grid.center_world,
            sampling.camera_rotation_noise_deg,
            sampling.camera_translation_noise_mm,
            rng,
        )
        believed = Radiograph(radiograph.pixels, radiograph.domain, camera)
        pixels, field, camera = window_at(believed, grid.center_world, spec.window.size_px)
        images.append(augmented(pixels, field, sampling.augmentation, rng)[None])
        matrices.append(grid.pixel_from_grid(camera).astype(np.float32))
    codes = codes_on_grid(loaded.codes, loaded.world_from_voxel, grid)
    classes = (codes == LEVEL_CODES[level]).astype(np.uint8) if level else classes_from_codes(codes, spec.classes)
    return Example(np.stack(images), np.stack(matrices), classes, grid, views, level)


def make_batches(
    cases: Sequence[LoadedCase], spec: ModelSpec, sampling: Sampling, batch: int, seed: int, processes: int = 1
) -> Callable[[int, int], Batch]:
    """Return the function from (step, rank) to the part of that step's batch that a process works on.

    Cases are taken in turn, in a new order each time round.

    Args:
        cases: What to draw from.
        spec: Mode, classes, grid and window.
        sampling: How to draw.
        batch: Examples a step, of all processes together.
        seed: With the step it determines every number.
        processes: How many share a batch.

    Raises:
        InputError: No case, or a batch that cannot be shared equally.
    """
    if not cases:
        raise InputError("cases", "none", "at least one to learn from")
    if batch < 1 or processes < 1 or batch % processes:
        raise InputError("batch", f"{batch} examples for {processes} processes", "a multiple of the processes")
    share = batch // processes

    def batch_at(step: int, rank: int = 0) -> Batch:
        count = sampling.draw_count(np.random.default_rng([seed, _COUNT, step]))
        examples = []
        for place in range(rank * share, (rank + 1) * share):
            turn, index = divmod(step * batch + place, len(cases))
            order = np.random.default_rng([seed, _ORDER, turn]).permutation(len(cases))
            rng = np.random.default_rng([seed, _EXAMPLE, step, place])
            examples.append(draw_example(cases[order[index]], spec, sampling, rng, count))
        return stacked(examples)

    return batch_at


def stacked(examples: Sequence[Example]) -> Batch:
    """Put examples with equally many views into one batch."""
    return Batch(
        images=torch.from_numpy(np.stack([example.images for example in examples])),
        pixel_from_grid=torch.from_numpy(np.stack([example.pixel_from_grid for example in examples])),
        classes=torch.from_numpy(np.stack([example.classes for example in examples])),
    )


def noisy_camera(
    camera: Camera, center_world: np.ndarray, rotation_deg: float, translation_mm: float, rng: np.random.Generator
) -> Camera:
    """Return a camera as a calibration with errors would have it: turned about a point and shifted.

    Args:
        camera: The true one.
        center_world: (3,) point of the turn; about the source, a small turn would be a large shift.
        rotation_deg: Standard deviation of the turn about each world axis.
        translation_mm: Standard deviation of the shift along each world axis.
        rng: Decides.
    """
    # Drawn also when there is no noise, so that the noise changes nothing else.
    turn, shift_mm = rng.normal(size=3), rng.normal(size=3)
    if rotation_deg == 0 and translation_mm == 0:
        return camera
    rotation = Rotation.from_rotvec(turn * rotation_deg, degrees=True).as_matrix()
    moved = rigid.from_rotation_translation(
        rotation, center_world + shift_mm * translation_mm - rotation @ center_world
    )
    return Camera(
        camera.pixel_from_camera, camera.camera_from_world @ moved, camera.height, camera.width, camera.pixel_spacing_mm
    )


def _target(loaded: LoadedCase, spec: ModelSpec, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    if spec.mode == "lumbar":
        return "", loaded.lumbar_center_world
    level = loaded.case.levels[int(rng.integers(len(loaded.case.levels)))]
    return level, loaded.level_centers_world[level]


def _jittered_grid(center_world: np.ndarray, spec: ModelSpec, sampling: Sampling, rng: np.random.Generator) -> Grid:
    turn_deg = sampling.rotation_jitter_deg * rng.uniform(-1, 1, 3)
    shift_mm = sampling.origin_jitter_mm * rng.uniform(-1, 1, 3)
    # No turn is no matrix at all: labels are looked up faster along the axes.
    rotation = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix() if turn_deg.any() else None
    return Grid.centered(center_world + shift_mm, spec.grid_shape, spec.grid_spacing_mm, rotation)


def _shows(camera: Camera, point_world: np.ndarray) -> bool:
    column, row = camera.project(point_world)
    return bool(-0.5 <= column <= camera.width - 0.5 and -0.5 <= row <= camera.height - 0.5)
