"""`drrkit reconstruct` as a user types it: labels and meshes in place, and every bad input one clear error."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import hull_network as hull
from drrkit.errors import InputError
from drrkit.io.manifest import ManifestRow, write_manifest
from drrkit.io.store import content_sha256, write_cameras, write_image
from drrkit.volume import LEVEL_CODES
from reconstruction.commands.export import export
from reconstruction.commands.reconstruct import reconstruct
from reconstruction.viewfiles import read_views


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Four views of two balls, with a model and a camera file."""
    hull.register(monkeypatch)
    hull.save_hull(tmp_path / "hull.safetensors")
    views = hull.radiographs()
    for view_id, view in views.items():
        write_image(tmp_path / "images" / f"{view_id}.tif", view.pixels)
    write_cameras(tmp_path / "cameras.json", {view_id: view.camera for view_id, view in views.items()})
    return tmp_path


def run(session, *options, model="hull.safetensors", images="images"):
    app = typer.Typer()
    app.command("reconstruct")(reconstruct)
    words = [session / "cameras.json", session / images, session / "out", "--model", session / model, *options]
    return CliRunner().invoke(app, [str(word) for word in words])


def left(session) -> list:
    return [path for path in session.glob("out*/**/*") if path.is_file()]


def write_rows(session, donors) -> None:
    """A manifest beside the images, as ``drrkit render`` writes it."""
    blank = {"tissue": "bone", "bone_threshold_hu": 150.0, "energy_kev": 60.0, "backend": "siddon", "boxes": {}}
    blank |= {"visibility": {}, "masks_sha256": {}, "ct_sha256": "", "labels_sha256": "", "view_sha256": ""}
    rows = [
        ManifestRow(
            id=view_id,
            ct_id=donor,
            donor_id=donor,
            image=f"images/{view_id}.tif",
            camera=view_id,
            image_sha256=content_sha256(session / "images" / f"{view_id}.tif"),
            renderer="test",
            **blank,
        )
        for view_id, donor in donors.items()
    ]
    write_manifest(session, rows)


def test_balls_come_back_labelled(session):
    result = run(session, "--spacing", "1.5", "--mesh", "ply")
    assert result.exit_code == 0, result.exception
    image = sitk.ReadImage(str(session / "out/labels.nii.gz"))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    for level, center in hull.BALLS.items():
        np.testing.assert_allclose(statistics.GetCentroid(LEVEL_CODES[level]), center, atol=1.0)
        assert (session / f"out/meshes/{level}.ply").is_file()
    np.testing.assert_allclose(image.GetSpacing(), 1.5, atol=1e-5)
    record = json.loads((session / "out/timings.json").read_text())
    assert record["views"] == list(hull.ANGLES_DEG)
    assert record["center_from"] == "isocenter"
    assert "latency_seconds" not in record
    assert "L1, L2 from 4 views" in result.output


def test_chosen_views_center_and_latency(session):
    center = hull.ISOCENTER + np.array([1.0, 2.0, 3.0])
    result = run(session, "--views", "lat", "--views", "ap", "--center", *center, "--latency", 2, "--threads", 1)
    assert result.exit_code == 0, result.exception
    record = json.loads((session / "out/timings.json").read_text())
    assert record["views"] == ["lat", "ap"]
    assert record["unused_images"] == ["oblique", "other"]
    assert (record["center_from"], record["threads"]) == ("given", 1)
    np.testing.assert_allclose(record["center_world"], center, atol=1e-3)
    latency = record["latency_seconds"]
    assert latency["runs"]["count"] == 2
    assert 0 < latency["total"]["min"] <= latency["total"]["median"] <= latency["total"]["max"]
    assert "images not used" in result.output


def test_an_origin_model_places_and_turns_the_grid(session, monkeypatch):
    turned = Rotation.from_euler("z", 12, degrees=True).as_matrix()
    center = hull.ISOCENTER + np.array([2.0, -1.0, 1.0])
    seen = []

    def estimated(radiographs, model):
        seen.append((len(radiographs), model))
        return SimpleNamespace(center_world=center, rotation=turned)

    monkeypatch.setattr("reconstruction.origin.model.load_origin", lambda path: path.name)
    monkeypatch.setattr("reconstruction.origin.estimate.estimate_origin", estimated)
    result = run(session, "--origin", session / "where.safetensors")
    assert result.exit_code == 0, result.exception
    assert seen == [(4, "where.safetensors")]
    record = json.loads((session / "out/timings.json").read_text())
    assert record["center_from"] == "images"
    np.testing.assert_allclose(record["center_world"], center, atol=1e-3)
    image = sitk.ReadImage(str(session / "out/labels.nii.gz"))
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), turned, atol=1e-6)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    for level, ball in hull.BALLS.items():
        np.testing.assert_allclose(statistics.GetCentroid(LEVEL_CODES[level]), ball, atol=1.5)
    both = run(session, "--origin", session / "where.safetensors", "--center", 0, 0, 0)
    assert isinstance(both.exception, InputError)


