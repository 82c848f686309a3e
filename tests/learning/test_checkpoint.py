"""A state comes back as it was, for the training that wrote it and for no other."""

import pytest
import torch

from drrkit.errors import InputError
from drrkit.learning.checkpoint import STATE_NAME, differences, forget, going_on, read_state, write_state

RUN = {"model": {"width": 4, "classes": ["a", "b"]}, "training": {"rate": 0.1}}
PROGRESS = {"step": 7, "scores": {"f1": 0.5}, "best": None}


def test_a_state_comes_back_as_it_was(tmp_path):
    weights = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    write_state(tmp_path, RUN, PROGRESS, {"network": {"weight": weights}, "pool": {"images": [weights[0]], "count": 3}})
    progress, states = read_state(tmp_path, RUN)
    assert progress == PROGRESS
    assert set(states) == {"network", "pool"}
    assert torch.equal(states["network"]["weight"], weights)
    assert torch.equal(states["pool"]["images"][0], weights[0])
    assert states["pool"]["count"] == 3
    assert [file.name for file in (tmp_path / STATE_NAME).parent.iterdir()] == ["state.pt"]


def test_no_state_is_none_and_a_forgotten_one_too(tmp_path):
    assert read_state(tmp_path, RUN) is None
    write_state(tmp_path, RUN, PROGRESS, {})
    forget(tmp_path)
    assert read_state(tmp_path, RUN) is None
    forget(tmp_path)


def test_another_run_names_the_first_difference(tmp_path):
    write_state(tmp_path, RUN, PROGRESS, {})
    with pytest.raises(InputError, match=r"model\.width: found 6; wanted 4, as the training.*--force"):
        read_state(tmp_path, {**RUN, "model": {"width": 6, "classes": ["a"]}})


def test_differences_of_nested_values():
    assert differences(RUN, RUN) == []
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 4}) == [
        ("a.b", 1, 3),
        ("c", 2, None),
        ("d", None, 4),
    ]


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_a_broken_file_is_named(tmp_path, content):
    write_state(tmp_path, RUN, PROGRESS, {})
    (tmp_path / STATE_NAME).write_bytes(content)
    with pytest.raises(InputError, match="no state of a training"):
        read_state(tmp_path, RUN)


def test_a_state_that_would_run_code_is_refused(tmp_path):
    (tmp_path / "state").mkdir()
    torch.save({"convention": pytest.raises}, tmp_path / STATE_NAME)
    with pytest.raises(InputError, match="no state of a training"):
        read_state(tmp_path, RUN)


def test_another_convention_is_refused(tmp_path):
    (tmp_path / "state").mkdir()
    torch.save({"convention": "other/1", "run": RUN}, tmp_path / STATE_NAME)
    with pytest.raises(InputError, match="another kind of file"):
        read_state(tmp_path, RUN)


def half_a_training(out, parameters, paths):
    with going_on(out, parameters, paths):
        write_state(out, RUN, PROGRESS, {})
        (out / "model.safetensors").write_bytes(b"half way")
        raise KeyboardInterrupt


def killed(out, parameters, paths):
    with pytest.raises(KeyboardInterrupt):
        half_a_training(out, parameters, paths)


def test_a_killed_run_goes_on_while_nothing_changed(tmp_path):
    out, source = tmp_path / "out", tmp_path / "source"
    (source / "__pycache__").mkdir(parents=True)
    (source / "code.py").write_text("one")
    paths = (source, tmp_path / "not there")
    killed(out, {"steps": 3}, paths)
    (source / "__pycache__" / "code.pyc").write_text("compiled")
    with going_on(out, {"steps": 3}, paths):
        assert read_state(out, RUN) is not None
        assert (out / "model.safetensors").is_file()
    # Done: whoever runs it again has a reason to start anew.
    assert (out / "model.safetensors").is_file()
    assert not (out / "state").exists()
    with going_on(out, {"steps": 3}, paths):
        assert [path.name for path in out.rglob("*") if path.is_file()] == ["inputs.json"]


@pytest.mark.parametrize("change", ["parameters", "file", "new file"])
def test_a_killed_run_starts_anew_when_something_changed(tmp_path, change):
    out, source = tmp_path / "out", tmp_path / "source"
    source.mkdir()
    (source / "code.py").write_text("one")
    killed(out, {"steps": 3}, (source,))
    if change != "parameters":
        (source / ("code.py" if change == "file" else "more.py")).write_text("changed")
    with going_on(out, {"steps": 4 if change == "parameters" else 3}, (source,)):
        assert read_state(out, RUN) is None
        assert not (out / "model.safetensors").exists()
