"""results/summary.json: the numbers that matter, for programs."""

import math
from typing import Any

from reconstruction.report.contents import Contents
from reconstruction.report.settings import CEILING, SOURCE

_DIGITS = 4


def summary_of(contents: Contents) -> dict[str, Any]:
    """Return the headline, every rung with its intervals, the gap closed, and what each stage took."""
    ladder, provenance = contents.ladder, contents.provenance
    rungs: dict[str, dict[str, Any]] = {rung: {} for rung in ladder.rungs}
    for row in ladder.table.to_dict("records"):
        rungs[row["rung"]][f"views{row['views']}"] = {
            "f1": _number(row["f1"]),
            "ci_low": _number(row["ci_low"]),
            "ci_high": _number(row["ci_high"]),
            "donors": int(row["donors"]),
        }
    closed = ladder.gap(ladder.best, ladder.views)
    return {
        "simulated": ladder.simulated,
        "headline": {
            "views": ladder.views,
            "best_rung": ladder.best,
            "f1_source_only": _number(ladder.row(SOURCE, ladder.views)["f1"]),
            "f1_best": _number(ladder.row(ladder.best, ladder.views)["f1"]),
            "f1_ceiling": _number(ladder.row(CEILING, ladder.views)["f1"]),
            "gap_closed": _number(closed[0]) if closed else None,
        },
        "rungs": rungs,
        "gap_closed": {
            rung: {views: [_number(value) for value in values] for views, values in by_views.items()}
            for rung, by_views in ladder.gap_closed.items()
        },
        "stages": {
            account.name: {"seconds": account.seconds, "peak_mb": account.peak_mb} for account in provenance.accounts
        },
        "seconds": round(sum(account.seconds for account in provenance.accounts), 1),
        "peak_mb": max(account.peak_mb for account in provenance.accounts),
        "versions": {"drrkit": provenance.version, "code_sha256": provenance.code_sha256, **provenance.libraries},
    }


def _number(value: float) -> float | None:
    """Round; JSON has no NaN, so a number that does not exist is null."""
    return None if math.isnan(value) else round(float(value), _DIGITS)
