"""Transfer learning: a trained network goes on learning on other images; which part of it, is a parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from reconstruction.cases import Case, check_cases
from reconstruction.learning.settings import TrainSettings
from reconstruction.learning.training import train
from reconstruction.learning.training_job import Batches, Report, Start, TrainingResult, Validate
from reconstruction.weights import load_model


@dataclass(frozen=True)
class Fold:
    """Who is left out, who says when to stop, and who trains."""

    test: str
    validation: str
    training: tuple[str, ...]


def finetune(
    model: Path,
    batches: Batches,
    settings: TrainSettings,
    out: Path,
    validate: Validate,
    frozen: str,
    record: Mapping[str, Any],
    device: str = "cpu",
    report: Report | None = None,
) -> TrainingResult:
    """Go on training a model.

    With ``patience`` the weights that a validation donor likes best are kept, and if nothing learned is better, those
    that it started from. Without it the last ones are: the better choice where validation donors are too few.

    Args:
        model: Weights to start from, ``<name>.safetensors``.
        batches: As of :func:`reconstruction.learning.training.train`; for the grid and the window of the model.
        settings: How to train.
        out: As of :func:`reconstruction.learning.training.train`.
        validate: Scores of a network on the validation donor, with ``f1``.
        frozen: Part that stays as it is, one of ``reconstruction.learning.freezing.PARTS``.
        record: What it is trained on, for the model's JSON.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        report: Called after every row of the log.

    Raises:
        InputError: No such model, an unknown part; and as :func:`reconstruction.learning.training.train`.
    """
    network, spec = load_model(model)
    new = replace(spec, training={**record, "started_from": spec.training})
    start = Start(network.state_dict(), frozen)
    return train(new, batches, settings, out, validate, start, device, report)


def leave_one_donor_out(donor_ids: Sequence[str]) -> list[Fold]:
    """Make a fold for each donor; who comes next in the alphabet, and after the last the first, is the validation.

    Raises:
        InputError: A donor twice, or less than three.
    """
    donors = sorted(donor_ids)
    if len(set(donors)) < len(donors):
        raise InputError("donors", ", ".join(donors), "every donor once")
    if len(donors) < 3:
        found = ", ".join(donors) or "none"
        raise InputError("donors", found, "three or more: one to test, one to say when to stop, one to learn from")
    folds = []
    for place, test in enumerate(donors):
        validation = donors[(place + 1) % len(donors)]
        training = tuple(donor for donor in donors if donor not in (test, validation))
        assert not {test, validation} & set(training)
        assert test != validation
        folds.append(Fold(test, validation, training))
    return folds


def fold_without(donor_id: str, donor_ids: Sequence[str]) -> Fold:
    """Return the fold that leaves one donor out.

    Raises:
        InputError: No such donor; and as :func:`leave_one_donor_out`.
    """
    for fold in leave_one_donor_out(donor_ids):
        if fold.test == donor_id:
            return fold
    raise InputError("donor to leave out", repr(donor_id), ", ".join(sorted(donor_ids)))


def cases_of_fold(cases: Sequence[Case], fold: Fold) -> list[Case]:
    """Return the cases with the splits of a fold instead of their own.

    Raises:
        InputError: A donor that the fold does not know.
    """
    found = []
    for case in cases:
        if case.donor_id == fold.test:
            found.append(replace(case, split="test"))
        elif case.donor_id == fold.validation:
            found.append(replace(case, split="validation"))
        elif case.donor_id in fold.training:
            found.append(replace(case, split="train"))
        else:
            raise InputError(f"case {case.case_id}", f"donor {case.donor_id}", "a donor of the fold")
    check_cases(found, f"fold without {fold.test}")
    return found
