"""Measure what refinement by the image adds to a camera: python benchmarks/refine.py [--phantoms N] [--views N].

X-rays are simulated with drrkit.fluoroscopy (spectrum, scatter, noise, blur) from a phantom of 1 mm voxels; refinement
gets a CT of 1.5 mm voxels with noise of its own, and neither gas nor soft tissue. First table: cameras that were moved
away from the truth by known amounts, with a wide prior. Second table: cameras fitted to balls that were found with the
errors of a real session, with the fit's own covariance as prior. Balls are not drawn into the images, as if they had
been filled in perfectly. Errors are in-plane distances at the centers of L1 to L5, against the truth.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from drrkit.fluoroscopy.devices import machine
from drrkit.fluoroscopy.exposure import automatic_exposure, expose, open_field_counts
from drrkit.fluoroscopy.materials import material_fractions, path_lengths_mm
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.phantom import make_phantom
from drrkit.radiograph import Radiograph
from drrkit.volume import LUMBAR_LEVELS
from protocols.linearize import linearize
from protocols.refine import Bones, HeldOutBalls, PosePrior, Refinement, RefineSettings, prepare_bones, refine
from protocols.refine.resection import fit_pose, with_pose
from protocols.refine.twist import camera_from_pivot

CARM = CArm(1020.0, 700.0, 512, 512, (0.6, 0.6))
VIEWS_DEG = ((0.0, 0.0), (90.0, 0.0), (35.0, 10.0), (-60.0, -15.0))
# Degrees about a random axis, mm in a random direction across the ray, mm along it.
MOVED = ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0), (2.0, 4.0, 5.0))
BALLS = (20, 10, 6)
HELD_OUT = 6
# Errors of detection in the X-ray and in the CT: about what protocols/beads reaches.
DETECTION_PX, CENTER_MM = 0.15, 0.1
WIDE = PosePrior(3.0, 3.0, 1.5)


@dataclass(frozen=True)
class Case:
    """One simulated exposure and what is known of it."""

    name: str
    radiograph: Radiograph
    true: Camera
    bones: Bones
    centers_world: np.ndarray
    balls_world: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=2)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--device", help="of torch")
    options = parser.parse_args()
    console = Console(width=130)
    settings = RefineSettings(device=options.device)
    moved = _table("Moved away from the truth, wide prior (simulated X-rays)", "moved")
    fitted = _table("After calibration with balls (simulated X-rays)", "balls")
    outcomes: dict[str, list[tuple[float, float, bool]]] = {}
    for case in _cases(options.phantoms, options.views):
        rng = np.random.default_rng([ord(letter) for letter in case.name])
        for turn_deg, across_mm, along_mm in MOVED:
            start = _moved(case, turn_deg, across_mm, along_mm, rng)
            result = _refine(case, start, replace(settings, prior=WIDE), rng)
            _add(moved, case, f"{turn_deg:g} deg, {across_mm:g} mm", start, result)
        for count in BALLS:
            start, prior = _calibrated(case, count, rng)
            result = _refine(case, start, replace(settings, prior=prior), rng)
            _add(fitted, case, str(count), start, result)
            errors = [_error(case, camera)[0] for camera in (start, result.camera)]
            outcomes.setdefault(str(count), []).append((errors[0], errors[1], result.kept))
    for table in (moved, fitted):
        console.print(table)
    for count, rows in outcomes.items():
        before, after, kept = (np.array(column) for column in zip(*rows, strict=True))
        worse = int((after > before + 1e-9).sum())
        verdict = "helps" if np.median(after) < 0.95 * np.median(before) else "does not help"
        console.print(
            f"{count} balls: median target error {np.median(before):.3f} mm by balls alone, {np.median(after):.3f} mm "
            f"with refinement ({kept.sum()} of {len(kept)} kept, {worse} of them worse): {verdict}",
            highlight=False,
        )
    return 0


def _cases(phantoms: int, views: int) -> Iterator[Case]:
    for seed in range(1, phantoms + 1):
        fine = make_phantom(seed, spacing_mm=1.0).volume
        bones = prepare_bones(make_phantom(seed, spacing_mm=1.5).volume)
        materials = material_fractions(fine)
        centers_world = np.array([fine.level_centroid_world(level) for level in LUMBAR_LEVELS])
        spread = np.random.default_rng(seed).uniform(-1, 1, (max(BALLS) + HELD_OUT, 3)) * [70, 50, 80]
        for primary_deg, secondary_deg in VIEWS_DEG[:views]:
            camera = CARM.camera(primary_deg, secondary_deg, 0.0, centers_world[2])
            lengths_mm = {name: images[0] for name, images in path_lengths_mm(materials, [camera]).items()}
            device = automatic_exposure(lengths_mm, camera, machine("flat-panel"))
            counts = expose(lengths_mm, camera, device, seed)
            image = linearize(counts, open_field=open_field_counts(device)).radiograph
            name = f"phantom {seed}, {primary_deg:g}/{secondary_deg:g}"
            yield Case(name, image, camera, bones, centers_world, centers_world[2] + spread)


def _moved(case: Case, turn_deg: float, across_mm: float, along_mm: float, rng: np.random.Generator) -> Camera:
    axis, across = rng.normal(size=3), rng.normal(size=2)
    turn = np.radians(turn_deg) * axis / np.linalg.norm(axis)
    shift = across_mm * across / np.linalg.norm(across)
    pivot = camera_from_pivot(case.true, case.centers_world[2])
    motion = pivot @ rigid.exp([*turn, *shift, along_mm]) @ rigid.invert(pivot)
    return with_pose(case.true, motion @ case.true.camera_from_world)


def _calibrated(case: Case, count: int, rng: np.random.Generator) -> tuple[Camera, PosePrior]:
    """Fit the pose to balls that were found with errors."""
    centers = case.balls_world[HELD_OUT : HELD_OUT + count]
    points = case.true.project(centers) + rng.normal(0, DETECTION_PX, (count, 2))
    fit = fit_pose(case.true, centers + rng.normal(0, CENTER_MM, (count, 3)), points)
    return fit.camera, fit.prior


def _refine(case: Case, start: Camera, settings: RefineSettings, rng: np.random.Generator) -> Refinement:
    centers = case.balls_world[:HELD_OUT]
    points = case.true.project(centers) + rng.normal(0, DETECTION_PX, (HELD_OUT, 2))
    seen = HeldOutBalls(centers + rng.normal(0, CENTER_MM, (HELD_OUT, 3)), points)
    return refine(case.radiograph, start, case.bones, seen, settings)


def _error(case: Case, camera: Camera) -> tuple[float, float, float]:
    """Median in-plane error at the vertebrae in mm, along the ray in mm, and rotation in degrees."""
    off_mm = rigid.apply(camera.camera_from_world, case.centers_world) - rigid.apply(
        case.true.camera_from_world, case.centers_world
    )
    off_px = np.linalg.norm(camera.project(case.centers_world) - case.true.project(case.centers_world), axis=1)
    mm_per_px = case.true.depth_mm(case.centers_world) / case.true.pixel_from_camera[1, 1]
    rotation_deg, _ = rigid.geodesic_error(camera.camera_from_world, case.true.camera_from_world)
    return float(np.median(off_px * mm_per_px)), float(np.median(np.abs(off_mm[:, 2]))), rotation_deg


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    for head in ("view", first):
        table.add_column(head, no_wrap=True)
    for head in ("target mm", "along mm", "rotation deg", "gradient NCC", "held-out px", "kept", "images", "s"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _add(table: Table, case: Case, what: str, start: Camera, result: Refinement) -> None:
    """Add a row with errors before and after, of the proposed camera, whether or not it was kept."""
    before, after = _error(case, start), _error(case, result.proposed)
    cells = [f"{old:.2f} > {new:.2f}" for old, new in zip(before, after, strict=True)]
    cells.append(f"{result.similarity_before:.3f} > {result.similarity_after:.3f}")
    cells.append(f"{result.held_out_px_before:.2f} > {result.held_out_px_after:.2f}")
    cells += ["yes" if result.kept else "no", str(result.steps), f"{result.seconds:.1f}"]
    table.add_row(case.name, what, *cells)
    print(case.name, what, *cells, sep=" | ", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
