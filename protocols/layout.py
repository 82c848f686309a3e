"""Where the parts of an acquisition lie below the data folder, the same for commands and for the pipeline."""

from dataclasses import dataclass
from pathlib import Path

from drrkit.errors import InputError


@dataclass(frozen=True)
class Layout:
    """The folders and files of one acquisition.

    Args:
        data: The data folder.
        acquisition_id: The acquisition.
    """

    data: Path
    acquisition_id: str

    @property
    def raw(self) -> Path:
        """A real session as it was brought home."""
        return self.data / "raw" / self.acquisition_id

    @property
    def simulated(self) -> Path:
        """A simulated session."""
        return self.data / "simulate" / self.acquisition_id

    @property
    def truth(self) -> Path:
        """What really was in a simulated session; no stage reads it."""
        return self.data / "truth" / f"{self.acquisition_id}.json"

    @property
    def calibration(self) -> Path:
        """Cameras and their proof."""
        return self.data / "calibrate" / self.acquisition_id

    @property
    def pairs(self) -> Path:
        """Real images and DRRs."""
        return self.data / "pair" / self.acquisition_id

    @property
    def ratings(self) -> Path:
        """Human judgment, exported from the review page."""
        return self.data / "qc" / f"{self.acquisition_id}.tsv"

    @property
    def review(self) -> Path:
        """The review page."""
        return self.data / "review" / f"{self.acquisition_id}.html"

    def session(self) -> Path:
        """Find the session's folder, real or simulated.

        Raises:
            InputError: Neither is there, or both are.
        """
        from protocols.acquisition import SHEET_NAME  # brings libraries that `drrkit --help` need not wait for

        found = [folder for folder in (self.raw, self.simulated) if (folder / SHEET_NAME).is_file()]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"acquisition {self.acquisition_id}", f"{found[0]} and {found[1]}", "one of them")
        raise InputError(
            f"acquisition {self.acquisition_id}",
            f"no {SHEET_NAME} in {self.raw} or {self.simulated}",
            "an acquisition folder (drrkit acquisition new makes one)",
        )
