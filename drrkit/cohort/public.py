"""The layouts of public collections: VerSe, CTSpine1K, TotalSegmentator."""

import re
from dataclasses import replace
from pathlib import Path

from drrkit.cohort.scans import Found, Scan, as_id, pair_by_name, shortened, stem_of, volume_files

# VerSe, subject-based: sub-verse402_split-verse253_ct, sub-verse500_dir-ax_ct, sub-gl003_dir-ax_ct. What follows
# split- is one of several series of one patient.
_VERSE_CT = re.compile(r"(?P<stem>(?P<donor>sub-[A-Za-z0-9]+)(?:_[A-Za-z]+-[A-Za-z0-9]+)*)_ct")
_VERSE_MASK = re.compile(r"(?P<stem>sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9]+)*?)_seg-vert_msk")
# VerSe, as it was handed out for the challenges: verse253, verse506_CT-iso, and _seg for the mask.
_VERSE_FLAT_CT = re.compile(r"(?P<stem>(?P<donor>verse\d+)(?:_CT-[a-z]+)?)")
_VERSE_FLAT_MASK = re.compile(r"(?P<stem>verse\d+(?:_CT-[a-z]+)?)_seg")

# CTSpine1K draws on MSD liver, COLONOG (two kinds of ids), HNSCC-3DCT-RT, COVID-19, and completed VerSe's masks. The
# part matched here is the patient.
_CTSPINE1K_PATIENT = re.compile(
    r"liver_\d+|1\.3\.6\.1\.4\.1\.9328\.50\.4\.\d+|CTC-\d+|HN_P\d+|volume-covid19-A-\d+|verse\d+"
)
_CTSPINE1K_CT = re.compile(r"(?P<stem>(?P<donor>.+))")
_CTSPINE1K_MASK = re.compile(r"(?P<stem>.+)_seg")


def find_verse(root: Path) -> Found:
    """Find VerSe's CTs: ``rawdata`` and ``derivatives`` of VerSe 2019 or 2020, or the flat folder of the challenges."""
    files = volume_files(root)
    subjects = pair_by_name("verse", files, _VERSE_CT, _VERSE_MASK)
    if subjects.scans:
        return subjects
    # One foreign file, and it is not VerSe: CTSpine1K completed VerSe's masks and has files of these names too.
    names = [stem_of(path) or "" for path in files]
    if not all(_VERSE_FLAT_CT.fullmatch(name) or _VERSE_FLAT_MASK.fullmatch(name) for name in names):
        return Found("verse")
    flat = pair_by_name("verse", files, _VERSE_FLAT_CT, _VERSE_FLAT_MASK)
    note = "names of the challenge layout do not tell which series are of one patient: name donors by a CSV"
    return replace(flat, notes=[*flat.notes, note])


def find_ctspine1k(root: Path) -> Found:
    """Find CTSpine1K's CTs and label maps, in whatever folders: ``<name>`` and ``<name>_seg``."""
    found = pair_by_name("ctspine1k", volume_files(root), _CTSPINE1K_CT, _CTSPINE1K_MASK)
    scans = []
    for scan in found.scans:
        name = scan.ct_id.removesuffix("_ct")
        patient = _CTSPINE1K_PATIENT.match(name)
        scans.append(replace(scan, ct_id=name, donor_id=patient.group() if patient else name))
    return replace(found, scans=scans)


def has_ctspine1k_names(root: Path) -> bool:
    """Whether any volume file is named as in CTSpine1K."""
    return any(_CTSPINE1K_PATIENT.match(stem_of(path) or "") for path in volume_files(root))


def find_totalsegmentator(root: Path) -> Found:
    """Find subjects with a ``ct.nii.gz`` and a folder ``segmentations``; v1 and v2 name their masks the same way."""
    scans = []
    for ct_path in sorted(path for path in root.rglob("ct.nii.gz") if (path.parent / "segmentations").is_dir()):
        subject, masks = ct_path.parent.name, ct_path.parent / "segmentations"
        labels = masks if any(masks.glob("vertebrae_*.nii.gz")) else None
        scans.append(Scan(as_id(subject), subject, ct_path, labels, "totalsegmentator" if labels else ""))
    bare = [scan.ct_id for scan in scans if scan.labels_path is None]
    notes = [f"{len(bare)} of {len(scans)} subjects have no masks of vertebrae: {shortened(bare)}"] if bare else []
    return Found("totalsegmentator", scans, notes)
