"""Whose images these are: one patient, one session, no names, and simulated only where it says so."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from protocols.acquisition.findings import Finding
from protocols.acquisition.schema import SHEET_NAME, Sheet
from protocols.acquisition.survey import Identity, Shot, words_of

# CT and C-arm on two days mean that the specimen was moved, frozen or thawed in between.
_SAME_SESSION_DAYS = 1
_NOBODY = {"anonymous", "anonymized", "anonymised", "simulated", "phantom", "sawbone", "cadaver", "unknown", "none"}


def check_identity(
    folder: Path, sheet: Sheet, shots: Sequence[Shot], ct_identities: Mapping[str, Identity]
) -> Iterator[Finding]:
    """Compare the identities of X-rays and CT slices with each other and with acquisition.yaml."""
    yield from _duplicates(shots)
    yield from _patients(sheet, shots, ct_identities)
    yield from _dates(sheet, shots, ct_identities)
    yield from _positions(shots, ct_identities)
    yield from _simulated(sheet, shots, ct_identities)
    yield from _persons(folder, sheet, shots, ct_identities)


def _duplicates(shots: Sequence[Shot]) -> Iterator[Finding]:
    by_pixels: dict[str, list[Shot]] = defaultdict(list)
    files_by_uid: dict[str, dict[Path, str]] = defaultdict(dict)
    for shot in shots:
        by_pixels[shot.pixels_sha256].append(shot)
        if shot.identity is not None and shot.identity.instance_uid:
            files_by_uid[shot.identity.instance_uid].setdefault(shot.exposure.path, shot.name)
    for same in by_pixels.values():
        if len(same) > 1:
            names = tuple(shot.name for shot in same)
            found = f"the same pixels in {', '.join(names[:3])}" + (f" and {len(names) - 3} more" * (len(names) > 3))
            yield Finding("error", "duplicate", names[0], found, "each image once: no two X-rays are alike", names)
    for uid, files in files_by_uid.items():
        if len(files) > 1:
            names = tuple(files.values())
            found = f"SOPInstanceUID (0008,0018) {uid} in {len(files)} files"
            yield Finding("error", "duplicate", names[0], found, "another one for each image: is it a copy?", names)


def _patients(sheet: Sheet, shots: Sequence[Shot], ct_identities: Mapping[str, Identity]) -> Iterator[Finding]:
    patients, usual = _by_value(shots, "patient_id")
    for patient, names in patients.items():
        if patient != usual:
            found = f"PatientID (0010,0020) {patient!r}"
            yield Finding("error", "patient", names[0], found, f"{usual!r}, as in the other X-rays", tuple(names))
    ct_patients = Counter(identity.patient_id for identity in ct_identities.values() if identity.patient_id)
    if len(ct_patients) > 1:
        found = f"PatientID (0010,0020) {', '.join(map(repr, sorted(ct_patients)))}"
        yield Finding("error", "patient", "CT", found, "one patient")
    elif ct_patients and patients and usual not in ct_patients:
        found = f"PatientID (0010,0020) {next(iter(ct_patients))!r} in the CT, {usual!r} in the X-rays"
        yield Finding("error", "patient", "CT and X-rays", found, "one: the same pseudonym in both")
    pseudonyms = {
        identity.patient_id
        for identity in (*(shot.identity for shot in shots), *ct_identities.values())
        if identity is not None and identity.is_deidentified and identity.patient_id
    }
    if pseudonyms and sheet.donor_id not in pseudonyms:
        found = f"{sheet.donor_id}; the files' pseudonym is {', '.join(sorted(pseudonyms))}"
        wanted = "the pseudonym: training and testing are split by donor_id"
        yield Finding("warning", "patient", f"{SHEET_NAME}, donor_id", found, wanted)
    studies, usual_study = _by_value(shots, "study_uid")
    for study, names in studies.items():
        if study != usual_study:
            found = f"StudyInstanceUID (0020,000D) {study}"
            wanted = "one study: was the specimen touched before a second one was opened?"
            yield Finding("warning", "study", names[0], found, wanted, tuple(names))


def _by_value(shots: Sequence[Shot], field: str) -> tuple[dict[str, list[str]], str]:
    """Group exposures by a field of their identity, and find its most frequent value."""
    groups: dict[str, list[str]] = defaultdict(list)
    for shot in shots:
        value = "" if shot.identity is None else getattr(shot.identity, field)
        if value:
            groups[value].append(shot.name)
    return groups, max(groups, key=lambda value: len(groups[value]), default="")


def _dates(sheet: Sheet, shots: Sequence[Shot], ct_identities: Mapping[str, Identity]) -> Iterator[Finding]:
    by_date, usual = _by_value(shots, "date")
    if sheet.shifted_date is not None:
        for day, names in by_date.items():
            if day != sheet.shifted_date.replace("-", ""):
                wanted = f"{sheet.shifted_date}, as shifted_date in acquisition.yaml says (never the true date)"
                yield Finding("error", "date", names[0], f"the date {day}", wanted, tuple(names))
    ct_dates = {identity.date for identity in ct_identities.values() if identity.date}
    days = [_day(text) for text in (usual, *sorted(ct_dates)[:1])]
    if len(days) == 2 and days[0] and days[1] and abs((days[0] - days[1]).days) > _SAME_SESSION_DAYS:
        found = f"{abs((days[0] - days[1]).days)} days apart"
        wanted = (
            "one session: a specimen that was moved, frozen or thawed has other ball positions (same shift for both?)"
        )
        yield Finding("warning", "date", "CT and X-rays", found, wanted)


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        # Some anonymizers write 00000000.
        return None


def _positions(shots: Sequence[Shot], ct_identities: Mapping[str, Identity]) -> Iterator[Finding]:
    ct_positions = {identity.position for identity in ct_identities.values() if identity.position}
    positions, _ = _by_value(shots, "position")
    for position, names in positions.items():
        if ct_positions and position not in ct_positions:
            found = f"PatientPosition (0018,5100) {position}, in the CT {', '.join(sorted(ct_positions))}"
            wanted = "the specimen as it lay in the CT; if the C-arm's entry was wrong, its angles count from there"
            yield Finding("warning", "position", names[0], found, wanted, tuple(names))


def _simulated(sheet: Sheet, shots: Sequence[Shot], ct_identities: Mapping[str, Identity]) -> Iterator[Finding]:
    images: list[tuple[str, tuple[str, ...], Identity]] = [
        (shot.name, (shot.name,), shot.identity) for shot in shots if shot.identity is not None
    ]
    # A CT is one series: its first file that differs speaks for it.
    for name, identity in ct_identities.items():
        images.append((f"CT ({Path(name).name})", (), identity))
    seen_ct: set[str] = set()
    for where, names, identity in images:
        finding = _provenance(sheet, where, names, identity)
        if finding is None or (not names and finding.rule in seen_ct):
            continue
        if not names:
            seen_ct.add(finding.rule)
        yield finding


def _provenance(sheet: Sheet, where: str, names: tuple[str, ...], identity: Identity) -> Finding | None:
    if not sheet.simulated and identity.says_simulated:
        wanted = "simulated: true in acquisition.yaml; or the real images, if this is a real session"
        return Finding("error", "simulated", where, "a file that calls itself simulated", wanted, names)
    if sheet.simulated and not identity.says_simulated and not identity.is_derived:
        found = f"ImageType (0008,0008) {identity.image_type or 'none'}, nothing says simulated"
        wanted = "simulated: false in acquisition.yaml if it is real; simulated images say so, and are DERIVED"
        return Finding("error", "simulated", where, found, wanted, names)
    if not sheet.simulated and identity.is_derived:
        wanted = "ORIGINAL: raw images as the machine made them (or say in acquisition.yaml that they are simulated)"
        return Finding("warning", "derived", where, "ImageType (0008,0008) DERIVED", wanted, names)
    return None


def _persons(
    folder: Path, sheet: Sheet, shots: Sequence[Shot], ct_identities: Mapping[str, Identity]
) -> Iterator[Finding]:
    identities = [(shot.name, shot.identity) for shot in shots if shot.identity is not None]
    said = {identity.patient_id for _, identity in (*identities, *ct_identities.items()) if identity.is_deidentified}
    pseudonyms = {_plain(name) for name in (sheet.donor_id, sheet.acquisition_id, *said)}
    tags: dict[str, list[str]] = defaultdict(list)
    words: set[str] = set()
    for name, identity in (*identities, *ct_identities.items()):
        for keyword, value in identity.persons:
            names = [word for word in words_of(value) if word not in _NOBODY and _plain(word) not in pseudonyms]
            if any(pseudonym and pseudonym in _plain(value) for pseudonym in pseudonyms) or not _plain(value):
                continue
            if names or any(character.isdigit() for character in value):
                tags[keyword].append(name)
                words.update(names)
    anonymize = "nothing or the pseudonym: drrkit acquisition anonymize, before the data leave the lab"
    for keyword, files in tags.items():
        # The value stays out of the report: reports are mailed around.
        where = f"{keyword} of {files[0]}" + (f" and {len(files) - 1} more files" * (len(files) > 1))
        yield Finding("warning", "personal-data", where, "a value that may point to a person", anonymize)
    text = " ".join((sheet.site, sheet.notes, sheet.consent_reference, sheet.ct.reconstruction)).lower()
    if named := words & set(re.findall(r"\w+", text)):
        found = f"{len(named)} words that DICOM tags give as a person's name"
        yield Finding("warning", "personal-data", SHEET_NAME, found, "no names of persons")
    for path in (folder.resolve(), *sorted(folder.rglob("*"))):
        if "^" in path.name or words & set(words_of(path.stem)):
            where = path.name if path == folder.resolve() else str(path.relative_to(folder))
            yield Finding("warning", "personal-data", where, "a name that may be a person's", "another file name")


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())
