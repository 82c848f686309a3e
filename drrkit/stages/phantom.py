"""Stage ``phantom``: procedural lumbar spines as CT, labels and regions, with meshes and landmarks."""

from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.io.ct import write_ct, write_labels
from drrkit.io.store import write_bytes, write_json
from drrkit.io.volumefile import write
from drrkit.parameters import Parameters, read_parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.parameters import POPULATIONS, sample_parameters
from drrkit.phantom.phantom import Phantom, make_phantom

OUT = Path("data/phantom")


class PhantomStageParameters(Parameters):
    """Seeds ``first_seed`` and on, one individual each, drawn from a population of :mod:`drrkit.phantom`."""

    population: str
    first_seed: int
    count: int
    spacing_mm: float


def write_phantom(phantom: Phantom, folder: Path) -> None:
    """Write one phantom: ct, labels (numbers of VerSe), regions, meshes, landmarks and parameters.

    ``meshes.npz`` holds ``faces`` (M, 3) and ``vertex_regions`` (N,), the same for all vertebrae, and for each level
    ``vertices_<level>`` (N, 3) in world millimeters; vertex i is the same anatomical spot everywhere.
    """
    write_ct(phantom.volume, folder / "ct.nii.gz")
    write_labels(phantom.volume, folder / "labels.nii.gz")
    write(folder / "regions.nii.gz", phantom.regions, phantom.volume.world_from_voxel)
    first = next(iter(phantom.vertebrae.values()))
    arrays: dict[str, Any] = {"faces": first.faces, "vertex_regions": first.vertex_regions}
    arrays |= {f"vertices_{level}": vertebra.vertices_world for level, vertebra in phantom.vertebrae.items()}
    stream = BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(folder / "meshes.npz", stream.getvalue())
    landmarks = {
        level: {name: point.tolist() for name, point in vertebra.landmarks_world.items()}
        for level, vertebra in phantom.vertebrae.items()
    }
    write_json(folder / "landmarks.json", {"unit": "mm", "frame": "LPS", "landmarks_world": landmarks})
    write_json(folder / "phantom.json", {"parameters": asdict(phantom.parameters), "region_codes": dict(REGION_CODES)})


def main() -> None:
    """Write data/phantom."""
    parameters = read_parameters("phantom", PhantomStageParameters)
    if parameters.population not in POPULATIONS:
        raise InputError("params.yaml, phantom.population", parameters.population, " or ".join(POPULATIONS))
    population = POPULATIONS[parameters.population]
    for seed in range(parameters.first_seed, parameters.first_seed + parameters.count):
        phantom = make_phantom(sample_parameters(seed, population), parameters.spacing_mm)
        write_phantom(phantom, OUT / f"phantom-{seed:04d}")


if __name__ == "__main__":
    run_stage("phantom", main)
