"""De-identification as a lab meets it: pseudonyms and dates over a cohort, marks, refusals, all or nothing."""

import dataclasses
import datetime
import json
import shutil
import stat
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from drrkit.errors import InputError
from drrkit.io.ct import read_volume
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.io.xa import Technique, XaDescription, log_table, write_xa
from drrkit.io.xray import read_xray, read_xray_header
from drrkit.volume import Volume
from protocols.deidentify import anonymize, new_key
from protocols.deidentify.pseudonyms import Pseudonyms

KEY, OTHER_KEY = bytes(range(32, 64)), bytes(range(64, 96))
TAKEN = datetime.datetime(2024, 3, 4, 23, 50)
PIXELS = np.random.default_rng(2).integers(0, 4096, (20, 25)).astype(np.uint16)
HU = np.random.default_rng(0).integers(-1000, 2000, (3, 6, 7)).astype(np.int16)
STUDY = Study(patient_id="Jane", seed="study", taken=TAKEN, manufacturer="Siemens", model="Cios Spin")
XA = XaDescription(
    study=STUDY,
    technique=Technique(kvp=80, tube_current_ma=3, exposure_time_ms=12, filters=(("COPPER", 0.1),)),
    primary_deg=33.3 / 7,
    secondary_deg=-20 / 3,
    source_to_detector_mm=1000,
    source_to_isocenter_mm=600,
    imager_spacing_mm=(1.0, 1.25),
)


def days(count) -> datetime.datetime:
    return TAKEN + datetime.timedelta(days=count)


def session(folder, patient_id="Jane", ct_days=0, shots=1):
    """A session on disk: a CT and shots, one a day."""
    study = dataclasses.replace(STUDY, patient_id=patient_id, seed=f"{patient_id}{folder}", taken=days(ct_days))
    write_ct_dicom(Volume(HU, np.diag([0.7, 0.8, 1.2, 1.0])), folder / "ct", study, kvp=120)
    for number in range(shots):
        shot = dataclasses.replace(XA, study=dataclasses.replace(study, taken=days(number)), instance_number=number + 1)
        # File names run against time.
        write_xa(folder / "xrays" / f"Jane-{9 - number}.dcm", PIXELS, shot)
    return folder


def edit(path, **attributes):
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def shot_file(folder):
    return next((folder / "xrays").glob("*.dcm"))


def files_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def refused(tmp_path):
    """Check that a run is refused in one line with these words, and that it leaves the disk as it was."""

    def check(source, *words, **options):
        before = files_of(tmp_path), sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError) as error:
            anonymize(source, options.pop("out", tmp_path / "out"), options.pop("key", KEY), **options)
        assert [word for word in words if word not in str(error.value)] == [], str(error.value)
        assert "\n" not in str(error.value)
        assert (files_of(tmp_path), sorted(tmp_path.rglob("*"))) == before

    return check


# ---- Pseudonyms and dates ------------------------------------------------------------------------------------


def test_a_session_comes_out_whole(tmp_path):
    source = session(tmp_path / "Jane Doe", shots=3)
    (source / "acquisition.yaml").write_text("donor: Jane")
    (source / "labels.nii.gz").write_bytes(b"Jane")
    report = anonymize(source, tmp_path / "out", KEY)
    names = {f"ct/000{number}.dcm" for number in (1, 2, 3)} | {f"xrays/000{number}.dcm" for number in (1, 2, 3)}
    assert set(files_of(tmp_path / "out")) == names | {"deidentification.json"}
    assert report.left_out == {".gz": 1, ".yaml": 1}
    record = json.loads((tmp_path / "out" / "deidentification.json").read_text())
    assert record["convention"] == "drrkit-deidentification/1"
    assert record["patient"] == report.patient
    assert not any(b"jane" in content.lower() for content in files_of(tmp_path / "out").values())
    volume = read_volume(tmp_path / "out" / "ct")
    assert np.array_equal(volume.hu, HU)
    assert np.array_equal(volume.world_from_voxel, np.diag([0.7, 0.8, 1.2, 1.0]))
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert (kept.Manufacturer, kept.ManufacturerModelName) == ("Siemens", "Cios Spin")
    assert (kept.KVP, kept.FilterMaterial, list(kept.PatientOrientation)) == (80, "COPPER", ["L", "FP"])


