"""``drrkit acquisition``: from an ex-vivo C-arm session to calibrated real/synthetic pairs, without writing Python."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from drrkit.errors import InputError
from protocols.layout import Layout

if TYPE_CHECKING:
    from protocols.calibration.result import SessionCalibration

app = typer.Typer(
    help="From an ex-vivo C-arm session to calibrated pairs of real and synthetic X-rays.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the acquisition.")]
Data = Annotated[Path, typer.Option(help="Data folder: raw/, calibrate/, pair/, qc/, review/ lie in it.")]
DATA = Path("data")

_donor = "Who lies on the table"
_session = "What the session is like"


@app.command("new")
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
    _say(
        f"next: fill in {layout.raw}/acquisition.yaml, copy CT and X-rays, then drrkit acquisition check {acquisition_id}"
    )


@app.command("check")
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
        _say(f"{acquisition_id}: {errors} errors, {len(findings) - errors} warnings")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@app.command("simulate")
def simulate(
    acquisition_id: Id,
    data: Data = DATA,
    ct: Annotated[Path | None, typer.Option(help="A labelled CT instead of a phantom.", rich_help_panel=_donor)] = None,
    labels: Annotated[Path | None, typer.Option(help="Its vertebra labels.", rich_help_panel=_donor)] = None,
    label_scheme: Annotated[str | None, typer.Option(help="Their numbers.", rich_help_panel=_donor)] = None,
    phantom_seed: Annotated[int, typer.Option(help="Which procedural phantom.", rich_help_panel=_donor)] = 1,
    population: Annotated[str, typer.Option(help="adults or shifted.", rich_help_panel=_donor)] = "shifted",
    device: Annotated[
        str, typer.Option(help="flat-panel or image-intensifier.", rich_help_panel=_session)
    ] = "flat-panel",
    size_px: Annotated[int, typer.Option(help="Rows and columns of the images.", rich_help_panel=_session)] = 768,
    views: Annotated[str, typer.Option(help="View set; orbit is the protocol's.", rich_help_panel=_session)] = "orbit",
    every: Annotated[int, typer.Option(help="Take each so-manieth view.", rich_help_panel=_session)] = 1,
    balls: Annotated[int, typer.Option(help="Steel balls.", rich_help_panel=_session)] = 20,
    relation: Annotated[str, typer.Option(help="Pixels LIN or LOG.", rich_help_panel=_session)] = "LIN",
    instrument: Annotated[
        list[str] | None, typer.Option(help="k-wire or pedicle-screw, in every view.", rich_help_panel=_session)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Do something to one exposure on purpose.", metavar="EXPOSURE=FAULT", rich_help_panel=_session
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=_session)] = 0,
) -> None:
    """Simulate a session: CT with steel balls and X-rays as DICOM, as a lab would bring them home.

    The truth goes to data/truth/ID.json, which no other command reads.
    """
    from pydantic import ValidationError

    from drrkit.io.ct import read_volume
    from protocols.ratings import write_ratings
    from protocols.simulation.session import simulate_phantom_session, simulate_session
    from protocols.simulation.settings import PhantomDonor, SessionSettings

    layout = Layout(data, acquisition_id)
    wishes = {
        "device": device, "size_px": size_px, "views": views, "every": every, "ball_count": balls,
        "relation": relation, "instruments": tuple(instrument or ()), "seed": seed,
    }  # fmt: skip
    try:
        settings = SessionSettings.model_validate(wishes)
        donor = PhantomDonor.model_validate({"seed": phantom_seed, "population": population})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        raise InputError(option, repr(first["input"]), first["msg"]) from error
    faults = dict(_split(entry) for entry in fault or [])
    target = (layout.simulated, layout.truth, faults)
    with _progress("exposing") as advance:
        if ct is None:
            simulate_phantom_session(acquisition_id, donor, settings, *target, advance)
        else:
            volume = read_volume(ct, labels, label_scheme)
            simulate_session(acquisition_id, ct.name.split(".")[0], volume, volume, settings, *target, advance)
    if not layout.ratings.exists():
        write_ratings(layout.ratings, {})
    _say(f"{layout.simulated}: SIMULATED session; what really was: {layout.truth}")


@app.command("calibrate")
def calibrate(acquisition_id: Id, data: Data = DATA) -> None:
    """Find the camera of every exposure from the steel balls, with its errors.

    Writes calibration.json and cameras.json to data/calibrate/ID. Exit code 1 if no exposure has a trusted camera.
    """
    from protocols.acquisition import read_acquisition
    from protocols.calibration.result import write_calibration
    from protocols.calibration.run import calibrate_acquisition
    from protocols.calibration.settings import CalibrationSettings

    layout = Layout(data, acquisition_id)
    with _progress("looking for balls") as advance:
        calibration = calibrate_acquisition(read_acquisition(layout.session()), CalibrationSettings(), advance)
    write_calibration(calibration, layout.calibration)
    _print_calibration(calibration)
    _say(f"{layout.calibration}: written")
    if all(exposure.status == "fail" for exposure in calibration.exposures):
        raise typer.Exit(1)


@app.command("pair")
def pair(
    acquisition_id: Id,
    data: Data = DATA,
    size: Annotated[
        tuple[int, int], typer.Option(metavar="H W", help="Rows and columns of the images; 0 0 keeps the detector's.")
    ] = (512, 512),
) -> None:
    """Put each calibrated X-ray beside the DRR from the same camera, with masks and boxes; only what changed is made.

    Ratings in data/qc/ID.tsv are noted in the manifest: what was rejected trains nothing.
    """
    from protocols.acquisition import read_acquisition
    from protocols.calibration.result import read_calibration
    from protocols.pairing import PairSettings, make_pairs
    from protocols.ratings import read_ratings

    layout = Layout(data, acquisition_id)
    ratings = read_ratings(layout.ratings) if layout.ratings.exists() else {}
    settings = PairSettings(size_px=None if size == (0, 0) else size)
    with _progress("pairing") as advance:
        rows = make_pairs(
            read_acquisition(layout.session()),
            read_calibration(layout.calibration),
            layout.pairs,
            settings,
            ratings,
            advance,
        )
    _say(f"{layout.pairs}: {len(rows)} pairs, {sum(row.may_train for row in rows)} of them may train")


@app.command("review")
def review(acquisition_id: Id, data: Data = DATA) -> None:
    """Write one HTML page to look at every pair and rate it with the keys 1, 2 and 3."""
    from protocols.calibration.result import read_calibration
    from protocols.ratings import read_ratings
    from protocols.review.page import write_review

    layout = Layout(data, acquisition_id)
    ratings = read_ratings(layout.ratings) if layout.ratings.exists() else {}
    write_review(acquisition_id, read_calibration(layout.calibration), layout.pairs, layout.review, ratings)
    _say(
        f"{layout.review}: open it in a browser, rate, export qc.tsv and save it as {layout.ratings}; "
        f"then drrkit acquisition pair {acquisition_id}"
    )


@app.command("anonymize")
def anonymize(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="DICOM file or folder; it is only read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the de-identified files.")],
    key: Annotated[Path, typer.Option(help="Secret of the lab; made if it is not there. Never pass it on.")],
) -> None:
    """Write copies of DICOM files that hold geometry, technique and pixels only, under pseudonyms and shifted dates."""
    from protocols.deidentify import anonymize as anonymize_files

    report = anonymize_files(source, out, key)
    _say(f"{out}: {report.files} files of {report.patients} patients")


def _print_calibration(calibration: "SessionCalibration") -> None:
    table = Table()
    for column in ("exposure", "", "balls", "rms px", "target error mm", "why"):
        table.add_column(column, overflow="fold")
    colors = {"pass": "green", "warn": "yellow", "fail": "red"}
    for exposure in calibration.exposures:
        numbers = (exposure.rms_px, exposure.target_error_mm)
        table.add_row(
            escape(exposure.exposure_id),
            f"[{colors[exposure.status]}]{exposure.status}[/]",
            f"{exposure.balls_used} of {exposure.balls_found}",
            *("" if value is None else f"{value:.2f}" for value in numbers),
            escape(exposure.reason),
        )
    Console(highlight=False).print(table)
    counts = Counter(exposure.status for exposure in calibration.exposures)
    simulated = " (SIMULATED session)" if calibration.simulated else ""
    words = ", ".join(f"{counts[status]} {status}" for status in ("pass", "warn", "fail"))
    _say(f"{calibration.acquisition_id}{simulated}: {words}")


def _split(entry: str) -> tuple[str, str]:
    exposure_id, equals, name = entry.partition("=")
    if not equals:
        raise InputError("--fault", entry, "EXPOSURE=FAULT, such as orbit-left-042=mirrored")
    return exposure_id, name


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[str], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda name: progress.update(task, advance=1, description=f"{what}: {name}")
