"""Rendering a planned dataset: one CT and one batch in memory at a time, every finished image noted at once."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import groupby
from pathlib import Path
from queue import Empty
from typing import Any

from drrkit.dataset.plan import CAMERAS_NAME, Item, Plan, Settings, Source
from drrkit.dataset.rig import Rig
from drrkit.geometry.camera import Camera
from drrkit.io import manifest
from drrkit.io.ct import read_volume
from drrkit.io.manifest import ManifestRow, image_path, mask_path
from drrkit.io.store import sole_writer, write_cameras, write_image, write_mask, writing

Entry = tuple[ManifestRow, dict[str, Any]]
Job = tuple[Source, list[Item]]

BATCH_SIZE = 8


def render_dataset(
    plan: Plan,
    workers: int = 1,
    on_images: Callable[[int], None] = lambda count: None,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Render what is pending, prune what is stale, and write cameras and manifest.

    Args:
        plan: From :func:`drrkit.dataset.plan.make_plan`.
        workers: Processes; each holds one CT and one batch.
        on_images: Called with the number of images that were just finished.
        batch_size: Images rendered, written and noted at a time.

    Raises:
        InputError: A CT that cannot be read, or a disk that cannot be written. Finished images are kept and noted.
    """
    with sole_writer(plan.out):
        manifest.trim_journal(plan.out)
        rows, records = dict(plan.rows), dict(plan.camera_records)
        jobs = [(source, list(items)) for source, items in groupby(plan.pending, key=lambda item: item.source)]
        for entries in _render_jobs(plan, jobs, workers, batch_size):
            manifest.append_journal(plan.out, entries)
            for row, record in entries:
                # An image that no longer shows a level must not keep that level's old mask.
                _remove(plan.out, set(rows[row.id].files if row.id in rows else ()) - set(row.files))
                rows[row.id], records[row.id] = row, record
            on_images(len(entries))
        _remove(plan.out, plan.stale_files)
        ids = [item.image_id for item in plan.items]
        write_cameras(plan.out / CAMERAS_NAME, {image_id: Camera.from_record(records[image_id]) for image_id in ids})
        manifest.write_manifest(plan.out, [rows[image_id] for image_id in ids])
        manifest.remove_journal(plan.out)


def render_source(
    source: Source, items: Sequence[Item], rig: Rig, settings: Settings, out: Path, batch_size: int = BATCH_SIZE
) -> Iterator[list[Entry]]:
    """Render images of one CT batch by batch; each batch is on disk when it is yielded."""
    from drrkit.projection import renderer, silhouette

    volume = read_volume(source.ct_path, source.labels_path, source.label_scheme)
    cameras = rig.cameras(volume)
    prepared = renderer.prepare(
        volume, settings.tissue, bone_threshold_hu=settings.bone_threshold_hu, energy_kev=settings.energy_kev
    )
    labelled = silhouette.prepare_levels(volume)
    del volume
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        views = [cameras[item.view_id] for item in batch]
        images = renderer.project(prepared, views, backend=settings.backend, device=settings.device)
        entries = []
        for item, camera, pixels in zip(batch, views, images, strict=True):
            image = image_path(item.image_id)
            levels = silhouette.project_levels(labelled, camera)
            row = ManifestRow(
                id=item.image_id,
                ct_id=source.ct_id,
                donor_id=source.donor_id,
                image=image,
                camera=item.image_id,
                boxes={level: seen.box for level, seen in levels.items()},
                visibility={level: round(seen.visibility, 6) for level, seen in levels.items()},
                image_sha256=write_image(out / image, pixels),
                masks_sha256={
                    level: write_mask(out / mask_path(item.image_id, level), seen.mask)
                    for level, seen in levels.items()
                    if seen.box is not None
                },
                **item.identity,
            )
            entries.append((row, camera.to_record(item.image_id)))
        yield entries


def _render_jobs(plan: Plan, jobs: Sequence[Job], workers: int, batch_size: int) -> Iterator[list[Entry]]:
    if workers <= 1 or len(jobs) <= 1:
        for source, items in jobs:
            yield from render_source(source, items, plan.rig, plan.settings, plan.out, batch_size)
        return
    # Spawned, not forked: numba's and torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, _limit_threads, (threads,)) as pool:
        finished = manager.Queue()
        common = (plan.rig, plan.settings, plan.out, batch_size)
        futures = [pool.submit(_work, common, job, finished) for job in jobs]
        yield from _drain(finished, futures)


def _work(common: tuple[Rig, Settings, Path, int], job: Job, finished: Any) -> None:
    rig, settings, out, batch_size = common
    source, items = job
    for entries in render_source(source, items, rig, settings, out, batch_size):
        finished.put(entries)


def _drain(finished: Any, futures: "Sequence[Future[None]]") -> Iterator[list[Entry]]:
    """Yield what workers put into the managed queue, until all are done; then raise the first error.

    After an error no new CT is begun, but the images of those under way are still noted.
    """
    while True:
        running = not all(future.done() for future in futures)
        try:
            yield finished.get(timeout=0.1)
        except Empty:
            if not running:
                break
            if any(future.done() and not future.cancelled() and future.exception() for future in futures):
                for future in futures:
                    future.cancel()
    for future in futures:
        if not future.cancelled():
            future.result()


def _limit_threads(count: int) -> None:
    os.environ["NUMBA_NUM_THREADS"] = str(count)
    os.environ["OMP_NUM_THREADS"] = str(count)


def _remove(folder: Path, files: Iterable[str]) -> None:
    for file in files:
        with writing(folder / file):
            (folder / file).unlink(missing_ok=True)
