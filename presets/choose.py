"""Set the sizes in params.yaml to a preset's: ``python presets/choose.py paper``, and ``laptop`` to go back.

A preset maps dotted keys of params.yaml to values; an entry of a list goes by its ``name``. ``!item "text"`` is an
entry that the preset adds to a mapping (all that follows the colon, over several lines if need be), ``!none`` one that
it does without. Only the text of these values is replaced, by that of the preset: comments, own acquisitions and all
else stay as they are, byte by byte. ``--refresh`` goes the other way: it takes the values of laptop.yaml's keys from
params.yaml.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from drrkit.errors import InputError
from drrkit.io.store import write_bytes

PRESETS = Path(__file__).parent
PARAMS = PRESETS.parent / "params.yaml"
DEFAULT = "laptop"
BAD_INPUT = 2
ITEM, NONE = "!item", "!none"

_ANCHOR = re.compile(r"&\S+\s+")
_MERGE = "tag:yaml.org,2002:merge"


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def preset_path(name: str) -> Path:
    """Find a preset by its name.

    Raises:
        InputError: No preset of that name.
    """
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in names:
        raise InputError("preset", repr(name), " or ".join(names))
    return PRESETS / f"{name}.yaml"


def preset_texts(text: str) -> dict[str, str]:
    """Read a preset: dotted keys and the text of their values.

    Raises:
        InputError: No mapping, a key twice, or a value that takes several lines.
    """
    texts: dict[str, str] = {}
    for key, value in _composed(text).value:
        if key.value in texts:
            raise InputError(key.value, "the key twice", "every key once")
        start, end = _span(text, value, key.value)
        texts[key.value] = text[start:end]
    return texts


def texts_in(params: str, preset: Mapping[str, str]) -> dict[str, str]:
    """Read the text of a preset's keys as params.yaml has them, in the preset's terms.

    Raises:
        InputError: A key that is not there, or a value that takes several lines.
    """
    root = _composed(params)
    texts = {}
    for key, text in preset.items():
        node = _find(root, key)
        if node is None and text.startswith((ITEM, NONE)):
            texts[key] = NONE
            continue
        if node is None:
            raise InputError(f"params.yaml, {key}", "no such key", "a key that is there")
        if text.startswith((ITEM, NONE)):
            start, end = _item_span(params, root, key)
            texts[key] = f"{ITEM} {json.dumps(params[start:end])}"
            continue
        start, end = _span(params, node, key)
        texts[key] = params[start:end]
    return texts


def with_values(params: str, preset: Mapping[str, str]) -> str:
    """Replace the values of a preset's keys, and nothing else.

    Raises:
        InputError: As :func:`texts_in`; a key whose value an anchor, alias or merge key shares with a key that does not
            get the same; an item in something that is no mapping over several lines.
    """
    root = _composed(params)
    edits: dict[Any, tuple[str, _Edit]] = {}
    for key, old in texts_in(params, preset).items():
        new = preset[key]
        if old == new == NONE:
            continue
        edit = _edit(params, root, key, old, new)
        # What is replaced is one place, whichever keys lead there; items are put in one after the other.
        place = key if edit.start == edit.end else (edit.start, edit.end)
        other_key, other = edits.setdefault(place, (key, edit))
        if other.text != edit.text:
            found = f"{new}, but {other.text} for {other_key}, which is the same place"
            raise InputError(f"params.yaml, {key}", found, "the same value, or a value of its own in params.yaml")
    changed = params
    # From the end, so that places before it stay; items for one place come out in the preset's order.
    ordered = [edit for _, edit in edits.values()][::-1]
    for edit in sorted(ordered, key=lambda edit: edit.start, reverse=True):
        changed = changed[: edit.start] + edit.text + changed[edit.end :]
    _check_others(dict(_leaves(yaml.safe_load(params))), dict(_leaves(yaml.safe_load(changed))), preset)
    return changed


def refreshed(preset: str, params: str) -> str:
    """Give a preset the values that params.yaml has.

    Raises:
        InputError: As :func:`texts_in`.
    """
    texts = texts_in(params, preset_texts(preset))
    for key, value in reversed(_composed(preset).value):
        start, end = _span(preset, value, key.value)
        preset = preset[:start] + texts[key.value] + preset[end:]
    return preset


def main(arguments: list[str]) -> None:
    """Choose a preset, or refresh the default one, and tell what changed."""
    parser = argparse.ArgumentParser(description="Set the sizes of params.yaml to those of a preset.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("preset", nargs="?", help=f"the name of a file in {PRESETS.name}/")
    what.add_argument("--refresh", action="store_true", help=f"take {DEFAULT}.yaml's values from params.yaml")
    chosen = parser.parse_args(arguments)
    path = preset_path(DEFAULT if chosen.refresh else chosen.preset)
    preset, params = path.read_text(), PARAMS.read_text()
    old, new = texts_in(params, preset_texts(preset)), preset_texts(preset)
    target, content = PARAMS, ""
    if chosen.refresh:
        target, content, old, new = path, refreshed(preset, params), new, old
    else:
        content = with_values(params, new)
    changed = [key for key in new if old[key] != new[key]]
    if changed:
        write_bytes(target, content.encode())
    for key in changed:
        sys.stdout.write(f"{key}: {old[key]} -> {new[key]}\n")
    sys.stdout.write(f"{target.name}: {len(changed)} of {len(new)} values changed ({path.stem})\n")


def _edit(params: str, root: yaml.Node, key: str, old: str, new: str) -> _Edit:
    """Say which text goes where to bring one key from the old value to the new one."""
    if not new.startswith((ITEM, NONE)):
        return _Edit(*_span(params, _found(root, key), key), new)
    text = yaml.compose(new).value
    if old == NONE:
        parent, _, name = key.rpartition(".")
        mapping = _found(root, parent)
        if not isinstance(mapping, yaml.MappingNode) or mapping.flow_style:
            raise InputError(f"params.yaml, {parent}", "no mapping over several lines", f"one that {name} fits in")
        place = params.index("\n", _end(mapping)) + 1
        indent = " " * mapping.value[0][0].start_mark.column
        return _Edit(place, place, f"{indent}{name}:{text}\n")
    start, end = _item_span(params, root, key)
    if new == NONE:
        return _Edit(params.rindex("\n", 0, start) + 1, params.index("\n", end) + 1, "")
    return _Edit(start, end, text)


def _composed(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError("YAML file", f"no YAML ({error})", "names and values") from error
    if not isinstance(root, yaml.MappingNode):
        raise InputError("YAML file", "no mapping", "names and values")
    return root


def _found(node: yaml.Node, key: str) -> yaml.Node:
    found = _find(node, key)
    if found is None:
        raise InputError(f"params.yaml, {key}", "no such key", "a key that is there")
    return found


def _find(node: yaml.Node, key: str) -> yaml.Node | None:
    """Go down a dotted key."""
    for name in key.split("."):
        child = _child(node, name)
        if child is None:
            return None
        node = child
    return node


def _child(node: yaml.Node, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode):
        named = (entry for entry in node.value if getattr(_child(entry, "name"), "value", None) == name)
        return next(named, None)
    if not isinstance(node, yaml.MappingNode):
        return None
    own = next((value for key, value in node.value if key.value == name), None)
    if own is not None:
        return own
    merged = [value for key, value in node.value if key.tag == _MERGE]
    sources = [one for value in merged for one in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    return next((found for source in sources if (found := _child(source, name)) is not None), None)


def _span(text: str, node: yaml.Node, key: str) -> tuple[int, int]:
    """Find where the text of a value starts and ends, without its anchor."""
    start, end = node.start_mark.index, node.end_mark.index
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    if block or start == end or "\n" in text[start:end]:
        raise InputError(key, "no value on one line", "keys below it, or a value like 2, [1, 2] or {a: 1}")
    anchor = _ANCHOR.match(text, start)
    return (anchor.end() if anchor else start), end


def _item_span(text: str, root: yaml.Node, key: str) -> tuple[int, int]:
    """Find where an item's text starts, after the colon of its name, and ends, with the last of its lines."""
    parent, _, name = key.rpartition(".")
    mapping = _found(root, parent)
    for own, value in mapping.value if isinstance(mapping, yaml.MappingNode) and not mapping.flow_style else []:
        if own.value == name:
            return own.end_mark.index + 1, text.index("\n", max(own.end_mark.index, _end(value)))
    raise InputError(f"params.yaml, {key}", "no item of a mapping over several lines", "one")


def _end(node: yaml.Node) -> int:
    """Find where the text of a node ends; block collections claim the blank lines after them as well."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return node.end_mark.index
    last = node.value[-1]
    key, value = last if isinstance(last, tuple) else (node, last)
    # An alias stands for a node that stands before.
    return key.end_mark.index if value.start_mark.index < key.start_mark.index else _end(value)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        entries = [(str(name), entry) for name, entry in value.items()]
    elif isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
        entries = [(str(entry["name"]), entry) for entry in value]
    else:
        entries = []
    if not entries:
        yield path, value
    for name, entry in entries:
        yield from _leaves(entry, (*path, name))


def _check_others(before: Mapping, after: Mapping, keys: Mapping[str, str]) -> None:
    """No value may change that no key speaks of."""
    wanted = tuple(f"{key}." for key in keys)
    for path in [*before, *(path for path in after if path not in before)]:
        same = path in before and path in after and before[path] == after[path]
        if not same and not f"{'.'.join(path)}.".startswith(wanted):
            found = "no value in the preset, but it shares a place in params.yaml with a key that has one"
            raise InputError(".".join(path), found, "the same value for it in both presets, or its own in params.yaml")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(BAD_INPUT) from None
