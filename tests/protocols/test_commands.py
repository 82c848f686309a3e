"""``drrkit acquisition`` as a lab types it: from a simulated session to rated pairs, and what is refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from drrkit.cli import build_app
from drrkit.errors import InputError
from drrkit.io.cameras import read_camera_file, write_camera_file
from drrkit.io.ct import write_ct, write_labels
from drrkit.io.store import read_cameras
from drrkit.phantom.phantom import make_phantom
from protocols.layout import Layout
from protocols.pairs import read_pairs, training_pairs
from protocols.ratings import Rating, read_ratings, write_ratings
from protocols.simulation.truth import read_truth


def drrkit(*words):
    return CliRunner().invoke(build_app(), ["acquisition", *map(str, words)])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A data folder with one simulated session, taken through every command."""
    folder = tmp_path_factory.mktemp("lab")
    volume = make_phantom(8, 1.5).volume
    write_ct(volume, folder / "ct.nii.gz")
    write_labels(volume, folder / "labels.nii.gz")
    data = folder / "data"
    donor = ("--ct", folder / "ct.nii.gz", "--labels", folder / "labels.nii.gz", "--label-scheme", "verse")
    how = ("--every", 12, "--size-px", 320, "--seed", 3, "--fault", "orbit-left-042=mirrored")
    steps = {
        "simulate": drrkit("simulate", "sim-l", *donor, *how, "--data", data),
        "calibrate": drrkit("calibrate", "sim-l", "--data", data),
        "pair": drrkit("pair", "sim-l", "--size", 96, 96, "--data", data),
        "review": drrkit("review", "sim-l", "--data", data),
    }
    return Layout(data, "sim-l"), steps


def test_every_step_ends_well_and_says_simulated(lab):
    layout, steps = lab
    for name, result in steps.items():
        assert result.exit_code == 0, f"{name}: {result.output} {result.exception}"
    assert "SIMULATED" in steps["simulate"].output
    assert "SIMULATED" in steps["calibrate"].output
    assert "SIMULATED" in layout.review.read_text()


def test_most_cameras_are_found_and_are_right(lab):
    layout, _ = lab
    truth = {shot.exposure_id: shot for shot in read_truth(layout.truth).exposures}
    centers = list(read_truth(layout.truth).vertebrae_world.values())
    cameras = read_cameras(layout.calibration / "cameras.json")
    assert len(cameras) >= 6
    for exposure_id, camera in cameras.items():
        off_px = np.linalg.norm(
            camera.project(centers) - np.array(list(truth[exposure_id].vertebrae_px.values())), axis=1
        )
        mm_per_px = camera.depth_mm(centers) / camera.pixel_from_camera[1, 1]
        assert (off_px * mm_per_px).max() < 1.0, exposure_id


def test_a_swapped_image_never_passes_unseen(lab):
    layout, _ = lab
    rows = {row.exposure_id: row for row in read_pairs(layout.pairs)}
    swapped = rows.get("orbit-left-042")
    assert swapped is None or (swapped.status == "warn" and "swapped" in swapped.reason)


def test_calibrated_cameras_survive_other_tools(lab, tmp_path):
    layout, _ = lab
    cameras = read_cameras(layout.calibration / "cameras.json")
    straight = {name: camera for name, camera in cameras.items() if camera.is_mirrored}
    for file_format, name in (("xreg", "cameras.json"), ("rtk", "cameras.xml")):
        write_camera_file(tmp_path / name, file_format, straight)
        back = read_camera_file(tmp_path / name, file_format)
        assert list(back) == list(straight)
        assert all(back[camera_id].allclose(camera, 1e-6) for camera_id, camera in straight.items())


def test_a_rejected_pair_trains_nothing(lab):
    layout, _ = lab
    before = training_pairs(layout.pairs)
    chosen = before[0].exposure_id
    assert read_ratings(layout.ratings) == {}
    write_ratings(layout.ratings, {chosen: Rating(chosen, "reject", "table moved", "reader", "2031-04-09")})
    result = drrkit("pair", "sim-l", "--size", 96, 96, "--data", layout.data)
    assert result.exit_code == 0
    assert [row.exposure_id for row in training_pairs(layout.pairs)] == [row.exposure_id for row in before[1:]]
    write_ratings(layout.ratings, {})


def test_new_makes_a_folder_that_check_asks_to_fill_in(tmp_path):
    made = drrkit("new", "torso-01", "--data", tmp_path)
    assert made.exit_code == 0
    assert (tmp_path / "raw" / "torso-01" / "acquisition.yaml").is_file()
    assert read_ratings(tmp_path / "qc" / "torso-01.tsv") == {}
    checked = drrkit("check", "torso-01", "--data", tmp_path, "--json")
    assert checked.exit_code == 1
    found = {finding["rule"] for finding in json.loads(checked.stdout)}
    assert {"placeholder", "missing-file"} <= found
    again = drrkit("new", "torso-01", "--data", tmp_path)
    assert isinstance(again.exception, InputError)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nobody"), "no acquisition.yaml"),
        (("calibrate", "nobody"), "no acquisition.yaml"),
        (("simulate", "x", "--device", "toaster"), "--device"),
        (("simulate", "x", "--fault", "mirrored"), "--fault"),
    ],
)
def test_bad_requests_are_told_in_one_line(words, message, tmp_path):
    result = drrkit(*words, "--data", tmp_path)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_a_session_in_two_places_is_refused(lab, tmp_path):
    layout = Layout(tmp_path, "twice")
    for folder in (layout.raw, layout.simulated):
        folder.mkdir(parents=True)
        (folder / "acquisition.yaml").touch()
    with pytest.raises(InputError, match="one of them"):
        layout.session()


def test_anonymized_files_still_make_an_acquisition(lab, tmp_path):
    layout, _ = lab
    result = drrkit("anonymize", layout.simulated, tmp_path / "clean", "--key", tmp_path / "lab.key",
                    "--cleared-modality", "CT")  # fmt: skip
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    files = sorted((tmp_path / "clean" / "xrays").glob("*.dcm"))
    assert len(files) == len(list((layout.simulated / "xrays").glob("*.dcm")))
    assert all(b"donor" not in path.read_bytes() for path in files)
    assert (tmp_path / "lab.key").is_file()
