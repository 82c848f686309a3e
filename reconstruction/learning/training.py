"""Training: a plain loop by steps, whose every step is a function of the seed and the step's number."""

import math
import resource
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from drrkit.errors import InputError
from drrkit.io.store import sole_writer, write_json
from drrkit.learning.checkpoint import read_state, write_state
from drrkit.learning.fabric import Fabric, launch, make_fabric
from drrkit.learning.optimization import (
    average_of,
    learning_share,
    made_ahead,
    make_optimizers,
    seed_step,
    set_learning_rate,
    use_channels_last,
)
from drrkit.learning.training_log import training_log
from drrkit.learning.weights import check_state
from reconstruction.learning.freezing import freeze, set_training
from reconstruction.learning.losses import segmentation_loss
from reconstruction.learning.settings import TrainSettings
from reconstruction.learning.training_job import (
    Batches,
    Job,
    Progress,
    Report,
    Start,
    StepReport,
    TrainingResult,
    Validate,
)
from reconstruction.model import ModelSpec
from reconstruction.weights import build_network, save_model

if TYPE_CHECKING:
    # What draws examples imports much that spawned processes need not wait for here.
    from reconstruction.learning.examples import Batch

MODEL_NAME = "model.safetensors"
# The score of a validation that says which weights are best.
SCORE = "f1"


def train(
    spec: ModelSpec,
    batches: Batches,
    settings: TrainSettings,
    out: Path,
    validate: Validate | None = None,
    start: Start | None = None,
    device: str = "cpu",
    report: Report | None = None,
) -> TrainingResult:
    """Train a network, or go on where a killed training of the same settings stopped.

    On one processor the result is the same to the bit, however often it was killed.

    Args:
        spec: What to train.
        batches: Examples of a step and a process; called from threads if ``prefetch`` is not 0.
        settings: How to train.
        out: Folder: ``model.safetensors`` and its JSON (averaged weights), ``state/`` for resuming, ``metrics/`` by
            dvclive, ``train.json`` (times, memory, machine).
        validate: Scores of a network; with ``f1`` among them if ``patience`` is set.
        start: Weights to start from and what of them is frozen; random weights if None.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        report: Called after every row of the log. With several processes this, ``batches`` and ``validate`` must be
            picklable.

    Raises:
        InputError: A state of other settings in ``out``, a batch that does not fit, a loss that is no number.
    """
    if settings.patience is not None and validate is None:
        raise InputError("patience", "no validation to wait for", "cases of a validation donor, or no patience")
    if settings.batch % settings.processes:
        found = f"{settings.batch} examples for {settings.processes} processes"
        raise InputError("batch", found, "a multiple of the processes")
    with sole_writer(out):
        fabric = make_fabric(device, settings.precision, settings.processes)
        job = Job(spec, batches, settings, out, validate, start, report)
        return TrainingResult(out / MODEL_NAME, **launch(fabric, partial(_run, job=job)))


@dataclass(eq=False)
class _Training:
    """The values that a step changes, in one process."""

    fabric: Fabric
    job: Job
    network: nn.Module
    learner: nn.Module
    optimizers: tuple[Optimizer, ...]
    average: AveragedModel
    progress: Progress
    loss_sum: Tensor
    started_s: float

    @property
    def leads(self) -> bool:
        return self.fabric.global_rank == 0

    @property
    def is_over(self) -> bool:
        patience = self.job.settings.patience
        waited_enough = patience is not None and self.progress.waited >= patience
        return waited_enough or self.progress.step >= self.job.settings.steps

    def is_due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.is_over


def _run(fabric: Fabric, job: Job) -> dict[str, Any]:
    training = _begin(fabric, job)
    with _telling(training) as tell, closing(_batches(training)) as batches:
        _judge_start(training, tell)
        for batch in batches:
            _learn(training, batch)
            loss = _mean_loss(training)
            scores = _validate(training)
            better = _judge(training, scores)
            tell(loss | scores)
            _keep(training, better)
            if training.is_over:
                break
    return _finish(training)