def test_the_validator_finds_no_error(tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    source = session(tmp_path / "in")
    anonymize(source, tmp_path / "out", KEY, blank=[(0, 0, 3, 3)])
    for name in ("ct/0001.dcm", "xrays/0001.dcm"):
        found = subprocess.run(["dciodvfy", tmp_path / "out" / name], capture_output=True, text=True, check=False)
        report = found.stdout + found.stderr
        assert "XAImage" in report or "CTImage" in report
        assert [line for line in report.splitlines() if "Error" in line] == []


def test_x_rays_are_named_in_the_order_in_which_they_were_taken(tmp_path):
    anonymize(session(tmp_path / "in", shots=3), tmp_path / "out", KEY)
    numbers = [pydicom.dcmread(file).InstanceNumber for file in sorted((tmp_path / "out" / "xrays").iterdir())]
    assert numbers == [1, 2, 3]


def test_one_patient_has_one_pseudonym_over_a_cohort_and_another_with_another_key(tmp_path):
    sources = [session(tmp_path / name, patient) for name, patient in (("a", "Jane"), ("b", "Jane "), ("c", "Joan"))]
    patients = [anonymize(source, tmp_path / f"out-{source.name}", KEY).patient for source in sources]
    assert patients[0] == patients[1] != patients[2]
    other = anonymize(sources[0], tmp_path / "other", OTHER_KEY).patient
    assert other not in patients
    uids = [
        pydicom.dcmread(tmp_path / folder / "xrays" / "0001.dcm")[keyword].value
        for folder in ("out-a", "other")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ]
    assert len(set(uids)) == 6


def test_files_of_a_study_still_belong_together(tmp_path):
    source = session(tmp_path / "in", shots=2)
    anonymize(source, tmp_path / "out", KEY)
    one_by_one = anonymize(shot_file(source), tmp_path / "single", KEY)
    everything = [pydicom.dcmread(file) for file in sorted((tmp_path / "out").rglob("*.dcm"))]
    assert len({image.StudyInstanceUID for image in everything}) == 1
    assert len({image.SeriesInstanceUID for image in everything}) == 2
    assert len({image.SOPInstanceUID for image in everything}) == 5
    assert len({image.FrameOfReferenceUID for image in everything if image.Modality == "CT"}) == 1
    assert {image.PatientID for image in everything} == {one_by_one.patient}
    single = pydicom.dcmread(tmp_path / "single" / "xrays" / "0001.dcm")
    assert single.SOPInstanceUID in {image.SOPInstanceUID for image in everything}
    assert all(pydicom.uid.UID(image.SOPInstanceUID).is_valid for image in everything)


def test_intervals_between_dates_are_kept_and_dates_are_not(tmp_path):
    anonymize(session(tmp_path / "in", ct_days=-400, shots=3), tmp_path / "out", KEY)
    report = anonymize(session(tmp_path / "later", ct_days=30), tmp_path / "out-later", KEY)
    dates = [
        datetime.datetime.strptime(pydicom.dcmread(file).AcquisitionDate, "%Y%m%d")
        for file in (
            tmp_path / "out" / "ct" / "0001.dcm",
            *sorted((tmp_path / "out" / "xrays").iterdir()),
            tmp_path / "out-later" / "ct" / "0001.dcm",
        )
    ]
    assert [(date - dates[1]).days for date in dates] == [-400, 0, 1, 2, 30]
    shift = (dates[1] - TAKEN.replace(hour=0, minute=0)).days
    assert -3650 <= shift <= -1
    kept = pydicom.dcmread(tmp_path / "out-later" / "ct" / "0001.dcm")
    assert kept.StudyDate == kept.SeriesDate == kept.ContentDate == kept.AcquisitionDate
    assert kept.StudyDate in [date.replace("-", "") for date in report.study_dates]
    assert kept.StudyTime == ""
    assert "AcquisitionTime" not in kept


def test_shifts_differ_from_patient_to_patient():
    pseudonyms = Pseudonyms(KEY)
    shifts = {pseudonyms.shift_days(f"patient {number}") for number in range(300)}
    assert len(shifts) > 270
    assert min(shifts) >= -3650
    assert max(shifts) <= -1


@pytest.mark.parametrize("text", ["", "2024", "20241332", "2024.03.04", "00010102", "Jane1234", "2024030 "])
def test_what_is_no_date_is_not_moved(text):
    assert Pseudonyms(KEY).date(text, "Jane") is None


def test_the_same_run_gives_the_same_bytes_and_an_existing_folder_is_refused(tmp_path, refused):
    source = session(tmp_path / "in")
    anonymize(source, tmp_path / "out", KEY)
    anonymize(source, tmp_path / "again", KEY)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "again")
    refused(source, "new folder")


