"""What dvc.yaml says, as tests of the pipeline need it: stages with their items, and what a stage writes."""

from typing import Any


def outputs(stage: dict) -> list[str]:
    """All that a stage writes: outs, metrics and plots, without their settings."""
    listed = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in listed]


def items_of(entries: dict, params: dict) -> dict[str, tuple[str, str | None, Any]]:
    """Every item of every stage by its name in DVC: the stage, and the key and value in params (None without items)."""
    items = {}
    for stage, entry in entries.items():
        value = params
        for part in entry.get("foreach", "").removeprefix("${").removesuffix("}").split("."):
            value = value[part] if part else {None: None}
        items |= {stage if key is None else f"{stage}@{key}": (stage, key, item) for key, item in value.items()}
    return items
