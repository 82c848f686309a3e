"""A simulated session on disk, as a lab would bring it home."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from drrkit.errors import InputError
from protocols.commands.console import DATA, Data, Id, progress, say
from protocols.layout import Layout

_donor = "Who lies on the table"
_session = "What the session is like"


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
    with progress("exposing") as advance:
        if ct is None:
            simulate_phantom_session(acquisition_id, donor, settings, *target, advance)
        else:
            volume = read_volume(ct, labels, label_scheme)
            simulate_session(acquisition_id, ct.name.split(".")[0], volume, volume, settings, *target, advance)
    if not layout.ratings.exists():
        write_ratings(layout.ratings, {})
    say(f"{layout.simulated}: SIMULATED session; what really was: {layout.truth}")


def _split(entry: str) -> tuple[str, str]:
    exposure_id, equals, name = entry.partition("=")
    if not equals:
        raise InputError("--fault", entry, "EXPOSURE=FAULT, such as orbit-left-042=mirrored")
    return exposure_id, name
