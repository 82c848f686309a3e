"""A new acquisition folder, with an acquisition.yaml whose comments are the schema's own descriptions."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from drrkit.errors import InputError
from drrkit.io.store import write_bytes, writing
from protocols.acquisition.schema import (
    ACQUISITION_CONVENTION,
    PLACEHOLDER,
    SHEET_NAME,
    ExposureNote,
    Sheet,
    is_safe_name,
)

README_NAME = "README.txt"
_WIDTH = 118

# What stands in a new file where the schema has no default. One ball is the least that parses; check asks for more.
_REQUIRED: dict[str, Any] = {
    "convention": ACQUISITION_CONVENTION,
    "donor_id": PLACEHOLDER,
    "simulated": False,
    "site": PLACEHOLDER,
    "specimen.kind": "cadaver",
    "specimen.levels": ["L1", "L2", "L3", "L4", "L5"],
    "balls.material": "stainless steel",
    "balls.diameter_mm": 3.0,
    "balls.count": 1,
    "device.detector": "flat_panel",
    "consent_reference": PLACEHOLDER,
}

_HEADER = f"""\
# What drrkit needs to know about this session and cannot read from the DICOM files.
# Replace every {PLACEHOLDER}, go through the values, leave null what you do not know.
# Then: drrkit acquisition check ID
"""

_README = """\
Acquisition {acquisition_id}

1. Gather what CT and C-arm exported in a folder of the lab: ct/ with one DICOM series (the bone kernel),
   xrays/ with the X-rays, exported "raw" or "for processing".
2. De-identify: drrkit acquisition anonymize LAB_FOLDER OUT --key KEYFILE
   Look at every image: no program reads text that is burned into pixels.
3. Move ct/ and xrays/ from OUT into this folder, and deidentification.json beside them.
   File names become exposure names: letters, digits, dot, dash and underscore, no personal names.
   If you have vertebra labels on the CT's grid: put them here as labels.nii.gz and name them in {sheet}.
4. Fill in {sheet}: every line says what it wants.
5. drrkit acquisition check {acquisition_id}
   Repeat until it finds no error. Read the warnings: some tell what to do better in the next session.
6. Keep a copy of this folder that nobody writes to.

How to acquire: protocols/cadaver.md, protocols/phantom.md. Who may have these data: protocols/README.md.
"""


def blank_record(acquisition_id: str) -> dict[str, Any]:
    """Return the content of a new acquisition.yaml: defaults, likely values, and placeholders."""
    return _record(Sheet, "", {**_REQUIRED, "acquisition_id": acquisition_id})


def template_text(acquisition_id: str) -> str:
    """Write a new acquisition.yaml: each field under a comment with its meaning, unit and example."""
    body = "\n".join(_lines(Sheet, blank_record(acquisition_id), ""))
    return f"{_HEADER}\n{body}\n"


def new_acquisition(folder: Path | str, acquisition_id: str) -> list[Path]:
    """Make the folder of a new session: acquisition.yaml to fill in, ct/, xrays/ and the steps in README.txt.

    Args:
        folder: The folder to make, best named like the acquisition.
        acquisition_id: Name of the session.

    Returns:
        What was made.

    Raises:
        InputError: A folder that is not empty, an unsafe name, or a disk that cannot be written.
    """
    folder = Path(folder)
    if not is_safe_name(acquisition_id):
        raise InputError(
            "acquisition id", repr(acquisition_id), "at most 64 letters, digits, dots, dashes and underscores"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "a file", "a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(folder, "a folder with files in it", "a new or empty folder: nothing is overwritten")
    made = [folder / "ct", folder / "xrays"]
    for path in made:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
    sheet, readme = folder / SHEET_NAME, folder / README_NAME
    write_bytes(sheet, template_text(acquisition_id).encode())
    write_bytes(readme, _README.format(acquisition_id=acquisition_id, sheet=SHEET_NAME).encode())
    return [sheet, readme, *made]


def inline(value: Any) -> str:
    """Write a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section of its own; None for a value."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _record(model: type[BaseModel], prefix: str, required: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is not None:
            record[name] = _record(section, f"{prefix}{name}.", required)
        elif info.is_required():
            record[name] = required[f"{prefix}{name}"]
        else:
            record[name] = info.get_default(call_default_factory=True)
    return record


def _lines(model: type[BaseModel], record: dict[str, Any], indent: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is not None:
            yield ""
            yield from _comment(section.__doc__ or "", indent)
            yield f"{indent}{name}:"
            yield from _lines(section, record[name], indent + "  ")
            continue
        yield from _explained(info, indent)
        if info.annotation == dict[str, ExposureNote]:
            yield f"{indent}# Each of them may have:"
            for note_name, note_info in ExposureNote.model_fields.items():
                yield f"{indent}#   {note_name}:"
                yield from _explained(note_info, f"{indent}#     ")
        yield f"{indent}{name}: {inline(record[name])}"


def _explained(info: FieldInfo, indent: str) -> Iterator[str]:
    yield from _comment(info.description or "", indent)
    yield from _comment(f"Example: {inline((info.examples or [None])[0])}", indent)


def _comment(text: str, indent: str) -> list[str]:
    start = indent if "#" in indent else f"{indent}# "
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )
