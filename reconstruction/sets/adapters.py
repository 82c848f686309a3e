"""Cases out of what other rooms wrote: renders of a cohort, and calibrated pairs of a session."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drrkit.cohort import Splits, assert_split, read_cohort, resolve
from drrkit.dataset.plan import CAMERAS_NAME as RENDER_CAMERAS_NAME
from drrkit.errors import InputError
from drrkit.io.manifest import MANIFEST_NAME, ManifestRow, read_manifest
from drrkit.io.store import content_sha256
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume
from protocols.acquisition.sheet import read_sheet
from protocols.pairs import CAMERAS_NAME, IMAGE_KINDS, PairRow, read_pairs, training_pairs
from reconstruction.cases import SPLITS, Case, ImageKind, Split, check_cases
from reconstruction.loading import read_label_volume


def cases_from_renders(rendered: Path, cohort: Path, splits: Splits) -> list[Case]:
    """List what ``drrkit render`` wrote for a cohort, one case a labelled CT, in the order of the cohort's table.

    A level that touches the border of its CT is left out: it is not whole.

    Args:
        rendered: Output folder of the render.
        cohort: The cohort folder that was rendered.
        splits: Its frozen splits; they are asserted.

    Raises:
        InputError: No images, images of other CTs or labels than the cohort's, a donor without a split, splits of
            other names, or no CT with a whole lumbar level.
    """
    table = read_cohort(cohort)
    split_of_row = assert_split(table, splits)
    rows = list(read_manifest(rendered).values())
    if not rows:
        raise InputError(rendered, "no rendered images", "an output folder of drrkit render")
    known = set(table["ct_id"])
    stranger = next((row for row in rows if row.ct_id not in known), None)
    if stranger is not None:
        raise InputError(rendered, f"an image of the CT {stranger.ct_id or 'without a name'}", f"CTs of {cohort}")
    cases = []
    for record, split in zip(table.itertuples(), split_of_row, strict=True):
        views = [row for row in rows if row.ct_id == record.ct_id]
        if not views or not record.labels_path:
            continue
        if split not in SPLITS:
            raise InputError(f"{cohort}, donor {record.donor_id}", f"split {split!r}", " or ".join(SPLITS))
        for row in views:
            _check_same(row, record.ct_sha256, record.labels_sha256, rendered)
        labels = resolve(cohort, record.labels_path)
        levels = whole_levels(read_label_volume(labels, record.label_scheme))
        if levels:
            cases.append(
                Case(
                    case_id=record.ct_id,
                    donor_id=record.donor_id,
                    split=split,
                    kind="drr",
                    views=tuple(row.id for row in views),
                    cameras=rendered / RENDER_CAMERAS_NAME,
                    images=rendered / Path(views[0].image).parent,
                    labels=labels,
                    label_scheme=record.label_scheme,
                    levels=levels,
                )
            )
    check_cases(cases, f"{rendered} of {cohort}")
    return cases


def cases_from_pairs(
    pairs: Path, acquisition: Path, split: Split, kind: ImageKind, images: str | Path = "real"
) -> list[Case]:
    """Make one case of the calibrated pairs of a session.

    Pairs that people rejected are left out; for training, also doubtful ones that nobody accepted.

    Args:
        pairs: Folder that :func:`protocols.pairing.make_pairs` wrote.
        acquisition: Folder of the session, with acquisition.yaml and the labels.
        split: Of the donor.
        kind: What made the images.
        images: A kind of :mod:`protocols.pairs`, or any folder with images of the same names and cameras, for example
            translated ones.

    Raises:
        InputError: No pairs of use, pairs of another session, images that are missing or not of that kind, no labels,
            or no whole lumbar level.
    """
    sheet = read_sheet(acquisition)
    if sheet.ct.labels is None or sheet.ct.label_scheme is None:
        raise InputError(acquisition, "no labels", "ct.labels and ct.label_scheme in acquisition.yaml")
    rows = training_pairs(pairs) if split == "train" else _not_rejected(pairs)
    if not rows:
        raise InputError(pairs, f"no pairs for {split}", "pairs that were not rejected; for training, trusted ones")
    if {(row.acquisition_id, row.donor_id) for row in rows} != {(sheet.acquisition_id, sheet.donor_id)}:
        found = f"pairs of {rows[0].acquisition_id}, donor {rows[0].donor_id}"
        raise InputError(pairs, found, f"pairs of {sheet.acquisition_id}, donor {sheet.donor_id}")
    folder = pairs / images if str(images) in IMAGE_KINDS else Path(images)
    _check_kind(kind, str(images), sheet.simulated, pairs)
    labels = acquisition / sheet.ct.labels
    levels = whole_levels(read_label_volume(labels, sheet.ct.label_scheme))
    if not levels:
        raise InputError(labels, "no whole lumbar level", "at least one of L1 to L5")
    case = Case(
        case_id=sheet.acquisition_id if folder.name == "real" else f"{sheet.acquisition_id}-{folder.name}",
        donor_id=sheet.donor_id,
        split=split,
        kind=kind,
        views=tuple(row.exposure_id for row in rows),
        cameras=pairs / CAMERAS_NAME,
        images=folder,
        labels=labels,
        label_scheme=sheet.ct.label_scheme,
        levels=levels,
    )
    for view_id in case.views:
        if not case.image(view_id).is_file():
            raise InputError(case.image(view_id), "no such file", f"an image for each pair of {pairs}")
    return [case]


def whole_levels(volume: Volume) -> tuple[str, ...]:
    """Name the lumbar levels that no border of the volume cuts off."""
    assert volume.labels is not None  # read as labels
    cut: set[int] = set()
    for axis in range(3):
        for end in (0, -1):
            cut.update(np.unique(volume.labels.take(end, axis=axis)).tolist())
    return tuple(level for level in LUMBAR_LEVELS if level in volume.levels and LEVEL_CODES[level] not in cut)


def check_same_patient(images: Sequence[Path]) -> str:
    """Assert that views are different images of one patient, as far as manifests beside them tell.

    ``manifest.csv`` of a render or of pairs is looked for in the folder of an image and in the one above. An image
    that no manifest knows is taken on trust.

    Returns:
        The donor's id, or the hash of the CT where that is all that is known; "" where nothing is.

    Raises:
        InputError: Views of two donors, one image twice, or an image that is not the one its manifest hashed.
    """
    patients: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for image in images:
        digest = content_sha256(image)
        if digest in seen:
            raise InputError(image, f"the same image as {seen[digest]}", "every view once")
        seen[digest] = image
        patient, wanted = _patient_of(image)
        if wanted and wanted != digest:
            raise InputError(image, "another image than its manifest has", "the image that was rendered or paired")
        if patient:
            patients.setdefault(patient, image)
    if len(patients) > 1:
        (one, first), (other, second) = list(patients.items())[:2]
        raise InputError(second, f"a view of {other}, beside one of {one} ({first})", "views of one patient")
    return next(iter(patients), "")


def _patient_of(image: Path) -> tuple[str, str]:
    """Return donor and hash of an image as its manifest has them, empty where it does not."""
    for folder in (image.parent, image.parent.parent):
        if not (folder / MANIFEST_NAME).is_file():
            continue
        with (folder / MANIFEST_NAME).open(newline="") as stream:
            columns = next(csv.reader(stream), [])
        if "exposure_id" in columns:
            for pair in read_pairs(folder):
                if pair.exposure_id == image.stem:
                    return pair.donor_id, pair.images_sha256.get(image.parent.name, "")
        elif "image_sha256" in columns:
            row = read_manifest(folder).get(image.stem)
            if row is not None and (folder / row.image).resolve() == image.resolve():
                return row.donor_id or row.ct_sha256, row.image_sha256
    return "", ""


def _check_same(row: ManifestRow, ct_sha256: str, labels_sha256: str, rendered: Path) -> None:
    if (row.ct_sha256, row.labels_sha256) != (ct_sha256, labels_sha256):
        found = f"image {row.id} of another state of the CT {row.ct_id} or its labels"
        raise InputError(rendered, found, "images of the cohort as it is: render again")


def _check_kind(kind: ImageKind, images: str, simulated: bool, where: Path) -> None:
    """Nobody shall take a simulated image for a real one."""
    true_kinds: tuple[ImageKind, ...]
    if images in ("drr_bone", "drr_full"):
        true_kinds = ("drr",)
    elif images in IMAGE_KINDS:
        true_kinds = ("simulated",) if simulated else ("real",)
    else:
        true_kinds = ("translated", "drr", "simulated" if simulated else "real")
    if kind not in true_kinds:
        raise InputError(f"{where}, images {images}", f"the kind {kind}", " or ".join(true_kinds))


def _not_rejected(pairs: Path) -> list[PairRow]:
    return [row for row in read_pairs(pairs) if row.status != "fail" and row.rating != "reject"]
