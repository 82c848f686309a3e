"""A cohort of SIMULATED donors that goes through the whole protocol, until a lab has sessions of its own."""

from protocols.rehearsal.cohort import make_rehearsal, summary_of
from protocols.rehearsal.settings import RehearsalGroup, RehearsalSettings

__all__ = ["RehearsalGroup", "RehearsalSettings", "make_rehearsal", "summary_of"]
