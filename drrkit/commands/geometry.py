"""``drrkit geometry``: cameras of other tools in and out, and what is wrong with a camera file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drrkit.errors import InputError

if TYPE_CHECKING:
    from drrkit.geometry.lint import Finding
    from drrkit.volume import Volume

CameraFormat = Literal[
    "drrkit",
    "astra",
    "deepdrr",
    "dicom-angles",
    "diffdrr",
    "matrix",
    "nanodrr",
    "opencv",
    "rtk",
    "slicer",
    "xreg",
]

_missing = "What the files do not say"
_frames = "Frames of the other tool"

app = typer.Typer(help="Convert cameras from and to other tools; find what is wrong with them.", no_args_is_help=True)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Camera file; for slicer a folder of .tfm files.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; for slicer a folder, or NAME.mrk.json.")],
    source_format: Annotated[CameraFormat, typer.Option("--from", help="Format of IN.")] = "drrkit",
    out_format: Annotated[CameraFormat, typer.Option("--to", help="Format of OUT.")] = "drrkit",
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Detector pixels, for IN without them.", metavar="H W", rich_help_panel=_missing),
    ] = None,
    spacing: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Spacing at the detector in mm.", metavar="ROW COLUMN", rich_help_panel=_missing),
    ] = None,
    ct: Annotated[
        Path | None,
        typer.Option(
            help="CT whose center DiffDRR and ASTRA count from, and matrices look at.", rich_help_panel=_missing
        ),
    ] = None,
    center: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="That center itself, in mm (LPS).", metavar="X Y Z", rich_help_panel=_missing),
    ] = None,
    isocenter: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="What C-arm angles turn about; RTK's origin; in mm (LPS).", metavar="X Y Z", rich_help_panel=_missing
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="drrkit camera file with K and size for slicer transforms.", rich_help_panel=_missing),
    ] = None,
    flip: Annotated[
        bool,
        typer.Option("--flip", help="Mirror the cameras, for images that you mirror as well.", rich_help_panel=_frames),
    ] = False,
    pixel_center: Annotated[
        Literal["integer", "half"],
        typer.Option(help="Pixel centers of bare matrices: at 0, 1, ... or at 0.5, 1.5, ...", rich_help_panel=_frames),
    ] = "integer",
    rtk_frame: Annotated[
        Literal["lps", "iec"],
        typer.Option(help="RTK's fixed frame: as ITK reads the CT, or IEC 61217.", rich_help_panel=_frames),
    ] = "lps",
    orientation: Annotated[
        Literal["AP", "PA", "none"],
        typer.Option(help="Orientation that DiffDRR reads the volume with.", rich_help_panel=_frames),
    ] = "AP",
    pose: Annotated[
        str, typer.Option(help="DeepFluoro pose that places the CT.", rich_help_panel=_frames)
    ] = "cam-to-pelvis-vol",
) -> None:
    """Convert cameras between drrkit and another tool, or between two tools.

    docs/how-to/geometry.md shows each file. What a tool cannot express is refused; what else must be done is printed.
    """
    from drrkit.io.cameras import Unsaid, read_camera_file, write_camera_file
    from drrkit.io.store import read_cameras

    unsaid = Unsaid(
        size=size,
        spacing_mm=spacing,
        center_world=_center(ct, center),
        isocenter_world=isocenter,
        pixel_center=0.5 if pixel_center == "half" else 0.0,
        rtk_frame=rtk_frame,
        diffdrr_orientation=None if orientation == "none" else orientation,
        xreg_pose=pose,
        template=None if template is None else read_cameras(template),
    )
    cameras = read_camera_file(source, source_format, unsaid)
    if flip:
        cameras = {name: camera.flipped_horizontally() for name, camera in cameras.items()}
    notes = write_camera_file(out, out_format, cameras, unsaid)
    if source_format == "matrix" and unsaid.center_world is None:
        notes.append("without --ct or --center a matrix of another program is taken as not mirrored")
    if flip:
        notes.append("mirror the images left to right as well: the cameras are mirrored")
    mirrored = sum(camera.is_mirrored for camera in cameras.values())
    if mirrored:
        notes.append(f"{mirrored} of {len(cameras)} images are mirrored (negative fx), as radiologists look at them")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"{_count(len(cameras), 'camera')} written to {out}", markup=False)
    for note in notes:
        console.print(f"note: {note}", markup=False)


@app.command("lint")
def lint(
    cameras: Annotated[Path, typer.Argument(metavar="CAMERAS", help="drrkit-camera/1 file.")],
    ct: Annotated[
        Path | None, typer.Option(help="CT that the cameras look at: NIfTI, NRRD, MHA or DICOM folder.", metavar="FILE")
    ] = None,
    dicom_angles: Annotated[
        Path | None,
        typer.Option(help="Positioner angles: X-ray DICOM files, or CSV (id, primary_deg, secondary_deg)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Explain the rules as well.")] = False,
) -> None:
    """Find what is wrong with a camera file: each finding with its reason and its fix.

    Exit code 1 if a finding is an error, 0 otherwise.
    """
    from drrkit.geometry.lint import RULES, lint_cameras
    from drrkit.io.cameras.angles import read_angles
    from drrkit.io.store import read_camera_records

    records = read_camera_records(cameras)
    if not records:
        raise InputError(cameras, "no cameras", "at least one camera")
    angles = None if dicom_angles is None else read_angles(dicom_angles)
    if angles is not None and not angles.keys() & {str(record["id"]) for record in records}:
        raise InputError(
            dicom_angles,
            f"angles of {', '.join(sorted(angles)[:3])}, ...",
            f"angles of the cameras {', '.join(str(record['id']) for record in records[:3])}, ... (same ids)",
        )
    findings = lint_cameras(records, None if ct is None else _read_ct(ct), angles)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print_findings(findings, len(records))
    if rules:
        for rule, meaning in RULES.items():
            typer.echo(f"{rule}: {meaning}", err=True)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _center(ct: Path | None, center: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    if ct is None:
        return center
    if center is not None:
        raise InputError("--ct and --center", "both", "one of them")
    from drrkit.geometry import rigid
    from drrkit.io.ct import read_ct_geometry

    grid = read_ct_geometry(ct)
    middle = [(count - 1) / 2 for count in reversed(grid.shape)]
    x_mm, y_mm, z_mm = rigid.apply(grid.world_from_voxel, middle).tolist()
    return x_mm, y_mm, z_mm


def _read_ct(ct: Path) -> "Volume":
    from drrkit.io.ct import read_ct

    return read_ct(ct)


def _print_findings(findings: "list[Finding]", count: int) -> None:
    """Print a table in which one finding about many cameras is one row."""
    errors = sum(finding.severity == "error" for finding in findings)
    console = Console(highlight=False)
    grouped: dict[tuple[str, ...], list[str]] = {}
    for finding in findings:
        key = (finding.severity, finding.rule, finding.found, finding.wanted, finding.fix)
        grouped.setdefault(key, []).append(finding.where)
    if grouped:
        table = Table(show_header=False, show_lines=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for (severity, rule, found, wanted, fix), places in grouped.items():
            where = places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"
            color = "red" if severity == "error" else "yellow"
            story = f"[dim]found[/]   {escape(found)}\n[dim]wanted[/]  {escape(wanted)}\n[dim]fix[/]     {escape(fix)}"
            table.add_row(f"[{color}]{severity}[/]\n{rule}\n{escape(where)}", story)
        console.print(table)
    warnings = len(findings) - errors
    console.print(f"{_count(count, 'camera')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
