"""Folders of images through a translator: names, cameras, what is kept, and what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from drrkit.errors import InputError
from drrkit.io.store import read_cameras, read_image, write_cameras, write_image
from styletransfer import translate
from styletransfer.domain import DomainScore
from styletransfer.translate import choose_precision, translate_folder, translate_image
from toy_pairs import toy_camera, toy_pair, write_session
from toy_translator import ToyTranslator


class StrangeWhenBright:
    """Stands for the statistics of a training set."""

    def __init__(self):
        self.pixels_mm = []

    def score(self, pixels, pixel_mm=None):
        self.pixels_mm.append(pixel_mm)
        inside = bool(pixels.mean() < 3)
        return DomainScore(1.0 if inside else float("inf"), 2.0, inside, () if inside else ("too bright",))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Three images with cameras, a model file, and what stands for its content."""
    domain = StrangeWhenBright()
    for number in range(3):
        write_image(tmp_path / "images" / f"view-{number}.tif", toy_pair("anna", number).real)
    write_cameras(tmp_path / "images" / "cameras.json", {f"view-{number}": toy_camera(number) for number in range(3)})
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_text(name)
    spec = SimpleNamespace(method="toy")
    monkeypatch.setattr(translate, "load_translator", lambda path, device: (ToyTranslator(), spec))
    monkeypatch.setattr(translate, "read_domain", lambda path: domain)
    return SimpleNamespace(root=tmp_path, domain=domain)


def run(place, out="out", images="images", **options):
    return translate_folder(
        place.root / "model.safetensors", place.root / images, place.root / out, **({"precision": "32"} | options)
    )


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."
    )


def test_names_sizes_and_cameras_stay(place):
    seen = []
    result = run(place, on_image=lambda image, total: seen.append((image.name, total)))
    out = place.root / "out"
    assert files(out) == [
        "cameras.json",
        "translation.json",
        "view-0.tif",
        "view-1.tif",
        "view-2.tif",
    ]
    for number in range(3):
        made = read_image(out / f"view-{number}.tif")
        np.testing.assert_array_equal(made, translate_image(ToyTranslator(), toy_pair("anna", number).real))
    cameras = read_cameras(out / "cameras.json")
    assert all(cameras[f"view-{number}"].allclose(toy_camera(number)) for number in range(3))
    assert seen == [(f"view-{number}", 3) for number in range(3)]
    # 5 mm at the detector are 3 mm in the patient.
    np.testing.assert_allclose(place.domain.pixels_mm, 3.0, rtol=1e-6)
    record = json.loads((out / "translation.json").read_text())
    assert record["model"]["method"] == "toy"
    assert [entry["is_inside"] for entry in record["translated"]] == [True] * 3
    assert all(entry["seconds"] > 0 for entry in record["translated"])
    assert not result.outside


def test_images_unlike_the_training_are_told(place):
    write_image(place.root / "images" / "view-1.tif", np.full((32, 32), 9, np.float32))
    result = run(place)
    assert [(image.name, image.reasons, image.is_inside) for image in result.outside] == [
        ("view-1", ("too bright",), False)
    ]
    json.loads((place.root / "out" / "translation.json").read_text(), parse_constant=pytest.fail)


def test_a_model_without_statistics_says_so(place, monkeypatch):
    monkeypatch.setattr(translate, "read_domain", lambda path: None)
    result = run(place)
    assert not result.knows_domain
    assert [image.is_inside for image in result.images] == [None] * 3


def new(result) -> list[str]:
    return [image.name for image in result.images if image.is_new]


def test_only_what_changed_is_made_again(place):
    everything = [f"view-{number}" for number in range(3)]
    assert new(run(place)) == everything
    assert new(run(place)) == []
    write_image(place.root / "images" / "view-1.tif", toy_pair("bert", 1).real)
    assert new(run(place)) == ["view-1"]
    (place.root / "out" / "view-2.tif").write_bytes(b"damaged")
    assert new(run(place)) == ["view-2"]
    assert new(run(place, force=True)) == everything
    (place.root / "model.safetensors").write_text("trained further")
    assert new(run(place)) == everything
    assert new(run(place, precision="bf16")) == everything
    (place.root / "images" / "view-0.tif").unlink()
    result = run(place, precision="bf16")
    assert (new(result), result.removed) == ([], ("view-0.tif",))
    assert not (place.root / "out" / "view-0.tif").exists()


