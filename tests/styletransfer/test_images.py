"""Pairs of a set: who is read, what comes back, and what is refused before a file is opened."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io.store import read_cameras, read_image, write_cameras, write_image, write_mask
from protocols.pairs import CAMERAS_NAME, read_pairs, write_pairs
from protocols.pairset import PairedSession
from styletransfer.images import (
    PairSource,
    isocenter_pixel_mm,
    isocenter_world,
    load_pairs,
    measure_scale,
    open_pairs,
    spread_evenly,
)
from styletransfer.settings import SubsetSettings
from toy_pairs import write_session

VIEWS = 4


@pytest.fixture
def sessions(tmp_path):
    """Two train donors, a validation donor, and a test donor whose files do not exist."""
    gone = tmp_path / "gone"
    return [
        write_session(tmp_path, "anna", views=VIEWS),
        write_session(tmp_path, "bert", views=VIEWS),
        write_session(tmp_path, "carl", "validation", views=VIEWS),
        PairedSession("s-dora", "dora", "test", "flat-panel", True, gone, gone),
    ]


def judge(session, number, status, rating=""):
    rows = read_pairs(session.pairs)
    rows[number] = rows[number].judged(status, "", rating)
    write_pairs(session.pairs, rows)


def test_a_pair_is_what_was_written(sessions):
    seen = []
    pairs = load_pairs(sessions, "train", on_pair=seen.append)
    assert [pair.pair_id for pair in pairs] == [f"s-{donor}/view-{n}" for donor in ("anna", "bert") for n in range(4)]
    assert seen == pairs
    pair = pairs[5]
    assert (pair.donor_id, pair.acquisition_id, pair.exposure_id, pair.group) == (
        "bert",
        "s-bert",
        "view-1",
        "flat-panel",
    )
    for kind, pixels in (("real", pair.real), ("drr_bone", pair.synthetic)):
        written = read_image(sessions[1].pairs / kind / "view-1.tif")
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels, written, rtol=2**-11)
    assert not pair.real[~pair.field].any()
    assert pair.field.sum() == 32 * 28
    assert pair.camera.allclose(read_cameras(sessions[1].pairs / CAMERAS_NAME)["view-1"])


def test_nobody_learns_from_a_test_donor_and_no_file_is_opened(sessions):
    with pytest.raises(InputError, match="donors of the test split"):
        open_pairs(sessions, "test")
    # Its files do not exist: for evaluation they are looked for.
    with pytest.raises(InputError, match="no pairs"):
        open_pairs(sessions, "test", purpose="evaluation")
    assert len(open_pairs(sessions, "validation")) == VIEWS


@pytest.mark.parametrize(
    ("status", "rating", "trains", "judges"),
    [
        ("pass", "", True, True),
        ("pass", "reject", False, False),
        ("warn", "", False, True),
        ("warn", "accept", True, True),
        ("fail", "accept", False, False),
    ],
)
def test_who_trains_and_who_judges(sessions, status, rating, trains, judges):
    for session in sessions[:3]:
        judge(session, 1, status, rating)
    assert len(open_pairs(sessions, "train")) == 2 * VIEWS - 2 * (not trains)
    assert len(open_pairs(sessions, "validation")) == VIEWS - (not judges)


def test_a_subset_takes_first_donors_and_views_evenly(sessions, tmp_path):
    again = write_session(tmp_path / "again", "anna", views=VIEWS)
    rows = read_pairs(again.pairs)
    write_pairs(again.pairs, [replace(row, pair_id=f"t/{row.exposure_id}", acquisition_id="t") for row in rows])
    sessions.append(replace(again, acquisition_id="t"))
    one = open_pairs(sessions, "train", SubsetSettings(donors=1, pairs=None))
    assert set(one.donor_ids) == {"anna"}
    assert len(one) == 2 * VIEWS  # of both of her sessions
    two = open_pairs(sessions, "train", SubsetSettings(donors=None, pairs=2))
    assert [place.pair_id for place in two.places] == ["s-anna/view-2", "t/view-2", "s-bert/view-1", "s-bert/view-3"]
    single = open_pairs(sessions, "train", SubsetSettings(donors=1, pairs=1))
    assert len(single) == 1
    assert single[0].donor_id == "anna"


@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (5, 2), (28, 7), (7, 7), (3, 9), (0, 4)])
def test_numbers_are_spread(count, wanted):
    numbers = spread_evenly(count, wanted)
    assert len(set(numbers)) == len(numbers) == min(count, wanted)
    assert all(0 <= number < count for number in numbers)
    if len(numbers) > 1:
        assert np.ptp(np.diff(numbers)) <= 1


def test_memory_is_bounded_and_the_bits_do_not_depend_on_it(sessions):
    bytes_of_pair = 32 * 32 * 5
    every, few, none = (open_pairs(sessions, "train", cache_bytes=n) for n in (10**6, 2 * bytes_of_pair + 1, 0))
    for _ in range(2):
        for of_every, of_few, of_none in zip(every, few, none, strict=True):
            for name in ("real", "synthetic", "field"):
                np.testing.assert_array_equal(getattr(of_every, name), getattr(of_few, name))
                np.testing.assert_array_equal(getattr(of_every, name), getattr(of_none, name))
    assert [len(source._stored) for source in (every, few, none)] == [8, 2, 0]
    every[0].real[:] = 7  # a caller may write into what it got
    assert every[0].real.max() < 7
    # What is kept is not read again.
    (sessions[0].pairs / "real" / "view-0.tif").unlink()
    assert every[0].real.any()
    with pytest.raises(InputError, match=r"view-0\.tif"):
        none[0]


def test_threads_share_a_source(sessions):
    source = open_pairs(sessions, "train", cache_bytes=3 * 32 * 32 * 5)
    wanted = [pair.real for pair in load_pairs(sessions, "train")]
    indices = np.random.default_rng(0).integers(0, len(source), 200)
    with ThreadPoolExecutor(4) as pool:
        for index, pair in zip(indices, pool.map(source.__getitem__, indices), strict=True):
            np.testing.assert_array_equal(pair.real, wanted[index])
    assert source._stored_bytes == 3 * 32 * 32 * 5


def test_a_source_travels_to_another_process_without_its_memory(sessions):
    source = open_pairs(sessions, "train")
    _ = source[0]
    copy = pickle.loads(pickle.dumps(source))
    assert isinstance(copy, PairSource)
    assert copy.donor_ids == source.donor_ids
    assert not copy._stored
    np.testing.assert_array_equal(copy[-1].real, source[len(source) - 1].real)
    with pytest.raises(IndexError):
        copy[len(copy)]


def test_the_scale_is_of_pixels_inside_of_fields(sessions):
    pairs = load_pairs(sessions, "train")
    scale = measure_scale(pairs)
    inside = np.concatenate([pair.real[pair.field] for pair in pairs])
    assert scale.real_center == pytest.approx(inside.mean(), rel=1e-5)
    assert scale.real_spread == pytest.approx(inside.std(), rel=1e-5)
    squares = np.mean([np.square(pair.synthetic).mean() for pair in pairs])
    assert scale.synthetic_spread == pytest.approx(np.sqrt(squares), rel=1e-5)
    assert measure_scale(open_pairs(sessions, "train")) == scale
    assert measure_scale(pairs, most=2) == measure_scale([pairs[2], pairs[6]])
    blind = [replace(pair, field=np.zeros_like(pair.field)) for pair in pairs]
    with pytest.raises(InputError, match="field"):
        measure_scale(blind)


def test_pixels_in_the_patient():
    """A C-arm with the isocenter at 600 of 1000 mm shows 5 mm pixels of the detector as 3 mm there."""
    carm = CArm(1000.0, 600.0, 32, 32, (5.0, 5.0))
    center = np.array([10.0, -20.0, 300.0])
    cameras = [carm.camera(angle_deg, 0.0, isocenter_world=center) for angle_deg in (0.0, 30.0, 90.0)]
    np.testing.assert_allclose(isocenter_world(cameras), center, atol=1e-6)
    assert isocenter_pixel_mm(cameras[0], center) == pytest.approx(3.0)
    assert isocenter_world(cameras[:1]) is None
    assert isocenter_world([]) is None


@pytest.mark.parametrize("kind", ["another size", "NaN", "no file", "small field"])
def test_images_that_do_not_fit_their_camera(sessions, kind):
    folder = sessions[0].pairs
    path = folder / "drr_bone" / "view-0.tif"
    if kind == "another size":
        write_image(path, np.ones((32, 30), np.float32))
    elif kind == "NaN":
        write_image(path, np.full((32, 32), np.nan, np.float32))
    elif kind == "no file":
        path.unlink()
    else:
        path = folder / "fields" / "view-0.png"
        write_mask(path, np.ones((16, 16), bool))
    source = open_pairs(sessions, "train")
    with pytest.raises(InputError, match=path.name):
        source[0]


def test_sets_that_do_not_fit_their_pairs(sessions):
    with pytest.raises(InputError, match="as the set says"):
        open_pairs([replace(sessions[0], donor_id="berta")], "train")
    with pytest.raises(InputError, match="no session in the split"):
        open_pairs(sessions[:2], "validation")
    cameras = read_cameras(sessions[0].pairs / CAMERAS_NAME)
    write_cameras(sessions[0].pairs / CAMERAS_NAME, {"view-0": cameras["view-0"]})
    with pytest.raises(InputError, match="no camera"):
        open_pairs(sessions, "train")
    for number in range(VIEWS):
        judge(sessions[0], number, "fail")
    with pytest.raises(InputError, match="nobody rejected"):
        open_pairs(sessions[:1], "train")
