"""Frozen donor splits: who trains and who tests is decided once, written down, and checked whenever data is loaded.

Donors are ordered by a hash of seed and name, so the same donors and seed give the same splits on every machine. New
donors fill up what the fractions still want; no donor ever moves. The hashes of the CTs are frozen too: one CT under
two donors is refused, and so is a CT that changed after it was split.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.errors import InputError
from drrkit.io.store import write_json

SPLITS_NAME = "splits.json"
SPLITS_CONVENTION = "drrkit-splits/1"


@dataclass(frozen=True)
class Splits:
    """Who is in which split.

    Args:
        fractions: Share of the donors that each split shall have; they add up to 1.
        seed: Of the order in which donors are drawn.
        donors: Donor ids of each split, sorted.
        cts: Donor and hash of the values of every CT, by ``ct_id``.
        pinned: Donors whose split was given, not drawn.
    """

    fractions: dict[str, float]
    seed: int
    donors: dict[str, tuple[str, ...]]
    cts: dict[str, tuple[str, str]]
    pinned: dict[str, str] = field(default_factory=dict)

    def split_of(self, donor_id: str) -> str | None:
        """Return the split of a donor, or None for an unknown one."""
        return next((split for split, donors in self.donors.items() if donor_id in donors), None)

    def to_record(self) -> dict[str, Any]:
        """Return the content of ``splits.json``."""
        return {
            "convention": SPLITS_CONVENTION,
            "seed": self.seed,
            "fractions": self.fractions,
            "pinned": self.pinned,
            "splits": {split: list(donors) for split, donors in self.donors.items()},
            "cts": {ct_id: {"donor_id": donor, "voxels_sha256": digest} for ct_id, (donor, digest) in self.cts.items()},
        }


def freeze_splits(
    table: pd.DataFrame,
    fractions: Mapping[str, float],
    seed: int,
    pinned: Mapping[str, str] | None = None,
    frozen: Splits | None = None,
) -> Splits:
    """Deal donors out to splits.

    Args:
        table: The cohort.
        fractions: Share of each split, for example ``{"train": 0.7, "validation": 0.15, "test": 0.15}``.
        seed: Of the order in which donors are drawn.
        pinned: Donors that must be in a given split, for example a CT that is only ever looked at in ``test``.
        frozen: Earlier splits to extend: their donors stay where they are, also those that the table no longer has.

    Raises:
        InputError: Fractions that are none, one CT under two donors, a CT that changed since it was frozen, a pinned
            donor who is not there or frozen elsewhere, or fewer donors than splits.
    """
    shares = check_fractions(fractions)
    check_duplicates(table)
    pinned = dict(pinned or {})
    donor_ids = set(table["donor_id"])
    placed = {donor: split for split, donors in (frozen.donors.items() if frozen else ()) for donor in donors}
    for donor, split in pinned.items():
        if donor not in donor_ids | set(placed) or split not in shares:
            raise InputError(
                f"pinned donor {donor}", f"split {split!r}", f"a donor of the cohort and one of {', '.join(shares)}"
            )
        if placed.get(donor, split) != split:
            raise InputError(f"pinned donor {donor}", f"frozen in {placed[donor]}", "its frozen split: no donor moves")
    if frozen is not None:
        if shares != frozen.fractions or seed != frozen.seed:
            raise InputError(
                SPLITS_NAME,
                f"fractions {frozen.fractions} and seed {frozen.seed}",
                f"the same ({shares}, {seed}), or new splits by --force",
            )
        _check_content(table, frozen)
    placed |= pinned
    drawn = sorted(donor_ids - set(placed), key=lambda donor: _draw(seed, donor))
    total = len(drawn) + len(placed)
    if total < len(shares):
        raise InputError("cohort", f"{total} donor(s) for {len(shares)} splits", "at least one donor a split")
    wanted = _whole_shares(shares, total)
    counts = {split: sum(place == split for place in placed.values()) for split in shares}
    for donor in drawn:
        split = max(shares, key=lambda name: wanted[name] - counts[name])
        placed[donor] = split
        counts[split] += 1
    return Splits(
        fractions=shares,
        seed=seed,
        donors={split: tuple(sorted(donor for donor in placed if placed[donor] == split)) for split in shares},
        cts=dict(sorted(((frozen.cts if frozen else {}) | _content(table)).items())),
        pinned=dict(sorted(((frozen.pinned if frozen else {}) | pinned).items())),
    )


def assert_split(table: pd.DataFrame, splits: Splits) -> pd.Series:
    """Check a cohort against its frozen splits and return the split of every row; call it whenever data is loaded.

    Raises:
        InputError: A donor without a split, a donor in two, one CT under two donors, a CT that is new or changed since
            the splits were frozen.
    """
    check_duplicates(table)
    _check_content(table, splits)
    for row in table.itertuples():
        if splits.split_of(row.donor_id) is None:
            raise InputError(
                f"donor {row.donor_id}", "no split", "a donor of the frozen splits; drrkit cohort split adds new ones"
            )
        if row.ct_id not in splits.cts:
            raise InputError(f"CT {row.ct_id}", "not frozen", "a CT of the frozen splits; drrkit cohort split adds it")
    return table["donor_id"].map(splits.split_of)


def check_duplicates(table: pd.DataFrame) -> None:
    """Refuse one CT under two donors: it would leak from one split into another.

    Raises:
        InputError: The first such pair.
    """
    for first, second in duplicate_cts(table):
        if first.donor_id != second.donor_id:
            raise InputError(
                f"CTs {first.ct_id} and {second.ct_id}",
                f"the same content under the donors {first.donor_id} and {second.donor_id}",
                "one donor for one CT: give both the same donor_id, or leave one out",
            )


def duplicate_cts(table: pd.DataFrame) -> list[tuple[Any, Any]]:
    """List pairs of rows with one content: the same values, in whatever file format or compression."""
    groups = table.groupby("voxels_sha256", sort=False)
    rows = [list(group.itertuples()) for _, group in groups if len(group) > 1]
    return [(same[0], other) for same in rows for other in same[1:]]


def read_splits(folder: Path) -> Splits | None:
    """Read ``splits.json`` of a cohort folder; None where there is none yet.

    Raises:
        InputError: A file that is none of ours, or one that names a donor in two splits.
    """
    path = Path(folder) / SPLITS_NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        if content["convention"] != SPLITS_CONVENTION:
            raise InputError(path, f"convention {content['convention']!r}", SPLITS_CONVENTION)
        splits = Splits(
            fractions={split: float(share) for split, share in content["fractions"].items()},
            seed=int(content["seed"]),
            donors={split: tuple(donors) for split, donors in content["splits"].items()},
            cts={ct_id: (ct["donor_id"], ct["voxels_sha256"]) for ct_id, ct in content["cts"].items()},
            pinned=dict(content["pinned"]),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(path, f"no {SPLITS_CONVENTION} file ({error!r})", "an untouched file, or none") from error
    everyone = [donor for donors in splits.donors.values() for donor in donors]
    twice = sorted({donor for donor in everyone if everyone.count(donor) > 1})
    if twice:
        raise InputError(path, f"the donor {twice[0]} in two splits", "every donor once")
    return splits


def write_splits(splits: Splits, folder: Path, force: bool = False) -> None:
    """Write ``splits.json`` into a cohort folder.

    Args:
        splits: From :func:`freeze_splits`.
        folder: The cohort folder.
        force: Overwrite frozen splits even if donors move; every result on them is void then.

    Raises:
        InputError: Frozen splits that the new ones do not extend.
    """
    frozen = None if force else read_splits(folder)
    if frozen is not None:
        moved = [
            donor for split, donors in frozen.donors.items() for donor in donors if splits.split_of(donor) != split
        ]
        if moved or not frozen.cts.items() <= splits.cts.items():
            raise InputError(
                Path(folder) / SPLITS_NAME,
                f"other frozen splits (donor {moved[0]} would move)" if moved else "other frozen CTs",
                "splits that extend them, or --force, which voids every result on them",
            )
    write_json(Path(folder) / SPLITS_NAME, splits.to_record())


def check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """Return fractions as a dict of floats.

    Raises:
        InputError: None, one that is not above 0, or a sum other than 1.
    """
    shares = {str(split): float(share) for split, share in fractions.items()}
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError("fractions", shares, "shares above 0 that add up to 1")
    return shares


def _content(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {row.ct_id: (row.donor_id, row.voxels_sha256) for row in table.itertuples()}


def _check_content(table: pd.DataFrame, frozen: Splits) -> None:
    """Refuse CTs that changed or went to another donor, and new ones that repeat a frozen CT of another donor."""
    frozen_owner = {digest: (ct_id, donor) for ct_id, (donor, digest) in frozen.cts.items()}
    for ct_id, (donor, digest) in _content(table).items():
        if frozen.cts.get(ct_id, (donor, digest))[1] != digest:
            raise InputError(
                f"CT {ct_id}", "another content than when the splits were frozen", "the frozen CT, or a new ct_id"
            )
        twin, owner = frozen_owner.get(digest, (ct_id, donor))
        if owner != donor:
            raise InputError(
                f"CT {ct_id}",
                f"the donor {donor}, but its content was frozen as CT {twin} of donor {owner}",
                "the donor that it was frozen with",
            )


def _draw(seed: int, donor_id: str) -> str:
    return hashlib.sha256(f"{seed}\0{donor_id}".encode()).hexdigest()


def _whole_shares(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Round shares of ``total`` to whole numbers that add up to it (largest remainders), at least one each."""
    exact = {split: share * total for split, share in shares.items()}
    whole = {split: max(1, int(value + 1e-9)) for split, value in exact.items()}
    while sum(whole.values()) != total:
        step = 1 if sum(whole.values()) < total else -1
        # Ties go to the split named first; none falls below one donor.
        able = [split for split in whole if step > 0 or whole[split] > 1]
        chosen = max(able, key=lambda split: step * (exact[split] - whole[split]))
        whole[chosen] += step
    return whole