def test_a_patient_can_be_named_where_files_do_not_agree(tmp_path, refused):
    source = session(tmp_path / "in")
    edit(shot_file(source), PatientID="C-arm 12")
    refused(source, "2 different PatientIDs")
    refused(source, "patient", patient=" ")
    report = anonymize(source, tmp_path / "out", KEY, patient="Jane")
    assert report.patient == Pseudonyms(KEY).patient("Jane")
    assert {pydicom.dcmread(file).PatientID for file in (tmp_path / "out").rglob("*.dcm")} == {report.patient}


def test_a_simulation_stays_a_simulation(tmp_path):
    simulated = dataclasses.replace(XA, study=dataclasses.replace(STUDY, simulated=True, model="SIMULATED flat panel"))
    write_xa(tmp_path / "shot.dcm", PIXELS, simulated)
    anonymize(tmp_path / "shot.dcm", tmp_path / "out", KEY)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert kept.ImageComments.startswith("SIMULATED")
    assert kept.PatientName.family_name == "SIMULATED"
    assert kept.ImageType[0] == "DERIVED"
    assert kept.ManufacturerModelName == "SIMULATED flat panel"


# ---- Keys ----------------------------------------------------------------------------------------------------


def test_a_key_file_works_and_stays_secret(tmp_path, refused):
    new_key(tmp_path / "lab" / "key")
    assert stat.S_IMODE((tmp_path / "lab" / "key").stat().st_mode) == 0o600
    secret = (tmp_path / "lab" / "key").read_bytes().strip()
    source = session(tmp_path / "in")
    report = anonymize(source, tmp_path / "out", tmp_path / "lab" / "key")
    assert report.patient == Pseudonyms(secret).patient("Jane")
    assert not any(secret in content for content in files_of(tmp_path / "out").values())
    with pytest.raises(InputError, match="lost key"):
        new_key(tmp_path / "lab" / "key")
    refused(source, "16 bytes", key=b"k" * 16, out=tmp_path / "o")
    refused(source, "nokey", key=tmp_path / "nokey", out=tmp_path / "o")


# ---- Marks in the picture ------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["YES", None, "", "MAYBE"])
def test_an_x_ray_that_may_show_names_is_refused_unless_it_was_cleared(tmp_path, refused, says):
    source = session(tmp_path / "in")
    edit(shot_file(source), BurnedInAnnotation=says)
    refused(source, "BurnedInAnnotation (0028,0301)", says or "not given", "Jane-9.dcm")
    refused(source, "BurnedInAnnotation", cleared_modalities=["CT"])
    report = anonymize(source, tmp_path / "out", KEY, cleared=True)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert kept.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in kept.DeidentificationMethodCodeSequence]
    assert report.declared_clean == 1
    assert np.array_equal(kept.pixel_array, PIXELS)


