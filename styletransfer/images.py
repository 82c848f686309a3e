"""Pairs of a set, read from disk when they are asked for: real image, DRR, field and camera of one exposure."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32, Int64

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import read_cameras, read_image, read_mask
from protocols.pairs import CAMERAS_NAME, PairRow, field_path, image_path, read_pairs, training_pairs
from protocols.pairset import PairedSession, Split, sessions_of
from styletransfer.scale import Scale
from styletransfer.settings import SubsetSettings

Purpose = Literal["learning", "evaluation"]
SYNTHETIC_KIND = "drr_bone"
# What a source keeps of files that it has read: some 4000 pairs of 320 x 320 pixels, or 400 of 1024 x 1024.
CACHE_BYTES = 2 * 1024**3
# More pairs than these would move the numbers of a scale by less than their rounding.
SCALE_PAIRS = 256
# Below this, central rays are so close to parallel that the place where they meet is not known.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class PairImage:
    """One pair: the same anatomy through the same camera, as a C-arm saw it and as a renderer does.

    Args:
        pair_id: ``<acquisition>/<exposure>``.
        acquisition_id: Its session.
        exposure_id: Its name there.
        donor_id: Whose anatomy.
        group: Sessions that are judged together.
        real: Line integrals, 0 outside of ``field``.
        synthetic: Line integrals of the bone DRR.
        field: Where the beam fell on the detector.
        camera: Of both images.
    """

    pair_id: str
    acquisition_id: str
    exposure_id: str
    donor_id: str
    group: str
    real: Float32[np.ndarray, "h w"]
    synthetic: Float32[np.ndarray, "h w"]
    field: Bool[np.ndarray, "h w"]
    camera: Camera


class Pairs(Protocol):
    """Anything that pairs can be taken from by number: a list of them, or a :class:`PairSource`."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> PairImage:
        """Return one."""
        ...


@dataclass(frozen=True, eq=False)
class PairPlace:
    """Where a pair lies and what is known without opening its images; the fields are those of :class:`PairImage`."""

    pair_id: str
    acquisition_id: str
    exposure_id: str
    donor_id: str
    group: str
    folder: Path
    camera: Camera


@dataclass(frozen=True, eq=False)
class _Stored:
    real: Float16[np.ndarray, "h w"]
    synthetic: Float16[np.ndarray, "h w"]
    field: Bool[np.ndarray, "h w"]

    @property
    def bytes(self) -> int:
        return self.real.nbytes + self.synthetic.nbytes + self.field.nbytes


class PairSource:
    """Pairs that are read when they are asked for; those asked for last stay in memory. Threads may share it.

    Pixels are rounded to half precision (1 part in 2048) whether they come from a file or from memory, so that the same
    index always gives the same bits.

    Args:
        places: Where the pairs lie.
        cache_bytes: How much may stay in memory.
    """

    def __init__(self, places: Sequence[PairPlace], cache_bytes: int = CACHE_BYTES) -> None:
        self.places = tuple(places)
        self.donor_ids = tuple(place.donor_id for place in self.places)
        self.donor_numbers = _numbered(self.donor_ids)
        self.cache_bytes = cache_bytes
        self._stored: OrderedDict[int, _Stored] = OrderedDict()
        self._stored_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[PairImage]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairImage:
        """Return a pair in single precision.

        Raises:
            InputError: A file that cannot be read, or another size than the camera's.
        """
        index = range(len(self))[index]  # negative ones count from the end; others raise IndexError
        stored = self._find(index)
        if stored is None:
            # Not under the lock: threads decode at the same time. Two may read one pair; both get the same bits.
            stored = _read(self.places[index])
            self._keep(index, stored)
        place = self.places[index]
        return PairImage(
            pair_id=place.pair_id,
            acquisition_id=place.acquisition_id,
            exposure_id=place.exposure_id,
            donor_id=place.donor_id,
            group=place.group,
            real=stored.real.astype(np.float32),
            synthetic=stored.synthetic.astype(np.float32),
            field=stored.field.copy(),
            camera=place.camera,
        )

    def _find(self, index: int) -> _Stored | None:
        with self._lock:
            stored = self._stored.get(index)
            if stored is not None:
                self._stored.move_to_end(index)
            return stored

    def _keep(self, index: int, stored: _Stored) -> None:
        with self._lock:
            if index not in self._stored:
                self._stored[index] = stored
                self._stored_bytes += stored.bytes
            while self._stored_bytes > self.cache_bytes:
                self._stored_bytes -= self._stored.popitem(last=False)[1].bytes

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes where pairs lie, not what was read of them.
        return (PairSource, (self.places, self.cache_bytes))


