"""The learning set: procedural phantoms as cases, each with its X-rays, cameras and labels.

Groups of individuals differ in what they are drawn from, in voxels, C-arm, pixels and shake, so that what evaluates is
no replay of what trained. No image and no label here was measured from a patient.
"""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Self

import numba
import numpy as np
from pydantic import Field, model_validator

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.geometry.presets import preset
from drrkit.geometry.viewsets import view_set
from drrkit.parameters import Parameters
from drrkit.phantom import POPULATIONS, Phantom, make_phantom, sample_parameters
from drrkit.volume import LUMBAR_LEVELS, Volume
from reconstruction.cases import Case, Split
from reconstruction.sets.rendering import (
    CAMERAS_NAME,
    IMAGES_NAME,
    LABELS_NAME,
    REGIONS_NAME,
    check_in_view,
    level_box,
    write_cut,
    write_views,
)

# Of random numbers beside those of the phantom itself.
_SCAN_STREAM = 10


class PanelParameters(Parameters):
    """The gantry of a preset with a square panel of its own, read out with ``size_px`` x ``size_px`` pixels."""

    preset: str
    panel_mm: float = Field(gt=0)
    size_px: int = Field(ge=1)

    def carm(self) -> CArm:
        """Build the C-arm."""
        spacing_mm = self.panel_mm / self.size_px
        return preset(self.preset).with_detector(self.size_px, self.size_px, (spacing_mm, spacing_mm))


class JitterParameters(Parameters):
    """How far views are shaken at most; see :meth:`drrkit.geometry.viewsets.ViewSet.jittered`."""

    angle_deg: float = Field(ge=0)
    roll_deg: float = Field(ge=0)
    isocenter_mm: float = Field(ge=0)


