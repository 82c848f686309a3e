"""Translators on disk come back as they were, and every fault is one clear error."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from drrkit.errors import InputError
from styletransfer import registry
from styletransfer.images import open_pairs
from styletransfer.model import TranslatorSpec
from styletransfer.scale import Scale
from styletransfer.training_job import measured
from styletransfer.weights import build_translator, load_translator, read_domain, read_spec, save_translator
from training_toys import ToyLearner, register, write_session

SPEC = TranslatorSpec(
    method="toy",
    settings={"width": 4, "dropout": 0.1, "rate": 0.1},
    scale=Scale(1.5, 0.5, 2.0),
    isocenter_pixel_mm=(0.7, 0.9),
    training={"donors": ["anna"]},
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(registry, "TRANSLATORS", registry.TRANSLATORS)
    register()


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    translator = build_translator(SPEC)
    path = tmp_path / "model.safetensors"
    save_translator(path, translator, SPEC)
    return path, translator


def change(path, **values):
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | values))


def test_a_translator_comes_back_bit_by_bit(saved):
    path, translator = saved
    loaded, spec = load_translator(path)
    assert spec == SPEC == read_spec(path)
    assert isinstance(loaded, ToyLearner)
    assert (loaded.settings.width, loaded.scale) == (4, SPEC.scale)
    real = torch.rand(1, 1, 16, 24)
    assert torch.equal(loaded.synthetic_from_real(real), translator.synthetic_from_real(real))
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.safetensors"]
    assert json.loads(path.with_suffix(".json").read_text())["convention"] == "drrkit-translator/1"


def test_what_the_training_images_look_like_travels_along(saved, tmp_path):
    path, translator = saved
    assert read_domain(path) is None
    source = open_pairs([write_session(tmp_path, "anna")], "train")
    domain = measured(source).domain
    save_translator(path, translator, SPEC, domain)
    found = read_domain(path)
    assert found is not None
    wanted = domain.tensors()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.tensors().items())
    assert set(found.tensors()) == set(wanted)
    # The translator itself does not stumble over it.
    real = torch.rand(1, 1, 16, 16)
    assert torch.equal(load_translator(path)[0].synthetic_from_real(real), translator.synthetic_from_real(real))


def test_other_weights_under_the_json_are_refused(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="another hash"):
        load_translator(path)
    with pytest.raises(InputError, match="another hash"):
        read_domain(path)


def test_weights_of_another_size_name_the_file_and_the_tensor(saved):
    change(saved[0], settings=SPEC.settings | {"width": 6})
    with pytest.raises(InputError, match=r"model\.safetensors.*0\.weight is \(4, 1, 3, 3\)"):
        load_translator(saved[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"convention": "other/1"}, "drrkit-translator/1"),
        ({"isocenter_pixel_mm": [0.7]}, "isocenter_pixel_mm"),
        ({"scale": {"real_center": 0.0, "real_spread": 0.0, "synthetic_spread": 1.0}}, r"model\.json, scale"),
        ({"scale": None}, "scale"),
        ({"weights_sha256": None}, "weights_sha256"),
        ({"color": "red"}, "color"),
        ({"method": "nobody"}, r"model\.json, method: found 'nobody'; wanted .*toy"),
        ({"settings": {"breadth": 4}}, r"model\.json, settings\.width of toy"),
        ({"settings": SPEC.settings | {"width": "wide"}}, r"settings\.width of toy: found 'wide'"),
    ],
)
def test_a_wrong_field_is_named(saved, values, message):
    change(saved[0], **values)
    with pytest.raises(InputError, match=message):
        load_translator(saved[0])


def test_missing_files_are_named(saved, tmp_path):
    path, translator = saved
    with pytest.raises(InputError, match="no such file"):
        load_translator(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="file name that ends in"):
        save_translator(tmp_path / "model.pt", translator, SPEC)
    path.write_bytes(b"nonsense")
    change(path, weights_sha256=hashlib.sha256(b"nonsense").hexdigest())
    with pytest.raises(InputError, match="no safetensors"):
        load_translator(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"model\.json"):
        read_spec(path)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="nobody"):
        build_translator(replace(SPEC, method="nobody"))
