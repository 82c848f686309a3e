"""From parameters to vertebrae: meshes in correspondence, landmarks and poses, without any voxels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int32, UInt8

from drrkit.geometry import rigid
from drrkit.geometry.rigid import Matrix4
from drrkit.phantom.contact import Surface, separated
from drrkit.phantom.individual import asymmetric, spurs, uneven_facets, unevenness
from drrkit.phantom.levels import MODELED_LEVELS, individual_discs, individual_shapes
from drrkit.phantom.named_points import named_points
from drrkit.phantom.parameters import PhantomParameters
from drrkit.phantom.pelvis import Bone, sacral_facets, sacrum_averaging, sacrum_template
from drrkit.phantom.shape import VertebraShape, both_sides, superior_facet
from drrkit.phantom.spine import (
    STACK,
    across_joint,
    disc_angles_deg,
    fitted_facets,
    fitted_spinous,
    spine_poses,
    with_fracture,
)
from drrkit.phantom.surface import uncrumpled
from drrkit.phantom.template import landmarks, template, template_averaging, template_neighbors

CLEARANCE_MM = 1.0  # the least distance between neighboring vertebrae


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra of a phantom.

    Args:
        level: Its name.
        vertices_world: (N, 3) LPS millimeters; vertex i is the same anatomical spot in every vertebra.
        faces: (M, 3) vertex numbers, counterclockwise from outside; the same for every vertebra.
        vertex_regions: (N,) codes of ``REGION_CODES``; the same for every vertebra.
        landmarks_world: The seven landmarks by name, each (3,).
        world_from_vertebra: Its frame: origin in the middle of the body, x left, y back, z head.
        shape: The measures it was made from.
    """

    level: str
    vertices_world: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    vertex_regions: UInt8[np.ndarray, " n"]
    landmarks_world: dict[str, Float[np.ndarray, " 3"]]
    world_from_vertebra: Matrix4
    shape: VertebraShape


@dataclass(frozen=True, eq=False)
class Spine:
    """All vertebrae of one individual.

    Args:
        vertebrae: T11 to L5, by level.
        sacrum: In the world.
        world_from_sacrum: Its frame: origin in the middle of its end plate.
        size: Of the individual, relative to the typical adult.
    """

    vertebrae: dict[str, Vertebra]
    sacrum: Bone
    world_from_sacrum: Matrix4
    size: float


def make_spine(parameters: PhantomParameters) -> Spine:
    """Make the vertebrae of a phantom (about a tenth of a second once the template stands)."""
    streams = np.random.SeedSequence([parameters.seed, 1]).spawn(len(MODELED_LEVELS) + 3)
    rng, disc_rng, angle_rng = (np.random.default_rng(stream) for stream in streams[:3])
    healthy = individual_shapes(parameters.size, parameters.individuality, rng)
    shapes = with_fracture(healthy, parameters)
    discs_mm = individual_discs(parameters.size, parameters.individuality, parameters.disc_degeneration, disc_rng)
    angles_deg = disc_angles_deg(shapes, parameters, angle_rng)
    poses = spine_poses(shapes, discs_mm, angles_deg, parameters)
    shapes = fitted_facets(fitted_spinous(shapes, poses), poses)

    below = both_sides(sacral_facets(parameters.size))
    shared = template()
    vertices: dict[str, Float[np.ndarray, "n 3"]] = {}
    # From foot to head, for a vertebra's lower joints lie where the next vertebra's upper ones are.
    for index in reversed(range(len(MODELED_LEVELS))):
        level = MODELED_LEVELS[index]
        rng = np.random.default_rng(streams[3 + index])
        upper_from_lower = rigid.invert(poses[level]) @ poses[STACK[index + 1]]
        inferior = {side: across_joint(facet, upper_from_lower) for side, facet in below.items()}
        below = uneven_facets(both_sides(superior_facet(shapes[level])), parameters.individuality, rng)
        points = named_points(shapes[level], below, inferior)
        local = shared.surface(asymmetric(points, parameters.individuality, rng))
        local += unevenness(shared.vertices, parameters.individuality, rng)
        local += spurs(shared.vertices, shared.rim, parameters.osteophyte_mm, rng)
        vertices[level] = rigid.apply(poses[level], local)
    sacrum = sacrum_template()
    sacrum_world = rigid.apply(poses["sacrum"], parameters.size * sacrum.vertices)
    sacrum_world = _keep_apart(vertices, sacrum_world)
    vertebrae = {}
    for level in MODELED_LEVELS:
        world = uncrumpled(vertices[level], shared.faces, template_neighbors(), template_averaging())
        vertebrae[level] = Vertebra(
            level, world, shared.faces, shared.regions, landmarks(world), poses[level], shapes[level]
        )
    return Spine(vertebrae, Bone(sacrum_world, sacrum.faces), poses["sacrum"], parameters.size)


def _keep_apart(
    vertices: dict[str, Float[np.ndarray, "n 3"]], sacrum_world: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3"]:
    """Separate neighbors from head to foot, the vertebrae in place; return the sacrum."""
    faces, smoothing = template().faces, template_averaging()
    for upper, lower in pairwise(MODELED_LEVELS):
        above, below = (Surface(vertices[level], faces, smoothing) for level in (upper, lower))
        vertices[upper], vertices[lower] = separated(above, below, CLEARANCE_MM)
    lowest = Surface(vertices["L5"], faces, smoothing)
    sacrum = Surface(sacrum_world, sacrum_template().faces, sacrum_averaging())
    vertices["L5"], moved = separated(lowest, sacrum, CLEARANCE_MM)
    return moved
