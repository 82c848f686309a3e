"""What a stage took: wall seconds, processor seconds and peak memory, one small file a stage for the report.

A stage ends with::

    if __name__ == "__main__":
        run_stage("render", main)
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from drrkit.errors import InputError
from drrkit.io.store import write_json, writing

ACCOUNTS = Path("data/accounts")
BAD_INPUT = 2

_IMPORTED_S = time.monotonic()
# ru_maxrss counts in bytes on macOS, in KiB elsewhere.
_PEAK_UNITS_PER_MB = 1024.0**2 if sys.platform == "darwin" else 1024.0


def run_stage(stage: str, main: Callable[..., None], *items: str, account: bool = True) -> None:
    """Run ``main(*items)`` as a process of its own, then write data/accounts/<stage>[.<first item>].json.

    The account holds ``stage``, ``item`` (or null), ``seconds`` (wall, see :func:`process_seconds`), ``peak_mb`` (see
    :func:`peak_mb`) and ``cpu_seconds`` (of this process and its children). A stage that fails leaves no account, and
    none of an earlier run either: what lies there belongs to the last success.

    Args:
        stage: The name of the stage.
        main: What the stage does.
        items: Passed on to ``main``; the first names the item.
        account: Whether to write one; the stage that reads all accounts cannot be among them.

    Raises:
        SystemExit: With code 2 after one line on stderr, where ``main`` raised an InputError.
    """
    item = items[0] if items else None
    path = ACCOUNTS / f"{stage if item is None else f'{stage}.{item}'}.json"
    try:
        with writing(path):
            path.unlink(missing_ok=True)
        main(*items)
        if account:
            write_json(path, {"stage": stage, "item": item, **_spent()})
    except InputError as error:
        sys.stderr.write(f"{stage}: {error}\n")
        raise SystemExit(BAD_INPUT) from None


def _spent() -> dict[str, float]:
    used = os.times()
    return {
        "seconds": round(process_seconds(), 2),
        "peak_mb": round(peak_mb(), 1),
        "cpu_seconds": round(used.user + used.system + used.children_user + used.children_system, 2),
    }


def process_seconds() -> float:
    """Tell for how many seconds this process has run, imports included.

    Linux says when a process started. Elsewhere the clock begins when this module is imported, which leaves out the
    start of Python and the imports before this one: a second or two.
    """
    since_import_s = time.monotonic() - _IMPORTED_S
    try:
        # The second field, the name in brackets, may hold spaces; `starttime` is the 22nd of all.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        since_boot_s = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return since_import_s
    return max(since_boot_s - started_s, since_import_s)


def peak_mb() -> float:
    """Tell the most memory in MiB that this process, or the largest of its children that have ended, held at once."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, child = (resource.getrusage(kind).ru_maxrss / _PEAK_UNITS_PER_MB for kind in kinds)
    try:
        # On Linux ru_maxrss survives exec and so counts the process that started this one; VmHWM does not.
        status = Path("/proc/self/status").read_text()
        own = next(float(line.split()[1]) / 1024.0 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    return max(own, child)
