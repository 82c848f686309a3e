"""What a reconstruction leaves on disk: a label map, a mesh a vertebra, colors, and how it came about.

``timings.json`` is written last: where it lies, the rest is whole.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.store import sole_writer, write_bytes, write_json
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS
from reconstruction.classes import codes_from_classes
from reconstruction.mesh import Mesh, MeshFormat, mesh_from_margin, write_mesh
from reconstruction.model import ModelSpec
from reconstruction.reconstruct import Reconstruction
from reconstruction.runtime import Runtime
from reconstruction.upsampling import grid_of

CONVENTION = "drrkit-reconstruction/1"
LABELS_NAME, COLORS_NAME, TIMINGS_NAME, MESHES_NAME = "labels.nii.gz", "labels.ctbl", "timings.json", "meshes"

# RGB; neighbors differ in hue and in lightness (Okabe and Ito's set, made for color-blind eyes).
_COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (0, 114, 178), (204, 121, 167))


@dataclass(frozen=True)
class Provenance:
    """What a reconstruction was made from.

    Args:
        model: Path of the model.
        images_sha256: Hash of each image, by view.
        donor: Who it is, "" where nobody says.
        center_from: ``given``, ``images`` (the origin model) or ``isocenter``.
        unused: Images that were there and not used.
        latency: Statistics of repeated runs, by step; empty after one run.
    """

    model: Path
    images_sha256: Mapping[str, str]
    donor: str
    center_from: str
    unused: Sequence[str] = ()
    latency: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def levels_of(spec: ModelSpec, level: str | None) -> tuple[str, ...]:
    """Name the level of each class of a model.

    Args:
        spec: Of the model.
        level: Which vertebra a single-vertebra model was pointed at; None for a model that tells levels apart.

    Raises:
        InputError: No level for a model that needs one, one for a model that does not, or an unknown one.
    """
    if spec.mode == "lumbar":
        if level is not None:
            raise InputError("level", level, "none: this model tells levels apart")
        return spec.classes
    if level not in LEVEL_CODES:
        raise InputError("level", level, f"the vertebra in the grid's middle: one of {', '.join(LUMBAR_LEVELS)} ...")
    return (level,)


def class_meshes(
    reconstruction: Reconstruction, levels: Sequence[str], largest_only: bool, smoothing_steps: int
) -> dict[str, Mesh]:
    """Make a mesh of every level that was found."""
    meshes = {}
    for number, margin in sorted(reconstruction.margins.items()):
        mesh = mesh_from_margin(margin.values, grid_of(margin, reconstruction.grid), largest_only, smoothing_steps)
        if mesh is not None:
            meshes[levels[number - 1]] = mesh
    return meshes


def write_output(
    out: Path,
    reconstruction: Reconstruction,
    levels: Sequence[str],
    meshes: Mapping[str, Mesh],
    mesh_format: MeshFormat,
    runtime: Runtime,
    provenance: Provenance,
    seconds: Mapping[str, float],
) -> None:
    """Write labels, colors, meshes and timings; those of an earlier run in the same folder go.

    Args:
        out: Folder to write to.
        reconstruction: What to write.
        levels: Level of each class.
        meshes: By level.
        mesh_format: ``stl`` or ``ply``.
        runtime: That made it.
        provenance: What it was made from.
        seconds: Of steps beside those of the reconstruction.

    Raises:
        InputError: The folder cannot be written; nothing of this run is left then.
    """
    started = time.perf_counter()
    with sole_writer(out), ExitStack() as undo:
        _remove_earlier(out)
        # Undone in any case but success: a folder with half of the files must not pass for a result.
        undo.callback(_remove_earlier, out)
        codes = codes_from_classes(reconstruction.labels, levels)
        volumefile.write(out / LABELS_NAME, codes, reconstruction.grid.world_from_grid)
        write_bytes(out / COLORS_NAME, _color_table(levels).encode())
        for level, mesh in meshes.items():
            write_mesh(out / MESHES_NAME / f"{level}.{mesh_format}", mesh)
        steps = {**reconstruction.seconds, **seconds, "write": time.perf_counter() - started}
        record = _record(reconstruction, levels, meshes, runtime, provenance, steps)
        write_json(out / TIMINGS_NAME, record)
        undo.pop_all()


def latency_of(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Summarize the seconds of repeated runs: median, least and most of every step."""
    return {
        step: {
            "median": float(np.median([run[step] for run in runs])),
            "min": min(run[step] for run in runs),
            "max": max(run[step] for run in runs),
        }
        for step in runs[0]
    }


def _remove_earlier(out: Path) -> None:
    meshes = [out / MESHES_NAME / f"{level}.{suffix}" for level in LEVEL_CODES for suffix in get_args(MeshFormat)]
    for path in (out / TIMINGS_NAME, out / LABELS_NAME, out / COLORS_NAME, *meshes):
        path.unlink(missing_ok=True)
    folder = out / MESHES_NAME
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _color_table(levels: Sequence[str]) -> str:
    """Lines of 3D Slicer's color tables: number, name, RGBA."""
    lines = ["# drrkit reconstruct: numbers of labels.nii.gz (those of VerSe)", "0 background 0 0 0 0"]
    for level in levels:
        code = LEVEL_CODES[level]
        red, green, blue = _COLORS[code % len(_COLORS)]
        lines.append(f"{code} {level} {red} {green} {blue} 255")
    return "\n".join(lines) + "\n"


def _record(
    reconstruction: Reconstruction,
    levels: Sequence[str],
    meshes: Mapping[str, Mesh],
    runtime: Runtime,
    provenance: Provenance,
    steps: Mapping[str, float],
) -> dict[str, Any]:
    voxel_mm3 = float(np.prod(reconstruction.grid.spacing_mm))
    counts = np.bincount(reconstruction.labels.ravel(), minlength=len(levels) + 1)
    found = {
        level: {
            "labels_mm3": float(counts[number] * voxel_mm3),
            "mesh_mm3": meshes[level].volume_mm3 if level in meshes else 0.0,
            "dropped_mm3": list(meshes[level].dropped_mm3) if level in meshes else [],
        }
        for number, level in enumerate(levels, start=1)
    }
    return {
        "convention": CONVENTION,
        "seconds": {step: round(value, 6) for step, value in steps.items()},
        **({"latency_seconds": provenance.latency} if provenance.latency else {}),
        "backend": runtime.backend,
        "device": runtime.device,
        "precision": runtime.precision,
        "threads": runtime.threads,
        "cpus": os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, **runtime.versions},
        "model": {
            "file": provenance.model.name,
            "sha256": runtime.model_sha256,
            "network": runtime.spec.network,
            "mode": runtime.spec.mode,
        },
        "donor": provenance.donor,
        "views": list(provenance.images_sha256),
        "images_sha256": dict(provenance.images_sha256),
        "unused_images": list(provenance.unused),
        "center_from": provenance.center_from,
        "center_world": reconstruction.network_grid.center_world.round(4).tolist(),
        "spacing_mm": [round(value, 6) for value in reconstruction.grid.spacing_mm],
        "levels": found,
    }
