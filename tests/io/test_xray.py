import json

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io.xray import line_integral_from_intensity, read_xray, write_xray
from drrkit.radiograph import Radiograph

SHAPE = (40, 48)
CAMERA = CArm(1000, 600, *SHAPE, (1.0, 0.9)).camera(20, -5, 3, (1, 2, 3)).flipped_horizontally()


def counts(top=4095) -> np.ndarray:
    return np.random.default_rng(5).integers(1, top, SHAPE).astype(np.uint16)


@pytest.fixture
def write_dicom(tmp_path, make_image, save_dicom):
    def write(pixels, modality="XA", bits=12, **attributes):
        dataset = make_image(pixels, modality, bits)
        for name, value in attributes.items():
            setattr(dataset, name, value)
        return save_dicom(dataset, tmp_path / "x.dcm")

    return write


def table(entries, first=0, bits=16, **attributes):
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.asarray(entries, "<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


EXPONENTIAL = np.rint(60000 * np.exp(-np.arange(4096) / 900)).astype(int)
LOG = {"PixelIntensityRelationship": "LOG"}
MODALITY_TABLE = {"ModalityLUTSequence": [table(EXPONENTIAL)]}


@pytest.mark.parametrize(
    ("modality", "attributes", "domain", "expected"),
    [
        ("XA", {"PixelIntensityRelationship": "LIN"}, "intensity", lambda p: p),
        ("DX", {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}, "intensity", lambda p: p),
        # MONOCHROME1 says how to show the pixels, not what they are.
        (
            "DX",
            {
                "PixelIntensityRelationship": "LIN",
                "PixelIntensityRelationshipSign": 1,
                "PhotometricInterpretation": "MONOCHROME1",
            },
            "intensity",
            lambda p: p,
        ),
        ("DX", {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": -1}, "display", lambda p: p),
        ("XA", {}, "display", lambda p: p),
        ("XA", {"PhotometricInterpretation": "MONOCHROME1"}, "display", lambda p: 4095 - p),
        ("XA", {"PixelIntensityRelationship": "DISP"}, "display", lambda p: p),
        ("XA", {"RescaleSlope": 0.5, "RescaleIntercept": -7}, "display", lambda p: 0.5 * p - 7),
        ("XA", LOG, "display", lambda p: p),
        ("DX", LOG | {"PixelIntensityRelationshipSign": -1}, "display", lambda p: p),
        ("XA", LOG | MODALITY_TABLE, "intensity", lambda p: EXPONENTIAL[p]),
        ("RF", {"PixelIntensityRelationship": "DISP"} | MODALITY_TABLE, "intensity", lambda p: EXPONENTIAL[p]),
        ("CR", MODALITY_TABLE, "display", lambda p: EXPONENTIAL[p]),
        (
            "XA",
            LOG
            | {
                "PixelIntensityRelationshipLUTSequence": [
                    table(EXPONENTIAL[::-1], LUTFunction="TO_LOG"),
                    table(EXPONENTIAL, LUTFunction="TO_LINEAR"),
                ]
            },
            "intensity",
            lambda p: EXPONENTIAL[p],
        ),
    ],
)
def test_tags_decide_the_domain(write_dicom, modality, attributes, domain, expected):
    pixels = counts()
    (radiograph,) = read_xray(
        write_dicom(pixels, "DX" if modality == "CR" else modality, Modality=modality, **attributes)
    )
    assert radiograph.domain == domain
    assert radiograph.pixels.dtype == np.float32
    assert np.allclose(radiograph.pixels, expected(pixels.astype(int)))
    assert radiograph.camera is None


def test_inverted_signed_pixels_stay_in_range(write_dicom):
    pixels = counts().astype(np.int16) - 2048
    (radiograph,) = read_xray(write_dicom(pixels, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(radiograph.pixels, -1 - pixels)


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_each_frame_is_a_radiograph(write_dicom, suffix):
    frames = np.stack([counts(), counts()[::-1], counts()[:, ::-1]])
    path = write_dicom(frames, PixelIntensityRelationship="LIN")
    path = path.rename(path.with_suffix(suffix))
    read = read_xray(str(path))
    assert len(read) == 3
    assert all(np.array_equal(radiograph.pixels, frame) for radiograph, frame in zip(read, frames, strict=True))


def test_packed_frames_are_unpacked_without_rescaling(tmp_path, write_dicom):
    frames = np.stack([counts(), counts()[::-1]])
    path = write_dicom(frames, PixelIntensityRelationship="LIN", RescaleSlope=2, RescaleIntercept=-100)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(tmp_path / "packed.dcm")
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(frames))
    dataset, packed = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "packed.dcm")
    assert "JPEG Lossless" in packed.file_meta.TransferSyntaxUID.name
    dataset.PixelData, dataset["PixelData"].is_undefined_length = packed.PixelData, True
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    dataset.save_as(path)
    read = read_xray(path)
    assert [radiograph.domain for radiograph in read] == ["intensity", "intensity"]
    assert np.array_equal([radiograph.pixels for radiograph in read], frames)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, ["RGB pixels", "grayscale", "screenshot"]),
        ({"NumberOfFrames": 2}, ["unreadable pixels", "whole file"]),
        ({"PixelData": b""}, ["x.dcm", "whole file"]),
        (LOG | {"ModalityLUTSequence": [Dataset()]}, ["unusable lookup table", "C.11.1"]),
    ],
)
def test_unusable_dicom_is_told(write_dicom, refuses, attributes, words):
    path = write_dicom(counts(), **attributes)
    refuses(lambda: read_xray(path), "x.dcm", *words)


