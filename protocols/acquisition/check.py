"""Check an acquisition folder: every contradiction between acquisition.yaml, DICOM headers and files, all at once."""

from collections.abc import Iterator
from pathlib import Path

from drrkit.errors import InputError
from protocols.acquisition.check_ct import check_ct
from protocols.acquisition.check_geometry import check_geometry
from protocols.acquisition.check_identity import check_identity
from protocols.acquisition.check_pixels import check_pixels
from protocols.acquisition.findings import RULES, Finding, merged
from protocols.acquisition.load import PICTURE_SUFFIXES, xray_files
from protocols.acquisition.schema import PLACEHOLDER, SHEET_NAME, Problem, Sheet, is_safe_name
from protocols.acquisition.sheet import examine_sheet, place
from protocols.acquisition.survey import Shot, survey_file
from protocols.acquisition.template import README_NAME, blank_record

__all__ = ["RULES", "Finding", "check_acquisition"]

# What anonymize leaves beside the images.
REPORT_NAME = "deidentification.json"
_FREE_TEXTS = ("donor_id", "site", "consent_reference", "notes", "shifted_date")


def check_acquisition(folder: Path | str) -> list[Finding]:
    """Find everything in an acquisition folder that contradicts something else in it.

    Where acquisition.yaml is wrong, its fields are taken as the template has them, so that the rest is still checked.

    Args:
        folder: The acquisition folder.

    Returns:
        Findings, errors first, by rule.

    Raises:
        InputError: No such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "an acquisition folder (drrkit acquisition new)")
    sheet, wrong, findings = _sheet(folder)
    findings += _names(folder, sheet, wrong)
    findings += _unlisted(folder, sheet)
    shots: list[Shot] = []
    files = xray_files(folder, sheet.xrays.files)
    if not files:
        wanted = "X-rays there, or another xrays.files in acquisition.yaml"
        findings.append(Finding("error", "missing-file", sheet.xrays.files, "no X-rays", wanted))
    unread = 0
    for path in files:
        found, faults = survey_file(path, folder, sheet)
        shots += found
        findings += faults
        unread += bool(faults)
    findings += _exposures(folder, sheet, shots, unread)
    findings += check_geometry(sheet, shots)
    findings += check_pixels(sheet, shots)
    ct_findings, ct_identities = check_ct(folder, sheet)
    findings += ct_findings
    findings += check_identity(folder, sheet, shots, ct_identities)
    return merged(findings)


def _sheet(folder: Path) -> tuple[Sheet, set[str], list[Finding]]:
    path = folder / SHEET_NAME
    blank = Sheet.model_validate(blank_record("unnamed"))
    everything = {"acquisition_id", *_FREE_TEXTS}
    if not path.is_file():
        wanted = "the session's acquisition.yaml (drrkit acquisition new)"
        return blank, everything, [Finding("error", "yaml", SHEET_NAME, "no such file", wanted)]
    sheet, problems = examine_sheet(path)
    findings = [_from_problem(problem) for problem in problems]
    if sheet is None:
        return blank, everything, findings
    return sheet, {problem.field.split(".")[0] for problem in problems}, findings


def _from_problem(problem: Problem) -> Finding:
    return Finding("error", "yaml", place(Path(SHEET_NAME), problem), problem.found, problem.wanted)


def _names(folder: Path, sheet: Sheet, wrong: set[str]) -> Iterator[Finding]:
    for field in _FREE_TEXTS:
        text = getattr(sheet, field)
        if field not in wrong and text is not None and PLACEHOLDER in text:
            wanted = str(Sheet.model_fields[field].description)
            yield Finding("error", "placeholder", f"{SHEET_NAME}, {field}", text, wanted)
    if "ct" not in wrong and PLACEHOLDER in sheet.ct.reconstruction:
        yield Finding("error", "placeholder", f"{SHEET_NAME}, ct.reconstruction", PLACEHOLDER, "what the CT was")
    name = folder.resolve().name
    if "acquisition_id" not in wrong and name != sheet.acquisition_id:
        wanted = f"{sheet.acquisition_id}, as acquisition_id says: all that is made is filed under this name"
        yield Finding("error", "id", f"the folder {name}", name, wanted)


def _exposures(folder: Path, sheet: Sheet, shots: list[Shot], unread: int) -> Iterator[Finding]:
    paths: dict[str, Path] = {}
    for shot in shots:
        path = shot.exposure.path
        where = str(path.relative_to(folder))
        if not is_safe_name(shot.name):
            wanted = "a file name of letters, digits, dot, dash and underscore, at most 64 of them"
            yield Finding("error", "id", where, f"the exposure name {shot.name!r}", wanted)
        if shot.name in paths:
            found = f"the exposure name {shot.name}, which {paths[shot.name].relative_to(folder)} has too"
            yield Finding("error", "id", where, found, "file names that differ")
        paths.setdefault(shot.name, path)
    if unread:
        # The notes may be on exposures of files that could not be read.
        return
    for exposure_id, note in sheet.xrays.exposures.items():
        if exposure_id not in paths:
            where = f"{SHEET_NAME}, xrays.exposures.{exposure_id}"
            found = "an exposure that does not exist" + (f" (excluded: {note.exclude})" if note.exclude else "")
            wanted = f"one of {len(paths)} exposures ({', '.join(list(paths)[:3])}, ...)"
            yield Finding("error", "unknown-exposure", where, found, wanted)


def _unlisted(folder: Path, sheet: Sheet) -> Iterator[Finding]:
    listed = {folder / name for name in (SHEET_NAME, README_NAME, REPORT_NAME)}
    for path in xray_files(folder, sheet.xrays.files):
        listed.add(path)
        if path.suffix.lower() in PICTURE_SUFFIXES:
            listed.add(path.with_suffix(".json"))
    trees = [folder / path for path in (sheet.ct.path, sheet.ct.labels) if path is not None]
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_dir() or path in listed or any(part.startswith(".") for part in inner.parts):
            continue
        if not any(path == tree or tree in path.parents for tree in trees):
            wanted = "a file that ct, labels or xrays.files in acquisition.yaml mean, or no such file here"
            yield Finding("warning", "unlisted-file", str(inner), "a file that nothing refers to", wanted)
