"""Stage ``simulate``: simulated ex-vivo sessions, one item a session, until a lab adds its own.

``python -m protocols.stages.simulate SESSION`` writes data/simulate/SESSION as a lab would bring it home, and what
really was to data/truth/SESSION.json, which no stage reads.
"""

import sys
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.parameters import Parameters, read_parameters
from protocols.simulation.session import simulate_phantom_session
from protocols.simulation.settings import PhantomDonor, SessionSettings

OUT = Path("data/simulate")
TRUTH = Path("data/truth")


class Session(Parameters):
    """Who lies on the table, and under which machine."""

    donor: PhantomDonor
    settings: SessionSettings


class SimulateParameters(Parameters):
    """The simulated sessions by acquisition id."""

    sessions: dict[str, Session]


def main(session_id: str) -> None:
    """Write data/simulate/SESSION and data/truth/SESSION.json."""
    sessions = read_parameters("simulate", SimulateParameters).sessions
    if session_id not in sessions:
        raise InputError("params.yaml, simulate.sessions", f"no {session_id}", " or ".join(sessions))
    session = sessions[session_id]
    simulate_phantom_session(
        session_id, session.donor, session.settings, OUT / session_id, TRUTH / f"{session_id}.json"
    )


if __name__ == "__main__":
    run_stage("simulate", main, sys.argv[1])