def test_a_slope_that_is_no_number_is_told(write_dicom, refuses):
    path = write_dicom(counts(), RescaleSlope="2.25", RescaleIntercept=0)
    path.write_bytes(path.read_bytes().replace(b"2.25", b"2x25"))
    refuses(lambda: read_xray(path), "x.dcm", "RescaleSlope (0028,1053)", "numbers")


def test_a_video_is_told(write_dicom, refuses):
    path = write_dicom(counts())
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 100])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    dataset.save_as(path)
    refuses(lambda: read_xray(path), "x.dcm", "MPEG-4", "1.2.840.10008.1.2.4.102", "gdcmconv")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_or_foreign_file_is_told(write_dicom, refuses, kept):
    path = write_dicom(counts())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refuses(lambda: read_xray(path), "x.dcm")


def test_a_missing_file_is_told(tmp_path, refuses):
    refuses(lambda: read_xray(tmp_path / "gone.dcm"), "gone.dcm", "No such file", "readable DICOM")
    refuses(lambda: read_xray(tmp_path / "gone.png"), "gone.png", "No such file", "X-ray image")


# ---- PNG and TIFF --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera", [CAMERA, None], ids=["camera", "no camera"])
@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
@pytest.mark.parametrize("domain", ["intensity", "line_integral", "display"])
def test_picture_round_trip(tmp_path, suffix, camera, domain):
    rng = np.random.default_rng(1)
    pixels = counts(65535).astype(np.float32) if domain == "intensity" else rng.normal(2, 3, SHAPE).astype(np.float32)
    path = tmp_path / "new" / f"shot.{suffix}"
    write_xray(Radiograph(pixels, domain, camera), path)
    (read,) = read_xray(path)
    assert read.domain == domain
    exact = suffix != "png" or domain == "intensity"
    step = 0 if exact else (pixels.max() - pixels.min()) / 65535
    assert np.abs(read.pixels - pixels).max() <= step * 0.501
    assert (read.camera is None) if camera is None else read.camera.allclose(camera, 1e-12)
    assert sorted(file.name for file in path.parent.iterdir()) == ["shot.json", path.name]
    if suffix == "png":
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_a_uniform_picture_survives(tmp_path):
    write_xray(Radiograph(np.full(SHAPE, 0.3, np.float32), "line_integral"), tmp_path / "x.png")
    assert np.allclose(read_xray(tmp_path / "x.png")[0].pixels, 0.3)


def test_a_written_by_hand_sidecar_is_enough(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), counts().astype(np.uint8))
    sidecar = {"convention": "drrkit-xray/1", "domain": "display", "camera": None, "scale": 2, "offset": -1}
    (tmp_path / "x.json").write_text(json.dumps(sidecar))
    (read,) = read_xray(tmp_path / "x.png")
    assert np.array_equal(read.pixels, counts().astype(np.uint8) * 2.0 - 1)


