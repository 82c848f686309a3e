import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from protocols.linearize import field_of_view, linearize


def beam(line_integral, open_field=3000.0):
    return Radiograph((open_field * np.exp(-line_integral)).astype(np.float32), "intensity")


def gradient():
    return np.tile(np.linspace(0, 4, 64, dtype=np.float32), (48, 1))


def test_a_known_open_field_gives_back_the_line_integrals():
    linear = linearize(beam(gradient()), open_field=3000.0)
    assert linear.open_field_from == "acquisition"
    assert linear.radiograph.domain == "line_integral"
    assert np.abs(linear.radiograph.pixels - gradient()).max() < 1e-4


def test_without_one_the_brightest_part_stands_for_it():
    image = gradient()
    image[:, :8] = 0.0  # air beside the patient
    linear = linearize(beam(image))
    assert linear.open_field_from == "image"
    assert linear.open_field == pytest.approx(3000.0, rel=1e-3)
    assert np.abs(linear.radiograph.pixels - image).max() < 2e-3


def test_no_count_is_no_infinity():
    dead = beam(gradient())
    dead.pixels[0, 0] = 0.0
    assert np.isfinite(linearize(dead, open_field=3000.0).radiograph.pixels).all()


def test_display_pixels_are_refused():
    shown = Radiograph((3900 - gradient() / 0.002).astype(np.float32), "display")
    with pytest.raises(InputError, match="section `pixels`"):
        linearize(shown)


def test_line_integrals_stay_and_darkness_is_refused():
    done = Radiograph(gradient(), "line_integral")
    assert linearize(done).radiograph is done
    with pytest.raises(InputError, match="open beam"):
        linearize(Radiograph(np.zeros((16, 16), np.float32), "intensity"))


def test_the_field_of_view_is_what_blades_and_rim_left_open():
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:200, :180]
    open_area = (rows > 30) & (rows < 170) & (columns > 20) & (columns < 150)
    patient = 4.2 * np.exp(-(((rows - 90) / 60) ** 2) - ((columns - 80) / 30) ** 2)
    counts = np.where(open_area, 3000 * np.exp(-patient) + 20, 3.0) + rng.normal(0, 2, rows.shape)
    field = field_of_view(Radiograph(np.maximum(counts, 0).astype(np.float32), "intensity"))
    assert (field & ~open_area).sum() == 0
    assert (field & open_area).sum() > 0.9 * open_area.sum()
    with pytest.raises(InputError, match="intensity"):
        field_of_view(Radiograph(gradient(), "line_integral"))


def test_a_dense_patient_beside_an_unclipped_beam_is_still_in_the_field():
    # Raw frames of 16 bits: the open beam beside the patient is a thousand times what the pelvis lets through.
    rows, columns = np.mgrid[:200, :180]
    patient = np.where(columns < 130, 4.0 + 2.5 * (columns < 60) * (rows > 120), 0.0)
    counts = (60_000 * np.exp(-patient) + 20).astype(np.float32)
    assert field_of_view(Radiograph(counts, "intensity")).all()
    blades = np.where(rows < 40, np.float32(3), counts)
    field = field_of_view(Radiograph(blades, "intensity"))
    assert not field[:40].any()
    assert field[44:].mean() > 0.98
