import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.viewsets import view_set
from evaluation_cases import SPEC, oracle, toy_case
from reconstruction.judging.studies import Bench, StudyParameters
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.studies.angle_map import MAP_COLUMNS, angle_map, summarize_map
from reconstruction.studies.pictures import write_angle_maps
from reconstruction.studies.voxels import voxel_runner

BOOTSTRAP = BootstrapParameters(resamples=50, confidence=0.9, seed=1)
AMOUNTS = StudyParameters(
    view_counts=(1,), disturbed_views=1, camera_rotation_deg=(), camera_shift_mm=(), camera_both=(), photons=(),
    gaussian=(), origin_shift_mm=(), match_limit_deg=10, seed=0,
)  # fmt: skip


def depth_blind_mm(radiographs):
    """Off by how alike the two most different lines of sight are."""
    lines = np.array([radiograph.camera.view_direction_world for radiograph in radiographs])
    return 9.0 if len(lines) == 1 else 9.0 * float(np.abs(lines @ lines.T).min())


@pytest.fixture(scope="module")
def rows():
    cases = [toy_case("donor-1"), toy_case("donor-2")]
    bench = Bench(oracle(cases[0], offset_mm=depth_blind_mm), cases, SPEC, AMOUNTS, run=voxel_runner())
    return angle_map(bench, ("ap-00",))


def test_the_best_partner_of_an_ap_is_a_lateral_and_the_worst_another_ap(rows):
    table = summarize_map(rows, BOOTSTRAP).set_index("view")
    assert len(table) == 28
    assert table["f1"].idxmax() in ("lat-left", "lat-right")
    assert table["f1"].idxmin() == "ap-00"
    assert table["f1_loss"].min() == 0
    assert table.loc["obl-left-60", "f1"] > table.loc["obl-left-30", "f1"] > table.loc["ap-00", "f1"]
    np.testing.assert_allclose(table["f1_loss"], table["f1"].max() - table["f1"])


def test_the_table_tells_nominal_angles_and_intervals(rows):
    table = summarize_map(rows, BOOTSTRAP)
    assert tuple(table.columns) == MAP_COLUMNS
    place = table.set_index("view").loc["misc-right-40-cranial-20"]
    assert (place["primary_deg"], place["secondary_deg"], place["donors"]) == (-40, 20, 2)
    # Both donors are alike, so the interval is a point.
    np.testing.assert_allclose(table["ci_low"], table["f1"])
    np.testing.assert_allclose(table["loss_high"], table["f1_loss"])


def test_a_shot_that_is_there_already_is_no_second_one(rows):
    again = rows[rows["setting"] == "ap-00"]
    assert set(again["n_views"]) == {1}
    assert set(rows[rows["setting"] != "ap-00"]["n_views"]) == {2}
    assert set(rows["setting"]) == {view.id for view in view_set("adapt-28").views}


def test_the_map_is_drawn(rows, tmp_path):
    write_angle_maps(tmp_path / "map.png", {"one": summarize_map(rows, BOOTSTRAP)}, {"one": ("ap-00",)}, "toys")
    assert (tmp_path / "map.png").stat().st_size > 10_000


@pytest.mark.parametrize("base", [(), ("frontal",)])
def test_bad_bases(base):
    case = toy_case()
    with pytest.raises(InputError, match="angle map, base"):
        angle_map(Bench(oracle(case), [case], SPEC, AMOUNTS), base)
