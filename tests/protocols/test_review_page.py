import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.io.store import read_cameras, read_image, write_cameras, write_image, write_mask
from protocols.ratings import Rating
from protocols.review import plots
from protocols.review.page import calibration_hash, write_review
from review_session import make_session
from spines import spine_volume


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    return folder, make_session(spine_volume(), folder, count=6, size_px=96, distinct=3)


@pytest.fixture
def copied(session, tmp_path):
    # A folder that a test may spoil.
    folder, calibration = session
    return shutil.copytree(folder, tmp_path / "pairs"), calibration


def written(session, tmp_path, ratings=None, **changes):
    folder, calibration = session
    calibration = replace(calibration, **changes)
    out = tmp_path / "new" / "review.html"
    write_review(calibration.acquisition_id, calibration, folder, out, ratings or {})
    return out.read_text()


def page_data(html):
    return json.loads(re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html, re.S)[1])


def test_the_page_says_everything_of_every_exposure(session, tmp_path):
    data = page_data(written(session, tmp_path))
    _, calibration = session
    assert [record["id"] for record in data["exposures"]] == [one.exposure_id for one in calibration.exposures]
    for record, exposure in zip(data["exposures"], calibration.exposures, strict=True):
        for name in (
            "status",
            "reason",
            "balls_found",
            "balls_used",
            "rms_px",
            "target_error_mm",
            "sigma_rotation_deg",
        ):
            assert record[name] == getattr(exposure, name)
        assert (record["pair"] is None) == (exposure.status == "fail")
    first = data["exposures"][0]["pair"]
    assert len(first["balls"]) == len(calibration.exposures[0].balls)
    assert "L3" in first["levels"]
    assert first["levels"]["L3"]
    assert data["levels"] == ["T12", "L1", "L2", "L3", "L4", "L5"]
    assert first["page_px_per_px"] == 1.0


def test_the_same_session_gives_the_same_page(session, tmp_path):
    assert written(session, tmp_path) == written(session, tmp_path)


def test_the_orbit_holds_the_calibrated_views_and_balls(session, tmp_path):
    _, calibration = session
    orbit = page_data(written(session, tmp_path))["orbit"]
    sound = [one for one in calibration.exposures if one.status != "fail"]
    assert [view["id"] for view in orbit["views"]] == [one.exposure_id for one in sound]
    for view, exposure in zip(orbit["views"], sound, strict=True):
        np.testing.assert_allclose(view["source"], exposure.camera.source_world, atol=0.01)
        central = np.subtract(view["detector"], view["source"])
        assert np.linalg.norm(central) == pytest.approx(1000, abs=0.1)
    np.testing.assert_allclose(orbit["balls"], list(calibration.balls_world.values()), atol=0.01)


def test_only_simulated_sessions_wear_the_banner(session, tmp_path):
    assert "SIMULATED SESSION" in written(session, tmp_path, simulated=True)
    assert "SIMULATED" not in written(session, tmp_path, simulated=False)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.inline = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]


def test_nothing_is_fetched_from_elsewhere(session, tmp_path):
    html = written(session, tmp_path)
    links = Links()
    links.feed(html)
    assert links.found
    assert all(link.startswith("data:") for link in links.found)
    # Inline styles and handlers would be blocked by the page's own policy.
    assert links.inline == []
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    outside = re.sub(r"http://www\.w3\.org/\S+", "", html)
    assert "http://" not in outside
    assert "https://" not in outside


def test_notes_of_any_depth_are_told(session, tmp_path):
    by_run = {"a": {"b": [1.0, 2]}, "c": None}
    notes = {"isocenter_off_mm": 23.456789, "moved": {"b1": 0.5, "b2": 1}, "by_run": by_run, "odd": []}
    html = written(session, tmp_path, notes=notes)
    lines = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", html.split('class="notes"')[1].split("</dl>")[0])
    assert lines == [
        ("isocenter off mm", "23.46"),
        ("moved", "b1 0.5, b2 1"),
        ("by run, a, b", "1, 2"),
        ("by run, c", "none"),
        ("odd", "none"),
    ]


def test_words_of_others_stay_words(session, tmp_path):
    _, calibration = session
    evil = '</script><script>alert(1)</script><b>&"'
    exposures = [replace(one, reason=evil) for one in calibration.exposures]
    first = calibration.exposures[0].exposure_id
    html = written(
        session, tmp_path, {first: Rating(first, "doubt", evil)}, exposures=tuple(exposures), notes={evil: {evil: evil}}
    )
    assert "<script>alert" not in html
    assert "<b>" not in html.split("<dialog")[0]
    assert page_data(html)["ratings"][first]["comment"] == evil
    assert page_data(html)["exposures"][0]["reason"] == evil


def test_what_is_kept_in_the_browser_belongs_to_one_calibration(session):
    _, calibration = session
    assert calibration_hash(calibration) == calibration_hash(replace(calibration, notes={"other": 1}))
    first = calibration.exposures[0]
    moved = replace(first, camera=first.camera.flipped_horizontally())
    for other in (moved, replace(first, status="fail"), replace(first, balls=first.balls[1:])):
        changed = replace(calibration, exposures=(other, *calibration.exposures[1:]))
        assert calibration_hash(changed) != calibration_hash(calibration)


