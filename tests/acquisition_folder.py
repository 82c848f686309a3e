"""A small, sound acquisition folder on disk, and ways to spoil it."""

from pathlib import Path

import numpy as np
import pydicom
import yaml
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

from drrkit.geometry.carm import CArm
from drrkit.io.ct import write_labels
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.volume import Volume
from protocols.acquisition import RULES, check_acquisition, new_acquisition
from toys import toy_volume

FIRST, SECOND = "tilt-m10", "tilt-m20"
NAME, DONOR = "toy-01", "donor-01"
HEIGHT, WIDTH = 24, 20
ORBIT_DEG = list(range(-102, 103, 6))
TILTS_DEG = {"tilt-m10": -10, "tilt-m20": -20, "tilt-m25": -25, "tilt-p10": 10, "tilt-p20": 20, "tilt-p25": 25}
TO_DETECTOR_MM, TO_ISOCENTER_MM, SPACING_MM = 1000.0, 600.0, (2.0, 1.6)


def xray_dataset(pixels, **attributes) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = XRayAngiographicImageStorage, generate_uid()
    image.Modality = "XA"
    image.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    image.BurnedInAnnotation = "NO"
    image.PatientID = image.PatientName = DONOR
    image.Manufacturer, image.ManufacturerModelName = "Acme", "C9"
    image.StudyInstanceUID, image.StudyDate = "1.2.3", "20310409"
    image.Rows, image.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        image.NumberOfFrames = len(pixels)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelIntensityRelationship = "LIN"
    image.DistanceSourceToDetector, image.DistanceSourceToPatient = TO_DETECTOR_MM, TO_ISOCENTER_MM
    image.ImagerPixelSpacing = list(SPACING_MM)
    image.PositionerPrimaryAngle, image.PositionerSecondaryAngle = 0, 0
    image.PixelData = pixels.astype("<u2").tobytes()
    return changed(image, attributes)


def changed(image, attributes):
    for name, value in attributes.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    return image


def shot(folder, name, pixels=None, **attributes) -> Path:
    if pixels is None:
        pixels = np.random.default_rng(list(name.encode())).integers(800, 1200, (HEIGHT, WIDTH))
    path = folder / "xrays" / name
    pydicom.dcmwrite(path, xray_dataset(pixels, **attributes), enforce_file_format=True)
    return path


def retag(path, **attributes) -> None:
    pydicom.dcmwrite(path, changed(pydicom.dcmread(path), attributes))


def edit(folder, **changes) -> None:
    """Change acquisition.yaml; a section is changed field by field."""
    path = folder / "acquisition.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        if isinstance(value, dict):
            content[name].update(value)
        else:
            content[name] = value
    path.write_text(yaml.safe_dump(content))


def short_volume() -> Volume:
    """Cut six slices out of the toy patient, with parts of both levels: few files are soon read."""
    whole = toy_volume()
    return Volume(whole.hu[8:14], whole.world_from_voxel, whole.labels[8:14])


def empty_session(parent) -> Path:
    """Make a folder with acquisition.yaml and CT, without X-rays."""
    folder = parent / NAME
    new_acquisition(folder, NAME)
    volume = short_volume()
    write_ct_dicom(volume, folder / "ct", Study(patient_id=DONOR, seed="ct"), kvp=120.0, bits=16)
    write_labels(volume, folder / "labels.nii")
    edit(
        folder,
        donor_id=DONOR,
        site="a lab",
        consent_reference="vote 7",
        specimen={"levels": ["L1", "L2"]},
        # As coarse as the toy's voxels allow.
        balls={"diameter_mm": 12.0, "count": 20},
        ct={"labels": "labels.nii", "label_scheme": "verse"},
    )
    return folder


def whole_session(parent) -> Path:
    """Make a folder that check has nothing to say about: the orbit in one file, six tilted shots in their own."""
    folder = empty_session(parent)
    frames = np.random.default_rng(0).integers(800, 1200, (len(ORBIT_DEG), HEIGHT, WIDTH))
    shot(folder, "run.dcm", frames, **orbit_tags(ORBIT_DEG))
    for name, secondary in TILTS_DEG.items():
        shot(folder, f"{name}.dcm", PositionerSecondaryAngle=secondary)
    return folder


def orbit_tags(angles_deg) -> dict:
    """Tags of a run whose frames have these primary angles."""
    return {
        "PositionerMotion": "DYNAMIC",
        "PositionerPrimaryAngle": angles_deg[0],
        "PositionerPrimaryAngleIncrement": [angle - angles_deg[0] for angle in angles_deg],
        "PositionerSecondaryAngleIncrement": [0] * len(angles_deg),
    }


def as_in_header(primary_deg, secondary_deg, size=(HEIGHT, WIDTH)):
    """DICOM files show the mirror image of what the source sees."""
    carm = CArm(TO_DETECTOR_MM, TO_ISOCENTER_MM, *size, SPACING_MM)
    return carm.camera(primary_deg, secondary_deg).flipped_horizontally()


def xray(folder, name=FIRST):
    return folder / "xrays" / f"{name}.dcm"


def check(folder):
    findings = check_acquisition(folder)
    assert {finding.rule for finding in findings} <= set(RULES)
    assert all(finding.where and finding.found and finding.wanted for finding in findings)
    assert not any("\n" in f"{finding.where}{finding.found}{finding.wanted}" for finding in findings)
    return findings


def only(folder, severity, rule, *words, exposures=()):
    """Check that there is this finding and no other, and return it."""
    findings = check(folder)
    assert [(finding.severity, finding.rule) for finding in findings] == [(severity, rule)], findings
    finding = findings[0]
    said = f"{finding.where}: found {finding.found}; wanted {finding.wanted}"
    assert [word for word in words if word not in said] == [], said
    assert finding.exposures == tuple(exposures)
    return finding
