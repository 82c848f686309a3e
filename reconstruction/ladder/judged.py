"""Every rung on the donors that its fold holds out: a tidy table, with a row for each level and region."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from torch import nn

from drrkit.errors import InputError
from protocols.pairset import PairedSession
from reconstruction.adaptation.sessions import REAL, SYNTHETIC, load_session, score_rows, shown_by
from reconstruction.judging.evaluation import EvaluationCase, Row
from reconstruction.judging.prediction import Predictor, network_predictor
from reconstruction.ladder.heldout import check_network, check_translator
from reconstruction.ladder.rungs import RUNGS, LadderParameters, Rung
from reconstruction.model import ModelSpec
from reconstruction.weights import load_model

MODEL_NAME = "model.safetensors"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Places:
    """Where models and translated images lie.

    Args:
        models: ``<network of a rung>/model.safetensors``.
        translators: ``<translator>/``, the record of each.
        translated: ``<translator>/<acquisition_id>/<exposure_id>.tif``.
    """

    models: Path
    translators: Path
    translated: Path

    def model(self, rung: Rung) -> Path:
        """Path of a rung's weights."""
        return self.models / rung.network / MODEL_NAME


@dataclass(frozen=True)
class HeldOut:
    """A session of a donor that its fold holds out."""

    fold: str
    session: PairedSession


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network."""

    module: nn.Module
    spec: ModelSpec
    predictor: Predictor


@dataclass(frozen=True, eq=False)
class Bench:
    """All that was read: sessions with their truths, and networks by path."""

    cases: Mapping[HeldOut, EvaluationCase]
    networks: Mapping[Path, Network]
    places: Places

    def on_rung(self, held: HeldOut, rung: Rung) -> tuple[Network, EvaluationCase]:
        """Return the network of a rung and a session as that rung sees it."""
        case = shown_by(self.cases[held], held.session, rung.images, self.places.translated / rung.images)
        return self.networks[self.places.model(rung)], case


def held_out(sets: Mapping[str, Sequence[PairedSession]], parameters: LadderParameters) -> list[HeldOut]:
    """List the sessions that are judged: test donors of every fold, of the known device and of the unseen one.

    Args:
        sets: Sessions of each fold.
        parameters: With the same folds.

    Raises:
        InputError: A donor that two folds hold out, or none of the known device, or of the unseen one, in any fold.
    """
    groups = [group for group in (parameters.group, parameters.unseen_group) if group is not None]
    chosen = [
        HeldOut(fold, session)
        for fold in parameters.folds
        for session in sets[fold]
        if session.split == "test" and session.group in groups
    ]
    fold_of: dict[str, str] = {}
    for held in chosen:
        donor = held.session.donor_id
        if fold_of.setdefault(donor, held.fold) != held.fold:
            raise InputError(f"donor {donor}", f"held out by {fold_of[donor]} and by {held.fold}", "one fold a donor")
    for group in groups:
        if not any(held.session.group == group for held in chosen):
            raise InputError(f"folds {', '.join(sets)}", f"no test donor of the group {group}", "at least one")
    return chosen


def check_held_out(held: Sequence[HeldOut], places: Places, parameters: LadderParameters) -> None:
    """Assert that no donor was seen by a network or a translator of its fold.

    Raises:
        InputError: As :mod:`reconstruction.ladder.heldout`.
    """
    for fold, rungs in parameters.folds.items():
        donors = {one.session.donor_id for one in held if one.fold == fold}
        for path in _once(places.model(rung) for rung in rungs.values()):
            check_network(path, donors)
        for images in _once(rung.images for rung in rungs.values()):
            if images not in (REAL, SYNTHETIC):
                check_translator(places.translators / images, donors)


def load_bench(held: Sequence[HeldOut], places: Places, parameters: LadderParameters, device: str = "cpu") -> Bench:
    """Read every session and every network once.

    Raises:
        InputError: A file that cannot be used, or a network that does not reconstruct the whole lumbar spine.
    """
    networks = {}
    for path in _once(places.model(rung) for rungs in parameters.folds.values() for rung in rungs.values()):
        module, spec = load_model(path, device)
        if spec.mode != "lumbar":
            raise InputError(path, f"a network of mode {spec.mode}", "one of the whole lumbar spine")
        networks[path] = Network(
            module, spec, network_predictor(module, spec.window, parameters.precision, parameters.mirror)
        )

    def load(one: HeldOut) -> EvaluationCase:
        return load_session(one.session, parameters.most_views, parameters.match_limit_deg)

    with ThreadPoolExecutor(parameters.workers) as pool:
        return Bench(dict(zip(held, pool.map(load, held), strict=True)), networks, places)


def judge_rungs(
    bench: Bench, parameters: LadderParameters, on_done: Callable[[str], None] = lambda name: None
) -> pd.DataFrame:
    """Judge every rung of its fold on every session; what two rungs share, network and images, is computed once.

    Returns:
        Columns ``rung``, ``fold``, ``group``, ``donor``, ``acquisition``, ``simulated``, ``n_views``, ``views``,
        ``level``, ``region`` and the metrics.

    Raises:
        InputError: An image that cannot be read.
    """
    jobs = [(held, rung) for held in bench.cases for rung in _once(parameters.folds[held.fold].values())]

    def rows_of(job: tuple[HeldOut, Rung]) -> list[Row]:
        held, rung = job
        counts = parameters.view_counts if held.session.group == parameters.group else parameters.unseen_views
        network, case = bench.on_rung(held, rung)
        rows: list[Row] = []
        for count in counts:
            full = count == parameters.headline_views
            scores = score_rows(network.predictor, network.spec, case, count, level_surfaces=full)
            rows.extend({"n_views": count, **row} for row in scores)
            on_done(f"{held.session.acquisition_id}, {rung.network} on {rung.images} images, {count} views")
        return rows

    with ThreadPoolExecutor(parameters.workers) as pool:
        found = dict(zip(jobs, pool.map(rows_of, jobs), strict=True))
    rows: list[Row] = []
    for name in RUNGS:
        for held in bench.cases:
            one = held.session
            keys: Row = {"rung": name, "fold": held.fold, "group": one.group, "donor": one.donor_id}
            keys |= {"acquisition": one.acquisition_id, "simulated": one.simulated}
            rows.extend({**keys, **row} for row in found[held, parameters.folds[held.fold][name]])
    return pd.DataFrame(rows)


def _once(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))
