"""Training of heat maps on beads: the loss falls, the same seed gives the same model, and pixels follow images."""

import json

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.geometry.presets import preset
from drrkit.io import volumefile
from drrkit.io.store import write_cameras, write_image
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS
from origin_toys import BRIGHTNESS, SETTINGS, bead_radiograph, levels_of, spine_points
from reconstruction.cases import Case
from reconstruction.origin.examples import KnownImages, changed, known_images
from reconstruction.origin.images import whole_views
from reconstruction.origin.model import load_origin, make_network, save_origin
from reconstruction.origin.settings import OriginSettings
from reconstruction.origin.spines import KnownSpine
from reconstruction.origin.study import origin_errors
from reconstruction.origin.training import heatmap_loss, train_heatmaps, train_on_spines, train_origin

ANGLES = {"ap": (0, 0), "lat": (90, 0), "obl": (45, 0)}
# A field of 240 mm, as large as the toys' training images reach with pixels of 4 mm.
PARAMETERS = SETTINGS.model_copy(update={"network": SETTINGS.network.model_copy(update={"pixel_mm": 4.0})})


def toy_spine(seed: int) -> KnownSpine:
    points = spine_points(position=np.random.default_rng(seed).uniform(-15, 15, 3))
    cameras = [preset("generic").resized(96, 96).camera(*angles) for angles in ANGLES.values()]
    radiographs = tuple(bead_radiograph(points, camera) for camera in cameras)
    return KnownSpine(f"toy-{seed}", radiographs, levels_of(points), levels_of(points[6:]), points[5])


def toy_images(spines) -> KnownImages:
    return KnownImages.joined([known_images(spine, PARAMETERS, 8, np.random.default_rng(0)) for spine in spines])


@pytest.fixture(scope="module")
def spines():
    return [toy_spine(seed) for seed in range(4)]


def with_steps(count: int) -> OriginSettings:
    training = PARAMETERS.training.model_copy(update={"steps": count})
    return PARAMETERS.model_copy(update={"training": training})


