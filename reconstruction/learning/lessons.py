"""From cases to a trained network: what the commands and the stages call."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from reconstruction.cases import Case, of_split
from reconstruction.classes import LUMBAR_CLASSES, VERTEBRA_CLASSES
from reconstruction.learning.examples import Batch, Sampling, draw_example, make_batches, stacked
from reconstruction.learning.settings import TrainSettings
from reconstruction.learning.training import train
from reconstruction.learning.training_job import Report, TrainingResult
from reconstruction.learning.transfer import finetune
from reconstruction.loading import load_cases
from reconstruction.metrics import f1_score
from reconstruction.model import Mode, ModelSpec, ViewWindow
from reconstruction.weights import read_spec

# Threads may ask for the first batch at the same time, and cases are loaded once.
_LOADING = threading.Lock()


class GridSettings(Parameters):
    """Shape (Z, Y, X) and voxel side of the grid."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    spacing_mm: PositiveFloat


class WindowSettings(Parameters):
    """Size (H, W) of the window, and of its pixels at the depth of the grid's middle."""

    size_px: tuple[PositiveInt, PositiveInt]
    pixel_mm: PositiveFloat


class ValidationSettings(Parameters):
    """How a network is judged while it learns: so many draws of every validation case, always the same."""

    draws: PositiveInt
    sampling: Sampling


class FinetuneParameters(Parameters):
    """What transfer learning needs to know; the rest stands in the model."""

    freeze: str
    sampling: Sampling
    validation: ValidationSettings
    training: TrainSettings


class LearningParameters(Parameters):
    """What a new network is and how it learns.

    Args:
        network: Name in ``reconstruction.networks.NETWORKS``.
        settings: Of that network.
        mode: ``lumbar`` or ``vertebra``.
        grid: What is filled.
        window: What is seen.
        sampling: How examples are drawn.
        validation: How it is judged meanwhile.
        training: How it learns.
    """

    network: str
    settings: dict[str, Any]
    mode: Mode
    grid: GridSettings
    window: WindowSettings
    sampling: Sampling
    validation: ValidationSettings
    training: TrainSettings


def spec_from_parameters(parameters: LearningParameters, cases: Sequence[Case]) -> ModelSpec:
    """Describe the network that parameters ask for, trained on cases."""
    return ModelSpec(
        network=parameters.network,
        settings=parameters.settings,
        mode=parameters.mode,
        classes=LUMBAR_CLASSES if parameters.mode == "lumbar" else VERTEBRA_CLASSES,
        grid_shape=parameters.grid.shape,
        grid_spacing_mm=parameters.grid.spacing_mm,
        window=ViewWindow(parameters.window.size_px, parameters.window.pixel_mm),
        training=_record(cases, parameters.sampling),
    )


def train_on_cases(
    cases: Sequence[Case],
    parameters: LearningParameters,
    out: Path,
    device: str = "cpu",
    report: Report | None = None,
    on_case: Callable[[Case], None] = lambda case: None,
) -> TrainingResult:
    """Train a new network on the train donors of cases; no file of a test donor is opened.

    Args:
        cases: With the splits ``train`` and ``validation`` among them.
        parameters: What and how.
        out: As of :func:`reconstruction.learning.training.train`.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        report: Called after every row of the log.
        on_case: Called after a case is loaded.

    Raises:
        InputError: As the functions that it calls.
    """
    spec = spec_from_parameters(parameters, cases)
    batches, scores = _lessons(cases, spec, parameters, on_case)
    return train(spec, batches, parameters.training, out, scores, None, device, report)


def finetune_on_cases(
    model: Path,
    cases: Sequence[Case],
    parameters: FinetuneParameters,
    out: Path,
    device: str = "cpu",
    report: Report | None = None,
    on_case: Callable[[Case], None] = lambda case: None,
    repeats: Mapping[str, int] = MappingProxyType({}),
) -> TrainingResult:
    """Go on training a model on the train donors of cases.

    Args:
        model: Weights to start from.
        cases: Train donors learn, validation donors say which weights are kept.
        parameters: What and how.
        out: As of :func:`reconstruction.learning.training.train`.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        report: Called after every row of the log.
        on_case: Called after a case is loaded.
        repeats: By case id, how often a case is drawn for once that others are: a few donors of one kind hold their own
            beside many of another.

    Raises:
        InputError: As the functions that it calls.
    """
    batches, scores = _lessons(cases, read_spec(model), parameters, on_case, repeats)
    record = _record(cases, parameters.sampling) | ({"repeats": dict(repeats)} if repeats else {})
    return finetune(model, batches, parameters.training, out, scores, parameters.freeze, record, device, report)


