import json

import pytest

from drrkit.errors import InputError
from drrkit.geometry.viewsets import view_set
from drrkit.io.views import load_view_set


def test_names_are_looked_up():
    assert load_view_set("x23d-20") is view_set("x23d-20")


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_of_ones_own_views(tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    records = view_set("ap-lateral").to_records()
    path.write_text(json.dumps(records))
    loaded = load_view_set(str(path))
    assert (loaded.name, loaded.views) == ("mine", view_set("ap-lateral").views)


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: [", "no YAML"), ("a: 1", "a list of views"), ("- {id: a}", "view 1"), ("", "a list of views")],
)
def test_bad_files_are_told(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        load_view_set(str(path))
    assert "mine.yaml" in str(error.value)
    assert words in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="adapt-28"):
        load_view_set("nice-views")
