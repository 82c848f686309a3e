"""De-identification of DICOM files before they leave the lab: a whitelist, pseudonyms, shifted dates, clean pixels."""

from protocols.deidentify.pseudonyms import new_key
from protocols.deidentify.report import Report
from protocols.deidentify.session import anonymize

__all__ = ["Report", "anonymize", "new_key"]
