"""What a linter reports."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong.

    Args:
        severity: ``error`` for what cannot be right, ``warning`` for what is right now and then.
        where: The camera, or the file.
        rule: Name of the rule.
        found: What stands there.
        wanted: What would be right, and why.
        fix: What to do.
    """

    severity: Literal["error", "warning"]
    where: str
    rule: str
    found: str
    wanted: str
    fix: str
