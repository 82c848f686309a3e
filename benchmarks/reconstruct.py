"""Time reconstruction with a loaded model: python benchmarks/reconstruct.py [--model FILE] [--json FILE].

The whole call from radiographs in memory to labels at 1 mm, by step, for every backend. Views are DRRs of a procedural
phantom, 768 x 768 pixels, so that windows are cut and resampled as they are in use. Without --model the network has the
asked size and untrained weights, which cost the same but in the step `label`: noise wins everywhere in the grid, which
is the most that this step can cost. Every backend runs in a fresh process with the number of threads asked for.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from drrkit.geometry.carm import CArm
from drrkit.io.store import write_cameras, write_image
from drrkit.parameters import read_parameters
from drrkit.phantom import make_phantom
from drrkit.projection.renderer import render
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.learning.lessons import LearningParameters, spec_from_parameters
from reconstruction.model import ModelSpec
from reconstruction.output import latency_of
from reconstruction.reconstruct import reconstruct
from reconstruction.runtime import open_runtime
from reconstruction.runtime.onnx import export_onnx
from reconstruction.viewfiles import read_views
from reconstruction.weights import build_network, read_spec, save_model

CARM = CArm(1020.0, 700.0, 768, 768, (0.4, 0.4))
ANGLES_DEG = (0.0, 90.0, 45.0, -45.0, 22.5, -22.5, 67.5, -67.5)
ROOT = Path(__file__).parents[1]
# Where the parameters of each size stand.
SIZES = {
    "laptop": ("pretrain.models.lumbar", ROOT / "params.yaml"),
    "paper": ("lumbar", ROOT / "reconstruction" / "configs" / "paper.yaml"),
}
# name -> backend, precision, device
BACKENDS = {
    "torch": ("torch", "float32", "cpu"),
    "torch bf16": ("torch", "bfloat16", "cpu"),
    "onnx": ("onnx", "float32", "cpu"),
    "torch cuda": ("torch", "float32", "cuda"),
    "torch cuda bf16": ("torch", "bfloat16", "cuda"),
}
STEPS = ("prepare", "network", "label", "total")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["laptop"])
    parser.add_argument("--model", type=Path, help="a trained .safetensors instead of untrained sizes")
    parser.add_argument("--views", nargs="+", type=int, default=[1, 3, 4, 8])
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=["torch", "torch bf16", "onnx"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=15, help="calls timed for each number of views")
    parser.add_argument("--seconds", type=float, default=20.0, help="stop repeating after this time")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    parser.add_argument("--child", nargs=3, metavar=("BACKEND", "MODEL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_time(*options.child, options)))
        return 0
    console, results = Console(width=120), []
    with tempfile.TemporaryDirectory(prefix="drrkit-bench-") as name:
        folder = Path(name)
        _render_views(folder, max(options.views))
        models = (
            {"model": options.model} if options.model else {size: _untrained(size, folder) for size in options.size}
        )
        for size, model in models.items():
            rows = [_measure(size, backend, model, folder, options) for backend in options.backend]
            console.print(_table(size, read_spec(model), rows, options))
            results += rows
    if options.json:
        machine = {"cpus": os.cpu_count(), "threads": options.threads}
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1))
    for row in results:
        if "failed" in row:
            console.print(f"{row['size']}, {row['backend']} failed: {row['failed']}", style="red", highlight=False)
    return 1 if any("failed" in row for row in results) else 0


# ---- one backend in its own process --------------------------------------------------------------------------


def _time(name: str, model: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    backend, precision, device = BACKENDS[name]
    torch.set_num_threads(options.threads)  # views are resampled by torch, whichever backend runs the network
    started = time.perf_counter()
    runtime = open_runtime(Path(model), backend, options.threads, device, precision)
    opened_s = time.perf_counter() - started
    views = list(read_views(Path(folder) / "cameras.json", Path(folder) / "images").radiographs.items())
    found: dict[str, Any] = {"open_s": opened_s, "versions": dict(runtime.versions), "latency": {}}
    for count in options.views:
        some = dict(views[:count])
        center = None if count > 1 else _center(folder)
        runs: list[Any] = []
        for _ in range(2):
            reconstruct(some, runtime, 1.0, center)
        until = time.perf_counter() + options.seconds
        while len(runs) < options.repeats and (not runs or time.perf_counter() < until):
            runs.append(reconstruct(some, runtime, 1.0, center).seconds)
        found["latency"][str(count)] = latency_of(runs)
    return found


# ---- the comparison ------------------------------------------------------------------------------------------


def _render_views(folder: Path, count: int) -> None:
    volume = make_phantom(1, spacing_mm=1.5).volume
    center = np.mean([volume.level_centroid_world(level) for level in LUMBAR_LEVELS], axis=0)
    cameras = {f"view{number}": CARM.camera(angle, 0.0, 0.0, center) for number, angle in enumerate(ANGLES_DEG[:count])}
    for view_id, camera in cameras.items():
        write_image(folder / "images" / f"{view_id}.tif", render(volume, camera).pixels)
    write_cameras(folder / "cameras.json", cameras)
    np.save(folder / "center.npy", center)


def _center(folder: str) -> np.ndarray:
    return np.asarray(np.load(Path(folder) / "center.npy"))


def _untrained(size: str, folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / f"{size}.safetensors"
    section, parameters_path = SIZES[size]
    spec = spec_from_parameters(read_parameters(section, LearningParameters, parameters_path), [])
    save_model(path, build_network(spec), spec)
    return path


def _measure(size: str, backend: str, model: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"size": size, "backend": backend}
    if BACKENDS[backend][0] == "onnx" and model.parent == folder:
        export_onnx(model, model.with_suffix(".onnx"))
    words = ["--views", *options.views, "--threads", options.threads, "--repeats", options.repeats]
    words += ["--seconds", options.seconds, "--child", backend, model, folder]
    child = subprocess.run(
        [sys.executable, __file__, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode == 0:
        return row | json.loads(child.stdout.splitlines()[-1])
    return row | {"failed": (child.stderr.splitlines() or [f"exit code {child.returncode}"])[-1]}


def _table(size: str, spec: ModelSpec, rows: list[dict[str, Any]], options: argparse.Namespace) -> Table:
    window, grid = asdict(spec.window)["size_px"], spec.grid_shape
    table = Table(title=f"{size}: grid {grid} of {spec.grid_spacing_mm} mm, window {tuple(window)}, median ms a call")
    for head in ("views", "backend"):
        table.add_column(head, no_wrap=True)
    for head in (*STEPS, "least - most", "of torch's"):
        table.add_column(head, justify="right", no_wrap=True)
    timed = [row for row in rows if "failed" not in row]
    for count in map(str, options.views):
        base = next((row["latency"][count]["total"]["median"] for row in timed if row["backend"] == "torch"), None)
        for row in timed:
            latency = row["latency"][count]
            total = latency["total"]
            cells = [f"{1000 * latency[step]['median']:.0f}" for step in STEPS]
            cells.append(f"{1000 * total['min']:.0f} - {1000 * total['max']:.0f}")
            cells.append(f"{total['median'] / base:.2f}" if base else "")
            table.add_row(count, row["backend"], *cells)
        table.add_section()
    table.caption = f"{options.threads} threads; total is from radiographs in memory to labels at 1 mm."
    return table


if __name__ == "__main__":
    sys.exit(main())
