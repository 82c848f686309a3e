"""One phantom: CT, labels, regions, meshes and landmarks, all from the same surfaces."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.spatial import cKDTree

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.phantom import tissue
from drrkit.phantom.discs import discs
from drrkit.phantom.parameters import PhantomParameters, sample_parameters
from drrkit.phantom.pelvis import Bone, iliac_templates
from drrkit.phantom.ribs import ribs
from drrkit.phantom.surface import vertex_normals
from drrkit.phantom.template import template_averaging
from drrkit.phantom.torso import Outline, paint_torso
from drrkit.phantom.tracks import Column, spinal_column
from drrkit.phantom.vertebrae import Spine, Vertebra, make_spine
from drrkit.phantom.voxelize import Coverage, coverage
from drrkit.volume import LEVEL_CODES, Volume

COMPLETE_LEVELS: tuple[str, ...] = ("T12", "L1", "L2", "L3", "L4", "L5")
MARGIN_MM = 8.0  # of the field around T12 above, the sacrum below and the skin in front and behind
FIELD_WIDTH_MM = 350.0  # wide trunks are cut off at the sides, as in a scanner's field of view
DISC_HU = 85.0
SACRUM_SHELL_MM, ILIUM_SHELL_MM, RIB_SHELL_MM = 1.1, 1.5, 1.3
SPACINGS_MM = (0.4, 5.0)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A procedural lumbar spine; nothing in it was measured from a patient.

    Args:
        volume: CT in Hounsfield units; labels for T11 (cut off by the upper border), T12 to L5 and the sacrum.
        regions: (Z, Y, X) codes of ``REGION_CODES`` in labelled vertebrae; 0 elsewhere and in the sacrum.
        vertebrae: The complete ones, T12 to L5, by level.
        parameters: What it was made from.
    """

    volume: Volume
    regions: UInt8[np.ndarray, "z y x"]
    vertebrae: dict[str, Vertebra]
    parameters: PhantomParameters


def make_phantom(parameters: PhantomParameters | int, spacing_mm: float = 1.0) -> Phantom:
    """Make one phantom.

    Args:
        parameters: All of them, or a seed to draw them with.
        spacing_mm: Side of the cubic voxels.

    Raises:
        InputError: A bad seed, or a spacing outside 0.4 to 5 mm.
    """
    if not isinstance(parameters, PhantomParameters):
        parameters = sample_parameters(parameters)
    if not isinstance(spacing_mm, int | float) or not SPACINGS_MM[0] <= spacing_mm <= SPACINGS_MM[1]:
        raise InputError("phantom spacing_mm", spacing_mm, f"{SPACINGS_MM[0]:g} to {SPACINGS_MM[1]:g} mm")
    spine = make_spine(parameters)
    grid = _grid(spine, parameters, spacing_mm)
    streams = np.random.SeedSequence([parameters.seed, 3]).spawn(3)
    grain_rng, flesh_rng, noise_rng = (np.random.default_rng(stream) for stream in streams)

    hu = np.empty(grid.shape, dtype=np.float32)
    paint_torso(hu, grid.column, grid.x_mm, grid.y_mm, parameters)
    _add_texture(hu, 7.0 * tissue.texture(6, 25, spacing_mm, flesh_rng))
    canvas = Canvas(hu, grid, parameters, tissue.marrow_texture(spacing_mm, grain_rng))
    for disc in discs(spine):
        canvas.fill(disc, DISC_HU)
    _paint_surroundings(canvas, spine, parameters)
    labels, regions = np.zeros(grid.shape, dtype=np.uint8), np.zeros(grid.shape, dtype=np.uint8)
    _label(labels, LEVEL_CODES["sacrum"], canvas.bone(spine.sacrum, SACRUM_SHELL_MM))
    for level, vertebra in spine.vertebrae.items():
        covered = canvas.vertebra(vertebra, regions)
        _label(labels, LEVEL_CODES[level], covered)
    scan = tissue.scanned(hu, parameters.blur_mm / spacing_mm, parameters.noise_hu, noise_rng)
    vertebrae = {level: spine.vertebrae[level] for level in COMPLETE_LEVELS}
    return Phantom(Volume(scan, grid.world_from_voxel, labels), regions, vertebrae, parameters)


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of a phantom, axes along the world's."""

    shape: tuple[int, int, int]
    world_from_voxel: Float[np.ndarray, "4 4"]
    column: Column

    @property
    def x_mm(self) -> Float[np.ndarray, " x"]:
        """World x of the columns."""
        return self.world_from_voxel[0, 3] + self.world_from_voxel[0, 0] * np.arange(self.shape[2])

    @property
    def y_mm(self) -> Float[np.ndarray, " y"]:
        """World y of the rows."""
        return self.world_from_voxel[1, 3] + self.world_from_voxel[1, 1] * np.arange(self.shape[1])


