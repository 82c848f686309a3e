"""Pairs of a simulated session, calibrated by its truth: what the pairing adds is tested, not the calibration."""

from dataclasses import replace

import numpy as np
import pytest

from drrkit import metrics
from drrkit.errors import InputError
from drrkit.geometry.viewsets import View
from drrkit.io.store import read_cameras, read_image, read_mask
from drrkit.phantom.phantom import make_phantom
from drrkit.projection.renderer import render
from protocols.acquisition import read_acquisition
from protocols.calibration.result import ExposureCalibration, SessionCalibration, read_calibration, write_calibration
from protocols.pairing import PairSettings, make_pairs
from protocols.pairs import field_path, image_path, mask_path, read_pairs, training_pairs
from protocols.pictures import bone_edges, write_pairs_picture
from protocols.ratings import Rating
from protocols.simulation.session import simulate_session
from protocols.simulation.settings import SessionSettings

SIZE = 128
SETTINGS = PairSettings(size_px=(SIZE, SIZE))
VIEWS = tuple(View(name, "misc", primary, 0.0) for name, primary in (("ap", 0.0), ("lat", 90.0), ("obl", 40.0)))


def known(shot, status="pass", reason=""):
    """The calibration of an exposure as the truth has it."""
    return ExposureCalibration(
        exposure_id=shot.exposure_id,
        status=status,
        reason=reason,
        camera=None if status == "fail" else shot.camera,
        balls_found=10,
        balls_used=10,
        rms_px=0.1,
        rms_mm=0.05,
        target_error_mm=0.1,
        sigma_in_plane_mm=0.05,
        sigma_along_ray_mm=0.5,
        sigma_rotation_deg=0.05,
        nominal_angles_deg=(0.0, 0.0),
        angles_deg=(0.0, 0.0),
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairing") / "sim-p"
    donor = make_phantom(6, 2.0).volume
    settings = SessionSettings(device="flat-panel", size_px=2 * SIZE, ball_count=10, ball_diameter_mm=4.0, seed=9)
    truth = simulate_session("sim-p", "donor-6", donor, donor, settings, folder, folder.parent / "t.json", views=VIEWS)
    calibration = SessionCalibration("sim-p", True, truth.balls_world, tuple(known(shot) for shot in truth.exposures))
    return read_acquisition(folder), calibration, truth, donor


@pytest.fixture(scope="module")
def pairs(session, tmp_path_factory):
    acquisition, calibration, _, _ = session
    out = tmp_path_factory.mktemp("pairs")
    return out, make_pairs(acquisition, calibration, out, SETTINGS, {})


def test_the_drr_comes_from_the_calibrated_camera_without_the_balls(session, pairs):
    _, _, truth, donor = session
    out, rows = pairs
    cameras = read_cameras(out / "cameras.json")
    assert [row.exposure_id for row in rows] == list(cameras) == ["ap", "lat", "obl"]
    for shot in truth.exposures:
        camera = cameras[shot.exposure_id]
        assert camera.allclose(shot.camera.resized(SIZE, SIZE))
        rendered = read_image(out / image_path("drr_full", shot.exposure_id))
        # The CT of the session has noise, and once had balls; the donor's has neither.
        assert metrics.ncc(rendered, render(donor, camera, tissue="full").pixels) > 0.998


def test_real_and_synthetic_show_the_same_bone(pairs):
    out, rows = pairs
    for row in rows:
        field = read_mask(out / field_path(row.exposure_id))
        real, full = (read_image(out / image_path(kind, row.exposure_id)) for kind in ("real", "drr_full"))
        here = metrics.gradient_ncc(real, full, field)
        shifted = metrics.gradient_ncc(np.roll(real, 4, axis=1), full, field)
        assert here > 0.4
        assert here > shifted + 0.1


def test_balls_are_in_one_image_and_not_in_the_other(session, pairs):
    _, _, truth, _ = session
    out, rows = pairs
    cameras = read_cameras(out / "cameras.json")
    for row in rows:
        with_balls, without = (
            read_image(out / image_path(kind, row.exposure_id)) for kind in ("real_with_balls", "real")
        )
        depth = []
        for u, v in cameras[row.exposure_id].project(list(truth.balls_world.values())):
            if 8 < u < SIZE - 9 and 8 < v < SIZE - 9:
                box = np.s_[round(v) - 1 : round(v) + 2, round(u) - 1 : round(u) + 2]
                depth.append(with_balls[box].mean() - without[box].mean())
        assert len(depth) >= 4
        assert np.median(depth) > 0.1
        untouched = with_balls == without
        assert untouched.mean() > 0.8


def test_masks_boxes_and_hashes_are_those_of_the_files(pairs):
    import hashlib

    out, rows = pairs
    for row in rows:
        assert row.simulated
        assert row.donor_id == "donor-6"
        assert row.pair_id == f"sim-p/{row.exposure_id}"
        assert {"L2", "L3"} <= set(row.masks_sha256)
        for level, digest in row.masks_sha256.items():
            path = out / mask_path(row.exposure_id, level)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
            rows_on, columns_on = np.nonzero(read_mask(path))
            assert row.boxes[level] == (columns_on.min(), rows_on.min(), columns_on.max(), rows_on.max())
        for kind, digest in row.images_sha256.items():
            assert hashlib.sha256((out / image_path(kind, row.exposure_id)).read_bytes()).hexdigest() == digest
    assert read_pairs(out) == rows


def test_a_second_run_makes_nothing_and_a_rating_only_the_manifest(session, pairs):
    acquisition, calibration, _, _ = session
    out, rows = pairs
    made = []
    assert make_pairs(acquisition, calibration, out, SETTINGS, {}, made.append) == rows
    rating = Rating("ap", "reject", "moved", "someone", "2031-04-09")
    judged = make_pairs(acquisition, calibration, out, SETTINGS, {"ap": rating}, made.append)
    assert made == []
    assert [row.rating for row in judged] == ["reject", "", ""]
    assert [row.exposure_id for row in training_pairs(out)] == ["lat", "obl"]
    make_pairs(acquisition, calibration, out, SETTINGS, {})


def test_only_what_changed_is_made_anew(session, tmp_path):
    acquisition, calibration, truth, _ = session
    make_pairs(acquisition, calibration, tmp_path, SETTINGS, {})
    moved = known(truth.exposures[0])
    moved = replace(moved, camera=moved.camera.cropped(0, 1, moved.camera.height, moved.camera.width))
    made = []
    changed = replace(calibration, exposures=(moved, *calibration.exposures[1:]))
    make_pairs(acquisition, changed, tmp_path, SETTINGS, {}, made.append)
    assert made == ["ap"]
    (tmp_path / image_path("real", "lat")).unlink()
    make_pairs(acquisition, changed, tmp_path, SETTINGS, {}, made.append)
    assert made == ["ap", "lat"]
    failed = replace(changed, exposures=(known(truth.exposures[0], "fail", "too few balls"), *changed.exposures[1:]))
    rows = make_pairs(acquisition, failed, tmp_path, SETTINGS, {}, made.append)
    assert [row.exposure_id for row in rows] == ["lat", "obl"]
    assert not (tmp_path / image_path("real", "ap")).exists()
    assert made == ["ap", "lat"]


def test_excluded_exposures_and_foreign_calibrations(session, tmp_path):
    acquisition, calibration, truth, _ = session
    excluded = replace(acquisition.exposures[0], excluded="table was moved")
    without = replace(acquisition, exposures=(excluded, *acquisition.exposures[1:]))
    assert [row.exposure_id for row in make_pairs(without, calibration, tmp_path / "a", SETTINGS, {})] == ["lat", "obl"]
    with pytest.raises(InputError, match="of another"):
        make_pairs(acquisition, replace(calibration, acquisition_id="another"), tmp_path / "b", SETTINGS, {})
    nothing = replace(calibration, exposures=tuple(known(shot, "fail", "why") for shot in truth.exposures))
    with pytest.raises(InputError, match="no exposure with a trusted camera"):
        make_pairs(acquisition, nothing, tmp_path / "c", SETTINGS, {})
    assert not (tmp_path / "c").exists()


def test_calibrations_come_back_from_their_file(session, tmp_path):
    _, calibration, truth, _ = session
    failed = replace(
        calibration, exposures=(known(truth.exposures[0], "fail", "too few balls"), *calibration.exposures[1:])
    )
    write_calibration(failed, tmp_path)
    again = read_calibration(tmp_path)
    assert [exposure.status for exposure in again.exposures] == ["fail", "pass", "pass"]
    assert again.exposures[0].camera is None
    assert again.exposures[1].camera.allclose(calibration.exposures[1].camera)
    assert again.balls_world == dict(calibration.balls_world)
    assert list(read_cameras(tmp_path / "cameras.json")) == ["lat", "obl"]
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(InputError, match="another kind of file"):
        read_calibration(tmp_path)


def test_the_picture_shows_pairs_and_says_simulated(pairs, tmp_path):
    out, _ = pairs
    write_pairs_picture(out, ["ap", "obl"], tmp_path / "a.png", "Pairs")
    write_pairs_picture(out, ["ap", "obl"], tmp_path / "b.png", "Pairs")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len((tmp_path / "a.png").read_bytes()) > 20_000
    with pytest.raises(InputError, match="no pair nowhere"):
        write_pairs_picture(out, ["nowhere"], tmp_path / "c.png", "Pairs")


def test_edges_are_thin_and_where_the_bone_ends():
    drr = np.zeros((60, 60), np.float32)
    drr[20:40, 15:45] = 1.0
    edges = bone_edges(drr)
    rows, columns = np.nonzero(edges)
    to_border = np.minimum.reduce([abs(rows - 19.5), abs(rows - 39.5), abs(columns - 14.5), abs(columns - 44.5)])
    assert to_border.max() <= 1.5
    assert 80 < edges.sum() < 220
    assert not bone_edges(np.zeros((20, 20), np.float32)).any()
