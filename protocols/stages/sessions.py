"""Stage ``sessions``: which paired sessions train, validate and test; those of data/rehearse and a lab's own.

Writes data/sessions/FOLD/pairset.json for each fold, with hashes of what the sessions hold: whoever depends on it runs
again exactly when a session of the set changed.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from protocols.sessions import SessionSettings, own_sessions, write_folds

REHEARSAL = Path("data/rehearse")
PAIRS = Path("data/pair")
OUT = Path("data/sessions")


def main() -> None:
    """Write data/sessions."""
    settings = read_parameters("sessions", SessionSettings)
    sessions = read_pairset(REHEARSAL) + own_sessions(settings.acquisitions, PAIRS)
    write_folds(sessions, settings.folds, OUT)


if __name__ == "__main__":
    run_stage("sessions", main)
