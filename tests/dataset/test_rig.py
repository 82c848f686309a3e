import numpy as np
import pytest

from drrkit.dataset.rig import FixedRig, carm_with_detector, isocenter_world, parse_isocenter, with_detector
from drrkit.errors import InputError
from drrkit.volume import Volume
from toys import CARM, toy_volume, view_rig


def test_isocenter_rules():
    volume = toy_volume()
    bare = Volume(volume.hu, volume.world_from_voxel)
    blocks = (volume.level_centroid_world("L1") + volume.level_centroid_world("L2")) / 2
    assert np.allclose(isocenter_world(volume, "auto"), blocks)
    assert np.allclose(isocenter_world(bare, "auto"), bare.center_world)
    assert np.allclose(isocenter_world(volume, "volume"), volume.center_world)
    assert np.allclose(isocenter_world(volume, (1.0, 2.0, 3.0)), [1, 2, 3])


def test_isocenter_text():
    assert parse_isocenter("auto") == "auto"
    assert parse_isocenter("1,-2.5,3") == (1.0, -2.5, 3.0)
    for text in ("1,2", "a,b,c", "middle"):
        with pytest.raises(InputError, match="--isocenter"):
            parse_isocenter(text)


@pytest.mark.parametrize(
    ("size", "spacing_mm", "shape", "pixel_mm"),
    [
        (None, None, (24, 20), (6.0, 6.0)),
        ((12, 40), None, (12, 40), (12.0, 3.0)),
        (None, 3.0, (48, 40), (3.0, 3.0)),
        ((10, 10), 2.0, (10, 10), (2.0, 2.0)),
    ],
)
def test_detectors_keep_their_center_and_their_physics(size, spacing_mm, shape, pixel_mm):
    camera = CARM.camera(20, 10, 5)
    changed = with_detector(camera, size, spacing_mm)
    assert (changed.height, changed.width) == shape
    assert np.allclose(changed.pixel_spacing_mm, pixel_mm)
    assert changed.source_to_detector_mm == pytest.approx(1000.0)
    assert np.allclose(changed.project([0, 0, 0]), [(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    carm = carm_with_detector(CARM, size, spacing_mm)
    assert carm.camera(20, 10, 5).allclose(changed)


def test_bad_detectors_are_refused():
    with pytest.raises(InputError, match="--size"):
        with_detector(CARM.camera(0, 0), (0, 5), None)
    with pytest.raises(InputError, match="--spacing"):
        with_detector(CARM.camera(0, 0), None, 0.0)


def test_fingerprints_see_what_decides_a_camera_and_nothing_else():
    rig = view_rig(("ap", 0, 0), ("lat", 90, 0))
    prints = {rig.fingerprint("ap"), rig.fingerprint("lat"), view_rig(("ap", 1, 0)).fingerprint("ap")}
    assert len(prints) == 3
    assert view_rig(("ap", 0, 0)).fingerprint("ap") == rig.fingerprint("ap")
    fixed = FixedRig({"a": CARM.camera(0, 0), "b": CARM.camera(1, 0)})
    assert fixed.fingerprint("a") != fixed.fingerprint("b")
    assert fixed.cameras(toy_volume()) == fixed.fixed