def test_a_killed_run_goes_on(place):
    def kill(image, total):
        if image.name == "view-1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(place, on_image=kill)
    assert (place.root / "out" / "view-1.tif").exists()
    # Its files are known as its own; what was not noted yet is made again.
    assert [image.name for image in run(place).images] == ["view-0", "view-1", "view-2"]
    assert new(run(place)) == []


def test_a_folder_of_pairs_is_its_real_images(place):
    session = write_session(place.root, "carl")
    result = run(place, images=session.pairs.relative_to(place.root), out="carl/pairs/translated")
    assert [image.name for image in result.images] == [f"view-{number}" for number in range(4)]
    wanted = translate_image(ToyTranslator(), toy_pair("carl", 2).real)
    np.testing.assert_array_equal(read_image(session.pairs / "translated" / "view-2.tif"), wanted)
    assert len(read_cameras(session.pairs / "translated" / "cameras.json")) == 4


def test_disagreement_is_written_if_asked_for(place):
    run(place)
    assert len(new(run(place, disagreement=True))) == 3
    assert read_image(place.root / "out" / "disagreement" / "view-0.tif").shape == (32, 32)
    assert new(run(place, disagreement=True)) == []
    assert new(run(place)) == []
    write_image(place.root / "images" / "view-1.tif", toy_pair("bert", 1).real)
    assert new(run(place)) == ["view-1"]
    # A map of another translation would deceive.
    assert files(place.root / "out" / "disagreement") == ["view-0.tif", "view-2.tif"]
    assert new(run(place, disagreement=True)) == ["view-1"]
    (place.root / "images" / "view-0.tif").unlink()
    assert run(place, disagreement=True).removed == ("view-0.tif", "disagreement/view-0.tif")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_counts_become_line_integrals_by_the_open_field(place, dtype):
    line_integrals = toy_pair("anna", 0).real + 0.1
    counts = (4000 * np.exp(-line_integrals)).astype(dtype)
    counts[3, 3] = 1
    folder = place.root / "counts"
    folder.mkdir()
    Image.fromarray(counts).save(folder / "view-0.tif")
    with pytest.raises(InputError, match="--open-field"):
        run(place, images="counts")
    run(place, images="counts", open_field=4000.0)
    wanted = translate_image(ToyTranslator(), np.log(np.float32(4000)) - np.log(counts.astype(np.float32)))
    np.testing.assert_allclose(read_image(place.root / "out" / "view-0.tif"), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((32, 32), 300, np.uint16), "intensities"),
        (np.full((32, 32), 200, np.uint8), "intensities"),
        (np.full((32, 32, 3), 200, np.uint8), "shape"),
        (np.full((32, 32), 900.0, np.float32), "no line integrals"),
        (np.full((32, 32), -7.0, np.float32), "no line integrals"),
        (np.full((32, 32), np.nan, np.float32), "NaN"),
        (np.ones((32, 40), np.float32), "as its camera says"),
        (b"no image", "no readable image"),
    ],
)
def test_images_that_are_no_line_integrals_are_refused(place, pixels, words):
    path = place.root / "images" / "view-0.tif"
    if isinstance(pixels, bytes):
        path.write_bytes(pixels)
    else:
        Image.fromarray(pixels).save(path)
    with pytest.raises(InputError, match=words) as error:
        run(place)
    assert "view-0.tif" in str(error.value)
    assert not list((place.root / "out").glob("*.tif"))


def test_nothing_is_overwritten_that_no_translation_wrote(place):
    with pytest.raises(InputError, match="never overwritten"):
        run(place, out="images")
    session = write_session(place.root, "carl")
    with pytest.raises(InputError, match="never overwritten"):
        run(place, images=session.pairs.relative_to(place.root), out="carl/pairs")
    write_image(place.root / "out" / "view-1.tif", np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="no translation wrote"):
        run(place)
    assert len(new(run(place, force=True))) == 3
    (place.root / "out" / "translation.json").write_text("{}")
    with pytest.raises(InputError, match="no record"):
        run(place)
    run(place, force=True)


def test_folders_without_images(place):
    (place.root / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        run(place, images="empty")
    with pytest.raises(InputError, match="no such folder"):
        run(place, images="gone")
    assert not (place.root / "out").exists()


def test_precisions():
    assert choose_precision("32") == "32"
    assert choose_precision("bf16") == "bf16"
    assert choose_precision("auto") in ("32", "bf16")
    with pytest.raises(InputError, match="auto, 32 or bf16"):
        choose_precision("half")