def test_loss_falls(spines):
    losses: list[float] = []
    model = train_on_spines(spines, PARAMETERS, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3  # in nats; a network that knows nothing has 5.5
    assert not model.network.training
    assert model.training["cases"] == ["toy-0", "toy-1", "toy-2", "toy-3"]


def test_the_seed_decides(spines):
    first, second = (train_on_spines(spines[:2], with_steps(2)).network.state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    other = PARAMETERS.training.model_copy(update={"steps": 2, "seed": 1})
    third = train_on_spines(spines[:2], PARAMETERS.model_copy(update={"training": other})).network.state_dict()
    assert not torch.equal(third["stem.weight"], first["stem.weight"])


def test_pixels_follow_the_change_of_the_image(spines):
    images = toy_images(spines)
    field_mm = (250.0, 300.0)
    augmentation = PARAMETERS.training.augmentation.model_copy(update={"field_mm": field_mm, "rotation_deg": 30.0})
    shown = changed(images, augmentation, 4.0, torch.Generator().manual_seed(5))
    assert (shown.pixels - images.pixels).abs().max() > 3
    # Where a centroid is said to be, the image has the brightness of its level.
    column, row = shown.pixels.round().long().unbind(dim=2)
    values = shown.images[torch.arange(len(column))[:, None], 0, row, column]
    torch.testing.assert_close(
        values, torch.tensor(BRIGHTNESS, dtype=torch.float32).expand_as(values), atol=0.1, rtol=0
    )


def test_narrow_fields_hide_levels(spines):
    images = toy_images(spines)
    augmentation = PARAMETERS.training.augmentation.model_copy(update={"field_mm": (60.0, 60.0)})
    shown = changed(images, augmentation, 4.0, torch.Generator().manual_seed(5))
    assert images.visible().all()
    assert 0 < shown.visible().float().mean() < 0.7
    assert (shown.images[:, 0][shown.images[:, 1] == 0] == 0).all()


def test_loss_is_least_at_the_truth():
    images = torch.ones(1, 2, 64, 64)
    pixels = torch.full((1, 1, 2), 29.5)  # the middle of cell (7, 7)
    shown = KnownImages(images, pixels, torch.ones(1, 1, dtype=torch.bool))

    def loss(cell: int) -> float:
        scores = torch.zeros(1, 1, 16 * 16 + 1)
        scores[0, 0, cell] = 9.0
        return float(heatmap_loss(scores.log_softmax(2), shown, 4, 2.0))

    assert loss(7 * 16 + 7) < loss(7 * 16 + 9) < loss(256) + 1
    hidden = KnownImages(images, pixels + 1000, shown.known)
    scores = torch.zeros(1, 1, 257)
    scores[..., 256] = 9.0
    assert float(heatmap_loss(scores.log_softmax(2), hidden, 4, 2.0)) < 0.1
    unknown = KnownImages(images, pixels, torch.zeros(1, 1, dtype=torch.bool))
    assert float(heatmap_loss(scores.log_softmax(2), unknown, 4, 2.0)) == 0


def test_whole_image_keeps_every_point_and_its_size():
    camera = preset("siemens-artis-zee").resized(190, 245).camera(10, 5).flipped_horizontally().rotated90(1)
    lateral = preset("generic").resized(64, 64).camera(90, 0)
    points = spine_points()
    whole = whole_views([bead_radiograph(points, view) for view in (camera, lateral)], 2.0, 16)
    assert whole.images.shape[2] % 16 == 0
    for view, image in zip(whole.cameras, whole.images, strict=True):
        assert not view.is_mirrored
        assert 600 / view.focal_px < 2.6  # 780 mm and 600 mm from the isocenter
        for point, value in zip(points, BRIGHTNESS, strict=False):
            column, row = np.rint(view.project(point)).astype(int)
            assert image[0, row, column] == pytest.approx(value, abs=0.05)
            assert image[1, row, column] == 1
    # The zee's panel is narrower than the window.
    assert (whole.images[0, 1] == 0).any()


def test_cells_must_fit(spines):
    training = PARAMETERS.training.model_copy(update={"size_px": 60})
    settings = PARAMETERS.model_copy(update={"training": training})
    with pytest.raises(InputError, match="size_px"):
        train_heatmaps(make_network(settings.network), toy_images(spines), settings)


# ---- with files ------------------------------------------------------------------------------------------------------


def written_case(folder, seed: int, split: str) -> Case:
    spine = toy_spine(seed)
    cameras = dict(zip(ANGLES, (radiograph.camera for radiograph in spine.radiographs), strict=True))
    write_cameras(folder / "cameras.json", cameras)
    for view, radiograph in zip(ANGLES, spine.radiographs, strict=True):
        write_image(folder / "images" / f"{view}.tif", radiograph.pixels)
    labels = np.zeros((64, 24, 24), np.uint8)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -46, -46, -126
    for level, point in spine.levels.items():
        x, y, z = np.rint((point - affine[:3, 3]) / 4).astype(int)
        labels[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = LEVEL_CODES[level]
    volumefile.write(folder / "labels.nii.gz", labels, affine)
    return Case(
        case_id=f"case-{seed}",
        donor_id=f"donor-{seed}",
        split=split,
        kind="drr",
        views=tuple(ANGLES),
        cameras=folder / "cameras.json",
        images=folder / "images",
        labels=folder / "labels.nii.gz",
        label_scheme="verse",
        levels=LUMBAR_LEVELS,
    )


def test_cases_in_model_on_disk_and_table_of_errors_out(tmp_path):
    cases = [written_case(tmp_path / f"{seed}", seed, "train" if seed < 3 else "test") for seed in range(4)]
    (tmp_path / "3" / "labels.nii.gz").rename(tmp_path / "hidden.nii.gz")  # training must not miss it
    location = PARAMETERS.location.model_copy(update={"least_mass": 0.0, "sigma_mm": 60.0})
    settings = with_steps(2).model_copy(update={"location": location})
    path = tmp_path / "models" / "origin.safetensors"
    made = train_origin(cases, settings, path)
    (tmp_path / "hidden.nii.gz").rename(tmp_path / "3" / "labels.nii.gz")
    model = load_origin(path)
    assert model.settings == settings
    assert model.training == made.training
    np.testing.assert_array_equal(model.shape.covariance_mm2, made.shape.covariance_mm2)
    image = torch.rand(1, 2, 64, 64)
    assert torch.equal(model.network(image), made.network(image))
    # Two steps teach nothing, so the errors are large; but they are those of this case.
    errors = origin_errors(cases[3:], model, ["ap", "lat"])
    assert errors["case_id"].tolist() == ["case-3"]
    parts = errors[["left_mm", "back_mm", "head_mm"]].to_numpy()
    np.testing.assert_allclose(errors["error_mm"], np.linalg.norm(parts, axis=1))
    with pytest.raises(InputError, match="no view pa"):
        origin_errors(cases[3:], model, ["ap", "pa"])


def test_files_that_do_not_belong_together(tmp_path, spines):
    model = train_on_spines(spines[:2], with_steps(1))
    path = tmp_path / "origin.safetensors"
    save_origin(path, model)
    record = json.loads(path.with_suffix(".json").read_text())
    for change, words in (
        ({"weights_sha256": "0"}, "another hash"),
        ({"convention": "drrkit-reconstructor/1"}, "convention"),
        ({"settings": {}}, "missing or wrong"),
        ({"shape": {"mean_mm": [1, 2]}}, "missing or wrong"),
    ):
        path.with_suffix(".json").write_text(json.dumps(record | change))
        with pytest.raises(InputError, match=words):
            load_origin(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError):
        load_origin(path)
    with pytest.raises(InputError, match="safetensors"):
        load_origin(tmp_path / "origin.pt")
