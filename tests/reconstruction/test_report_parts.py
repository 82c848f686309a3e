"""Parts of the report: light meshes, hashes of code and stages, where angles lie on the map."""

import json

import numpy as np
import pytest

from drrkit.errors import InputError
from reconstruction.report.charts import angle_map_chart, ladder_chart, off_ap
from reconstruction.report.drawings import interval
from reconstruction.report.ladder import name_of_xrays, read_ladder
from reconstruction.report.provenance import code_sha256, read_accounts, read_lock
from reconstruction.report.scenes import mesh_scene
from reconstruction.report.settings import RUNGS
from reconstruction.report.studies import read_studies
from reconstruction.report.surfaces import Surface, merged, read_mean_vertebra, read_meshes
from report_inputs import VIEWS, make_inputs, sphere


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("parts"))


def volume_mm3(surface):
    return np.linalg.det(surface.vertices_mm[surface.faces].astype(np.float64)).sum() / 6


def test_merging_keeps_the_shape_and_the_errors_with_fewer_vertices():
    vertices, faces = sphere((0, 0, 0), 15, rings=40)
    ball = Surface(vertices, faces, vertices[:, 2].copy())
    assert merged(ball, 0) is ball
    light = merged(ball, 2.0)
    assert len(light.vertices_mm) < 0.6 * len(vertices)
    assert volume_mm3(light) == pytest.approx(volume_mm3(ball), rel=0.05)
    # An error that is the height stays the height.
    np.testing.assert_allclose(light.error_mm, light.vertices_mm[:, 2], atol=1e-4)
    assert light.faces.max() < len(light.vertices_mm)
    # Cells far smaller than the triangles change the shape by nothing; the poles and the seam are merged.
    assert volume_mm3(merged(ball, 1e-3)) == pytest.approx(volume_mm3(ball), rel=1e-5)


def test_missed_levels_have_no_mesh(places):
    meshes = read_meshes(places.meshes, ("source_only", "both"), 1.5)
    assert list(meshes) == ["source_only", "both", "truth"]
    assert list(meshes["source_only"]) == ["L1", "L2", "L3", "L4"]
    assert list(meshes["both"]) == ["L1", "L2", "L3", "L4", "L5"]
    assert meshes["truth"]["L1"].error_mm is None
    # And a level that was never found has no errors to show.
    assert list(read_mean_vertebra(places.mean_vertebra)) == ["L1", "L2", "L3", "L4"]


@pytest.mark.parametrize(
    "change", [{"faces_L1": np.array([[0, 1, 9]], np.int32)}, {"error_mm_L1": np.zeros(3, np.float32)}]
)
def test_arrays_that_are_no_mesh_are_refused(tmp_path, change):
    arrays = {"vertices_L1": np.zeros((4, 3), np.float32), "faces_L1": np.array([[0, 1, 2]], np.int32)}
    np.savez(tmp_path / "truth.npz", **arrays)
    np.savez(tmp_path / "both.npz", **{**arrays, "error_mm_L1": np.zeros(4, np.float32), **change})
    with pytest.raises(InputError, match=r"both\.npz, "):
        read_meshes(tmp_path, ("both",), 0)


def test_code_has_one_hash_whatever_python_compiled(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("A = 1\n")
    folders = (tmp_path / "one", tmp_path / "two")
    before = code_sha256(folders)
    (tmp_path / "one" / "__pycache__").mkdir()
    (tmp_path / "one" / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert code_sha256(folders[::-1]) == before
    (tmp_path / "two" / "a.py").write_text("A = 2\n")
    assert code_sha256(folders) != before


def test_the_lock_is_told_in_the_order_of_the_pipeline(places):
    records = read_lock(places.lock, ["phantom", "calibrate", "evaluate"])
    assert [record.name for record in records] == ["phantom", "calibrate@sim-01", "evaluate"]
    assert records[0].seeds == ("phantom.first_seed=7",)
    assert records[0].outputs[0].md5 == "0" * 32 + ".dir"
    assert len(records[0].parameters_sha256) == 64
    assert records[1].parameters_sha256 == ""
    with pytest.raises(InputError, match="none of the stages"):
        read_lock(places.lock, ["other"])


def test_accounts_must_be_whole(tmp_path):
    with pytest.raises(InputError, match="no account"):
        read_accounts(tmp_path, ["render"])
    (tmp_path / "render.json").write_text(json.dumps({"stage": "render", "item": None, "seconds": 1.0}))
    with pytest.raises(InputError, match="no field peak_mb"):
        read_accounts(tmp_path, ["render"])


def test_angles_lie_where_the_detector_goes():
    radius_deg, direction_deg = off_ap([0, 30, -90, 0, 0, 180], [0, 0, 0, 20, -20, 0])
    np.testing.assert_allclose(radius_deg, [0, 30, 90, 20, 20, 180], atol=1e-9)
    np.testing.assert_allclose(direction_deg[1:5], [0, 180, 90, 270], atol=1e-9)


def test_the_ladder_is_drawn_whole(places):
    drawing = ladder_chart(read_ladder(places))
    shown = [trace for trace in drawing.figure.data if trace.visible]
    assert len(shown) == 1
    assert shown[0].x[4] == 0.851
    assert shown[0].error_x.array[4] == pytest.approx(0.015)
    # Every choice that is offered has something to show.
    views, metric = drawing.controls
    assert list(views.options) == [*(str(count) for count in VIEWS), "all"]
    for count in views.options:
        for name in metric.options:
            found = [one for one in drawing.figure.data if count in one.meta["views"] and name in one.meta["metric"]]
            assert len(found) == (len(VIEWS) if count == "all" else 1)
            assert all(len(one.x) == len(RUNGS) for one in found)


def test_choices_of_other_figures_show_something(places):
    for drawing in (
        angle_map_chart(read_studies(places.studies, ()).maps, {}),
        mesh_scene(read_meshes(places.meshes, ("source_only", "both"), 0), 3.0),
    ):
        for control in drawing.controls:
            for option in control.options:
                assert any(option in trace.meta[control.name] for trace in drawing.figure.data)
        assert "<" not in drawing.to_json()


def test_an_interval_without_an_end_has_no_bar_there():
    bars = interval([0.5, 0.6], [0.4, np.nan], [0.55, np.nan])
    assert bars["arrayminus"] == pytest.approx([0.1, 0])
    assert bars["array"] == pytest.approx([0.05, 0])


def test_xrays_are_called_what_they_are():
    assert name_of_xrays(6, 6) == "SIMULATED X-rays"
    assert name_of_xrays(0, 6) == "X-rays"
    assert "2 of 6" in name_of_xrays(2, 6)
