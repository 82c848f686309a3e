"""``drrkit reconstruct``: calibrated X-rays in, labelled vertebrae out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from reconstruction.output import Provenance
    from reconstruction.reconstruct import Reconstruction
    from reconstruction.runtime import Runtime
    from reconstruction.viewfiles import ViewFiles

_what = "What is reconstructed"
_how = "How"


def reconstruct(
    cameras: Annotated[Path, typer.Argument(metavar="CAMERAS", help="drrkit-camera/1 file.")],
    images_dir: Annotated[
        Path, typer.Argument(metavar="IMAGES_DIR", help="Folder with <camera id>.tif, float32 line integrals.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for labels.nii.gz, labels.ctbl, meshes and timings.json.")
    ],
    model: Annotated[Path, typer.Option(help="Trained model: .safetensors or .onnx.", metavar="FILE")],
    views: Annotated[
        list[str] | None,
        typer.Option(help="Use these cameras only; repeatable. All by default.", metavar="ID", rich_help_panel=_what),
    ] = None,
    center: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="Middle of the grid in mm (LPS); by default the point nearest to all central rays.",
            metavar="X Y Z",
            rich_help_panel=_what,
        ),
    ] = None,
    origin: Annotated[
        Path | None,
        typer.Option(
            help="Model that finds middle and orientation of the grid in the images (two views or more).",
            metavar="FILE",
            rich_help_panel=_what,
        ),
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="Which vertebra a single-vertebra model looks at.", rich_help_panel=_what)
    ] = None,
    spacing: Annotated[
        float, typer.Option(help="Voxels of the labels, in mm.", metavar="MM", rich_help_panel=_what)
    ] = 1.0,
    mesh: Annotated[str, typer.Option(help="Format of the meshes: stl or ply.", rich_help_panel=_what)] = "stl",
    smoothing: Annotated[
        int, typer.Option(min=0, help="Steps of smoothing of the meshes.", metavar="N", rich_help_panel=_what)
    ] = 5,
    all_parts: Annotated[
        bool, typer.Option("--all-parts", help="Keep small loose parts in meshes.", rich_help_panel=_what)
    ] = False,
    backend: Annotated[
        str, typer.Option(help="auto (by the model's file), torch or onnx.", rich_help_panel=_how)
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda, of torch.", rich_help_panel=_how)] = "cpu",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16, of torch.", rich_help_panel=_how)] = "float32",
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="Average with the mirrored scene: a little better, half as fast.", rich_help_panel=_how
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Of the processor; all by default.", metavar="N", rich_help_panel=_how)
    ] = None,
    latency: Annotated[
        int,
        typer.Option(
            min=0,
            help="Repeat with the loaded model and tell median, least and most time of each step.",
            metavar="N",
            rich_help_panel=_how,
        ),
    ] = 0,
) -> None:
    """Reconstruct labelled vertebrae from calibrated X-rays of one patient.

    Writes OUT/labels.nii.gz (VerSe's numbers, LPS), OUT/labels.ctbl (colors for 3D Slicer), a closed mesh in mm (LPS)
    for each vertebra in OUT/meshes, and OUT/timings.json. Images without a camera are left out and told.
    """
    from drrkit.errors import InputError
    from reconstruction.mesh import check_format
    from reconstruction.output import class_meshes, levels_of, write_output
    from reconstruction.runtime import open_runtime
    from reconstruction.viewfiles import read_views

    if center is not None and origin is not None:
        raise InputError("--center and --origin", "both", "one of them")
    mesh_format = check_format(mesh, "--mesh")
    started = time.perf_counter()
    runtime = open_runtime(model, backend, threads, device, precision)
    levels = levels_of(runtime.spec, level)
    opened = time.perf_counter()
    files = read_views(cameras, images_dir, views or ())
    seconds = {"open_model": opened - started, "read": time.perf_counter() - opened}
    reconstruction, provenance = _run(files, runtime, model, spacing, center, origin, mirror, latency)
    started = time.perf_counter()
    meshes = class_meshes(reconstruction, levels, not all_parts, smoothing)
    seconds["mesh"] = time.perf_counter() - started
    write_output(out, reconstruction, levels, meshes, mesh_format, runtime, provenance, seconds)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if files.unused:
        console.print(f"{len(files.unused)} images not used (no camera, or not asked for)", markup=False)
    missed = [name for name in levels if name not in meshes]
    if missed:
        console.print(f"not found in the grid: {', '.join(missed)}", markup=False)
    for name, found in meshes.items():
        if found.dropped_mm3:
            count, volume_mm3 = len(found.dropped_mm3), sum(found.dropped_mm3)
            console.print(f"{name}: {count} loose parts left out of the mesh ({volume_mm3:.0f} mm3)", markup=False)
    steps = provenance.latency.get("total", {"median": reconstruction.seconds["total"]})
    console.print(
        f"{out}: {', '.join(meshes) or 'nothing'} from {len(files.radiographs)} views in"
        f" {1000 * steps['median']:.0f} ms ({runtime.backend})",
        markup=False,
    )


def _run(
    files: "ViewFiles",
    runtime: "Runtime",
    model: Path,
    spacing_mm: float,
    center: tuple[float, float, float] | None,
    origin: Path | None,
    mirror: bool,
    latency: int,
) -> tuple["Reconstruction", "Provenance"]:
    """Reconstruct once, and ``latency`` times more where times are asked for: the first run also warms up."""
    from reconstruction.output import Provenance, latency_of
    from reconstruction.reconstruct import reconstruct as reconstruct_views

    how: dict[str, Any] = {"center_world": center, "mirror": mirror}
    if origin is not None:
        from reconstruction.origin.estimate import estimate_origin
        from reconstruction.origin.model import load_origin

        found = estimate_origin(list(files.radiographs.values()), load_origin(origin))
        how |= {"center_world": found.center_world, "world_from_grid_rotation": found.rotation}

    def once() -> "Reconstruction":
        return reconstruct_views(files.radiographs, runtime, spacing_mm, **how)

    reconstruction = once()
    runs = [once().seconds for _ in range(latency)]
    provenance = Provenance(
        model=model,
        images_sha256=files.images_sha256,
        donor=files.donor,
        center_from="images" if origin is not None else "isocenter" if center is None else "given",
        unused=files.unused,
        latency={"runs": {"count": float(latency)}, **latency_of(runs)} if runs else {},
    )
    return reconstruction, provenance
