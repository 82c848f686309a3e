"""Refine one camera by its image, and keep the result only if held-out balls agree."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.projection.torch_rays import check_device
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume
from protocols.refine import twist as motion
from protocols.refine.bones import Bones, prepare_bones
from protocols.refine.levels import Level, make_levels
from protocols.refine.resection import with_pose
from protocols.refine.settings import RefineSettings

# What a unit of the optimizer's variables is: rotations about three axes, shifts across and along the ray. A motion of
# one unit moves the vertebrae's edges about equally far, except along the ray, where it hardly shows.
UNITS = torch.tensor([0.02, 0.02, 0.02, 1.0, 1.0, 5.0], dtype=torch.float64)
# L-BFGS stops where a further step would move no edge by a hundredth of a pixel.
LEAST_GRADIENT, LEAST_CHANGE = 1e-4, 1e-5


@dataclass(frozen=True, eq=False)
class HeldOutBalls:
    """Balls that judge a refinement; the camera to refine must not have been fitted to them.

    Args:
        centers_world: (M, 3) in the CT, LPS mm.
        points_px: (M, 2) where they were detected (u, v), in pixels of the camera's image.

    Raises:
        InputError: None at all, shapes that do not fit together, or values that are not finite.
    """

    centers_world: Float[np.ndarray, "m 3"]
    points_px: Float[np.ndarray, "m 2"]

    def __post_init__(self) -> None:
        centers, points = (np.array(given, dtype=np.float64) for given in (self.centers_world, self.points_px))
        if centers.ndim != 2 or centers.shape[1] != 3 or points.shape != (len(centers), 2) or not len(centers):
            raise InputError("held-out balls", f"shapes {centers.shape} and {points.shape}", "(M, 3) and (M, 2), M > 0")
        if not (np.isfinite(centers).all() and np.isfinite(points).all()):
            raise InputError("held-out balls", "NaN or infinite coordinates", "finite coordinates")
        object.__setattr__(self, "centers_world", centers)
        object.__setattr__(self, "points_px", points)

    def rms_px(self, camera: Camera) -> float:
        """Root mean square distance between where a camera puts the balls and where they were detected."""
        return float(np.sqrt(((camera.project(self.centers_world) - self.points_px) ** 2).sum(axis=1).mean()))


@dataclass(frozen=True, eq=False)
class Refinement:
    """What refinement did to one camera.

    Args:
        camera: The refined one if it is kept, else the one that was given.
        kept: Whether the refined camera passed.
        reason: Why it was not kept; empty if it was.
        proposed: The refined camera, kept or not.
        similarity_before: Gradient correlation of X-ray and bone on the finest level, for the camera that was given.
        similarity_after: The same for the refined one.
        held_out_px_before: Root mean square error of the held-out balls, for the camera that was given.
        held_out_px_after: The same for the refined one.
        steps: Images that were drawn.
        seconds: Time it took.
    """

    camera: Camera
    kept: bool
    reason: str
    proposed: Camera
    similarity_before: float
    similarity_after: float
    held_out_px_before: float
    held_out_px_after: float
    steps: int
    seconds: float


def refine(
    radiograph: Radiograph,
    camera: Camera,
    volume: Volume | Bones,
    held_out: HeldOutBalls,
    settings: RefineSettings,
    *,
    usable: Bool[np.ndarray, "h w"] | None = None,
) -> Refinement:
    """Move a camera, with fixed intrinsics, until the bone of the CT lies on that of the X-ray.

    Maximizes the gradient correlation of X-ray and bone DRR near the vertebrae, minus a Gaussian prior about the given
    camera; coarse to fine, by L-BFGS on a twist about the balls' center (the frame of
    :func:`protocols.refine.twist.camera_from_pivot`). The refined camera is kept only if the held-out balls' error
    grows by no more than ``settings.held_out_tolerance_px`` and the images agree better than before.

    Args:
        radiograph: Line integrals, undistorted, with the balls inpainted.
        camera: The calibrated camera of this image.
        volume: The CT, or its bone from :func:`protocols.refine.bones.prepare_bones`, which saves time from the second
            exposure on.
        held_out: Balls that the camera was not fitted to.
        settings: How to refine, with the prior's standard deviations.
        usable: (H, W) true where the image may be compared: not outside a round field or collimator, not inpainted.

    Raises:
        InputError: An image of another domain or size, bone that does not fall on it, balls behind the source, or no
            such device.
    """
    started = time.perf_counter()
    _check(radiograph, camera, held_out, usable)
    device = check_device(settings.device)
    bones = prepare_bones(volume, held_out.centers_world) if isinstance(volume, Volume) else volume
    pivot_world = held_out.centers_world.mean(axis=0) if len(held_out.centers_world) >= 4 else bones.center_world
    levels = make_levels(radiograph, camera, bones, pivot_world, usable, settings, device)
    start = torch.zeros(6, dtype=torch.float64)
    twist, steps = start, 0
    for number, level in enumerate(levels):
        if number > 0:
            level.distrust(twist)
        twist, drawn = _descend(level, twist, settings)
        steps += drawn
    with torch.no_grad():
        before, after = (float(levels[-1].alikeness(place)) for place in (start, twist))
    pose = motion.moved(camera.camera_from_world, levels[-1].camera_from_pivot, twist).numpy()
    proposed = with_pose(camera, pose)
    px_before, px_after = held_out.rms_px(camera), held_out.rms_px(proposed)
    reason = _objection(before, after, px_before, px_after, settings.held_out_tolerance_px)
    return Refinement(
        camera=camera if reason else proposed,
        kept=not reason,
        reason=reason,
        proposed=proposed,
        similarity_before=before,
        similarity_after=after,
        held_out_px_before=px_before,
        held_out_px_after=px_after,
        steps=steps + 2,
        seconds=time.perf_counter() - started,
    )


def _descend(level: Level, twist: torch.Tensor, settings: RefineSettings) -> tuple[torch.Tensor, int]:
    """Minimize one level's objective from a twist on; return where it ended and how many images it drew."""
    variables = (twist / UNITS).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [variables],
        max_iter=settings.steps,
        tolerance_grad=LEAST_GRADIENT,
        tolerance_change=LEAST_CHANGE,
        line_search_fn="strong_wolfe",
    )
    drawn = 0

    def evaluate() -> torch.Tensor:
        nonlocal drawn
        drawn += 1
        optimizer.zero_grad()
        objective = level.objective(variables * UNITS, settings.prior, settings.prior_weight)
        objective.backward()
        return objective

    optimizer.step(evaluate)
    return variables.detach() * UNITS, drawn


