"""How good a reconstruction is, every metric defined once: F1, surface score, ASSD, HD95, whole and by region.

Surfaces are those of Nikolov et al. (arXiv 1809.04430): an element lies where eight voxels meet that are not all inside
or all outside, and weighs the area that marching cubes puts there. All metrics of a vertebra come from one set of
distances between such elements, so they cannot disagree. The numbers are those of MONAI's surface Dice with subvoxels
(a test holds them together). MONAI itself would search the neighbors anew for every metric and tolerance, takes seconds
to import, and its HD95 fails on an empty prediction (MONAI issue 9095).

Elements lie on the voxels' lattice, so this metric's distances come out a little small: spheres of radius 40 and 43 mm
in voxels of 1 mm are 2.55 mm apart on average. Compare numbers of equal voxel sizes only.

A vertebra that is missed is no gap in a table: its F1, recall and surface scores are 0, its distances are a penalty
(the diagonal of its box), and ``n_missed`` counts it. Means over such rows are penalized means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes, mesh_surface_area

from drrkit.errors import InputError
from drrkit.phantom.anatomy import REGION_CODES

# The headline is 1.0 mm; 1.5 and 2.0 mm are what public benchmarks report.
TOLERANCES_MM: tuple[float, ...] = (1.0, 1.5, 2.0)
# Elements lie on a lattice, so distances often equal a tolerance: rounding of the spacing must not decide.
ROUNDING_MM = 1e-3
WHOLE = "whole"
REGIONS: tuple[str, ...] = tuple(REGION_CODES)

Mask = Bool[np.ndarray, "z y x"]


def surface_name(tolerance_mm: float, prefix: str = "surface") -> str:
    """Name a surface score in tables: ``surface_1mm``, ``surface_1_5mm``."""
    return f"{prefix}_{tolerance_mm:g}mm".replace(".", "_")


# Of whole vertebrae. recall, near_* and distance_mm look from the truth alone, so that regions can have them as well.
ONE_SIDED: tuple[str, ...] = ("recall", *(surface_name(mm, "near") for mm in TOLERANCES_MM), "distance_mm")
METRICS: tuple[str, ...] = (
    "f1", *(surface_name(mm) for mm in TOLERANCES_MM), "assd_mm", "hd95_mm", "n_missed", *ONE_SIDED
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Surface:
    """Elements of the surface of a mask.

    Args:
        corners: (N, 3) indices (z, y, x) of the voxel on the low side of each element in all three axes; may be -1.
        areas_mm2: (N,) area of each.
        spacing_mm: Voxel size along z, y, x.
    """

    corners: Integer[np.ndarray, "n 3"]
    areas_mm2: Float[np.ndarray, " n"]
    spacing_mm: tuple[float, float, float]

    @cached_property
    def tree(self) -> cKDTree:
        """For finding the nearest element."""
        return cKDTree(self.corners * np.array(self.spacing_mm), leafsize=32, balanced_tree=False)

    def distances_mm(self, other: "Surface") -> Float[np.ndarray, " n"]:
        """Return how far each element is from the nearest one of another surface."""
        return other.tree.query(self.corners * np.array(self.spacing_mm))[0]


@dataclass(frozen=True, eq=False)
class Truth:
    """One vertebra (or several as one) of the ground truth, ready to be compared with many predictions.

    Args:
        shape: (Z, Y, X) of the label volume.
        box: Where the vertebra lies in it.
        mask: (z, y, x) its voxels in the box.
        surface: Of the mask, in indices of the label volume.
        regions: (z, y, x) ``REGION_CODES`` of the mask's voxels, 0 elsewhere in the box; or None.
        element_regions: (N,) region of each surface element, or None.
        penalty_mm: What stands for a distance if the vertebra is missed: the diagonal of its box.
    """

    shape: tuple[int, int, int]
    box: tuple[slice, slice, slice]
    mask: Mask
    surface: Surface
    regions: UInt8[np.ndarray, "z y x"] | None
    element_regions: UInt8[np.ndarray, " n"] | None
    penalty_mm: float


def f1_score(prediction: Mask, truth: Mask) -> float:
    """Voxel F1, which is the Dice coefficient: 2 TP / (2 TP + FP + FN).

    Returns:
        0 to 1; 0 if one of the two is empty, NaN if both are, because then there is nothing to find.
    """
    return _f1(int((prediction & truth).sum()), int(prediction.sum()), int(truth.sum()))


def surface_from_mask(mask: Mask, spacing_mm: tuple[float, float, float]) -> Surface:
    """Find the elements of a mask's surface; the border of the volume counts as outside.

    Args:
        mask: (Z, Y, X).
        spacing_mm: Voxel size along z, y, x.
    """
    box = bounding_box(mask)
    if box is None:
        return Surface(np.zeros((0, 3), np.int64), np.zeros(0), spacing_mm)
    padded = np.pad(mask[box], 1).view(np.uint8)
    low, high = slice(None, -1), slice(1, None)
    codes = np.zeros(tuple(size - 1 for size in padded.shape), np.uint8)
    for bit, shift in enumerate(np.ndindex(2, 2, 2)):
        codes |= padded[tuple(high if step else low for step in shift)] << np.uint8(bit)
    areas_mm2 = _element_areas_mm2(spacing_mm)
    corners = np.argwhere((codes != 0) & (codes != 255))
    areas = areas_mm2[codes[tuple(corners.T)]]
    return Surface(corners + np.array([part.start - 1 for part in box]), areas, spacing_mm)


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """Return the slices that hold all of a mask; None if it is empty."""
    spans = []
    for axes in ((1, 2), (0, 2), (0, 1)):
        filled = np.flatnonzero(mask.any(axis=axes))
        if not filled.size:
            return None
        spans.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return spans[0], spans[1], spans[2]


def prepare_truth(
    mask: Mask, spacing_mm: tuple[float, float, float], regions: UInt8[np.ndarray, "z y x"] | None = None
) -> Truth:
    """Make one vertebra ready for comparison.

    Args:
        mask: (Z, Y, X) its voxels.
        spacing_mm: Voxel size along z, y, x.
        regions: (Z, Y, X) ``REGION_CODES``; voxels outside the mask do not matter.

    Raises:
        InputError: An empty mask, or regions of another shape.
    """
    box = bounding_box(mask)
    if box is None:
        raise InputError("ground truth", "no voxel", "a labelled vertebra")
    if regions is not None and regions.shape != mask.shape:
        raise InputError("regions", f"shape {regions.shape}", f"the labels' shape {mask.shape}")
    surface = surface_from_mask(mask, spacing_mm)
    sides_mm = [(part.stop - part.start) * step_mm for part, step_mm in zip(box, spacing_mm, strict=True)]
    depth, height, width = mask.shape
    inside = None if regions is None else np.where(mask[box], regions[box], np.uint8(0))
    corners = surface.corners - np.array([part.start for part in box])
    elements = None if inside is None else _regions_at(inside, corners)
    diagonal_mm = float(np.linalg.norm(sides_mm))
    return Truth((depth, height, width), box, mask[box].copy(), surface, inside, elements, diagonal_mm)


def judge(prediction: Mask, truth: Truth) -> Mapping[str, Mapping[str, float]]:
    """Compare one vertebra with the truth.

    Whole vertebra: ``f1``; ``surface_*`` the surface score (surface Dice: the area of both surfaces that lies within
    the tolerance of the other, over the area of both); ``assd_mm`` the mean distance over both surfaces by area;
    ``hd95_mm`` the larger of the two 95th percentiles by area; ``n_missed`` 1 if nothing was predicted.

    Whole and by region, seen from the truth alone, because a prediction has no regions: ``recall`` of the region's
    voxels; ``near_*`` the part of the region's surface within the tolerance of the predicted surface; ``distance_mm``
    the mean distance of the region's surface to the predicted one.

    Args:
        prediction: (Z, Y, X) voxels of the same vertebra.
        truth: Of the same grid.

    Returns:
        Metrics by name, for ``whole`` and for each region that the truth has.

    Raises:
        InputError: Another grid.
    """
    if prediction.shape != truth.shape:
        raise InputError("prediction", f"shape {prediction.shape}", f"the labels' shape {truth.shape}")
    predicted = surface_from_mask(prediction, truth.surface.spacing_mm)
    missed = not predicted.areas_mm2.size
    distances_mm = (
        np.full(truth.surface.areas_mm2.shape, truth.penalty_mm) if missed else truth.surface.distances_mm(predicted)
    )
    found = prediction[truth.box]
    overlap = int((found & truth.mask).sum())
    whole = {"f1": _f1(overlap, int(prediction.sum()), int(truth.mask.sum()))}
    back_mm = np.zeros(0) if missed else predicted.distances_mm(truth.surface)
    areas = np.concatenate([truth.surface.areas_mm2, predicted.areas_mm2])
    both_mm = np.concatenate([distances_mm, back_mm])
    for tolerance_mm in TOLERANCES_MM:
        whole[surface_name(tolerance_mm)] = 0.0 if missed else _share_within(both_mm, areas, tolerance_mm)
    whole["assd_mm"] = float(np.average(both_mm, weights=areas))
    sides = [(distances_mm, truth.surface.areas_mm2)] + ([] if missed else [(back_mm, predicted.areas_mm2)])
    whole["hd95_mm"] = max(weighted_percentile(values, weights, 95) for values, weights in sides)
    whole["n_missed"] = float(missed)
    everywhere = np.ones(distances_mm.shape, bool)
    whole |= _one_sided(found[truth.mask], distances_mm, truth.surface.areas_mm2, everywhere, missed)
    verdict: dict[str, Mapping[str, float]] = {WHOLE: MappingProxyType(whole)}
    if truth.regions is not None and truth.element_regions is not None:
        for region, code in REGION_CODES.items():
            voxels_found, elements = found[truth.regions == code], truth.element_regions == code
            if voxels_found.size and elements.any():
                verdict[region] = _one_sided(voxels_found, distances_mm, truth.surface.areas_mm2, elements, missed)
    return verdict


def voxel_f1(prediction: Mask, truth: Truth) -> float:
    """Compare a mask on the whole label volume with the truth, as :func:`judge` does, without its surfaces.

    Returns:
        Voxel F1; 0 if nothing was predicted.

    Raises:
        InputError: Another grid.
    """
    if prediction.shape != truth.shape:
        raise InputError("prediction", f"shape {prediction.shape}", f"the labels' shape {truth.shape}")
    overlap = int((prediction[truth.box] & truth.mask).sum())
    return 2 * overlap / (int(prediction.sum()) + int(truth.mask.sum()))


def weighted_percentile(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of the weight does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, reached[-1] * percent / 100 * (1 - 1e-12)))
    return float(values[order][min(place, len(values) - 1)])


def _f1(overlap: int, predicted: int, true: int) -> float:
    return 2 * overlap / (predicted + true) if predicted + true else float("nan")


@lru_cache(maxsize=16)
def _element_areas_mm2(spacing_mm: tuple[float, float, float]) -> Float[np.ndarray, " 256"]:
    """Tabulate the area in a cube of eight voxel centers; bit b of the code says that corner b is inside.

    Where a surface could pass in two ways (two opposite corners), it takes the smaller one, as Nikolov's table does.
    """
    areas = np.zeros(256)
    for code in range(1, 255):
        cube = np.array([code >> bit & 1 for bit in range(8)], np.float64).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cube, 0.5, spacing=spacing_mm, method="lorensen")
        areas[code] = mesh_surface_area(vertices, faces)
    return np.minimum(areas, areas[::-1])


def _one_sided(
    found: Bool[np.ndarray, " voxels"],
    distances_mm: Float[np.ndarray, " n"],
    areas_mm2: Float[np.ndarray, " n"],
    elements: Bool[np.ndarray, " n"],
    missed: bool,
) -> dict[str, float]:
    distances_mm, areas_mm2 = distances_mm[elements], areas_mm2[elements]
    scores = {"recall": float(found.mean())}
    for tolerance_mm in TOLERANCES_MM:
        near = 0.0 if missed else _share_within(distances_mm, areas_mm2, tolerance_mm)
        scores[surface_name(tolerance_mm, "near")] = near
    scores["distance_mm"] = float(np.average(distances_mm, weights=areas_mm2))
    return scores


def _share_within(
    distances_mm: Float[np.ndarray, " n"], areas_mm2: Float[np.ndarray, " n"], tolerance_mm: float
) -> float:
    return float(areas_mm2[distances_mm <= tolerance_mm + ROUNDING_MM].sum() / areas_mm2.sum())


def _regions_at(regions: UInt8[np.ndarray, "z y x"], corners: Integer[np.ndarray, "n 3"]) -> UInt8[np.ndarray, " n"]:
    """Return the region of each element: the highest code among its eight voxels, of which some are in the mask."""
    padded = np.pad(regions, 1)
    codes = np.zeros(len(corners), np.uint8)
    for shift in np.ndindex(2, 2, 2):
        z, y, x = (corners + 1 + shift).T
        np.maximum(codes, padded[z, y, x], out=codes)
    return codes