def test_slices_can_be_declared_clean_alone(tmp_path, refused):
    source = session(tmp_path / "in")
    for file in (source / "ct").iterdir():
        edit(file, BurnedInAnnotation=None)
    refused(source, "CT")
    # Blanking concerns X-rays.
    refused(source, "CT", blank=[(0, 0, 3, 3)])
    assert anonymize(source, tmp_path / "out", KEY, cleared_modalities=["CT"]).declared_clean == 3


def test_rectangles_are_blanked_in_x_rays_and_nothing_else_changes(tmp_path, refused):
    source = session(tmp_path / "in")
    edit(shot_file(source), BurnedInAnnotation="YES")
    refused(source, "25 x 20", blank=[(0, 0, 25, 3)])
    report = anonymize(source, tmp_path / "out", KEY, blank=[(2, 1, 5, 3), (20, 10, 24, 19)])
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    expected = PIXELS.copy()
    expected[1:4, 2:6] = 0
    expected[10:20, 20:25] = 0
    assert np.array_equal(kept.pixel_array, expected)
    assert kept.BurnedInAnnotation == "NO"
    assert list(kept.ImageType) == ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    assert "blanked" in kept.DerivationDescription
    assert report.blanked == 1
    assert np.array_equal(read_volume(tmp_path / "out" / "ct").hu, HU)


def test_overlays_in_the_spare_bits_are_cleared(tmp_path):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    name = np.zeros_like(PIXELS)
    name[3:6, 4:9] = 1
    edit(tmp_path / "x.dcm", PixelData=(PIXELS | (name << 12)).tobytes())
    report = anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    assert report.hidden_bits_cleared == 1
    assert pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm").PixelData == PIXELS.tobytes()


@pytest.mark.parametrize("padding", [-2048, 100])
def test_signed_pixels_keep_their_sign(tmp_path, padding):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    signed = PIXELS.astype(np.int16) - 2048
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    dataset.PixelData, dataset.PixelRepresentation = signed.tobytes(), 1
    dataset.add_new("PixelPaddingValue", "SS", padding)
    dataset.save_as(tmp_path / "x.dcm")
    report = anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert np.array_equal(kept.pixel_array, signed)
    assert (kept.PixelPaddingValue, kept["PixelPaddingValue"].VR) == (padding, "SS")
    assert report.hidden_bits_cleared == 0


# ---- Kinds of files ------------------------------------------------------------------------------------------


def packed_by_pydicom(path, frames):
    dataset = pydicom.dcmread(path)
    compress(dataset, RLELossless, generate_instance_uid=False)
    dataset.save_as(path)


def packed_by_gdcm(path, frames):
    dataset = pydicom.dcmread(path)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(path.with_name("packed.dcm"))
    writer.UseCompressionOn()
    writer.SetImageIO("GDCMImageIO")
    writer.Execute(sitk.GetImageFromArray(frames[0]))
    packed = pydicom.dcmread(path.with_name("packed.dcm"))
    assert packed.file_meta.TransferSyntaxUID.is_compressed
    dataset["PixelData"] = packed["PixelData"]
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    for keyword in ("BitsStored", "HighBit"):
        setattr(dataset, keyword, packed[keyword].value)
    dataset.save_as(path)
    path.with_name("packed.dcm").unlink()