def _begin(fabric: Fabric, job: Job) -> _Training:
    settings = job.settings
    torch.manual_seed(settings.seed)
    network = build_network(job.spec)
    if job.start is not None:
        check_state(job.start.weights, network, "weights to start from")
        network.load_state_dict(job.start.weights)
        freeze(network, job.start.frozen)
    if settings.channels_last:
        use_channels_last(network)
    network.to(fabric.device)
    optimizers = make_optimizers(network, settings.learning_rate, settings.kernel_learning_rate, settings.weight_decay)
    average = average_of(network, settings.ema_decay)
    noted, states = read_state(job.out, job.record) or ({}, {})
    progress = Progress(**noted)
    for name, keeper in _keepers(network, average, optimizers).items():
        if states:
            keeper.load_state_dict(states[name])
    if progress.best is not None and not (job.out / MODEL_NAME).exists():
        raise InputError(job.out / MODEL_NAME, "no file, though the state tells of one", "--force to start anew")
    learner, *wrapped = fabric.setup(network, *optimizers)
    loss_sum = torch.tensor(progress.loss_sum, device=fabric.device)
    started_s = time.perf_counter() - progress.seconds
    return _Training(fabric, job, network, learner, tuple(wrapped), average, progress, loss_sum, started_s)


def _batches(training: _Training) -> Generator["Batch", None, None]:
    settings = training.job.settings
    steps = range(training.progress.step, training.progress.step if training.is_over else settings.steps)
    make = partial(_batch, training.job, training.fabric.global_rank)
    return made_ahead(make, steps, settings.prefetch)


