import errno
import json
import os

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io import store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


CARM = CArm(1000, 500, 40, 50, (1.0, 0.8))


def test_image_round_trip_is_exact(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(7, 11)).astype(np.float32)
    digest = store.write_image(tmp_path / "a" / "x.tif", pixels)
    assert np.array_equal(store.read_image(tmp_path / "a" / "x.tif"), pixels)
    assert digest == store.content_sha256(tmp_path / "a" / "x.tif")
    assert names(tmp_path / "a") == ["x.tif"]


def test_compressed_images_are_exact_and_smaller(tmp_path):
    pixels = np.zeros((64, 64), np.float32)
    pixels[20:40, 20:40] = np.random.default_rng(0).normal(size=(20, 20))
    store.write_image(tmp_path / "plain.tif", pixels)
    store.write_image(tmp_path / "compressed.tif", pixels, compressed=True)
    assert np.array_equal(store.read_image(tmp_path / "compressed.tif"), pixels)
    assert (tmp_path / "compressed.tif").stat().st_size < 0.5 * (tmp_path / "plain.tif").stat().st_size


def test_mask_round_trip_is_exact(tmp_path):
    mask = np.random.default_rng(0).random((7, 11)) > 0.5
    store.write_mask(tmp_path / "x.png", mask)
    assert np.array_equal(store.read_mask(tmp_path / "x.png"), mask)


def test_cameras_round_trip_is_exact(tmp_path):
    cameras = {"ap": CARM.camera(0, 0), "lat": CARM.camera(90, 3, 5, (1, 2, 3)).flipped_horizontally()}
    store.write_cameras(tmp_path / "cameras.json", cameras)
    read = store.read_cameras(tmp_path / "cameras.json")
    assert list(read) == ["ap", "lat"]
    assert all(read[name].allclose(cameras[name], 1e-12) for name in cameras)
    assert json.loads((tmp_path / "cameras.json").read_text())["convention"] == "drrkit-camera/1"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ('{"convention": "other", "cameras": []}', "other"),
        ('{"convention": "drrkit-camera/1", "cameras": [{"K": 1}]}', "ids"),
        ('{"convention": "drrkit-camera/1", "cameras": []}', "no cameras"),
        ('{"convention": "drrkit-camera/1", "cameras": [{"id": "../a"}]}', "../a"),
        ('{"convention": "drrkit-camera/1", "cameras": [{"id": "a"}]}', "camera a: found no K"),
    ],
)
def test_bad_camera_files_say_what_is_wrong(tmp_path, content, words):
    (tmp_path / "cameras.json").write_text(content)
    with pytest.raises(InputError) as error:
        store.read_cameras(tmp_path / "cameras.json")
    assert "cameras.json" in str(error.value)
    assert words in str(error.value)


def test_a_camera_with_a_reflected_rotation_is_named(tmp_path):
    record = CARM.camera(0, 0).to_record("mirror")
    record["camera_from_world"][0] = [-number for number in record["camera_from_world"][0]]
    (tmp_path / "cameras.json").write_text(json.dumps({"convention": "drrkit-camera/1", "cameras": [record]}))
    with pytest.raises(InputError, match=r"camera mirror, camera_from_world: found a reflected rotation"):
        store.read_cameras(tmp_path / "cameras.json")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.bin"
    store.write_bytes(path, b"old")

    def write_half() -> None:
        with store.atomic_path(path) as temporary:
            temporary.write_bytes(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")],
)
def test_disk_faults_become_one_clear_line(tmp_path, monkeypatch, code, words):
    path = tmp_path / "x.bin"
    store.write_bytes(path, b"old")

    def fail(self, content):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(InputError, match=words) as error:
        store.write_bytes(path, b"new")
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="a file where a folder should be"):
        store.write_bytes(tmp_path / "out" / "x.bin", b"")


def test_content_hash_of_a_folder_sees_names_and_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.dcm").write_text("one")
    first = store.content_sha256(tmp_path / "a")
    assert store.content_sha256(tmp_path / "b") == first
    (tmp_path / "b" / "1.dcm").rename(tmp_path / "b" / "2.dcm")
    assert store.content_sha256(tmp_path / "b") != first
    (tmp_path / "a" / "1.dcm").write_text("two")
    assert store.content_sha256(tmp_path / "a") != first


def test_hashing_or_reading_nothing_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="gone"):
        store.content_sha256(tmp_path / "gone")
    with pytest.raises(InputError, match="gone"):
        store.read_image(tmp_path / "gone.tif")
    (tmp_path / "text.tif").write_text("no image")
    with pytest.raises(InputError, match="no readable image"):
        store.read_image(tmp_path / "text.tif")
    store.write_mask(tmp_path / "mask.tif", np.zeros((2, 2), bool))
    with pytest.raises(InputError, match="uint8"):
        store.read_image(tmp_path / "mask.tif")


def test_one_run_at_a_time_and_orphans_are_swept(tmp_path):
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / ".partial-1-x.tif").write_text("half")
    with store.sole_writer(out):
        assert names(out / "images") == []
        with pytest.raises(InputError, match="another run"), store.sole_writer(out):
            pass
    with store.sole_writer(out):
        pass
    assert names(out) == [store.LOCK_NAME, "images"]
