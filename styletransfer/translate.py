"""Translate a folder of real images: same names, same sizes, same cameras, and what was thought of each image."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from drrkit.errors import InputError
from drrkit.io.store import content_sha256, sole_writer, write_cameras, write_image, write_json
from protocols.pairset import PairedSession
from styletransfer.domain import DomainScore
from styletransfer.imagefiles import CAMERAS_NAME, IMAGE_SUFFIX, ImageFolder, find_images
from styletransfer.settings import Precision
from styletransfer.tiling import translate_image
from styletransfer.weights import load_translator, read_domain

__all__ = [
    "TranslatedImage",
    "Translation",
    "choose_precision",
    "translate_folder",
    "translate_image",
    "translate_sessions",
]

RECORD_NAME = "translation.json"
RECORD_CONVENTION = "drrkit-translation/1"
DISAGREEMENT = "disagreement"
# A killed run does what it did since the last note again.
SECONDS_BETWEEN_NOTES = 10.0


@dataclass(frozen=True)
class TranslatedImage:
    """What is known of one translated image.

    Args:
        name: Without suffix.
        seconds: That translating took, files and scores aside.
        distance: From the training images, as :class:`styletransfer.domain.DomainScore` says; None if the model has no
            statistics of them.
        limit: Largest distance of images inside.
        is_inside: Whether the image resembles those of the training.
        reasons: What is odd about an image outside.
        sha256: Of the files written, by path below the output folder.
        identity_sha256: Of all that went in: image, model, open field, precision.
        is_new: Whether this run made it; else it was up to date.
    """

    name: str
    seconds: float
    distance: float | None
    limit: float | None
    is_inside: bool | None
    reasons: tuple[str, ...]
    sha256: dict[str, str]
    identity_sha256: str
    is_new: bool = True


@dataclass(frozen=True)
class Translation:
    """What a run made.

    Args:
        images: All of the folder, in order of their names.
        removed: Files of earlier runs whose images are gone.
        precision: That was chosen.
        knows_domain: Whether the model can say which images are unlike those of its training.
    """

    images: tuple[TranslatedImage, ...]
    removed: tuple[str, ...]
    precision: Precision
    knows_domain: bool

    @property
    def outside(self) -> tuple[TranslatedImage, ...]:
        """Images that do not resemble those of the training."""
        return tuple(image for image in self.images if image.is_inside is False)


def choose_precision(name: str, device: str = "cpu") -> Precision:
    """Return ``32`` or ``bf16``; ``auto`` takes bfloat16 where the processor multiplies it natively.

    Raises:
        InputError: Another name.
    """
    for known in get_args(Precision):
        if name == known:
            return known
    if name != "auto":
        raise InputError("precision", name, "auto, 32 or bf16")
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "32"
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "32"


def translate_folder(
    model: Path,
    images: Path,
    out: Path,
    names: Sequence[str] | None = None,
    open_field: float | None = None,
    disagreement: bool = False,
    precision: str = "auto",
    device: str = "cpu",
    tile_px: tuple[int, int] | None = None,
    force: bool = False,
    on_image: Callable[[TranslatedImage, int], None] = lambda image, total: None,
) -> Translation:
    """Translate the images of a folder; those that are up to date are kept, those whose real image is gone removed.

    Writes ``<out>/<name>.tif`` (float32 line integrals), ``cameras.json`` where there is one beside the images,
    ``translation.json``, and ``disagreement/<name>.tif`` if asked for.

    Args:
        model: ``<name>.safetensors`` with its JSON beside it.
        images: Folder with ``<name>.tif``, or with a folder ``real`` or ``images`` of them, as pairs and renders have.
        out: Folder to write; it may not be the images' own.
        names: Of the images that are translated, without suffix; None for all.
        open_field: I0 of images that are counts; None for line integrals.
        disagreement: Write maps of where the translator is unsure.
        precision: ``auto``, ``32`` or ``bf16``.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        tile_px: (H, W) that a tile keeps; by default as much as memory should hold.
        force: Translate again what is up to date, and overwrite files of other origin.
        on_image: Called after each image, with the number of all.

    Raises:
        InputError: No model, no images, an image that is none of line integrals, or a file in ``out`` that no
            translation wrote.
    """
    chosen = choose_precision(precision, device)
    found = find_images(images) if names is None else _only(find_images(images), names)
    if out.resolve() in (images.resolve(), found.folder.resolve()):
        raise InputError(out, "the folder of the real images", "another folder: real images are never overwritten")
    translator, spec = load_translator(model, device)
    domain = read_domain(model)
    translated_so = partial(translate_image, tile_px=tile_px, precision=chosen, device=device)
    model_sha256 = [content_sha256(path) for path in (model, model.with_suffix(".json"))]
    record = {
        "convention": RECORD_CONVENTION,
        "model": {"name": model.name, "method": spec.method, "weights_sha256": model_sha256[0]},
        "images": str(found.folder),
        "open_field": open_field,
        "precision": chosen,
        "device": device,
    }
    with sole_writer(out):
        run = _Run(found, out, record, *_read_record(out, force), force)
        run.begin()
        for name in found.names:
            identity = _sha256([content_sha256(found.path(name)), *model_sha256, open_field, chosen])
            kept = run.up_to_date(name, identity, disagreement)
            if kept is None:
                pixels = found.read(name, open_field)
                score = None if domain is None else domain.score(pixels, found.pixel_mm(name))
                started_s = time.perf_counter()
                translated = translated_so(translator, pixels)
                seconds = time.perf_counter() - started_s
                path = f"{name}{IMAGE_SUFFIX}"
                sha256 = {path: write_image(out / path, translated)}
                if disagreement:
                    from styletransfer.disagreement import disagreement_map

                    doubts = disagreement_map(translator, pixels, translate=translated_so)
                    path = f"{DISAGREEMENT}/{path}"
                    sha256[path] = write_image(out / path, doubts)
                kept = TranslatedImage(name, seconds, *_scored(score), sha256, identity)
            run.note(kept)
            on_image(kept, len(found.names))
        removed = run.finish()
    return Translation(tuple(run.done.values()), removed, chosen, domain is not None)


def translate_sessions(
    model: Path, sessions: Sequence[PairedSession], out: Path, precision: str = "auto", device: str = "cpu"
) -> None:
    """Translate all real images of sessions into ``<out>/<acquisition_id>``.

    Raises:
        InputError: As :func:`translate_folder`.
    """
    for session in sessions:
        translate_folder(model, session.pairs, out / session.acquisition_id, precision=precision, device=device)


class _Run:
    """What one run has done so far, and what the record of earlier ones says.

    Args:
        found: What is translated.
        out: Where to.
        record: What is noted of the run, images aside.
        known: Entries of earlier runs, by name.
        planned: Names that the last run meant to write.
        force: Whether to make everything anew.
    """

    def __init__(
        self,
        found: ImageFolder,
        out: Path,
        record: dict[str, Any],
        known: dict[str, TranslatedImage],
        planned: set[str],
        force: bool,
    ) -> None:
        self.found, self.out, self.record, self.known = found, out, record, known
        self.planned, self.force = planned, force
        self.done: dict[str, TranslatedImage] = {}
        self.noted_s = time.monotonic()

    def begin(self) -> None:
        """Refuse to overwrite what no translation wrote; then note the plan, so that a killed run knows its files."""
        for name in self.found.names:
            path = self.out / f"{name}{IMAGE_SUFFIX}"
            if path.exists() and not self.force and name not in self.known and name not in self.planned:
                raise InputError(path, "a file that no translation wrote", "another folder, or --force to overwrite it")
        self._write()

    def up_to_date(self, name: str, identity_sha256: str, disagreement: bool) -> TranslatedImage | None:
        """Return the entry of an earlier run if its files are still what would be made."""
        entry = self.known.get(name)
        if self.force or entry is None or entry.identity_sha256 != identity_sha256:
            return None
        paths = [f"{name}{IMAGE_SUFFIX}"] + [f"{DISAGREEMENT}/{name}{IMAGE_SUFFIX}"] * disagreement
        for path in paths:
            file = self.out / path
            if path not in entry.sha256 or not file.is_file() or content_sha256(file) != entry.sha256[path]:
                return None
        return entry

    def note(self, image: TranslatedImage) -> None:
        """Remember an image; now and then on disk."""
        self.done[image.name] = image
        if image.is_new and image.name in self.known:
            # A map of disagreement that was not made anew belongs to another translation.
            for path in set(self.known[image.name].sha256) - set(image.sha256):
                (self.out / path).unlink(missing_ok=True)
        if image.is_new and time.monotonic() - self.noted_s > SECONDS_BETWEEN_NOTES:
            self._write()

    def finish(self) -> tuple[str, ...]:
        """Write cameras and record, and remove what belongs to images that are gone."""
        gone = [path for name, entry in self.known.items() if name not in self.done for path in entry.sha256]
        for path in gone:
            (self.out / path).unlink(missing_ok=True)
        self.known = {}
        if self.found.cameras:
            write_cameras(self.out / CAMERAS_NAME, self.found.cameras)
        self._write()
        return tuple(gone)

    def _write(self) -> None:
        entries = [asdict(entry) for entry in (self.known | self.done).values()]
        for entry in entries:
            del entry["is_new"]
        planned = {"planned": list(self.found.names), "translated": entries}
        write_json(self.out / RECORD_NAME, self.record | planned)
        self.noted_s = time.monotonic()


def _only(found: ImageFolder, names: Sequence[str]) -> ImageFolder:
    missing = sorted(set(names) - set(found.names))
    if missing or not names:
        raise InputError(found.folder, f"no image {', '.join(missing)}", "the images that are asked for")
    cameras = {name: camera for name, camera in found.cameras.items() if name in names}
    return replace(found, names=tuple(sorted(names)), cameras=cameras)


def _scored(
    score: DomainScore | None,
) -> tuple[float | None, float | None, bool | None, tuple[str, ...]]:
    if score is None:
        return None, None, None, ()
    # JSON knows no infinity.
    return min(score.distance, 1e9), score.limit, score.is_inside, tuple(score.reasons)


def _read_record(out: Path, force: bool) -> tuple[dict[str, TranslatedImage], set[str]]:
    path = out / RECORD_NAME
    if not path.is_file():
        return {}, set()
    try:
        content = json.loads(path.read_text())
        entries = [
            TranslatedImage(**entry | {"reasons": tuple(entry["reasons"]), "is_new": False})
            for entry in content["translated"]
        ]
        planned = set(content["planned"])
    except (KeyError, TypeError, ValueError) as error:
        if force:
            return {}, set()
        raise InputError(path, f"no record of a translation ({error})", "an untouched record, or --force") from error
    return {entry.name: entry for entry in entries}, planned


def _sha256(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
