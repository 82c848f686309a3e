"""The true surfaces of phantoms: meshes in correspondence, from a donor's name alone, without any voxel.

``adults-3001`` and ``phantom-shifted-7101`` are the individuals 3001 and 7101 of their populations. What the labels
show is checked against the mesh, so that no other donor of a like name is taken for a phantom.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32, UInt8

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.phantom import POPULATIONS, sample_parameters
from drrkit.phantom.vertebrae import make_spine
from reconstruction.judging.evaluation import EvaluationCase

_NAME = re.compile(r"(?:.*?-)?(?P<population>[a-z]+)-(?P<seed>\d+)")
# Label voxels are up to 1.5 mm in size; an individual that is another one is off by more.
_LABELS_OFF_MM = 3.0


@dataclass(frozen=True, eq=False)
class TrueVertebra:
    """The surface of one vertebra of a phantom.

    Args:
        vertices_world: (N, 3); vertex i is the same anatomical spot in every vertebra.
        vertices_local: (N, 3) in the vertebra's own frame: origin in the middle of the body, x left, y back, z head.
        faces: (M, 3) the same for all.
        regions: (N,) ``REGION_CODES``, the same for all.
    """

    vertices_world: Float[np.ndarray, "n 3"]
    vertices_local: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    regions: UInt8[np.ndarray, " n"]


def true_vertebrae(loaded: EvaluationCase) -> Mapping[str, TrueVertebra]:
    """Make the true surfaces of a case whose donor is a phantom; nothing if it is none.

    Raises:
        InputError: Labels that are not those of the phantom of that name.
    """
    population, seed = individual_of(loaded.case.donor_id, loaded.case.population)
    if seed is None:
        return {}
    spine = make_spine(sample_parameters(seed, POPULATIONS[population]))
    found = {}
    for level in loaded.levels:
        vertebra = spine.vertebrae[level]
        _check_labels(loaded, level, vertebra.vertices_world)
        local = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
        found[level] = TrueVertebra(vertebra.vertices_world, local, vertebra.faces, vertebra.vertex_regions)
    return found


def individual_of(donor_id: str, population: str) -> tuple[str, int | None]:
    """Read population and seed off the name of a donor; the seed is None where the donor is no phantom.

    Args:
        donor_id: ``adults-3001``, ``phantom-shifted-7101``, ``train-varied-1101`` ...
        population: What the case says; if that is no population of phantoms, the name must say it.
    """
    match = _NAME.fullmatch(donor_id)
    if match is None:
        return population, None
    drawn_from = population if population in POPULATIONS else match["population"]
    return drawn_from, int(match["seed"]) if drawn_from in POPULATIONS else None


def _check_labels(loaded: EvaluationCase, level: str, vertices_world: Float[np.ndarray, "n 3"]) -> None:
    box = loaded.truths[level].box
    low, high = ([side(part) for part in reversed(box)] for side in (lambda p: p.start - 0.5, lambda p: p.stop - 0.5))
    labelled = rigid.apply(loaded.world_from_voxel, np.array([low, high]))
    labelled = np.stack([labelled.min(axis=0), labelled.max(axis=0)])
    off_mm = np.abs(labelled - [vertices_world.min(axis=0), vertices_world.max(axis=0)]).max()
    if off_mm > _LABELS_OFF_MM:
        where = f"case {loaded.case.case_id}, {level}"
        raise InputError(
            where, f"labels {off_mm:.1f} mm off the phantom {loaded.case.donor_id}", "labels of that phantom"
        )
