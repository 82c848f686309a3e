"""Words of training settings that every learning package shares. Nothing heavy is imported."""

from typing import Literal

Precision = Literal["32", "bf16"]
