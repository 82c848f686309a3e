"""View sets by name, or from a file of one's own."""

from pathlib import Path

import yaml

from drrkit.errors import InputError
from drrkit.geometry.viewsets import VIEW_SETS, ViewSet, view_set


def load_view_set(name_or_path: str) -> ViewSet:
    """Look up a view set, or read a YAML or JSON file with a list of views.

    Raises:
        InputError: Neither a known name nor a file, or a file that does not list views.
    """
    if name_or_path in VIEW_SETS:
        return view_set(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError("view set", name_or_path, f"{', '.join(VIEW_SETS)}, or a YAML or JSON file that lists views")
    try:
        records = yaml.safe_load(path.read_text())  # JSON is YAML
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"no YAML ({error})", "a YAML or JSON list of views") from error
    return ViewSet.from_records(records, path.stem, str(path), str(path))
