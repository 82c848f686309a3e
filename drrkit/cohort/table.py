"""The cohort table: one row a CT, in ``cohort.parquet`` of a cohort folder.

Paths of CTs and label maps that lie beside or below the cohort folder are stored relative to it, so both can be moved
together; all others are stored absolute, so the cohort folder can be moved alone.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.errors import InputError
from drrkit.io.labels import LABEL_SCHEMES
from drrkit.io.store import atomic_path
from drrkit.volume import LEVEL_CODES

TABLE_NAME = "cohort.parquet"
CSV_NAME = "cohort.csv"

# ct_id names files: images, masks, meshes.
CT_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SHA256_PATTERN = r"[0-9a-f]{64}"

COLUMNS: dict[str, str] = {
    "ct_id": "name of the CT, fit for file names",
    "donor_id": "whose CT it is; splits keep all CTs of a donor together",
    "ct_path": "file, or DICOM folder",
    "labels_path": "label map, or folder of one mask a structure; empty without labels",
    "label_scheme": "numbering of the label map; empty without labels",
    "levels": "names of the labelled levels, head to foot",
    "shape": "voxels of the CT along z, y, x",
    "spacing_mm": "voxel size of the CT along x, y, z",
    "ct_sha256": "hash of the CT file or folder",
    "labels_sha256": "hash of the label map or folder; empty without labels",
    "voxels_sha256": "hash of the CT's values: equal for one CT saved twice, in any format",
    "layout": "where it was imported from: verse, ctspine1k, totalsegmentator or plain",
}


def is_cohort(folder: Path) -> bool:
    """Whether a folder holds a cohort table."""
    return (Path(folder) / TABLE_NAME).is_file()


def read_cohort(folder: Path) -> pd.DataFrame:
    """Read and check the table of a cohort folder; :func:`resolve` turns its paths into real ones.

    Raises:
        InputError: No table, an empty one, or one that breaks the schema.
    """
    path = Path(folder) / TABLE_NAME
    if not path.is_file():
        raise InputError(folder, f"no {TABLE_NAME}", "a cohort folder (drrkit cohort import makes one)")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(path, f"no readable table ({error})", "a table that drrkit cohort import wrote") from error
    return check_table(table, str(path))


def read_absolute(folder: Path) -> pd.DataFrame:
    """Read the table of a cohort folder with absolute paths, as ``import_cohort`` returns it.

    Raises:
        InputError: As :func:`read_cohort`.
    """
    table = read_cohort(folder)
    for column in ("ct_path", "labels_path"):
        table[column] = [str(resolve(Path(folder).absolute(), path)) if path else "" for path in table[column]]
    return table


def write_cohort(table: pd.DataFrame, folder: Path) -> None:
    """Write ``cohort.parquet``, and ``cohort.csv`` for people to read, into a folder.

    Args:
        table: As from ``import_cohort`` or :func:`read_cohort` of the same folder; relative paths are taken as
            relative to ``folder``.
        folder: Made if it is not there.

    Raises:
        InputError: A table that is empty or breaks the schema, or a folder that cannot be written.
    """
    folder = Path(folder)
    table = check_table(table, f"table for {folder}")
    for column in ("ct_path", "labels_path"):
        table[column] = [portable_path(folder, path) if path else "" for path in table[column]]
    with atomic_path(folder / CSV_NAME) as csv_path, atomic_path(folder / TABLE_NAME) as parquet_path:
        table.to_parquet(parquet_path, index=False)
        readable = table.assign(**{name: table[name].map(_words) for name in ("levels", "shape", "spacing_mm")})
        readable.to_csv(csv_path, index=False)


def resolve(folder: Path, path: str) -> Path:
    """Return where a path of the table of ``folder`` leads."""
    return Path(os.path.normpath(Path(folder) / path))


def portable_path(folder: Path, path: str) -> str:
    """Return a path as the table of ``folder`` stores it; see the top of this file."""
    # Links are kept as they are: data folders are often links into a cache.
    home = Path(folder).absolute()
    target = Path(os.path.normpath(home / path))
    if target.is_relative_to(home.parent) and home.parent != Path(home.anchor):
        return Path(os.path.relpath(target, home)).as_posix()
    return str(target)


def join_cohorts(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put tables with absolute paths one below the other.

    Raises:
        InputError: A ``ct_id`` in two of them.
    """
    return check_table(pd.concat(tables, ignore_index=True), "joined cohorts")


def check_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a checked copy of a cohort table, with the columns in their order.

    Raises:
        InputError: No row, a missing column, a ``ct_id`` twice, or a value of the wrong kind; the first fault is named.
    """
    from pandera.errors import SchemaError

    if table.empty:
        raise InputError(where, "an empty cohort", "at least one CT")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(where, f"no column {', '.join(missing)}", f"the columns {', '.join(COLUMNS)}")
    plain = table[list(COLUMNS)].reset_index(drop=True)
    for name in ("levels", "shape", "spacing_mm"):
        # Parquet returns arrays where lists were written.
        plain[name] = [list(value) if hasattr(value, "__iter__") else value for value in plain[name]]
    try:
        return _schema().validate(plain)
    except SchemaError as error:
        raise InputError(where, _fault(error), "a table that drrkit cohort import wrote") from error


@cache
def _schema() -> Any:
    """Build the schema; pandera is imported only here and in :func:`check_table`."""
    from pandera.pandas import Check, Column, DataFrameSchema

    def text(pattern: str) -> Any:
        return Column(str, Check.str_matches(rf"^(?:{pattern})$"))

    def each(test: Any, message: str) -> Any:
        return Column(object, Check(test, element_wise=True, error=message))

    schemes = "|".join(re.escape(scheme) for scheme in LABEL_SCHEMES)
    labelled_or_not = Check(
        lambda table: (table["labels_path"] == "") == (table["label_scheme"] == ""),
        error="labels_path, label_scheme and labels_sha256 are given together or not at all",
    )
    hashed_or_not = Check(
        lambda table: (table["labels_path"] == "") == (table["labels_sha256"] == ""),
        error="labels_path, label_scheme and labels_sha256 are given together or not at all",
    )
    return DataFrameSchema(
        {
            "ct_id": Column(str, Check.str_matches(rf"^{CT_ID_PATTERN}$"), unique=True),
            "donor_id": text(r"\S(?:.*\S)?"),
            "ct_path": text(r".+"),
            "labels_path": Column(str),
            "label_scheme": text(f"{schemes}|"),
            "levels": each(lambda names: all(name in LEVEL_CODES for name in names), "names of levels"),
            "shape": each(lambda size: len(size) == 3 and all(int(n) == n > 0 for n in size), "three sizes above 0"),
            "spacing_mm": each(lambda size: len(size) == 3 and all(mm > 0 for mm in size), "three sizes above 0"),
            "ct_sha256": text(_SHA256_PATTERN),
            "labels_sha256": text(f"{_SHA256_PATTERN}|"),
            "voxels_sha256": text(_SHA256_PATTERN),
            "layout": text(r"\w+"),
        },
        checks=[labelled_or_not, hashed_or_not],
        strict=True,
        ordered=True,
    )


def _fault(error: Any) -> str:
    """Put pandera's first failure in one line."""
    column = getattr(error.schema, "name", None) or "a row"
    cases = error.failure_cases
    value = cases["failure_case"].iloc[0] if isinstance(cases, pd.DataFrame) and len(cases) else cases
    return f"{column} {value!r} ({error.check})" if column != "a row" else f"a row that fails: {error.check}"


def _words(values: Any) -> str:
    return " ".join(str(value) for value in values)