@dataclass(eq=False)
class CaseBatches:
    """Examples of cases as a function of (step, rank); loads the cases when it is first asked, in each process anew."""

    cases: Sequence[Case]
    spec: ModelSpec
    sampling: Sampling
    training: TrainSettings
    on_case: Callable[[Case], None] | None = None
    repeats: Mapping[str, int] = field(default_factory=dict)
    _make: Callable[[int, int], Batch] | None = field(default=None, init=False)

    def __call__(self, step: int, rank: int) -> Batch:
        """Return the part of a step's batch that a process works on."""
        with _LOADING:
            if self._make is None:
                loaded = load_cases(
                    self.cases,
                    self.spec,
                    self.sampling.margin_mm,
                    "learning",
                    max(1, self.training.prefetch),
                    self.on_case or _nothing,
                )
                drawn = [case for case in loaded for _ in range(self.repeats.get(case.case.case_id, 1))]
                of = self.training
                self._make = make_batches(drawn, self.spec, self.sampling, of.batch, of.seed, of.processes)
            make = self._make
        return make(step, rank)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is loaded, and the progress bar, in the process where they are."""
        return {**self.__dict__, "_make": None, "on_case": None}


@dataclass(eq=False)
class CaseScores:
    """Mean F1 of fixed examples of cases: of the union (``f1``) and of the classes (``class_f1``)."""

    cases: Sequence[Case]
    spec: ModelSpec
    settings: ValidationSettings
    seed: int
    _examples: list[Batch] | None = field(default=None, init=False)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Score a network, where it is."""
        if self._examples is None:
            self._examples = self._drawn()
        device = next(network.parameters()).device
        union, by_class = [], []
        for batch in self._examples:
            images, pixel_from_grid = batch.images.to(device), batch.pixel_from_grid.to(device)
            with torch.no_grad():
                logits = network(images, pixel_from_grid, self.spec.grid_shape)
            predicted, true = logits.argmax(1)[0].cpu().numpy(), batch.classes[0].numpy()
            union.append(f1_score(predicted > 0, true > 0))
            classes = [number for number in range(1, len(self.spec.classes) + 1) if (true == number).any()]
            by_class += [f1_score(predicted == number, true == number) for number in classes]
        return {"f1": float(np.mean(union)), "class_f1": float(np.mean(by_class))}

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is loaded in the process where it is."""
        return {**self.__dict__, "_examples": None}

    def _drawn(self) -> list[Batch]:
        sampling = self.settings.sampling
        loaded = load_cases(self.cases, self.spec, sampling.margin_mm, "learning")
        return [
            stacked([draw_example(case, self.spec, sampling, np.random.default_rng([self.seed, place, draw]))])
            for place, case in enumerate(loaded)
            for draw in range(self.settings.draws)
        ]


def _lessons(
    cases: Sequence[Case],
    spec: ModelSpec,
    parameters: LearningParameters | FinetuneParameters,
    on_case: Callable[[Case], None],
    repeats: Mapping[str, int] = MappingProxyType({}),
) -> tuple[CaseBatches, CaseScores]:
    learners, judges = of_split(cases, "train"), of_split(cases, "validation")
    shared = {case.donor_id for case in learners} & {case.donor_id for case in judges}
    if shared:
        raise InputError("cases", f"donor {min(shared)} in train and in validation", "one split a donor")
    batches = CaseBatches(learners, spec, parameters.sampling, parameters.training, on_case, dict(repeats))
    return batches, CaseScores(judges, spec, parameters.validation, parameters.training.seed)


def _record(cases: Sequence[Case], sampling: Sampling) -> dict[str, Any]:
    seen = [case for case in cases if case.split != "test"]
    return {
        "train_donors": sorted({case.donor_id for case in seen if case.split == "train"}),
        "validation_donors": sorted({case.donor_id for case in seen if case.split == "validation"}),
        "kinds": sorted({case.kind for case in seen}),
        "populations": sorted({case.population for case in seen if case.population}),
        "sampling": sampling.model_dump(mode="json"),
    }


def _nothing(case: Case) -> None:
    """Tell nobody."""