class Canvas:
    """A volume that surfaces are painted into, by the share of each voxel that they cover."""

    def __init__(
        self,
        hu: Float32[np.ndarray, "z y x"],
        grid: Grid,
        parameters: PhantomParameters,
        grain: Float32[np.ndarray, "t t t"],
    ) -> None:
        self.hu, self.grid, self.grain = hu, grid, grain
        self.quality, self.shell = parameters.bone_quality, parameters.shell
        self.marrow_hu = parameters.marrow * tissue.marrow_hu(parameters.bone_quality)
        self.voxel_from_world = np.linalg.inv(grid.world_from_voxel)

    def fill(self, surface: Bone, tissue_hu: float) -> Coverage:
        """Paint a solid of one tissue."""
        covered = coverage(surface.vertices, surface.faces, self.voxel_from_world, self.grid.shape)
        part = self.hu[covered.box]
        part += covered.share * (np.float32(tissue_hu) - part)
        return covered

    def bone(self, surface: Bone, shell_mm: Float[np.ndarray, " n"] | float) -> Coverage:
        """Paint a bone: compact shell outside, textured marrow inside."""
        covered = self.fill(surface, tissue.cortical_hu(self.quality))
        self.marrow(surface, shell_mm)
        return covered

    def vertebra(self, vertebra: Vertebra, regions: UInt8[np.ndarray, "z y x"]) -> Coverage:
        """Paint a vertebra and name its regions; shell and marrow are as its regions have them."""
        surface = Bone(vertebra.vertices_world, vertebra.faces)
        covered = self.fill(surface, tissue.cortical_hu(self.quality))
        _label_regions(regions, covered, vertebra, self.grid)
        shell_mm = tissue.shell_mm(vertebra.vertex_regions, self.quality, template_averaging())
        self.marrow(surface, shell_mm, regions)
        return covered

    def marrow(
        self, bone: Bone, shell_mm: Float[np.ndarray, " n"] | float, regions: UInt8[np.ndarray, "z y x"] | None = None
    ) -> None:
        """Replace the inside of a bone by marrow."""
        thickness = self.shell * np.broadcast_to(np.asarray(shell_mm, dtype=np.float64), len(bone.vertices))[:, None]
        inner = bone.vertices - thickness * vertex_normals(bone.vertices, bone.faces)
        covered = coverage(inner, bone.faces, self.voxel_from_world, self.grid.shape)
        density = np.float32(self.marrow_hu) * (1 + _repeated(self.grain, covered.box))
        if regions is not None:
            density *= tissue.marrow_ratio(regions[covered.box])
        part = self.hu[covered.box]
        part += covered.share * (density - part)


def _grid(spine: Spine, parameters: PhantomParameters, spacing_mm: float) -> Grid:
    """Fit the field to the anatomy: T12 and the sacrum complete, skin to skin in depth."""
    bottom_mm = float(spine.sacrum.vertices[:, 2].min()) - MARGIN_MM
    top_mm = float(spine.vertebrae["T12"].vertices_world[:, 2].max()) + MARGIN_MM
    z_mm = np.arange(bottom_mm, top_mm, spacing_mm)
    poses = {level: vertebra.world_from_vertebra for level, vertebra in spine.vertebrae.items()}
    column = spinal_column(z_mm, poses)
    left, right, front, back = Outline(column, parameters).extent_mm()
    middle_mm, half_mm = (left + right) / 2, min((right - left) / 2 + MARGIN_MM, FIELD_WIDTH_MM * parameters.size / 2)
    x_mm = np.arange(middle_mm - half_mm, middle_mm + half_mm, spacing_mm)
    y_mm = np.arange(front - MARGIN_MM, back + MARGIN_MM, spacing_mm)
    world_from_voxel = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    world_from_voxel[:3, 3] = x_mm[0], y_mm[0], z_mm[0]
    return Grid((len(z_mm), len(y_mm), len(x_mm)), world_from_voxel, column)


def _paint_surroundings(canvas: Canvas, spine: Spine, parameters: PhantomParameters) -> None:
    poses = {level: vertebra.world_from_vertebra for level, vertebra in spine.vertebrae.items()}
    for rib in ribs(poses, parameters.size):
        canvas.bone(rib, RIB_SHELL_MM)
    for wing in iliac_templates():
        world = rigid.apply(spine.world_from_sacrum, parameters.size * wing.vertices)
        canvas.bone(Bone(world, wing.faces), ILIUM_SHELL_MM)


def _label(labels: UInt8[np.ndarray, "z y x"], code: int, covered: Coverage) -> None:
    labels[covered.box][covered.share > 0.5] = code


def _label_regions(regions: UInt8[np.ndarray, "z y x"], covered: Coverage, vertebra: Vertebra, grid: Grid) -> None:
    """Give every labelled voxel the region of the nearest vertex."""
    z, y, x = np.nonzero(covered.share > 0.5)
    corner = [span.start for span in reversed(covered.box)]
    world = rigid.apply(grid.world_from_voxel, np.column_stack([x, y, z]) + corner)
    _, nearest = cKDTree(vertebra.vertices_world).query(world, workers=-1)
    regions[covered.box][z, y, x] = vertebra.vertex_regions[nearest]


def _add_texture(hu: Float32[np.ndarray, "z y x"], block: Float32[np.ndarray, "t t t"]) -> None:
    """Add texture to what is neither air nor gas, slice by slice."""
    wide = np.tile(block, (1, -(-hu.shape[1] // len(block)), -(-hu.shape[2] // len(block))))
    for z in range(len(hu)):
        hu[z] += np.where(hu[z] > -300, wide[z % len(block), : hu.shape[1], : hu.shape[2]], 0)


def _repeated(block: Float32[np.ndarray, "t t t"], box: tuple[slice, slice, slice]) -> Float32[np.ndarray, "z y x"]:
    return block[np.ix_(*(np.arange(span.start, span.stop) % len(block) for span in box))]
