"""``drrkit reconstructor cases``: what was rendered or paired, as cases to learn from or to be judged on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_renders = "From renders of a cohort"
_pairs = "From pairs of a session"


def cases(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="cases.json to write; what stands there is added to.")],
    rendered: Annotated[
        Path | None, typer.Option(help="What drrkit render wrote.", metavar="DIR", rich_help_panel=_renders)
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Its cohort, with frozen splits.", metavar="DIR", rich_help_panel=_renders)
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="What drrkit acquisition pair wrote.", metavar="DIR", rich_help_panel=_pairs)
    ] = None,
    acquisition: Annotated[
        Path | None, typer.Option(help="Its session, with labels.", metavar="DIR", rich_help_panel=_pairs)
    ] = None,
    split: Annotated[
        str, typer.Option(help="train, validation or test: of this donor.", rich_help_panel=_pairs)
    ] = "train",
    kind: Annotated[
        str, typer.Option(help="What the images are: real, simulated or translated.", rich_help_panel=_pairs)
    ] = "real",
    images: Annotated[
        str,
        typer.Option(
            help="Images of the pairs: real, drr_bone, or any folder with the same names.",
            metavar="DIR",
            rich_help_panel=_pairs,
        ),
    ] = "real",
) -> None:
    """Write cases.json; it names files where they are and copies none.

    Once with --rendered and --cohort, or once for each session with --pairs and --acquisition.
    """
    from typing import get_args

    from drrkit.cohort import read_splits
    from drrkit.errors import InputError
    from reconstruction.cases import CASES_NAME, SPLITS, ImageKind, read_cases, write_cases
    from reconstruction.sets.adapters import cases_from_pairs, cases_from_renders

    path = out / CASES_NAME if out.suffix != ".json" else out
    if rendered and cohort and not (pairs or acquisition):
        splits = read_splits(cohort)
        if splits is None:
            raise InputError(cohort, "no frozen splits", "drrkit cohort split first: donors must not change sides")
        found = cases_from_renders(rendered, cohort, splits)
    elif pairs and acquisition and not (rendered or cohort):
        if split not in SPLITS or kind not in get_args(ImageKind):
            wanted = f"{' or '.join(SPLITS)}, and {' or '.join(get_args(ImageKind))}"
            raise InputError("--split and --kind", f"{split}, {kind}", wanted)
        found = cases_from_pairs(pairs, acquisition, split, kind, images)  # type: ignore[arg-type]
    else:
        raise InputError("options", "neither of the two ways", "--rendered and --cohort, or --pairs and --acquisition")
    known = read_cases(path) if path.exists() else []
    new = {case.case_id for case in found}
    write_cases(path, [*(case for case in known if case.case_id not in new), *found])
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{path}: {len(found)} cases written, {len(known)} were there", markup=False
    )
