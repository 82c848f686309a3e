"""Bringing a session home: a new folder, its check, and copies without names."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drrkit.errors import InputError
from protocols.commands.console import DATA, Data, Id, say
from protocols.layout import Layout


def new(acquisition_id: Id, data: Data = DATA) -> None:
    """Make the folder of a new acquisition: acquisition.yaml to fill in, and places for CT and X-rays."""
    from protocols.acquisition import new_acquisition
    from protocols.ratings import write_ratings

    layout = Layout(data, acquisition_id)
    made = new_acquisition(layout.raw, acquisition_id)
    if not layout.ratings.exists():
        write_ratings(layout.ratings, {})
        made = [*made, layout.ratings]
    for path in made:
        typer.echo(path)
    say(f"next: fill in {layout.raw}/acquisition.yaml, copy CT and X-rays, drrkit acquisition check {acquisition_id}")


def check(
    acquisition_id: Id,
    data: Data = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Compare acquisition.yaml, DICOM headers and files, and list every contradiction at once.

    Exit code 1 if a finding is an error, 0 otherwise.
    """
    from protocols.acquisition import check_acquisition

    findings = check_acquisition(Layout(data, acquisition_id).session())
    if as_json:
        typer.echo(json.dumps([finding.to_dict() for finding in findings], indent=1))
    else:
        table = Table(show_lines=True)
        for column in ("", "where", "found", "wanted"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            color = "red" if finding.severity == "error" else "yellow"
            words = (escape(str(part)) for part in (finding.where, finding.found, finding.wanted))
            table.add_row(f"[{color}]{finding.severity}[/{color}]", *words)
        if findings:
            Console(highlight=False).print(table)
        errors = sum(finding.severity == "error" for finding in findings)
        say(f"{acquisition_id}: {errors} errors, {len(findings) - errors} warnings")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def anonymize(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="DICOM file or acquisition folder; only read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the de-identified files.")],
    key: Annotated[Path, typer.Option(help="Secret of the lab; made if it is not there. Never pass it on.")],
    cleared: Annotated[bool, typer.Option("--cleared", help="You looked: no image shows names or marks.")] = False,
    cleared_modality: Annotated[
        list[str] | None, typer.Option(help="The same for one modality, such as CT; repeatable.")
    ] = None,
    blank: Annotated[
        list[str] | None, typer.Option(metavar="L,T,R,B", help="Pixels of every X-ray to blank; repeatable.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Who it is, where files do not agree on PatientID.")] = None,
    include_yaml: Annotated[
        bool, typer.Option("--include-yaml", help="Copy acquisition.yaml if it names nobody.")
    ] = False,
) -> None:
    """Write copies of DICOM files that hold geometry, technique and pixels only, under pseudonyms and shifted dates."""
    from protocols.deidentify import anonymize as anonymize_files
    from protocols.deidentify import new_key

    if not key.exists():
        new_key(key)
        say(f"{key}: a new secret key; keep it in the lab, with a backup")
    report = anonymize_files(
        source,
        out,
        key,
        cleared=cleared,
        cleared_modalities=cleared_modality or (),
        blank=[_rectangle(entry) for entry in blank or ()],
        patient=patient,
        include_yaml=include_yaml,
    )
    files = ", ".join(f"{count} {modality}" for modality, count in report.files.items())
    left_out = sum(report.left_out.values())
    say(f"{out}: {files} of patient {report.patient}" + (f"; {left_out} other files left out" if left_out else ""))


def _rectangle(entry: str) -> tuple[int, int, int, int]:
    parts = entry.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise InputError("--blank", entry, "LEFT,TOP,RIGHT,BOTTOM in pixels, such as 0,0,1023,40")
    left, top, right, bottom = (int(part) for part in parts)
    return left, top, right, bottom