@pytest.mark.parametrize(
    ("pack", "count"),
    [(packed_by_pydicom, 1), (packed_by_pydicom, 3), (packed_by_gdcm, 1)],
    ids=["rle", "movie", "gdcm"],
)
def test_packed_pixels_come_out_plain_and_equal(tmp_path, pack, count):
    frames = np.stack([PIXELS, PIXELS[::-1], PIXELS[:, ::-1]])[:count]
    write_xa(tmp_path / "x.dcm", frames, dataclasses.replace(XA, frame_time_ms=40))
    pack(tmp_path / "x.dcm", frames)
    report = anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert report.decompressed == 1
    assert kept.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert kept.PixelData == frames.tobytes()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=["implicit", "deflated"]
)
def test_a_file_of_another_syntax_comes_out_equal(tmp_path, syntax):
    orbit = dataclasses.replace(
        XA, primary_deg=(-3.0, 40.5), frame_time_ms=40, intensity_from_stored=log_table(3, 60000)
    )
    write_xa(tmp_path / "x.dcm", np.stack([PIXELS, PIXELS[::-1]]), orbit)
    before = read_xray(tmp_path / "x.dcm")
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    dataset.add_new("PixelPaddingValue", "US", 60000)
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(tmp_path / "x.dcm", dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    after = read_xray(tmp_path / "out" / "xrays" / "0001.dcm")
    for kept, true in zip(after, before, strict=True):
        assert kept.domain == true.domain == "intensity"
        assert np.array_equal(kept.pixels, true.pixels)
        assert np.array_equal(kept.camera.camera_from_world, true.camera.camera_from_world)
    assert pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm").PixelPaddingValue == 60000


def test_the_camera_of_an_enhanced_file_survives(tmp_path):
    write_xa(tmp_path / "x.dcm", np.stack([PIXELS, PIXELS]), dataclasses.replace(XA, frame_time_ms=40))
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedXAImageStorage
    del dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle, dataset.DistanceSourceToPatient
    frames = []
    for primary_deg in (10.0, 20.0):
        frame, position = Dataset(), Dataset()
        position.PositionerPrimaryAngle, position.PositionerSecondaryAngle = primary_deg, 5.0
        position.OperatorsName = "Jane"
        frame.PositionerPositionSequence = [position]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    shared, distance = Dataset(), Dataset()
    distance.DistanceSourceToIsocenter = 600.0
    distance.PositionOfIsocenterProjection = [10.0, 12.0]
    distance.FieldOfViewOrigin, distance.DetectorElementSpacing = [0.0, 0.0], [1.0, 1.25]
    shared.XRayGeometrySequence = [distance]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.save_as(tmp_path / "x.dcm")
    before = read_xray_header(tmp_path / "x.dcm")
    assert before.missing == ()
    anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    after = read_xray_header(tmp_path / "out" / "xrays" / "0001.dcm")
    assert after.frames == before.frames
    assert b"Jane" not in (tmp_path / "out" / "xrays" / "0001.dcm").read_bytes()


def test_a_table_that_is_longer_than_it_says_is_refused(tmp_path, refused):
    write_xa(tmp_path / "x.dcm", PIXELS, dataclasses.replace(XA, intensity_from_stored=log_table(3, 60000)))
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    dataset.ModalityLUTSequence[0].LUTData += b"JANE"
    dataset.save_as(tmp_path / "x.dcm")
    refused(tmp_path / "x.dcm", "LUTData", "descriptor")


@pytest.mark.parametrize("date", ["04.03.24", "00000000", "", None])
def test_a_date_that_is_none_is_dropped(tmp_path, date):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    del dataset.StudyDate
    if date is not None:
        dataset.add(DataElement(0x00080020, "LO", date))
    dataset.save_as(tmp_path / "x.dcm")
    report = anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    assert pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm").StudyDate == ""
    assert report.study_dates == ()
    assert report.unfit == ({"StudyDate": 1} if date else {})


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "Secondary Capture"),
        ({"SOPClassUID": EncapsulatedPDFStorage}, "Encapsulated PDF"),
        ({"SOPClassUID": None}, "no image"),
        ({"Modality": "US"}, "modality US"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB"),
        ({"HighBit": 15}, "bit 15"),
        ({"PixelData": None}, "no PixelData"),
        ({"PixelData": PIXELS.tobytes()[:-2]}, "998 bytes"),
        ({"StudyInstanceUID": None}, "StudyInstanceUID"),
        ({"PatientID": ""}, "PatientID"),
    ],
)
def test_what_cannot_be_cleaned_is_refused_and_takes_the_rest_with_it(tmp_path, refused, attributes, words):
    source = session(tmp_path / "in", shots=2)
    edit(source / "xrays" / "Jane-8.dcm", **attributes)
    refused(source, words)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("Rows", "twenty", "Rows (0028,0010) that is no number"),
        ("Rows", "20", "Rows (0028,0010) as the standard"),
        ("NumberOfFrames", "many", "NumberOfFrames"),
        ("InstanceNumber", "7th", "InstanceNumber"),
        ("SeriesNumber", "1.5", "SeriesNumber"),
    ],
)
def test_words_where_numbers_are_needed_are_refused(tmp_path, refused, keyword, value, words):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    tag = pydicom.datadict.tag_for_keyword(keyword)
    dataset[tag] = DataElement(tag, "LO", value)
    dataset.save_as(tmp_path / "x.dcm")
    refused(tmp_path / "x.dcm", words)