def open_pairs(
    sessions: Sequence[PairedSession],
    split: Split,
    subset: SubsetSettings | None = None,
    purpose: Purpose = "learning",
    cache_bytes: int = CACHE_BYTES,
) -> PairSource:
    """List the pairs of one split; their images are not opened yet.

    Train pairs are those that may train. Of validation and test donors all count whose camera did not fail and that
    nobody rejected: what is judged should not be chosen by how well it looks.

    Args:
        sessions: Of a pair set.
        split: Which donors.
        subset: How many donors and pairs of each; all if None.
        purpose: ``learning`` refuses donors of the test split before any file is opened.
        cache_bytes: See :class:`PairSource`.

    Raises:
        InputError: The test split for learning, no session or no pair of that split, a manifest or camera file that
            cannot be read, pairs of another session or donor than the set says, a pair without a camera.
    """
    if purpose == "learning" and split == "test":
        raise InputError("split", "donors of the test split", "train or validation donors for learning")
    of_split = sessions_of(sessions, split)
    donors = list(dict.fromkeys(session.donor_id for session in of_split))
    chosen: list[PairPlace] = []
    for donor in donors[: subset.donors if subset else None]:
        places = [place for session in of_split if session.donor_id == donor for place in _places(session)]
        wanted = len(places) if subset is None or subset.pairs is None else subset.pairs
        chosen += [places[number] for number in spread_evenly(len(places), wanted)]
    if not chosen:
        folders = ", ".join(str(session.pairs) for session in of_split)
        raise InputError(folders, f"no pair of the split {split} that may be used", "pairs that nobody rejected")
    return PairSource(chosen, cache_bytes)


def load_pairs(
    sessions: Sequence[PairedSession],
    split: Split,
    subset: SubsetSettings | None = None,
    on_pair: Callable[[PairImage], None] = lambda pair: None,
    purpose: Purpose = "learning",
) -> list[PairImage]:
    """Read the pairs of one split into memory; see :func:`open_pairs` for sets that are larger than it.

    Raises:
        InputError: As :func:`open_pairs`, and a file that cannot be read or whose size is not the camera's.
    """
    pairs = []
    for pair in open_pairs(sessions, split, subset, purpose, cache_bytes=0):
        on_pair(pair)
        pairs.append(pair)
    return pairs


def donor_numbers(pairs: Pairs) -> Int64[np.ndarray, " n"]:
    """Return a number for the donor of each pair, without opening images where that is not needed."""
    if isinstance(pairs, PairSource):
        return pairs.donor_numbers
    return _numbered([pairs[index].donor_id for index in range(len(pairs))])