class GroupParameters(Parameters):
    """Individuals ``first_seed`` and on, and how they are imaged.

    Args:
        name: Of the group; with the seed it names the donor.
        split: Of all its donors.
        population: What they are drawn from.
        first_seed: The first individual.
        count: How many.
        spacing_mm: Of the phantom's voxels.
        thick_slices: Share of individuals whose CT has slices twice as thick, as CTs of the clinic do.
        bone_threshold_hu: Lowest and highest; each individual's is drawn between.
        regions: Whether to keep the regions of the vertebrae beside their labels.
        carm: Gantry and panel.
        jitter: How far each individual's views are shaken.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    split: Split
    population: str
    first_seed: int = Field(ge=0)
    count: int = Field(ge=1)
    spacing_mm: float = Field(gt=0)
    thick_slices: float = Field(ge=0, le=1)
    bone_threshold_hu: tuple[float, float]
    regions: bool
    carm: PanelParameters
    jitter: JitterParameters

    @property
    def seeds(self) -> range:
        """The individuals."""
        return range(self.first_seed, self.first_seed + self.count)

    def donor_id(self, seed: int) -> str:
        """Name an individual."""
        return f"{self.name}-{seed:04d}"

    @model_validator(mode="after")
    def _known_population(self) -> Self:
        if self.population not in POPULATIONS:
            raise ValueError(f"population {self.population}: wanted {' or '.join(POPULATIONS)}")
        return self

    @model_validator(mode="after")
    def _ordered_thresholds(self) -> Self:
        low, high = self.bone_threshold_hu
        if not low <= high:
            raise ValueError(f"bone_threshold_hu from {low:g} to {high:g}: wanted the lower one first")
        return self


class SpinesParameters(Parameters):
    """The groups and what they share; ``workers`` changes the time that it takes, and nothing else."""

    views: str
    energy_kev: float = Field(gt=0)
    label_margin_mm: float = Field(ge=0)
    workers: int = Field(ge=1)
    groups: tuple[GroupParameters, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _separate_individuals(self) -> Self:
        # One seed in two populations gives two spines with the same individual deviations: no stranger to each other.
        seen = Counter(seed for group in self.groups for seed in group.seeds)
        twice = sorted(seed for seed, count in seen.items() if count > 1)
        if twice:
            raise ValueError(f"seed {twice[0]} in two groups: wanted every individual once")
        names = Counter(group.name for group in self.groups)
        if max(names.values()) > 1:
            raise ValueError(f"the group {names.most_common(1)[0][0]} twice: wanted a name of its own for every group")
        return self


def make_spines(parameters: SpinesParameters, out: Path) -> list[Case]:
    """Make every individual of every group below ``out``; the cases come in the order of the groups and seeds.

    Raises:
        InputError: An unknown preset or view set, a view that cuts a lumbar vertebra off, or a full disk.
    """
    todo = [(group, seed) for group in parameters.groups for seed in group.seeds]
    return list(_each(parameters, todo, out))


def make_case(parameters: SpinesParameters, group: GroupParameters, seed: int, out: Path) -> Case:
    """Make one individual: images, cameras and labels (cut to L1 to L5 and a margin) in a folder of its own."""
    phantom = make_phantom(sample_parameters(seed, POPULATIONS[group.population]), group.spacing_mm)
    donor_id = group.donor_id(seed)
    folder = out / donor_id
    vertices = {level: phantom.vertebrae[level].vertices_world for level in LUMBAR_LEVELS}
    isocenter_world = np.mean([points.mean(axis=0) for points in vertices.values()], axis=0)
    views = view_set(parameters.views).jittered(seed, **group.jitter.model_dump())
    cameras = views.cameras(group.carm.carm(), isocenter_world)
    check_in_view(cameras, vertices, f"group {group.name}, seed {seed}")
    rng = np.random.default_rng([seed, _SCAN_STREAM])
    threshold_hu = rng.uniform(*group.bone_threshold_hu)
    scan = with_thick_slices(phantom.volume) if rng.random() < group.thick_slices else phantom.volume
    write_views(folder, scan, cameras, "bone", threshold_hu, parameters.energy_kev)
    _write_labels(phantom, folder, parameters.label_margin_mm, group.regions)
    return Case(
        case_id=donor_id,
        donor_id=donor_id,
        split=group.split,
        kind="drr",
        views=tuple(cameras),
        cameras=folder / CAMERAS_NAME,
        images=folder / IMAGES_NAME,
        labels=folder / LABELS_NAME,
        label_scheme="verse",
        levels=LUMBAR_LEVELS,
        population=group.population,
        regions=folder / REGIONS_NAME if group.regions else None,
    )


def with_thick_slices(volume: Volume) -> Volume:
    """Average pairs of slices, as a scan with twice the slice thickness does; labels are left out.

    Raises:
        InputError: A volume of one slice.
    """
    pairs = len(volume.hu) // 2
    if pairs == 0:
        raise InputError("volume", "one slice", "at least two to average")
    hu = volume.hu[: 2 * pairs].astype(np.float32).reshape(pairs, 2, *volume.hu.shape[1:]).mean(axis=1)
    thick_from_voxel = rigid.from_rotation_translation(np.diag([1.0, 1.0, 2.0]), [0.0, 0.0, 0.5])
    return Volume(np.rint(hu).astype(volume.hu.dtype), volume.world_from_voxel @ thick_from_voxel)


def _write_labels(phantom: Phantom, folder: Path, margin_mm: float, with_regions: bool) -> None:
    volume = phantom.volume
    assert volume.labels is not None  # a phantom is always labelled
    box = level_box(volume.labels, LUMBAR_LEVELS, margin_mm, volume.spacing_mm)
    write_cut(folder / LABELS_NAME, volume.labels, volume.world_from_voxel, box)
    if with_regions:
        write_cut(folder / REGIONS_NAME, phantom.regions, volume.world_from_voxel, box)


def _each(parameters: SpinesParameters, todo: list[tuple[GroupParameters, int]], out: Path) -> Iterator[Case]:
    groups, seeds = zip(*todo, strict=True)
    work = repeat(parameters), groups, seeds, repeat(out)
    if parameters.workers == 1:
        yield from map(make_case, *work)
        return
    # Spawned, not forked: threads of libraries do not survive a fork. One thread each: the workers share the cores.
    context = multiprocessing.get_context("spawn")
    workers = min(parameters.workers, len(todo))
    with ProcessPoolExecutor(workers, context, initializer=numba.set_num_threads, initargs=(1,)) as pool:
        try:
            yield from pool.map(make_case, *work)
        finally:
            pool.shutdown(cancel_futures=True)
