"""Damaged DICOM values surface late, wherever a value is first looked at: one door turns them into one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drrkit.errors import InputError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file that may be damaged; only calls of readers belong inside.

    Raises:
        InputError: A value that cannot be read; what the readers themselves refuse passes unchanged.
    """
    try:
        yield
    except (InputError, AssertionError):
        raise
    except Exception as error:
        # pydicom raises a dozen kinds, some of its own without a common base, some of Python's.
        found = f"a damaged value ({' '.join(str(error).split())[:120]})"
        raise InputError(path, found, "the whole file (copy it again)") from error