@pytest.mark.parametrize(
    ("changes", "ratings", "message"),
    [
        ({"exposures": ()}, {}, "no exposures"),
        ({}, {"x": Rating("x", "accept")}, "ratings: found the exposure x"),
    ],
)
def test_what_does_not_belong_together_is_refused(session, tmp_path, changes, ratings, message):
    with pytest.raises(InputError, match=message):
        written(session, tmp_path, ratings, **changes)
    assert not (tmp_path / "new").exists()


def test_other_acquisitions_and_double_exposures_are_refused(session, tmp_path):
    folder, calibration = session
    with pytest.raises(InputError, match="found acquisition toy-session; wanted acquisition other"):
        write_review("other", calibration, folder, tmp_path / "x.html")
    twice = replace(calibration, exposures=(*calibration.exposures, calibration.exposures[0]))
    with pytest.raises(InputError, match="orbit-0001 twice"):
        write_review("toy-session", twice, folder, tmp_path / "x.html")


def test_pairs_that_are_not_of_this_calibration_are_refused(copied, tmp_path):
    folder, calibration = copied
    first, *others = calibration.exposures
    for changed in (replace(first, status="fail"), replace(first, exposure_id="renamed")):
        session = replace(calibration, exposures=(changed, *others))
        with pytest.raises(InputError, match="a pair of orbit-0001, which this calibration"):
            write_review("toy-session", session, folder, tmp_path / "x.html")
    cameras = read_cameras(folder / "cameras.json")
    cameras["orbit-0001"] = cameras["orbit-0002"]
    write_cameras(folder / "cameras.json", cameras)
    with pytest.raises(InputError, match=r"camera orbit-0001: found a focal spot .* mm from the calibrated one"):
        write_review("toy-session", calibration, folder, tmp_path / "x.html")


def test_missing_and_unfit_files_of_a_pair_are_told(copied, tmp_path):
    folder, calibration = copied

    def refused(message):
        with pytest.raises(InputError, match=message):
            write_review("toy-session", calibration, folder, tmp_path / "x.html")
        assert not (tmp_path / "x.html").exists()

    write_mask(folder / "masks" / "orbit-0099_L1.png", np.ones((96, 96), bool))
    refused("orbit-0099_L1.png: found a mask of no known exposure")
    (folder / "masks" / "orbit-0099_L1.png").unlink()
    write_mask(folder / "masks" / "orbit-0001_L3.png", np.ones((95, 96), bool))
    refused(r"orbit-0001_L3\.png: found shape \(95, 96\)")
    write_mask(folder / "masks" / "orbit-0001_L3.png", np.ones((96, 96), bool))
    pixels = read_image(folder / "drr_bone" / "orbit-0002.tif")
    write_image(folder / "drr_bone" / "orbit-0002.tif", pixels[:, :-1].copy())
    refused(r"drr_bone/orbit-0002\.tif: found shape \(96, 95\)")
    (folder / "drr_bone" / "orbit-0002.tif").unlink()
    refused(r"drr_bone/orbit-0002\.tif: found No such file")


@pytest.mark.parametrize("draw", [plots.residual_by_angle, plots.target_error_by_exposure, plots.angle_corrections])
def test_plots_show_every_exposure_once_and_failed_ones_apart(session, draw):
    _, calibration = session
    plot = ElementTree.fromstring(draw(calibration))
    marks = [group for group in plot.iter("g") if "data-exposure" in group.attrib]
    sound = {one.exposure_id for one in calibration.exposures if one.status != "fail"}
    failed = {one.exposure_id for one in calibration.exposures} - sound
    points = {mark.get("data-exposure") for mark in marks if mark.find("path") is None}
    assert points == sound
    crosses = {mark.get("data-exposure") for mark in marks if mark.find("path") is not None}
    assert crosses == (set() if draw is plots.angle_corrections else failed)
    assert f"{len(sound)} of {len(calibration.exposures)} exposures" in plot.get("aria-label")


def test_plots_are_to_scale(session):
    _, calibration = session
    plot = ElementTree.fromstring(plots.target_error_by_exposure(calibration))
    heights, errors = [], []
    by_id = {one.exposure_id: one for one in calibration.exposures}
    for mark in plot.iter("g"):
        circle = mark.find("circle")
        if circle is not None:
            heights.append(float(circle.get("cy")))
            errors.append(by_id[mark.get("data-exposure")].target_error_mm)
    slope, offset = np.polyfit(errors, heights, 1)
    assert slope < 0
    np.testing.assert_allclose(np.polyval([slope, offset], errors), heights, atol=0.1)
    # The zero line is the axis below.
    axis = plot.findall("path[@class='axis']")[-1].get("d")
    assert offset == pytest.approx(float(re.search(r"M\S+ (\S+)H", axis)[1]), abs=0.2)


def test_a_session_in_which_all_failed_can_be_looked_at(session, tmp_path):
    _, calibration = session
    nothing = dict.fromkeys(
        ["camera", "rms_px", "rms_mm", "target_error_mm", "sigma_in_plane_mm", "sigma_along_ray_mm", "angles_deg"]
    )
    failed = tuple(replace(one, status="fail", reason="dark", balls=(), **nothing) for one in calibration.exposures)
    for draw in (plots.residual_by_angle, plots.target_error_by_exposure, plots.angle_corrections):
        ElementTree.fromstring(draw(replace(calibration, exposures=failed)))
    # Pairing writes no cameras then, and no file of cameras is an empty one.
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "failed.html"
    write_review("toy-session", replace(calibration, exposures=failed), empty, out)
    assert [record["pair"] for record in page_data(out.read_text())["exposures"]] == [None] * 6
