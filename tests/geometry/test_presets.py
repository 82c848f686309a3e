from pathlib import Path

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.presets import PRESETS, markdown_table, preset
from drrkit.geometry.viewsets import view_set

PAGE = Path(__file__).parents[2] / "docs" / "view-sets.md"
MACHINES = sorted(set(PRESETS) - {"generic"})

# Corners of a box about L1 to L5: 190 mm high, with the width of the pedicles and the depth of bodies and canal.
LUMBAR = np.stack(np.meshgrid([-30, 30], [-30, 40], [-95, 95]), axis=-1).reshape(-1, 3)


def test_the_page_lists_the_presets():
    assert f"\n\n{markdown_table()}\n" in PAGE.read_text()


@pytest.mark.parametrize("name", MACHINES)
def test_machines_have_believable_numbers_and_name_their_source(name):
    carm = preset(name)
    assert len(carm.source) > 80
    assert 900 < carm.source_to_detector_mm < 1300
    assert 0.45 < carm.source_to_isocenter_mm / carm.source_to_detector_mm < 0.68
    panel_mm = np.multiply(carm.pixel_spacing_mm, (carm.height, carm.width))
    assert (panel_mm > 225).all()
    assert (panel_mm < 385).all()


def test_the_machine_of_the_deepfluoro_data():
    camera = preset("siemens-cios-fusion").camera(0, 0)
    assert camera.pixel_from_camera[0, 0] == pytest.approx(5257.731958762887)  # 1020 / 0.194
    assert camera.pixel_from_camera[:2, 2].tolist() == [767.5, 767.5]


def test_the_focal_length_that_calibration_found():
    # Five calibrated matrices of a Cios Spin: 3816 to 3820 px.
    assert preset("siemens-cios-spin").camera(0, 0).pixel_from_camera[0, 0] == pytest.approx(3818, abs=3)


@pytest.mark.parametrize("view", view_set("adapt-28").views, ids=lambda view: view.id)
def test_the_lumbar_spine_fits_on_the_generic_panel(view):
    carm = preset("generic")
    pixels = carm.camera(view.primary_deg, view.secondary_deg).project(LUMBAR)
    assert pixels.min() > 0
    assert (pixels.max(axis=0) < [carm.width - 1, carm.height - 1]).all()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_read_out_smaller(name):
    carm = preset(name)
    small = carm.resized(256, 256)
    assert small.camera(0, 0).source_to_detector_mm == pytest.approx(carm.source_to_detector_mm)
    panel_mm = np.multiply(carm.pixel_spacing_mm, (carm.height, carm.width))
    assert np.multiply(small.pixel_spacing_mm, (256, 256)) == pytest.approx(panel_mm)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError) as raised:
        preset("cios")
    assert all(name in str(raised.value) for name in PRESETS)
