"""Training of translators: a plain loop by steps, whose every step is a function of the seed and the step's number."""

import math
import resource
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drrkit.errors import InputError
from drrkit.io.store import sole_writer, write_json
from drrkit.learning.checkpoint import read_state, write_state
from drrkit.learning.fabric import Fabric, launch, make_fabric
from drrkit.learning.optimization import learning_share, made_ahead, seed_step
from drrkit.learning.training_log import training_log
from protocols.pairset import PairedSession
from styletransfer.examples import draw_batch
from styletransfer.images import open_pairs
from styletransfer.model import TranslatorSpec
from styletransfer.settings import TranslatorParameters
from styletransfer.training_job import (
    Job,
    Material,
    Measures,
    Progress,
    Report,
    StepReport,
    TrainingResult,
    material_of,
    measured,
)
from styletransfer.translator import Batch, Translator
from styletransfer.validation import Seen, Validation
from styletransfer.weights import build_translator, method_of, save_translator, settings_of

MODEL_NAME = "model.safetensors"


def train(
    sessions: Sequence[PairedSession],
    parameters: TranslatorParameters,
    out: Path,
    device: str = "cpu",
    report: Report | None = None,
) -> TrainingResult:
    """Train a translator on the train donors of a set, or go on where a killed training of the same things stopped.

    On one processor the result is the same to the bit, however often it was killed. Validation donors are translated
    now and then; no file of a test donor is opened.

    Args:
        sessions: Of all splits, as ``protocols.pairset.read_pairset`` reads them. Without validation donors there are
            no scores.
        parameters: What is trained, and how.
        out: Folder: ``model.safetensors`` and its JSON, ``state/`` for resuming, ``metrics/`` by dvclive with a picture
            for each validation, ``train.json`` (times, memory, machine, donors, losses, scores).
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        report: Called after every row of the log; with several processes it must be picklable.

    Raises:
        InputError: An unknown method, settings that it does not take, no pair that may train, a state of other
            parameters or pairs in ``out``, a loss that is no number.
    """
    batch, processes = parameters.sampling.batch, parameters.training.processes
    if batch % processes:
        raise InputError("sampling.batch", f"{batch} images for {processes} processes", "a multiple of the processes")
    # Wrong settings are told before images are read.
    settings_of(parameters.method, parameters.settings, "parameters")
    if method_of(parameters.method).learning == "nothing":
        # Statistics of parts are not put together, and are not worth it.
        processes = 1
    fabric = make_fabric(device, parameters.training.precision, processes)
    material = material_of(sessions)
    with sole_writer(out):
        job = _prepared(material, parameters, out, report)
        return TrainingResult(out / MODEL_NAME, **launch(fabric, partial(_run, job=job)))


