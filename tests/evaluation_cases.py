"""Toy spines to judge on: blocks for levels, an oracle that knows them, and cameras of adapt-28."""

from types import MappingProxyType

import numpy as np

from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import view_set
from drrkit.io.store import write_cameras, write_image
from drrkit.io.volumefile import write
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES
from reconstruction.cases import Case
from reconstruction.grid import Grid
from reconstruction.judging.evaluation import UNION, EvaluationCase
from reconstruction.learning.lookup import codes_on_grid
from reconstruction.loading import levels_center_world
from reconstruction.metrics import prepare_truth
from reconstruction.model import ModelSpec, ViewWindow

CARM = CArm(1000.0, 600.0, 32, 32, (12.0, 12.0))
LEVELS = ("L1", "L2", "L3", "L4", "L5")
# The voxels of the labels, so that an oracle is right to the last voxel.
SPEC = ModelSpec("x23d", {}, "lumbar", LEVELS, (52, 24, 24), 1.5, ViewWindow((32, 32), 4.0))
SPACING_MM = 1.5


def toy_codes(levels=LEVELS):
    """(56, 32, 32) voxels of 1.5 mm: L1 on top, blocks of 8 x 16 x 12 voxels, two of disc between them."""
    codes = np.zeros((56, 32, 32), np.uint8)
    for number, level in enumerate(LEVELS):
        if level in levels:
            top = 52 - 10 * number
            codes[top - 8 : top, 8:24, 10:22] = LEVEL_CODES[level]
    return codes


def toy_case(donor="donor-1", population="adults", levels=LEVELS, judged=None, views="adapt-28", shift_mm=0.0):
    codes = toy_codes(levels)
    judged = judged or levels
    volume_grid = Grid.centered((5.0 + shift_mm, -10.0, 100.0), codes.shape, SPACING_MM)
    regions = np.full(codes.shape, REGION_CODES["body"], np.uint8)
    regions[:, 18:] = REGION_CODES["spinous"]
    spacing_mm = (SPACING_MM,) * 3
    truths = {level: prepare_truth(codes == LEVEL_CODES[level], spacing_mm, regions) for level in judged}
    codes_judged = np.isin(codes, [LEVEL_CODES[level] for level in judged])
    truths[UNION] = prepare_truth(codes_judged, spacing_mm, regions)
    partial = (codes > 0) & ~codes_judged
    center = levels_center_world(codes, volume_grid.world_from_grid, judged)
    cameras = view_set(views).cameras(CARM, center)
    radiographs = {
        name: Radiograph(np.full((32, 32), 0.5, np.float32), "line_integral", camera)
        for name, camera in cameras.items()
    }
    nowhere = volume_path = donor  # no file is opened
    case = Case(
        f"{donor}-drr", donor, "test", "drr", tuple(cameras), nowhere, nowhere, volume_path, "verse", judged, population
    )
    return EvaluationCase(
        case=case,
        radiographs=MappingProxyType(radiographs),
        shape=codes.shape,
        world_from_voxel=volume_grid.world_from_grid,
        truths=MappingProxyType(truths),
        unjudged=partial if partial.any() else None,
        lumbar_center_world=center,
        level_centers_world={
            level: levels_center_world(codes, volume_grid.world_from_grid, [level]) for level in judged
        },
    )


def oracle(loaded, levels=LEVELS, offset_mm=0.0, present=LEVELS):
    """A predictor that looks the answer up; it sees where the grid is, and moves its answer along x by an offset."""
    codes = toy_codes(present)

    def predictor(radiographs, grid):
        moved = loaded.world_from_voxel.copy()
        moved[0, 3] += offset_mm(radiographs) if callable(offset_mm) else offset_mm
        found = codes_on_grid(codes, moved, grid)
        return np.stack([found == code for code in (0, *(LEVEL_CODES[level] for level in levels))]).astype(np.float32)

    return predictor


def write_toy_case(folder, levels=LEVELS, regions=True):
    """Write a toy case with an AP and a lateral view, and return it."""
    codes, affine = toy_codes(), np.diag([1.5, 1.5, 1.5, 1.0])
    write(folder / "labels.nii.gz", codes, affine)
    write(folder / "regions.nii.gz", (codes > 0).astype(np.uint8), affine)
    cameras = view_set("ap-lateral").cameras(CARM, (24, 24, 40))
    write_cameras(folder / "cameras.json", cameras)
    for name in cameras:
        write_image(folder / "images" / f"{name}.tif", np.full((32, 32), 0.25, np.float32))
    return Case(
        "case-1", "donor-1", "test", "drr", tuple(cameras), folder / "cameras.json", folder / "images",
        folder / "labels.nii.gz", "verse", levels, "adults", folder / "regions.nii.gz" if regions else None,
    )  # fmt: skip
