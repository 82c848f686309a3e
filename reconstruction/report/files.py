"""Tables, JSON, YAML and arrays that other stages wrote; each reader says what is missing and who writes it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import yaml

from drrkit.errors import InputError


def read_table(path: Path, columns: Sequence[str], writer: str) -> pd.DataFrame:
    """Read a CSV with at least these columns and one row.

    Args:
        path: Of the file.
        columns: That must be there.
        writer: The stage that writes it, for errors.

    Raises:
        InputError: No such file, no table, a column missing, or no row.
    """
    wanted = f"the table that the stage {writer} writes"
    try:
        table = pd.read_csv(path, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise InputError(path, error, wanted) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(path, f"no column {', '.join(missing)}", f"the columns {', '.join(columns)}")
    if table.empty:
        raise InputError(path, "no row", wanted)
    return table


def read_object(path: Path, writer: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: No such file, or no JSON object.
    """
    wanted = f"the JSON object that the stage {writer} writes"
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, error, wanted) from error
    if not isinstance(content, dict):
        raise InputError(path, f"a {type(content).__name__}", wanted)
    return content


def read_yaml(path: Path, wanted: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        InputError: No such file, or no mapping.
    """
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(path, error, wanted) from error
    if not isinstance(content, dict):
        raise InputError(path, f"a {type(content).__name__}", wanted)
    return content


def read_arrays(path: Path, names: Sequence[str], writer: str) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file, of which some must be there.

    Raises:
        InputError: No such file, no arrays, or a name missing.
    """
    wanted = f"the arrays that the stage {writer} writes"
    try:
        with np.load(path, allow_pickle=False) as content:
            missing = [name for name in names if name not in content.files]
            if missing:
                raise InputError(path, f"no array {', '.join(missing)}", ", ".join(names))
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, error, wanted) from error


def field(record: Mapping[str, Any], name: str, where: object) -> Any:
    """Return a field of a record; dots lead into records of records.

    Raises:
        InputError: It is not there.
    """
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise InputError(where, f"no field {name}", f"a field {name}")
        value = value[part]
    return value