def test_a_killed_write_leaves_no_image_with_a_foreign_sidecar(tmp_path, monkeypatch, refuses):
    path = tmp_path / "x.tif"
    write_xray(Radiograph(np.ones(SHAPE, np.float32), "intensity"), path)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("drrkit.io.xray.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            write_xray(Radiograph(np.zeros(SHAPE, np.float32), "display"), path)
    refuses(lambda: read_xray(path), "x.json", "no sidecar")


GOOD = {"convention": "drrkit-xray/1", "domain": "intensity", "camera": None}
SMALL_CAMERA = CArm(1000, 600, 4, 5, (1, 1)).camera(0, 0).to_record("x")


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        (None, ["x.json", "no sidecar for x.png", '"domain": "intensity"', '"convention": "drrkit-xray/1"']),
        ("{", ["x.json", "no JSON"]),
        ("[]", ["x.json", "convention None"]),
        (GOOD | {"convention": "other/1"}, ["x.json", "convention 'other/1'", "drrkit-xray/1"]),
        ({"convention": "drrkit-xray/1"}, ["x.json", "no domain and no camera"]),
        (GOOD | {"domain": "counts"}, ["x.json", "'counts'", "intensity or line_integral or display"]),
        (GOOD | {"camera": 3}, ["x.json", "camera 3", "null or a camera"]),
        (GOOD | {"camera": {"K": 3}}, ["x.json, camera", "no camera_from_world"]),
        (GOOD | {"camera": SMALL_CAMERA}, ["x.png", "shape (40, 48)", "(4, 5)"]),
        (GOOD | {"scale": "two"}, ["x.json", "scale 'two'", "a finite number"]),
        (GOOD | {"offset": float("nan")}, ["x.json", "offset nan", "a finite number"]),
    ],
)
def test_bad_sidecars_are_told(tmp_path, refuses, sidecar, words):
    cv2.imwrite(str(tmp_path / "x.png"), counts())
    if sidecar is not None:
        (tmp_path / "x.json").write_text(sidecar if isinstance(sidecar, str) else json.dumps(sidecar))
    refuses(lambda: read_xray(tmp_path / "x.png"), *words)


def test_bad_pictures_are_told(tmp_path, refuses):
    (tmp_path / "x.json").write_text(json.dumps(GOOD))
    path = tmp_path / "x.tif"
    cv2.imwrite(str(path), np.zeros((4, 5, 3), np.uint8))
    refuses(lambda: read_xray(path), "x.tif", "shape (4, 5, 3)", "one channel")
    cv2.imwritemulti(str(path), [counts(), counts()])
    refuses(lambda: read_xray(path), "x.tif", "2 pages", "one image")
    path.write_bytes(path.read_bytes()[:900])
    refuses(lambda: read_xray(path), "x.tif", "no readable image", "intact")
    path.write_bytes(b"")
    refuses(lambda: read_xray(path), "x.tif", "no readable image")
    cv2.imwrite(str(path), np.full((4, 5), np.nan, np.float32))
    refuses(lambda: read_xray(path), "x.tif", "NaN or infinite pixels")
    refuses(lambda: write_xray(Radiograph(np.ones((2, 2), np.float32), "display"), tmp_path / "x.jpg"), "x.jpg", ".png")


# ---- line integrals ------------------------------------------------------------------------------------------


def test_line_integrals_of_a_water_wedge():
    thickness_mm = np.broadcast_to(np.linspace(0, 300, SHAPE[1], dtype=np.float32), SHAPE)
    open_field = np.linspace(900, 1100, SHAPE[0], dtype=np.float32)[:, None] * np.ones(SHAPE, np.float32)
    shot = Radiograph((open_field * np.exp(-0.02 * thickness_mm)).astype(np.float32), "intensity", CAMERA)
    lines = line_integral_from_intensity(shot, open_field)
    assert lines.domain == "line_integral"
    assert lines.camera is CAMERA
    assert np.allclose(lines.pixels, 0.02 * thickness_mm, atol=1e-5)


def test_pixels_without_intensity_need_a_floor(refuses):
    shot = Radiograph(np.array([[0, 1, 100]], np.float32), "intensity")
    refuses(lambda: line_integral_from_intensity(shot, 100.0), "1 pixels without intensity", "`lowest`")
    lines = line_integral_from_intensity(shot, 100.0, lowest=10)
    assert np.allclose(lines.pixels, [[np.log(10), np.log(10), 0]])
    assert np.isfinite(lines.pixels).all()


@pytest.mark.parametrize(
    ("domain", "open_field", "lowest", "words"),
    [
        ("display", 100.0, None, "intensity"),
        ("line_integral", 100.0, None, "intensity"),
        ("intensity", 0.0, None, "open_field"),
        ("intensity", float("nan"), None, "open_field"),
        ("intensity", 100.0, 0.0, "lowest"),
    ],
)
def test_line_integrals_ask_for_counts_and_an_open_field(domain, open_field, lowest, words):
    shot = Radiograph(np.ones((2, 2), np.float32), domain)
    with pytest.raises(InputError, match=words):
        line_integral_from_intensity(shot, open_field, lowest)
