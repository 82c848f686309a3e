"""What made these results: code, parameters, data and seeds by their hashes, and what each stage took.

Hashes of data stand in dvc.lock, which the pipeline writes after every stage; it is read as a plain file. The report's
own entry is left out, since it tells of an earlier report.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from reconstruction.report.files import field, read_object, read_yaml
from reconstruction.report.settings import Places

OWN_STAGE = "report"
DISTRIBUTION = "drrkit"
# Libraries whose version changes numbers.
LIBRARIES = ("numpy", "scipy", "torch", "SimpleITK", "numba", "scikit-image", "plotly")
_IGNORED = "__pycache__"


@dataclass(frozen=True)
class Output:
    """A file or folder that a stage wrote, by the hash in dvc.lock."""

    path: str
    md5: str
    size_mb: float
    files: int


@dataclass(frozen=True)
class StageRecord:
    """A stage as dvc.lock and its account tell it.

    Args:
        name: With the item after ``@``.
        parameters_sha256: Of its parameters as canonical JSON; empty for a stage without any.
        seeds: ``name=value`` of every parameter that is a seed.
        outputs: What it wrote.
    """

    name: str
    parameters_sha256: str
    seeds: tuple[str, ...]
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Account:
    """What one run of a stage took: wall seconds and peak memory in MiB."""

    stage: str
    item: str | None
    seconds: float
    peak_mb: float

    @property
    def name(self) -> str:
        """As dvc calls it."""
        return self.stage if self.item is None else f"{self.stage}@{self.item}"


@dataclass(frozen=True)
class Provenance:
    """Everything that the results were made from and by.

    Args:
        version: Of the distribution.
        code_sha256: Of all source files of the packages, by their relative names.
        source_files: How many they are.
        libraries: Name -> version.
        parameters_sha256: Of params.yaml.
        parameters_text: params.yaml as it stands.
        stages: In the order of the pipeline.
        accounts: In the same order.
        descriptions: Stage -> what dvc.yaml says of it.
    """

    version: str
    code_sha256: str
    source_files: int
    libraries: dict[str, str]
    parameters_sha256: str
    parameters_text: str
    stages: tuple[StageRecord, ...]
    accounts: tuple[Account, ...]
    descriptions: dict[str, str]


def read_provenance(places: Places) -> Provenance:
    """Read dvc.yaml, dvc.lock, params.yaml, the accounts and the packages.

    Raises:
        InputError: A file that is missing or unusable, no stage in the lock, or no account.
    """
    pipeline = field(read_yaml(places.pipeline, "the pipeline"), "stages", places.pipeline)
    names = [name for name in pipeline if name != OWN_STAGE]
    files = source_files(places.sources)
    text = _text(places.parameters)
    return Provenance(
        version=metadata.version(DISTRIBUTION),
        code_sha256=code_sha256(places.sources),
        source_files=len(files),
        libraries={name: metadata.version(name) for name in LIBRARIES},
        parameters_sha256=hashlib.sha256(text.encode()).hexdigest(),
        parameters_text=text,
        stages=tuple(read_lock(places.lock, names)),
        accounts=tuple(read_accounts(places.accounts, names)),
        descriptions={name: _description(pipeline[name]) for name in names},
    )


def source_files(packages: Sequence[Path]) -> list[Path]:
    """List all files of the packages but what Python compiled."""
    return sorted(file for folder in packages for file in folder.rglob("*") if file.is_file() and _is_source(file))


def code_sha256(packages: Sequence[Path]) -> str:
    """Hash names and contents of all source files.

    Raises:
        InputError: A package without files.
    """
    digest = hashlib.sha256()
    for folder in sorted(packages):
        files = source_files([folder])
        if not files:
            raise InputError(folder, "no source file", "a package")
        for file in files:
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            digest.update(f"{name}\0{content_sha256(file)}\n".encode())
    return digest.hexdigest()


def read_lock(path: Path, names: Sequence[str]) -> list[StageRecord]:
    """Read the stages of dvc.lock that are called so, items apart, in this order.

    Raises:
        InputError: No such file, an entry that is none, or none of the stages.
    """
    entries = field(read_yaml(path, "dvc.lock, which `dvc repro` writes"), "stages", path)
    records = []
    for name in names:
        for entry in sorted(key for key in entries if key.partition("@")[0] == name):
            try:
                records.append(_stage(entry, entries[entry]))
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path}, {entry}", f"an entry that is none ({error})", "as dvc writes it") from error
    if not records:
        raise InputError(path, "none of the stages", "the stages of dvc.yaml, run by `dvc repro`")
    return records


def read_accounts(folder: Path, names: Sequence[str]) -> list[Account]:
    """Read what the stages took, in this order; items by name.

    Raises:
        InputError: None there, or a file that is no account.
    """
    accounts = []
    for path in sorted(folder.glob("*.json")):
        record = read_object(path, "of the same name")
        values = {name: field(record, name, path) for name in ("stage", "item", "seconds", "peak_mb")}
        if values["stage"] in names:
            accounts.append(Account(**values))
    if not accounts:
        raise InputError(folder, "no account of a stage", "the accounts that the stages write, run by `dvc repro`")
    return sorted(accounts, key=lambda account: (names.index(account.stage), account.item or ""))


def _stage(name: str, entry: dict[str, Any]) -> StageRecord:
    parameters = entry.get("params", {})
    canonical = json.dumps(parameters, sort_keys=True, default=str)
    return StageRecord(
        name=name,
        parameters_sha256=hashlib.sha256(canonical.encode()).hexdigest() if parameters else "",
        seeds=tuple(f"{place}={value}" for place, value in _seeds(parameters.get("params.yaml", {}), "")),
        outputs=tuple(
            Output(out["path"], out["md5"], out["size"] / 2**20, out.get("nfiles", 1)) for out in entry.get("outs", [])
        ),
    )


def _seeds(value: Any, place: str) -> Iterator[tuple[str, object]]:
    """Find every parameter whose name is or ends with seed."""
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{place}.{name}" if place else str(name)
            if str(name).endswith("seed") and not isinstance(inner, dict | list):
                yield path, inner
            yield from _seeds(inner, path)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _seeds(inner, f"{place}[{number}]")


def _description(entry: Any) -> str:
    entry = entry.get("do", entry) if isinstance(entry, dict) else {}
    return str(entry.get("desc", ""))


def _is_source(file: Path) -> bool:
    return _IGNORED not in file.parts and not file.name.startswith(".") and file.suffix != ".pyc"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InputError(path, error.strerror or error, "a params.yaml") from error
