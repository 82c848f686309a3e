import cv2
import numpy as np
import pytest

from drrkit.dataset.plan import make_plan
from drrkit.dataset.run import render_dataset
from drrkit.errors import InputError
from drrkit.figures import patient_letters, write_overview
from toys import SETTINGS, view_rig, write_toy


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0.1), "A"),
        ((0, 0, 1), "H"),
        ((0.8, -0.6, 0), "LA"),
        ((-0.6, 0, -0.8), "FR"),
    ],
)
def test_directions_have_the_letters_of_viewers(direction, letters):
    assert patient_letters(np.array(direction, dtype=float)) == letters


def test_an_overview_shows_every_image_and_every_level(tmp_path):
    out = tmp_path / "out"
    source = write_toy(tmp_path / "in", "toy")
    render_dataset(make_plan(out, [source], view_rig(("ap", 0, 0), ("lat", 90, 0)), SETTINGS))
    path = tmp_path / "pictures" / "toy.png"
    write_overview(out, ["toy_ap", "toy_lat"], path, "a toy")
    first = path.read_bytes()
    picture = cv2.imread(str(path))
    left, right = np.array_split(picture, 2, axis=1)
    upper, lower = np.array_split(picture, 2, axis=0)
    assert all(part.max() > 200 for part in (left, right, upper, lower))
    # Outlines are the only color: they stand in the lower row of panels, in one hue a level.
    saturation = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[..., 1].astype(int) * (picture.max(axis=2) > 100)
    rows = np.flatnonzero((saturation > 60).any(axis=1))
    assert rows.min() > picture.shape[0] * 0.45
    hues = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[..., 0][saturation > 60]
    assert len({int(hue) // 20 for hue in hues}) >= 2
    write_overview(out, ["toy_ap", "toy_lat"], path, "a toy")
    assert path.read_bytes() == first


def test_an_image_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="no image gone"):
        write_overview(tmp_path, ["gone"], tmp_path / "x.png", "")
