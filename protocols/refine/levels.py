"""One level of the pyramid: the X-ray cut to the vertebrae and resampled, the bone to draw, and the objective."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage.transform import resize
from torch import Tensor

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import Matrix4
from drrkit.projection import diffdrr, nanodrr, siddon, torch_rays
from drrkit.projection.silhouette import project_levels
from drrkit.radiograph import Radiograph
from protocols.refine import twist as motion
from protocols.refine.bones import Bones
from protocols.refine.settings import PosePrior, RefineSettings
from protocols.refine.similarity import GradientNcc

LINE_INTEGRALS = {"nanodrr": nanodrr.line_integrals, "diffdrr": diffdrr.line_integrals}
# The bone's outline is looked for on an image of this size.
OUTLINE_PX = 96
# With less to compare, two images agree by chance.
FEWEST_PIXELS = 200


@dataclass(frozen=True, eq=False)
class Level:
    """Image and bone of one resolution.

    Args:
        camera: Of the cut and resampled image.
        camera_from_pivot: The frame that motions are told in.
        similarity: Compares a drawn image with the X-ray.
        attenuation: Bone, on the device.
        voxel_from_world: Where it lies.
        samples: Points along a ray.
        renderer: Who draws it.
    """

    camera: Camera
    camera_from_pivot: Matrix4
    similarity: GradientNcc
    attenuation: Tensor
    voxel_from_world: Float[np.ndarray, "4 4"]
    samples: int
    renderer: str

    def drawn(self, twist: Float[Tensor, " 6"]) -> Float[Tensor, "h w"]:
        """Draw the bone as it looks after a motion of the patient."""
        pose = motion.moved(self.camera.camera_from_world, self.camera_from_pivot, twist)
        size = (self.camera.height, self.camera.width)
        intrinsics = torch.from_numpy(self.camera.pixel_from_camera.copy())
        return LINE_INTEGRALS[self.renderer](
            self.attenuation,
            self.voxel_from_world,
            pose[None],
            intrinsics,
            self.camera.source_to_detector_mm,
            size,
            self.samples,
        )[0]

    def alikeness(self, twist: Float[Tensor, " 6"]) -> Float[Tensor, ""]:
        """Gradient correlation of the X-ray and the bone drawn after a motion; float64 on the CPU."""
        return self.similarity(self.drawn(twist)).double().cpu()

    def distrust(self, twist: Float[Tensor, " 6"]) -> None:
        """Weigh less from now on where the X-ray has edges that the bone drawn after a motion does not explain."""
        with torch.no_grad():
            self.similarity.distrust(self.drawn(twist))

    def objective(self, twist: Float[Tensor, " 6"], prior: PosePrior, prior_weight: float) -> Float[Tensor, ""]:
        """What refinement makes small: lack of gradient correlation, and distance from the balls' camera."""
        return 1 - self.alikeness(twist) + prior_weight * prior_cost(twist, prior)


def prior_cost(twist: Float[Tensor, " 6"], prior: PosePrior) -> Float[Tensor, ""]:
    """Half the squared distance from the prior's mean, in standard deviations."""
    rotation_rad = np.radians(prior.rotation_deg)
    sigmas = torch.tensor([rotation_rad] * 3 + [prior.in_plane_mm] * 2 + [prior.along_ray_mm], dtype=torch.float64)
    return 0.5 * ((twist / sigmas) ** 2).sum()