def spread_evenly(count: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` different numbers below ``count``, as far from each other and from the ends."""
    wanted = min(count, wanted)
    return [(2 * number + 1) * count // (2 * wanted) for number in range(wanted)]


def measure_scale(pairs: Pairs, most: int = SCALE_PAIRS) -> Scale:
    """Measure how line integrals are scaled for networks.

    Args:
        pairs: Of the train split.
        most: Look at so many pairs, spread evenly.

    Raises:
        InputError: No pair, no pixel in any field, or images that show nothing.
    """
    sums = np.zeros(3)  # pixels, their values, their squares
    synthetic = np.zeros(2)  # pixels, their squares
    for index in spread_evenly(len(pairs), most):
        pair = pairs[index]
        real = pair.real[pair.field].astype(np.float64)
        sums += real.size, real.sum(), (real**2).sum()
        synthetic += pair.synthetic.size, (pair.synthetic.astype(np.float64) ** 2).sum()
    if not sums[0]:
        raise InputError("pairs", "no pixel inside of any field", "real images with a field")
    mean = sums[1] / sums[0]
    variance = max(sums[2] / sums[0] - mean**2, 0.0)
    return Scale(float(mean), float(np.sqrt(variance)), float(np.sqrt(synthetic[1] / synthetic[0])))


def isocenter_world(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"] | None:
    """Return the point nearest to all central rays of a session, in the least-squares sense, in world millimeters.

    None where all cameras look along one line: then nothing tells how far away the patient is.
    """
    if not cameras:
        return None
    directions = np.stack([camera.view_direction_world for camera in cameras])
    sources = np.stack([camera.source_world for camera in cameras])
    # Each ray counts by the distance at a right angle to it: (I - d d^T)(x - source).
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    if np.linalg.eigvalsh(across.mean(axis=0))[0] < LEAST_SPREAD:
        return None
    return np.linalg.solve(across.sum(axis=0), np.einsum("vij,vj->i", across, sources))


def isocenter_pixel_mm(camera: Camera, center_world: Float[np.ndarray, " 3"]) -> float:
    """Return how large a pixel is at a point in the patient: the spacing at the detector, scaled back to its depth."""
    return float(camera.depth_mm(center_world)) / camera.focal_px


def _places(session: PairedSession) -> list[PairPlace]:
    usable = training_pairs if session.split == "train" else _not_refused
    rows = usable(session.pairs)
    cameras = read_cameras(session.pairs / CAMERAS_NAME) if rows else {}
    for row in rows:
        where = f"{session.pairs}, pair {row.pair_id}"
        if (row.acquisition_id, row.donor_id) != (session.acquisition_id, session.donor_id):
            wanted = f"{session.acquisition_id} of {session.donor_id}, as the set says"
            raise InputError(where, f"session {row.acquisition_id} of donor {row.donor_id}", wanted)
        if row.exposure_id not in cameras:
            raise InputError(where, f"no camera in {CAMERAS_NAME}", "one for each exposure")
    return [
        PairPlace(
            pair_id=row.pair_id,
            acquisition_id=row.acquisition_id,
            exposure_id=row.exposure_id,
            donor_id=row.donor_id,
            group=session.group,
            folder=session.pairs,
            camera=cameras[row.exposure_id],
        )
        for row in rows
    ]


def _numbered(names: Sequence[str]) -> Int64[np.ndarray, " n"]:
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([number_of[name] for name in names], np.int64)


def _not_refused(folder: Path) -> list[PairRow]:
    rows = read_pairs(folder)
    if not rows:
        raise InputError(folder, "no pairs", "a folder that drrkit acquisition pair wrote")
    return [row for row in rows if row.status != "fail" and row.rating != "reject"]


def _read(place: PairPlace) -> _Stored:
    size = (place.camera.height, place.camera.width)
    real_path, synthetic_path = (
        place.folder / image_path(kind, place.exposure_id) for kind in ("real", SYNTHETIC_KIND)
    )
    mask_path = place.folder / field_path(place.exposure_id)
    real, synthetic, field = read_image(real_path), read_image(synthetic_path), read_mask(mask_path)
    for path, array in ((real_path, real), (synthetic_path, synthetic), (mask_path, field)):
        if array.shape != size:
            found = f"{array.shape[0]} x {array.shape[1]} pixels"
            raise InputError(path, found, f"the camera's {size[0]} x {size[1]}")
        if not np.isfinite(array).all():
            raise InputError(path, "NaN or infinite pixels", "finite line integrals")
    return _Stored(real.astype(np.float16), synthetic.astype(np.float16), field)
