"""Read acquisition.yaml; everything that is wrong with it is told at once, with the line."""

import difflib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from drrkit.errors import InputError
from protocols.acquisition.schema import SHEET_NAME, ExposureNote, Problem, Sheet, contradictions
from protocols.acquisition.template import blank_record, inline, section_of

Location = tuple[int | str, ...]

_KINDS = {
    "string_type": "text (in quotes if it looks like a number, a date or yes/no)",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list in square brackets",
    "dict_type": "a section of names and values",
    "model_type": "a section of names and values",
}


def read_sheet(folder: Path) -> Sheet:
    """Read the acquisition.yaml of a folder.

    Raises:
        InputError: No such file, no YAML, or fields that are wrong: all of them in one message.
    """
    path = folder / SHEET_NAME
    sheet, problems = examine_sheet(path)
    if len(problems) == 1:
        problem = problems[0]
        raise InputError(place(path, problem), problem.found, problem.wanted)
    if problems or sheet is None:
        listed = "; ".join(f"{place(None, problem)} is {problem.found}" for problem in problems)
        wanted = "; ".join(f"{problem.field}: {problem.wanted}" for problem in problems)
        raise InputError(path, f"{len(problems)} problems: {listed}", wanted)
    return sheet


def examine_sheet(path: Path) -> tuple[Sheet | None, list[Problem]]:
    """Read acquisition.yaml as far as it can be read.

    Returns:
        The sheet, with the template's values in place of wrong fields, and everything that is wrong; no sheet where
        the file is no YAML at all.

    Raises:
        InputError: No such file.
    """
    content, lines, problems = _parse(path)
    if content is None:
        return None, problems
    try:
        sheet = Sheet.model_validate(content)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems += [_problem(item, lines) for item in errors]
        sheet = Sheet.model_validate(_mended(content, [item["loc"] for item in errors]))
    wrong = {problem.field for problem in problems}
    for problem in contradictions(sheet):
        if problem.field not in wrong:
            line = lines.get(tuple(problem.field.split(".")))
            problems.append(Problem(problem.field, problem.found, problem.wanted, line))
    return sheet, problems


def place(path: Path | None, problem: Problem) -> str:
    """Say where a problem is: file, line, field."""
    line = None if problem.line is None else f"line {problem.line}"
    return ", ".join(str(part) for part in (path, line, problem.field) if part)


# ---- YAML ----------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Plain YAML, where dates stay text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse(path: Path) -> tuple[dict[str, Any] | None, dict[Location, int], list[Problem]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            path, error.strerror or error, "the session's acquisition.yaml (drrkit acquisition new)"
        ) from error
    except UnicodeDecodeError:
        return None, {}, [Problem("", "text in another encoding", "UTF-8 (save it again with a text editor)")]
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        lines: dict[Location, int] = {}
        doubled: list[Problem] = []
        if root is not None:
            for location, line, again in _walk(root, ()):
                if again:
                    found = f"the field twice (lines {lines[location]} and {line})"
                    doubled.append(Problem(_dotted(location), found, "each field once", line))
                lines[location] = line
        content = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        reason = " ".join(f"{error.problem or error}".split())
        return None, {}, [Problem("", f"no YAML ({reason})", "a YAML file", None if mark is None else mark.line + 1)]
    except yaml.YAMLError as error:
        return None, {}, [Problem("", f"no YAML ({' '.join(str(error).split())})", "a YAML file")]
    if not isinstance(content, dict):
        return None, {}, [Problem("", "no fields", "lines such as `donor_id: donor-03` (drrkit acquisition new)")]
    return content, lines, doubled


def _walk(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int, bool]]:
    """Yield the place and line of each value, and whether its name stood there before."""
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            inner = (*location, str(key.value))
            yield inner, key.start_mark.line + 1, key.value in seen
            seen.add(key.value)
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1, False
            yield from _walk(value, (*location, index))


# ---- errors --------------------------------------------------------------------------------------------------


def _problem(error: ErrorDetails, lines: dict[Location, int]) -> Problem:
    location = tuple(part for part in error["loc"] if part != "[key]")
    owner, info = _field(location)
    found, example = inline(error["input"]), ""
    if info is not None and info.examples:
        example = f", for example {inline(info.examples[0])}"
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        found, wanted = "nothing", f"{_short(info)}{example}"
    elif kind == "extra_forbidden":
        names = list(owner.model_fields)
        close = difflib.get_close_matches(str(location[-1]), names, 1)
        found, wanted = "an unknown field", f"{close[0]}?" if close else f"one of {', '.join(names)}"
    elif kind == "literal_error":
        wanted = str(context["expected"])
    elif kind == "value_error":
        wanted = f"{context['error']}{example}"
    else:
        wanted = _KINDS.get(kind, error["msg"].removeprefix("Input should be ").removeprefix("Value should ")) + example
    line = next((lines[location[:end]] for end in range(len(location), 0, -1) if location[:end] in lines), None)
    if len(found) > 80:
        found = f"{found[:77]}..."
    return Problem(_dotted(location), found, wanted, line)


def _short(info: FieldInfo | None) -> str:
    return "this section" if info is None or not info.description else info.description.rstrip(".")


def _field(location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the section that a place belongs to, and the field if the section has it."""
    owner: type[BaseModel] = Sheet
    info: FieldInfo | None = None
    for index, part in enumerate(location):
        if location[:2] == ("xrays", "exposures") and index == 3:
            owner = ExposureNote
        elif info is not None:
            section = section_of(info)
            if section is None:
                continue
            owner = section
        info = owner.model_fields.get(str(part))
        if info is None:
            break
    return owner, info


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)


def _mended(content: dict[str, Any], wrong: list[Location]) -> dict[str, Any]:
    """Put the template's values where the file's are wrong, and leave out what the template does not have."""
    blank = blank_record("unnamed")
    mended = _copied(content)
    for location in wrong:
        target, source = mended, blank
        for part in location:
            if part not in source:
                if isinstance(part, str):
                    target.pop(part, None)
                break
            inner = target.get(part)
            if part == location[-1] or not isinstance(inner, dict) or not isinstance(source[part], dict):
                target[part] = source[part]
                break
            target, source = inner, source[part]
    return mended


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value
