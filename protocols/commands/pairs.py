"""From files to pairs: cameras, real beside synthetic, and the page to judge them."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from protocols.commands.console import DATA, Data, Id, progress, say
from protocols.layout import Layout

if TYPE_CHECKING:
    from protocols.calibration.result import SessionCalibration


def calibrate(
    acquisition_id: Id,
    data: Data = DATA,
    refine: Annotated[
        bool, typer.Option("--refine", help="Then refine each camera by rendering; kept if held-out balls allow it.")
    ] = False,
) -> None:
    """Find the camera of every exposure from the steel balls, with its errors.

    Writes calibration.json and cameras.json to data/calibrate/ID. Exit code 1 if no exposure has a trusted camera.
    """
    from protocols.acquisition import read_acquisition
    from protocols.calibration.result import write_calibration
    from protocols.calibration.run import calibrate_acquisition
    from protocols.calibration.settings import CalibrationSettings

    layout = Layout(data, acquisition_id)
    acquisition = read_acquisition(layout.session())
    with progress("looking for balls") as advance:
        calibration = calibrate_acquisition(acquisition, CalibrationSettings(), advance)
    if refine:
        from protocols.refine import RefineSettings
        from protocols.refine.run import refine_acquisition

        calibration = refine_acquisition(acquisition, calibration, RefineSettings())
        kept, not_kept = (calibration.notes["refinement"][word] for word in ("kept", "not_kept"))
        say(f"refined cameras kept: {kept} of {kept + not_kept}")
    write_calibration(calibration, layout.calibration)
    _print_calibration(calibration)
    say(f"{layout.calibration}: written")
    if all(exposure.status == "fail" for exposure in calibration.exposures):
        raise typer.Exit(1)


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
    with progress("pairing") as advance:
        rows = make_pairs(
            read_acquisition(layout.session()),
            read_calibration(layout.calibration),
            layout.pairs,
            settings,
            ratings,
            advance,
        )
    say(f"{layout.pairs}: {len(rows)} pairs, {sum(row.may_train for row in rows)} of them may train")


def review(acquisition_id: Id, data: Data = DATA) -> None:
    """Write one HTML page to look at every pair and rate it with the keys 1, 2 and 3."""
    from protocols.calibration.result import read_calibration
    from protocols.ratings import read_ratings
    from protocols.review.page import write_review

    layout = Layout(data, acquisition_id)
    ratings = read_ratings(layout.ratings) if layout.ratings.exists() else {}
    write_review(acquisition_id, read_calibration(layout.calibration), layout.pairs, layout.review, ratings)
    say(
        f"{layout.review}: open it in a browser, rate, export qc.tsv and save it as {layout.ratings}; "
        f"then drrkit acquisition pair {acquisition_id}"
    )


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
    say(f"{calibration.acquisition_id}{simulated}: {words}")
