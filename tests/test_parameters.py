import pytest
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.parameters import Parameters, read_parameters


class Toy(Parameters):
    count: int
    spacing_mm: float = 1.0


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_a_section_becomes_a_frozen_model(tmp_path):
    toy = read_parameters("toy", Toy, write(tmp_path, "toy: {count: 3}\nother: {x: 1}\n"))
    assert (toy.count, toy.spacing_mm) == (3, 1.0)
    with pytest.raises(ValidationError):
        toy.count = 4


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("toy: {count: many}\n", "toy.count"),
        ("toy: {count: 3, cuont: 4}\n", "toy.cuont"),
        ("toy: {}\n", "toy.count"),
        ("other: {}\n", "params.yaml"),
        ("toy: [\n", "params.yaml"),
        ("", "params.yaml"),
    ],
)
def test_bad_parameters_say_where(tmp_path, text, where):
    with pytest.raises(InputError) as error:
        read_parameters("toy", Toy, write(tmp_path, text))
    assert where in str(error.value)


def test_a_missing_file_says_where(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml"):
        read_parameters("toy", Toy, tmp_path / "gone.yaml")


def test_dots_lead_into_sections_of_sections(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("outer:\n  inner: {size: 3}\n")

    class Inner(Parameters):
        size: int

    assert read_parameters("outer.inner", Inner, path).size == 3
    with pytest.raises(InputError, match=r"no section outer\.other"):
        read_parameters("outer.other", Inner, path)
