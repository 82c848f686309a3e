"""Names, UIDs and dates that stand for the true ones: the same for the same key, and no way back without it.

The key is a file that stays in the lab. Whoever has it can tell which pseudonym a patient got; without it nobody can,
because every pseudonym is a keyed hash (HMAC-SHA256).
"""

import base64
import datetime
import hmac
import secrets
import uuid
from pathlib import Path

from drrkit.errors import InputError
from drrkit.io.store import writing

KEY_BYTES = 32
# Dates move back by 1 day to 10 years.
LONGEST_SHIFT_DAYS = 3650


def new_key(path: Path | str) -> None:
    """Write a new secret key, readable by its owner only.

    Raises:
        InputError: A file that is already there, or a disk that cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise InputError(path, "a file", "a new name: pseudonyms made with a lost key cannot be made again")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(f"{secrets.token_hex(KEY_BYTES)}\n")


class Pseudonyms:
    """What stands for patients, UIDs and dates under one key.

    Args:
        key: The key itself, or the file that holds it; at least 32 bytes. The file may end its line.

    Raises:
        InputError: No such file, or a key that is too short.
    """

    def __init__(self, key: Path | str | bytes) -> None:
        where = "key" if isinstance(key, bytes) else str(key)
        if not isinstance(key, bytes):
            try:
                key = Path(key).read_bytes().rstrip(b"\r\n")
            except OSError as error:
                raise InputError(
                    where, error.strerror or error, "the lab's key file (make one once, keep it)"
                ) from error
        self._key = key
        if len(self._key) < KEY_BYTES:
            raise InputError(where, f"a key of {len(self._key)} bytes", f"at least {KEY_BYTES} bytes, made at random")

    def patient(self, patient_id: str) -> str:
        """Return the pseudonym of a patient: P and twelve letters or digits."""
        return "P" + base64.b32encode(self._digest("patient", patient_id)).decode().lower()[:12]

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another (PS3.5 B.2: derived from a UUID)."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid)[:16], version=4).int}"

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days all dates of a patient move; negative."""
        return -1 - int.from_bytes(self._digest("dates", patient_id)) % LONGEST_SHIFT_DAYS

    def date(self, text: str, patient_id: str) -> str | None:
        """Move a DICOM date, such as 20240304; None for anything else."""
        try:
            date = datetime.datetime.strptime(text, "%Y%m%d").date()
        except ValueError:
            return None
        if len(text) != 8 or date.toordinal() <= LONGEST_SHIFT_DAYS:
            return None
        return (date + datetime.timedelta(days=self.shift_days(patient_id))).strftime("%Y%m%d")

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}\0{text.strip(chr(0) + ' ')}".encode(), "sha256")
