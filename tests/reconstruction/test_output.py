"""What is written opens in other tools where it should, and is whole or not there."""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import trimesh
from scipy.spatial.transform import Rotation

import hull_network as hull
from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.volume import LEVEL_CODES
from reconstruction import output
from reconstruction.mesh import read_mesh
from reconstruction.output import Provenance, class_meshes, latency_of, levels_of, write_output
from reconstruction.reconstruct import reconstruct
from reconstruction.runtime import open_runtime

ROTATION = Rotation.from_euler("zx", [25, -10], degrees=True).as_matrix()
LEVELS = ("L1", "L2")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "hull.safetensors"
    with pytest.MonkeyPatch.context() as monkeypatch:
        hull.register(monkeypatch)
        hull.save_hull(path)
        return open_runtime(path, "torch")


@pytest.fixture(scope="module")
def result(runtime):
    """On an oblique grid, so that every axis matters."""
    return reconstruct(hull.radiographs(), runtime, 1.5, hull.ISOCENTER, ROTATION)


@pytest.fixture
def written(result, runtime, tmp_path):
    write(tmp_path / "out", result, runtime)
    return tmp_path / "out"


def write(out, result, runtime, mesh_format="stl", levels=LEVELS):
    provenance = Provenance(out / "m.safetensors", {"ap": "ab", "lat": "cd"}, "donor-1", "given", ("spare",))
    meshes = class_meshes(result, levels, True, 3)
    write_output(out, result, levels, meshes, mesh_format, runtime, provenance, {"mesh": 0.5})


def test_a_voxel_is_where_it_was_for_simpleitk_and_nibabel(written, result):
    index_zyx = np.argwhere(result.labels == 2)[7]
    world = rigid.apply(result.grid.world_from_grid, index_zyx[::-1])
    image = sitk.ReadImage(str(written / "labels.nii.gz"))
    found = image.TransformPhysicalPointToIndex(world.tolist())
    np.testing.assert_array_equal(found, index_zyx[::-1])
    assert image[found] == LEVEL_CODES["L2"] == 21
    assert image.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(found), world, atol=1e-3)
    ras = nib.load(written / "labels.nii.gz")
    np.testing.assert_allclose(nib.affines.apply_affine(ras.affine, index_zyx[::-1]), world * [-1, -1, 1], atol=1e-3)
    assert np.asarray(ras.dataobj)[tuple(index_zyx[::-1])] == 21
    assert set(np.unique(ras.dataobj)) == {0, 20, 21}


def test_labels_and_meshes_lie_on_the_balls(written):
    image = sitk.ReadImage(str(written / "labels.nii.gz"))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    for level, center in hull.BALLS.items():
        np.testing.assert_allclose(statistics.GetCentroid(LEVEL_CODES[level]), center, atol=1.0)
        body = trimesh.load_mesh(written / "meshes" / f"{level}.stl")
        assert body.is_watertight
        np.testing.assert_allclose(body.center_mass, center, atol=1.0)
        assert body.volume == pytest.approx(statistics.GetPhysicalSize(LEVEL_CODES[level]), rel=0.05)


def test_timings_tell_how_it_came_about(written, runtime, result):
    record = json.loads((written / "timings.json").read_text())
    assert set(record["seconds"]) == {"prepare", "network", "label", "total", "mesh", "write"}
    assert record["views"] == ["ap", "lat"]
    assert record["images_sha256"] == {"ap": "ab", "lat": "cd"}
    assert (record["donor"], record["backend"]) == ("donor-1", "torch")
    assert record["model"]["sha256"] == runtime.model_sha256
    assert record["unused_images"] == ["spare"]
    assert record["levels"]["L1"]["labels_mm3"] == pytest.approx((result.labels == 1).sum() * 1.5**3)
    assert record["levels"]["L1"]["mesh_mm3"] > 1000


def test_the_color_table_has_a_line_a_number(written):
    lines = [line.split() for line in (written / "labels.ctbl").read_text().splitlines() if line[0] != "#"]
    assert [line[:2] for line in lines] == [["0", "background"], ["20", "L1"], ["21", "L2"]]
    assert all(len(line) == 6 and all(0 <= int(value) <= 255 for value in line[2:]) for line in lines)
    assert len({tuple(line[2:]) for line in lines}) == 3


def test_an_earlier_result_goes(written, result, runtime):
    write(written, result, runtime, "ply")
    assert sorted(file.name for file in (written / "meshes").iterdir()) == ["L1.ply", "L2.ply"]
    assert read_mesh(written / "meshes" / "L1.ply").volume_mm3 > 1000


def test_a_failure_in_the_middle_leaves_nothing(tmp_path, result, runtime, monkeypatch):
    def full(path, mesh):
        raise InputError(path, "no space left on the disk", "free space")

    monkeypatch.setattr(output, "write_mesh", full)
    with pytest.raises(InputError, match="no space"):
        write(tmp_path / "out", result, runtime)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_said(tmp_path, result, runtime):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="a file where a folder should be"):
        write(tmp_path / "out", result, runtime)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_missed_level_is_written_as_missed(tmp_path, result, runtime):
    from dataclasses import replace

    half = replace(result, labels=np.where(result.labels == 1, result.labels, 0).astype(np.uint8))
    half = replace(half, margins={1: result.margins[1]})
    write(tmp_path / "out", half, runtime)
    record = json.loads((tmp_path / "out" / "timings.json").read_text())
    assert record["levels"]["L2"] == {"labels_mm3": 0.0, "mesh_mm3": 0.0, "dropped_mm3": []}
    assert [file.name for file in (tmp_path / "out" / "meshes").iterdir()] == ["L1.stl"]


def test_latency_is_median_least_and_most():
    runs = [{"network": 3.0, "total": 4.0}, {"network": 1.0, "total": 9.0}, {"network": 2.0, "total": 5.0}]
    assert latency_of(runs)["network"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert latency_of(runs)["total"] == {"median": 5.0, "min": 4.0, "max": 9.0}


def test_a_single_vertebra_gets_the_level_it_was_pointed_at():
    one = hull.hull_spec(mode="vertebra", classes=("vertebra",))
    assert levels_of(one, "L3") == ("L3",)
    assert levels_of(hull.hull_spec(), None) == ("L1", "L2")
    for spec, level in ((one, None), (one, "L9"), (hull.hull_spec(), "L3")):
        with pytest.raises(InputError, match="level"):
            levels_of(spec, level)
