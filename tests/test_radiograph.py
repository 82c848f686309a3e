import runpy

import numpy as np
import pytest

import drrkit.radiograph
from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.radiograph import Radiograph

# As users have it: without the types that the test run checks first.
PlainRadiograph = runpy.run_path(drrkit.radiograph.__file__)["Radiograph"]

CAMERA = CArm(1000.0, 600.0, 6, 8, (4.0, 4.0)).camera(30, 10)


def pixels(value: float = 0.0) -> np.ndarray:
    image = np.arange(48, dtype=np.float32).reshape(6, 8)
    image[2, 3] = value
    return image


@pytest.mark.parametrize("domain", ["intensity", "line_integral", "display"])
@pytest.mark.parametrize("camera", [CAMERA, None])
def test_a_radiograph_states_its_domain(domain, camera):
    radiograph = Radiograph(pixels(), domain, camera)
    assert radiograph.domain == domain
    assert radiograph.camera is camera


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((pixels(np.nan), "display"), "NaN or infinite"),
        ((pixels(np.inf), "display"), "NaN or infinite"),
        ((pixels()[:, :-1], "display", CAMERA), r"shape \(6, 7\); wanted the camera's \(6, 8\)"),
        ((pixels().T, "display", CAMERA), r"the camera's \(6, 8\)"),
        ((pixels(), "log"), "intensity or line_integral or display"),
        ((pixels().astype(np.float64), "display"), "float64 pixels"),
        ((pixels()[None], "display"), r"shape \(1, 6, 8\)"),
    ],
)
def test_bad_radiographs_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        PlainRadiograph(*fields)


def test_image_and_camera_are_mirrored_together():
    radiograph = Radiograph(pixels(), "line_integral", CAMERA)
    mirrored = radiograph.flipped_horizontally()
    assert np.array_equal(mirrored.pixels, radiograph.pixels[:, ::-1])
    assert mirrored.pixels.flags["C_CONTIGUOUS"]
    assert mirrored.domain == "line_integral"
    u, v = CAMERA.project([3.0, -4.0, 5.0])
    assert np.allclose(mirrored.camera.project([3.0, -4.0, 5.0]), [7 - u, v])
    assert np.array_equal(mirrored.flipped_horizontally().pixels, radiograph.pixels)
    assert Radiograph(pixels(), "display").flipped_horizontally().camera is None
