"""``drrkit cohort``: many CTs as one table, what is wrong with them, and who trains and who tests."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from drrkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from drrkit.cohort import Finding, Splits

LayoutName = Literal["auto", "verse", "ctspine1k", "totalsegmentator", "plain"]

DEFAULT_FRACTIONS = "train=0.7,validation=0.15,test=0.15"

_names = "What names do not tell"
_how = "How"

app = typer.Typer(
    help="Gather CTs into one table, find what is wrong with them, deal donors out to splits.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Cohort folder, as made by drrkit cohort import.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes, each with one CT.", rich_help_panel=_how)]


@app.command("import")
def import_(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder with CTs and label maps; it is only read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Cohort folder, for cohort.parquet and cohort.csv.")],
    layout: Annotated[LayoutName, typer.Option(help="How ROOT is laid out.", rich_help_panel=_names)] = "auto",
    donors: Annotated[
        Path | None,
        typer.Option(help="CSV with ct_id, donor_id and, if wanted, label_scheme.", rich_help_panel=_names),
    ] = None,
    label_scheme: Annotated[
        str | None,
        typer.Option(
            help="Numbers of the label maps: verse, ctspine1k, totalsegmentator (v2) or totalsegmentator_v1.",
            rich_help_panel=_names,
        ),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Extend the cohort in OUT.", rich_help_panel=_how)] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write the cohort in OUT anew.", rich_help_panel=_how)
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Leave out what cannot be read and say so.", rich_help_panel=_how),
    ] = False,
    workers: Workers = 1,
) -> None:
    """Read the CTs below ROOT into the cohort table of OUT: ids, donors, levels, sizes and hashes.

    VerSe, CTSpine1K, TotalSegmentator and plain folders are known; docs/how-to/cohort.md shows each layout.
    """
    from drrkit.cohort import import_cohort, is_cohort, join_cohorts, write_cohort
    from drrkit.cohort.table import read_absolute

    if add and replace:
        raise InputError("--add, --replace", "both", "one of them")
    if is_cohort(out) and not (add or replace):
        raise InputError(out, "a cohort", "an empty folder, or --add to extend it, or --replace to write it anew")
    notes: list[str] = []
    with _progress("reading") as advance:
        table = import_cohort(
            root,
            layout,
            donors_csv=donors,
            label_scheme=label_scheme,
            skip_unreadable=skip_unreadable,
            workers=workers,
            on_scan=advance,
            on_note=notes.append,
        )
    imported = len(table)
    if add and is_cohort(out):
        table = join_cohorts(read_absolute(out), table)
    write_cohort(table, out)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for note in notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"{out}: {imported} CTs imported; now {_summary(table)}", markup=False)


@app.command("lint")
def lint(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Explain the rules as well.")] = False,
    workers: Workers = 1,
) -> None:
    """Check files, grids, levels, sizes and counting; every finding says why and what to do.

    Exit code 1 if a finding is an error, 0 otherwise.
    """
    from drrkit.cohort import lint_cohort
    from drrkit.cohort.findings import RULES

    with _progress("checking") as advance:
        findings = lint_cohort(folder, workers, advance)
    if as_json:
        typer.echo(json.dumps([finding.to_record() for finding in findings], indent=1))
    else:
        _print_findings(findings)
    if rules:
        for rule, meaning in RULES.items():
            typer.echo(f"{rule}: {meaning}", err=True)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@app.command("split")
def split(
    folder: Folder,
    fractions: Annotated[
        str | None,
        typer.Option(
            help=f"Share of the donors in each split; {DEFAULT_FRACTIONS} for new splits.", metavar="NAME=X,.."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order in which donors are drawn; 0 for new splits.")] = None,
    pin: Annotated[
        list[str] | None, typer.Option(help="A donor that must be in one split.", metavar="DONOR=NAME")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Draw anew over frozen splits; every result on them is void.")
    ] = False,
) -> None:
    """Freeze who trains and who tests in splits.json; new donors are added, no donor ever moves."""
    from drrkit.cohort import freeze_splits, read_cohort, read_splits, write_splits

    table = read_cohort(folder)
    frozen = None if force else read_splits(folder)
    shares = _shares(fractions) if fractions else frozen.fractions if frozen else _shares(DEFAULT_FRACTIONS)
    chosen_seed = seed if seed is not None else frozen.seed if frozen else 0
    splits = freeze_splits(table, shares, chosen_seed, _pairs("--pin", pin or []), frozen)
    write_splits(splits, folder, force)
    _print_splits(table, splits, frozen)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _summary(table: "pd.DataFrame") -> str:
    labelled = int((table["labels_path"] != "").sum())
    levels = Counter(level for names in table["levels"] for level in names)
    lumbar = ", ".join(f"{level} {levels[level]}" for level in ("L1", "L2", "L3", "L4", "L5"))
    return f"{len(table)} CTs of {table['donor_id'].nunique()} donors, {labelled} labelled ({lumbar})"


def _print_findings(findings: "list[Finding]") -> None:
    errors = sum(finding.severity == "error" for finding in findings)
    console = Console(highlight=False)
    if findings:
        table = Table(show_lines=True)
        for column in ("", "CT", "found", "why", "fix"):
            table.add_column(column, overflow="fold")
        for finding in sorted(findings, key=lambda finding: finding.severity):
            color = "red" if finding.severity == "error" else "yellow"
            cells = (finding.ct_id, finding.found, finding.why, finding.fix)
            table.add_row(f"[{color}]{finding.severity}[/] {finding.rule}", *(escape(cell) for cell in cells))
        console.print(table)
        counts = Counter(finding.rule for finding in findings)
        console.print(", ".join(f"{rule} {count}" for rule, count in counts.most_common()))
    console.print(f"{errors} errors, {len(findings) - errors} warnings")


def _print_splits(table: "pd.DataFrame", splits: "Splits", frozen: "Splits | None") -> None:
    from drrkit.cohort import assert_split

    placed = assert_split(table, splits)
    shown = Table("split", "donors", "new", "CTs")
    for name, donors in splits.donors.items():
        known = set(frozen.donors[name]) if frozen else set()
        shown.add_row(name, str(len(donors)), str(len(set(donors) - known)), str(int((placed == name).sum())))
    Console(highlight=False).print(shown)


def _shares(text: str) -> dict[str, float]:
    from drrkit.cohort.splits import check_fractions

    shares = {}
    for name, share in _pairs("--fractions", text.split(",")).items():
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise InputError("--fractions", text, f"numbers, as in {DEFAULT_FRACTIONS}") from error
    return check_fractions(shares)


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.rpartition("="))
        if not (name and equals and value) or name in pairs:
            raise InputError(option, repr(text), "NAME=VALUE, every name once")
        pairs[name] = value
    return pairs