def make_levels(
    radiograph: Radiograph,
    camera: Camera,
    bones: Bones,
    pivot_world: Float[np.ndarray, " 3"],
    usable: Bool[np.ndarray, "h w"] | None,
    settings: RefineSettings,
    device: str,
) -> list[Level]:
    """Build the pyramid about a camera.

    Raises:
        InputError: The bone does not fall on the usable image, or one of the two shows no edge there.
    """
    top, left, height, width = _frame(bones, camera, settings.mask_margin_mm)
    pixels = radiograph.pixels[top : top + height, left : left + width].astype(np.float64)
    usable_here = None if usable is None else usable[top : top + height, left : left + width]
    cut = camera.cropped(top, left, height, width)
    camera_from_pivot = motion.camera_from_pivot(camera, pivot_world)
    levels: list[Level] = []
    # Nothing is enlarged: small images have fewer levels.
    scales = sorted({min(1.0, size_px / max(height, width)) for size_px in settings.sizes_px})
    for scale in scales:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        view = cut.resized(*size)
        mask = _outline(bones, view, settings.mask_margin_mm)
        if usable_here is not None:
            mask &= resize(usable_here.astype(np.float64), size, order=1, anti_aliasing=True) > 0.99
        similarity = GradientNcc(resize(pixels, size, order=1, anti_aliasing=True), mask, settings.blur_px, device)
        if similarity.pixels < FEWEST_PIXELS:
            raise InputError(
                "refinement",
                f"{similarity.pixels} pixels of an image of {size[0]} x {size[1]} on which bone falls",
                f"at least {FEWEST_PIXELS}: bone inside the image (is the camera that of this image?)",
            )
        attenuation, voxel_from_world = bones.at(_pixel_in_patient_mm(view, bones), device)
        samples = _samples(view, attenuation.shape, voxel_from_world)
        level = Level(view, camera_from_pivot, similarity, attenuation, voxel_from_world, samples, settings.renderer)
        with torch.no_grad():
            if not similarity.sees_edges(level.drawn(torch.zeros(6, dtype=torch.float64))):
                raise InputError("refinement", "an image without edges where bone falls", "an X-ray that shows bone")
        levels.append(level)
    return levels


def _frame(bones: Bones, camera: Camera, margin_mm: float) -> tuple[int, int, int, int]:
    """Bound the outline of the bone: top, left, height and width in whole pixels of the image."""
    scale = min(1.0, OUTLINE_PX / max(camera.height, camera.width))
    view = camera.resized(max(1, round(camera.height * scale)), max(1, round(camera.width * scale)))
    outline = _outline(bones, view, margin_mm)
    if not outline.any():
        raise InputError(
            "refinement", "no bone on the image", "bone inside the image (is the camera that of this image and CT?)"
        )
    bounds = []
    for axis, (size, small) in enumerate([(camera.height, view.height), (camera.width, view.width)]):
        met = np.flatnonzero(outline.any(axis=1 - axis))
        bounds.append((int(met[0] * size / small), int(np.ceil((met[-1] + 1) * size / small))))
    (top, bottom), (left, right) = bounds
    return top, left, bottom - top, right - left


def _outline(bones: Bones, view: Camera, margin_mm: float) -> Bool[np.ndarray, "h w"]:
    """Where the vertebrae fall on an image, and so far around them."""
    if bones.labelled is not None:
        masks = [projection.mask for projection in project_levels(bones.labelled, view).values()]
        mask = np.logical_or.reduce(masks)
    else:
        spacing_mm = _pixel_in_patient_mm(view, bones)
        attenuation, voxel_from_world = bones.at(spacing_mm, "cpu")
        mask = siddon.project(attenuation.numpy(), voxel_from_world, [view])[0] > 0
    if not mask.any():
        return mask
    margin_px = margin_mm / _pixel_in_patient_mm(view, bones)
    return ndimage.distance_transform_edt(~mask) <= margin_px


def _samples(view: Camera, shape: Sequence[int], voxel_from_world: Float[np.ndarray, "4 4"]) -> int:
    """Points that leave at most a voxel between neighbors on the longest ray of this view, and some for small turns.

    A view's rays run nearly in parallel, mostly across the body: far fewer than the volume's diagonal would need.
    """
    right, bottom = view.width - 1, view.height - 1
    rays = view.rays([[0, 0], [right, 0], [0, bottom], [right, bottom], [right / 2, bottom / 2]])
    steps = np.abs(rays @ voxel_from_world[:3, :3].T)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    extent = np.array(shape[::-1]) + 1.0
    chords = (extent / np.maximum(steps, 1e-9)).min(axis=1)
    return min(int(np.ceil(1.1 * chords.max())) + 1, torch_rays.samples_along(shape))


def _pixel_in_patient_mm(view: Camera, bones: Bones) -> float:
    """Size of a pixel at the depth of the vertebrae."""
    depth_mm = float(view.depth_mm(bones.center_world))
    if depth_mm <= 0:
        raise InputError("refinement", "vertebrae behind the X-ray source", "a camera that sees the CT")
    return depth_mm / float(view.pixel_from_camera[1, 1])