def _prepared(material: Material, parameters: TranslatorParameters, out: Path, report: Report | None) -> Job:
    """Measure the train images, unless a state remembers, and describe the translator."""
    source = open_pairs(material.learners, "train", parameters.subset)
    known = read_state(out, material.record(parameters))
    measures = measured(source) if known is None else Measures.from_state(known[1]["measures"])
    learning = method_of(parameters.method).learning
    steps = parameters.training.steps
    if learning == "nothing":
        steps = min(steps, -(-len(source) // parameters.sampling.batch))
    spec = TranslatorSpec(
        method=parameters.method,
        settings=settings_of(parameters.method, parameters.settings).model_dump(mode="json"),
        scale=measures.scale,
        isocenter_pixel_mm=measures.isocenter_pixel_mm,
        training={
            "pairs": len(source),
            "pairs_sha256": material.sha256,
            "train_donors": sorted(set(source.donor_ids)),
            "validation_donors": sorted({session.donor_id for session in material.judges}),
            "simulated": any(session.simulated for session in material.learners),
            **parameters.model_dump(mode="json", include={"subset", "sampling", "training"}),
        },
    )
    return Job(spec, learning, steps, material, source, measures, parameters, out, report)


@dataclass(eq=False)
class _Training:
    """The values that a step changes, in one process."""

    fabric: Fabric
    job: Job
    translator: Translator
    validation: Validation
    progress: Progress
    loss_sums: dict[str, Tensor]
    started_s: float

    @property
    def leads(self) -> bool:
        return self.fabric.global_rank == 0

    @property
    def is_over(self) -> bool:
        return self.progress.step >= self.job.steps

    def is_due(self, every: int | None) -> bool:
        return self.is_over or (every is not None and self.progress.step % every == 0)


def _run(fabric: Fabric, job: Job) -> dict[str, Any]:
    training = _begin(fabric, job)
    with _telling(training) as tell, closing(_batches(training)) as batches:
        for batch in batches:
            _learn(training, batch)
            losses = _mean_losses(training)
            seen = _validate(training)
            tell(losses, seen)
            _keep(training)
    return _finish(training)


def _begin(fabric: Fabric, job: Job) -> _Training:
    settings = job.parameters.training
    torch.manual_seed(settings.seed)
    translator = build_translator(job.spec)
    translator.set_up(fabric)
    known = read_state(job.out, job.material.record(job.parameters))
    progress = Progress()
    if known is not None:
        progress = Progress(**known[0])
        translator.load_state(known[1]["translator"])
    loss_sums = {name: torch.tensor(value, device=fabric.device) for name, value in progress.loss_sums.items()}
    validation = Validation(job.material.judges, settings.validation_pairs)
    started_s = time.perf_counter() - progress.seconds
    return _Training(fabric, job, translator, validation, progress, loss_sums, started_s)


def _batches(training: _Training) -> Generator[Batch, None, None]:
    job, of = training.job, training.job.parameters
    rank, processes = training.fabric.global_rank, training.fabric.world_size

    def make(step: int) -> Batch:
        return draw_batch(job.source, of.sampling, job.learning, of.training.seed, step, rank, processes)

    return made_ahead(make, range(training.progress.step, job.steps), of.training.prefetch)


def _learn(training: _Training, batch: Batch) -> None:
    fabric, job, progress = training.fabric, training.job, training.progress
    settings = job.parameters.training
    seed_step(settings.seed, progress.step, fabric.global_rank)
    share = learning_share(progress.step, job.steps, settings.warmup_steps)
    if progress.step == round(settings.settle_at * job.steps):
        training.translator.settle()
    losses = training.translator.optimize(Batch(*fabric.to_device((batch.real, batch.synthetic, batch.field))), share)
    for name, loss in losses.items():
        training.loss_sums[name] = training.loss_sums.get(name, 0) + loss.detach().float()
    progress.loss_steps += 1
    progress.step += 1
    progress.seconds = time.perf_counter() - training.started_s


def _mean_losses(training: _Training) -> dict[str, float]:
    """Return the means since the last row of the log, of all processes, when a row is due."""
    progress, sums = training.progress, training.loss_sums
    if not training.is_due(training.job.parameters.training.log_every):
        return {}
    if sums:
        means = torch.stack(list(sums.values())) / progress.loss_steps
        means = torch.as_tensor(training.fabric.all_reduce(means, reduce_op="mean"))
        progress.losses = _finite(dict(zip(sums, means.tolist(), strict=True)), progress.step)
    training.loss_sums = {}
    progress.loss_steps = 0
    return progress.losses


def _validate(training: _Training) -> Seen | None:
    """Translate pairs of validation donors when it is due; the first process does, and the others wait."""
    if not (training.job.material.judges and training.is_due(training.job.parameters.training.validate_every)):
        return None
    progress, began_s = training.progress, time.perf_counter()
    seen = training.validation.seen(training.translator, training.fabric.device) if training.leads else None
    training.fabric.barrier()
    if seen is not None:
        progress.scores = seen.scores
    progress.validation_seconds += time.perf_counter() - began_s
    progress.seconds = time.perf_counter() - training.started_s
    return seen


@contextmanager
def _telling(training: _Training) -> Iterator[Callable[[Mapping[str, float], Seen | None], None]]:
    job, progress = training.job, training.progress
    if not training.leads:
        yield lambda losses, seen: None
        return
    first_step, first_s = progress.step, time.perf_counter()
    with training_log(job.out / "metrics", progress.step) as log:

        def tell(losses: Mapping[str, float], seen: Seen | None) -> None:
            scores = {f"validation/{name}": score for name, score in seen.scores.items()} if seen else {}
            if losses or scores:
                log.write_row(progress.step, {**losses, **scores})
            if seen:
                log.write_image(progress.step, "validation", seen.grid)
            if job.report is not None and (losses or training.is_over):
                a_step_s = (time.perf_counter() - first_s) / (progress.step - first_step)
                left_s = (job.steps - progress.step) * a_step_s
                job.report(StepReport(progress.step, job.steps, losses, left_s, progress.scores))

        yield tell


def _keep(training: _Training) -> None:
    job, progress = training.job, training.progress
    # What learns nothing is done again as fast as it is read.
    if not training.leads or job.learning == "nothing" or not training.is_due(job.parameters.training.checkpoint_every):
        return
    progress.loss_sums = {name: float(value) for name, value in training.loss_sums.items()}
    _finite(progress.loss_sums, progress.step)
    tensors = {"translator": training.translator.state(), "measures": job.measures.state()}
    write_state(job.out, job.material.record(job.parameters), asdict(progress), tensors)


def _finish(training: _Training) -> dict[str, Any]:
    fabric, job, progress = training.fabric, training.job, training.progress
    on_card = fabric.device.type == "cuda"
    result = {
        "steps": progress.step,
        "seconds": progress.seconds,
        "losses": progress.losses,
        "scores": progress.scores,
    }
    if training.leads:
        how = {"steps": progress.step, "losses": progress.losses, "scores": progress.scores, "torch": torch.__version__}
        spec = replace(job.spec, training={**job.spec.training, **how})
        save_translator(job.out / MODEL_NAME, training.translator, spec, job.measures.domain)
        machine = {
            "seconds_per_step": (progress.seconds - progress.validation_seconds) / progress.step,
            # Of the first process; ru_maxrss counts KiB on Linux.
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "peak_device_memory_mb": torch.cuda.max_memory_allocated(fabric.device) / 2**20 if on_card else None,
            "device": torch.cuda.get_device_name(fabric.device) if on_card else "cpu",
            "processes": fabric.world_size,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        told = ("pairs", "train_donors", "validation_donors", "simulated")
        write_json(job.out / "train.json", {**result, **machine, **{name: spec.training[name] for name in told}})
    return result


def _finite(losses: dict[str, float], step: int) -> dict[str, float]:
    for name, loss in losses.items():
        if not math.isfinite(loss):
            found = f"{name} that is {loss}"
            raise InputError(f"training, step {step}", found, "a lower learning rate, or finite images")
    return losses
