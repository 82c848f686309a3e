"""Stage ``rehearse``: a cohort of SIMULATED donors through the whole protocol, for translators to be rehearsed on.

Writes data/rehearse and results/rehearse; whoever has sessions of their own lists those instead.
"""

from pathlib import Path

from pydantic import Field

from drrkit.accounts import run_stage
from drrkit.io.store import write_json
from drrkit.parameters import read_parameters
from protocols.pairs import read_pairs
from protocols.pictures import write_pairs_picture
from protocols.rehearsal import RehearsalSettings, make_rehearsal, summary_of

OUT = Path("data/rehearse")
RESULTS = Path("results/rehearse")


class RehearseParameters(RehearsalSettings):
    """The cohort, and how many pairs of its first session are drawn."""

    pictured: int = Field(ge=1)


def main() -> None:
    """Write data/rehearse and results/rehearse."""
    parameters = read_parameters("rehearse", RehearseParameters)
    sessions = make_rehearsal(parameters, OUT)
    write_json(RESULTS / "summary.json", summary_of(parameters, OUT))
    rows = read_pairs(sessions[0].pairs)
    step = max(1, len(rows) // parameters.pictured)
    chosen = [row.exposure_id for row in rows[::step]][: parameters.pictured]
    title = f"Calibrated pairs of {sessions[0].acquisition_id}"
    write_pairs_picture(sessions[0].pairs, chosen, RESULTS / "pairs.png", title)


if __name__ == "__main__":
    run_stage("rehearse", main)