def _objection(before: float, after: float, px_before: float, px_after: float, tolerance_px: float) -> str:
    """Say why a refined camera is not kept; nothing if it is."""
    if not after >= before:
        return f"image and bone agree no better than before (gradient correlation {after:.3f}, before {before:.3f})"
    if not px_after <= px_before + tolerance_px:
        return (
            f"held-out balls got worse: {px_after:.2f} px, before {px_before:.2f} px (tolerance {tolerance_px:.2f} px)"
        )
    return ""


def _check(radiograph: Radiograph, camera: Camera, held_out: HeldOutBalls, usable: np.ndarray | None) -> None:
    size = (camera.height, camera.width)
    if radiograph.domain != "line_integral":
        raise InputError("refinement", f"an image of {radiograph.domain}", "line integrals, -log(I/I0)")
    if radiograph.pixels.shape != size:
        raise InputError("refinement", f"an image of shape {radiograph.pixels.shape}", f"the camera's {size}")
    if usable is not None and (usable.dtype != bool or usable.shape != size):
        raise InputError("usable", f"{usable.dtype} of shape {usable.shape}", f"bool of the image's shape {size}")
    if not np.isfinite(camera.project(held_out.centers_world)).all():
        raise InputError("held-out balls", "balls behind the X-ray source", "balls that the camera sees")