def test_big_endian_files_are_refused(tmp_path, refused):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(tmp_path / "x.dcm", dataset, implicit_vr=False, little_endian=False)
    refused(tmp_path / "x.dcm", "Big Endian")


def test_other_files_are_refused_or_left_out(tmp_path, refused):
    source = session(tmp_path / "in")
    refused(tmp_path / "gone", "no DICOM files")
    (source / "note.txt").write_text("Jane")
    refused(source / "note.txt", "no DICOM file")
    refused(source, "inside the source", out=source / "out")
    (source / "broken.dcm").write_text("Jane")
    refused(source, "broken.dcm")


def test_several_series_of_slices_get_a_folder_each(tmp_path):
    source = session(tmp_path / "in")
    study = dataclasses.replace(STUDY, seed=f"Jane{source}")
    write_ct_dicom(Volume(HU + np.int16(1), np.eye(4)), source / "soft", study, kvp=120, series_number=2)
    anonymize(source, tmp_path / "out", KEY)
    assert np.array_equal(read_volume(tmp_path / "out" / "ct-1").hu, HU)
    assert np.array_equal(read_volume(tmp_path / "out" / "ct-2").hu, HU + 1)


# ---- Values that do not belong -------------------------------------------------------------------------------


def test_the_device_is_dropped_where_it_names_somebody(tmp_path):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    edit(tmp_path / "x.dcm", ManufacturerModelName="Cios of dr. lee", OperatorsName="Lee^Ann", Manufacturer="Siemené")
    anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert "ManufacturerModelName" not in kept
    assert "Manufacturer" not in kept


def test_decimals_that_are_too_long_are_rounded_and_others_kept_as_written(tmp_path):
    write_xa(tmp_path / "x.dcm", PIXELS, XA)
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    for keyword, text in (("KVP", "80.000"), ("TableHeight", "123.45678901234567"), ("FocalSpots", "0.3 mm")):
        tag = pydicom.datadict.tag_for_keyword(keyword)
        dataset.add(DataElement(tag, "LO", text))
    dataset.save_as(tmp_path / "x.dcm")
    anonymize(tmp_path / "x.dcm", tmp_path / "out", KEY)
    kept = pydicom.dcmread(tmp_path / "out" / "xrays" / "0001.dcm")
    assert kept.KVP.original_string == "80.000"
    assert kept.TableHeight == pytest.approx(123.45678901234567, abs=1e-9)
    assert "FocalSpots" not in kept


# ---- acquisition.yaml ----------------------------------------------------------------------------------------


def test_the_sheet_is_copied_when_it_is_asked_for_and_names_nobody(tmp_path, refused):
    source = session(tmp_path / "in")
    refused(source, "acquisition.yaml", include_yaml=True)
    sheet = source / "acquisition.yaml"
    for text, words in (
        ("donor: JANE", "PatientID"),
        ("taken: 2024-03-04", "Date"),
        ("taken: 04.03.2024", "Date"),
        ("exposures: {jane-9: {}}", "name of a file"),
        (b"\xff\xfe", "no text"),
    ):
        sheet.write_bytes(text if isinstance(text, bytes) else text.encode())
        refused(source, words, include_yaml=True)
    sheet.write_text("donor: donor-3 # Janet's notes\n")
    report = anonymize(source, tmp_path / "out", KEY, include_yaml=True)
    assert report.sheet_copied
    assert (tmp_path / "out" / "acquisition.yaml").read_text() == "donor: donor-3 # Janet's notes\n"