def test_images_without_a_camera_are_left_out_and_told(session):
    write_image(session / "images" / "stray.tif", np.zeros((5, 5), np.float32))
    result = run(session)
    assert result.exit_code == 0, result.exception
    assert json.loads((session / "out/timings.json").read_text())["unused_images"] == ["stray"]


def test_the_donor_of_the_manifest_is_noted(session):
    write_rows(session, dict.fromkeys(hull.ANGLES_DEG, "donor-1"))
    assert run(session).exit_code == 0
    assert json.loads((session / "out/timings.json").read_text())["donor"] == "donor-1"


def bad(session, kind):
    """Return options, the model's name and the images' folder of one kind of bad input."""
    image = session / "images" / "lat.tif"
    model, images, options = "hull.safetensors", "images", []
    if kind == "camera without image":
        image.unlink()
    elif kind == "no folder":
        images = "gone"
    elif kind == "another size":
        write_image(image, np.ones((40, 40), np.float32))
    elif kind == "NaN":
        write_image(image, np.full((96, 80), np.nan, np.float32))
    elif kind == "no image":
        image.write_bytes(b"no image")
    elif kind == "one image twice":
        image.write_bytes((session / "images" / "ap.tif").read_bytes())
    elif kind == "two patients":
        write_rows(session, dict.fromkeys(hull.ANGLES_DEG, "donor-1") | {"lat": "donor-2"})
    elif kind == "sees nothing":
        away = hull.camera("lat", hull.ISOCENTER + np.array([0, 0, 500.0]))
        write_cameras(session / "cameras.json", {"ap": hull.camera("ap"), "lat": away})
        options = ["--center", *hull.ISOCENTER]
    elif kind == "unknown view":
        options = ["--views", "top"]
    elif kind == "a view twice":
        options = ["--views", "ap", "--views", "ap"]
    elif kind == "one view, no center":
        options = ["--views", "ap"]
    elif kind == "unknown backend":
        options = ["--backend", "magic"]
    elif kind == "unknown mesh":
        options = ["--mesh", "obj"]
    elif kind == "bad spacing":
        options = ["--spacing", "0"]
    elif kind == "level for a model that needs none":
        options = ["--level", "L3"]
    elif kind == "no model":
        model = "gone.safetensors"
    elif kind == "a model of other weights":
        path = session / "hull.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": "0" * 64}))
    elif kind == "a model of another network":
        path = session / "hull.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"network": "x23d"}))
    elif kind == "out is a file":
        (session / "out").write_text("mine")
    return options, model, images


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("camera without image", "no image of 1 of 4 cameras: lat"),
        ("no folder", "no such folder"),
        ("another size", "40 x 40 pixels"),
        ("NaN", "NaN or infinite"),
        ("no image", "no readable image"),
        ("one image twice", "the same image"),
        ("two patients", "donor-2"),
        ("sees nothing", "view lat"),
        ("unknown view", "no camera top"),
        ("a view twice", "every view once"),
        ("one view, no center", "isocenter"),
        ("unknown backend", "magic"),
        ("unknown mesh", "obj"),
        ("bad spacing", "spacing"),
        ("level for a model that needs none", "level"),
        ("no model", "gone.safetensors"),
        ("a model of other weights", "hash"),
        ("a model of another network", "settings of x23d"),
        ("out is a file", "a file where a folder should be"),
    ],
)
def test_bad_input_is_one_error_and_nothing_written(session, kind, words):
    options, model, images = bad(session, kind)
    result = run(session, *options, model=model, images=images)
    assert isinstance(result.exception, InputError), result.output
    assert words in str(result.exception)
    assert left(session) == []


def test_views_are_read_as_asked_for(session):
    files = read_views(session / "cameras.json", session / "images", ["lat", "ap"])
    assert list(files.radiographs) == list(files.images_sha256) == ["lat", "ap"]
    assert files.images_sha256["ap"] == content_sha256(session / "images" / "ap.tif")
    assert (files.donor, files.unused) == ("", ("oblique", "other"))


def test_an_exported_model_reconstructs_alone(session):
    app = typer.Typer()
    app.command("export")(export)
    refused = CliRunner().invoke(app, [str(session / "hull.safetensors"), str(session / "hull.pt")])
    assert isinstance(refused.exception, InputError)
    result = CliRunner().invoke(app, [str(session / "hull.safetensors")])
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip() == str(session / "hull.onnx")
    assert not list(session.glob(".partial*"))
    for name in ("hull.safetensors", "hull.json"):
        (session / name).unlink()
    assert run(session, "--threads", 1, model="hull.onnx").exit_code == 0
    record = json.loads((session / "out/timings.json").read_text())
    assert record["backend"] == "onnx"
    assert record["model"]["sha256"] == content_sha256(session / "hull.onnx")
    assert record["levels"]["L1"]["mesh_mm3"] > 1000