def _batch(job: Job, rank: int, step: int) -> "Batch":
    batch = job.batches(step, rank)
    size = (job.settings.batch // job.settings.processes, *job.spec.grid_shape)
    if tuple(batch.classes.shape) != size or batch.images.shape[0] != size[0]:
        raise InputError(f"batch of step {step}", f"classes {tuple(batch.classes.shape)}", f"{size}")
    if int(batch.classes.max()) > len(job.spec.classes):
        raise InputError(f"batch of step {step}", f"class {int(batch.classes.max())}", f"0 to {len(job.spec.classes)}")
    return batch


def _learn(training: _Training, batch: "Batch") -> None:
    fabric, job, progress, learner = training.fabric, training.job, training.progress, training.learner
    settings = job.settings
    seed_step(settings.seed, progress.step, fabric.global_rank)
    set_learning_rate(training.optimizers, learning_share(progress.step, settings.steps, settings.warmup_steps))
    set_training(learner)
    images, pixel_from_grid, classes = fabric.to_device((batch.images, batch.pixel_from_grid, batch.classes))
    loss = segmentation_loss(learner(images, pixel_from_grid, job.spec.grid_shape), classes, settings.losses)
    fabric.backward(loss)
    fabric.clip_gradients(learner, training.optimizers[0], max_norm=settings.gradient_clip, error_if_nonfinite=False)
    for optimizer in training.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    training.average.update_parameters(training.network)
    training.loss_sum += loss.detach()
    progress.loss_steps += 1
    progress.step += 1
    progress.seconds = time.perf_counter() - training.started_s


def _mean_loss(training: _Training) -> dict[str, float]:
    progress = training.progress
    if not training.is_due(training.job.settings.log_every):
        return {}
    mean = torch.as_tensor(training.fabric.all_reduce(training.loss_sum / progress.loss_steps, reduce_op="mean"))
    training.loss_sum.zero_()
    progress.loss_steps = 0
    return {"loss": _finite(float(mean), progress.step)}


def _validate(training: _Training) -> dict[str, float]:
    validate = training.job.validate
    if validate is None or not training.is_due(training.job.settings.validate_every):
        return {}
    scores: dict[str, float] = {}
    if training.leads:
        network = training.average.module.eval()
        with torch.no_grad():
            scores = {name: float(score) for name, score in validate(network).items()}
    # The others wait here, and stop when the first one does.
    scores = training.fabric.broadcast(scores)
    training.progress.seconds = time.perf_counter() - training.started_s
    return scores


def _judge(training: _Training, scores: Mapping[str, float]) -> bool:
    """Note the scores of a validation; say whether they are the best of an early stopping."""
    progress = training.progress
    if not scores:
        return False
    patient = training.job.settings.patience is not None
    if patient and not math.isfinite(scores.get(SCORE, math.nan)):
        raise InputError(f"validation at step {progress.step}", f"{dict(scores)}", f"a number {SCORE}")
    if patient and progress.best is not None and scores[SCORE] <= progress.best:
        progress.waited += 1
        return False
    progress.best = scores[SCORE] if patient else None
    progress.waited = 0
    progress.best_step = progress.step
    progress.scores = dict(scores)
    return patient


def _judge_start(training: _Training, tell: Callable[[Mapping[str, float]], None]) -> None:
    """Judge the weights that a fine-tuning starts from: what it learns has to be better."""
    job = training.job
    if job.start is None or job.settings.patience is None or training.progress.step > 0:
        return
    scores = _validate(training)
    _judge(training, scores)
    tell(scores)
    _keep(training, better=True)


@contextmanager
def _telling(training: _Training) -> Iterator[Callable[[Mapping[str, float]], None]]:
    job, progress = training.job, training.progress
    if not training.leads:
        yield lambda row: None
        return
    first_step, first_s = progress.step, time.perf_counter()
    with training_log(job.out / "metrics", progress.step) as log:

        def tell(row: Mapping[str, float]) -> None:
            if row:
                log.write_row(progress.step, row)
            if job.report is not None and "loss" in row:
                a_step_s = (time.perf_counter() - first_s) / (progress.step - first_step)
                left_s = (job.settings.steps - progress.step) * a_step_s
                job.report(StepReport(progress.step, job.settings.steps, row["loss"], left_s, progress.scores))

        yield tell


def _keep(training: _Training, better: bool) -> None:
    job, progress = training.job, training.progress
    if not training.leads or not (better or training.is_due(job.settings.checkpoint_every)):
        return
    progress.loss_sum = _finite(float(training.loss_sum), progress.step)
    if better or job.settings.patience is None:
        save_model(job.out / MODEL_NAME, training.average.module, _trained(training))
    keepers = _keepers(training.network, training.average, training.optimizers)
    states = {name: keeper.state_dict() for name, keeper in keepers.items()}
    write_state(job.out, job.record, asdict(progress), states)


def _keepers(network: nn.Module, average: AveragedModel, optimizers: Sequence[Optimizer]) -> dict[str, Any]:
    """Name all that a resumed training needs back."""
    numbered = {f"optimizer{number}": optimizer for number, optimizer in enumerate(optimizers)}
    return {"network": network, "average": average, **numbered}


def _trained(training: _Training) -> ModelSpec:
    job, progress = training.job, training.progress
    how = {
        "steps": progress.step,
        "validation": progress.scores,
        "settings": job.settings.model_dump(mode="json"),
        "start": job.record["start"],
        "torch": torch.__version__,
    }
    return replace(job.spec, training={**job.spec.training, **how})


def _finish(training: _Training) -> dict[str, Any]:
    fabric, progress = training.fabric, training.progress
    patience = training.job.settings.patience
    on_card = fabric.device.type == "cuda"
    account = {
        "steps": progress.step,
        "best_step": progress.step if patience is None else progress.best_step,
        "seconds": progress.seconds,
        "seconds_per_step": progress.seconds / progress.step,
        "scores": progress.scores,
        # Of the first process; ru_maxrss counts KiB on Linux.
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_device_memory_mb": torch.cuda.max_memory_allocated(fabric.device) / 2**20 if on_card else None,
        "device": torch.cuda.get_device_name(fabric.device) if on_card else "cpu",
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if training.leads:
        write_json(training.job.out / "train.json", account)
    return {name: account[name] for name in ("steps", "best_step", "seconds", "scores")}


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise InputError(f"training, step {step}", f"a loss that is {loss}", "a lower learning rate, or finite images")
    return loss
