"""acquisition.yaml: the template parses and agrees with the schema; what is wrong is told at once, with the line."""

import pytest
import yaml
from pydantic import BaseModel

from drrkit.errors import InputError
from protocols.acquisition import Sheet, new_acquisition, template_text
from protocols.acquisition.schema import ExposureNote
from protocols.acquisition.sheet import examine_sheet, read_sheet
from protocols.acquisition.template import section_of


@pytest.fixture
def path(tmp_path):
    new_acquisition(tmp_path / "x1", "x1")
    return tmp_path / "x1" / "acquisition.yaml"


def fields(model, prefix=""):
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is None:
            yield f"{prefix}{name}", info
        else:
            yield from fields(section, f"{prefix}{name}.")


ALL_FIELDS = dict([*fields(Sheet), *fields(ExposureNote, "note.")])


def replace_line(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# ---- schema and template -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FIELDS)
def test_every_field_says_meaning_unit_and_a_valid_example(name, path):
    info = ALL_FIELDS[name]
    assert len(info.description) > 10
    words = {"_mm": "millimeter", "_deg": "degree"}
    assert all(word in info.description for suffix, word in words.items() if name.endswith(suffix))
    content = yaml.safe_load(path.read_text())
    content["xrays"]["exposures"] = {"shot-1": {}}
    parts = name.replace("note.", "xrays.exposures.shot-1.").split(".")
    section = content
    for part in parts[:-1]:
        section = section[part]
    section[parts[-1]] = info.examples[0]
    Sheet.model_validate(content)


def test_sections_are_strict_and_frozen():
    def sections(model):
        yield model
        for info in model.model_fields.values():
            if (section := section_of(info)) is not None:
                yield from sections(section)

    for model in (*sections(Sheet), ExposureNote):
        assert issubclass(model, BaseModel)
        assert (model.model_config["extra"], model.model_config["frozen"], model.model_config["strict"]) == (
            "forbid",
            True,
            True,
        )


def test_the_template_parses_and_explains_every_field(path):
    sheet, problems = examine_sheet(path)
    assert problems == []
    assert (sheet.acquisition_id, sheet.donor_id) == ("x1", "CHANGE-ME")
    comments = " ".join(line.strip().lstrip("# ") for line in path.read_text().splitlines() if "#" in line)
    for name, info in ALL_FIELDS.items():
        assert " ".join(info.description.split()) in comments, name
    assert max(map(len, path.read_text().splitlines())) <= 120


@pytest.mark.parametrize("name", ["2024", "1e3", "no", "a.b-c_d"])
def test_any_safe_name_stays_text_in_the_template(name):
    assert yaml.safe_load(template_text(name))["acquisition_id"] == name


# ---- new -----------------------------------------------------------------------------------------------------


def test_a_new_folder_has_all_that_is_needed(tmp_path):
    folder = tmp_path / "x1"
    made = new_acquisition(folder, "x1")
    assert sorted(made) == sorted(folder.iterdir())
    assert {path.name for path in made} == {"acquisition.yaml", "README.txt", "ct", "xrays"}
    assert "drrkit acquisition check x1" in (folder / "README.txt").read_text()


def test_nothing_is_overwritten(tmp_path):
    new_acquisition(tmp_path / "x1", "x1")
    before = (tmp_path / "x1" / "acquisition.yaml").read_text()
    with pytest.raises(InputError, match="files in it"):
        new_acquisition(tmp_path / "x1", "x2")
    assert (tmp_path / "x1" / "acquisition.yaml").read_text() == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a file"):
        new_acquisition(tmp_path / "file", "x1")
    (tmp_path / "empty").mkdir()
    assert new_acquisition(tmp_path / "empty", "x1")


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a/b", "ä", "a" * 65, "a."])
def test_unsafe_names_are_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(InputError, match="letters, digits"):
        new_acquisition(tmp_path / "x1", name)
    assert not (tmp_path / "x1").exists()


# ---- errors --------------------------------------------------------------------------------------------------


def problems_of(path):
    return {problem.field: problem for problem in examine_sheet(path)[1]}


def test_one_fault_names_file_line_field_found_and_wanted(path):
    replace_line(path, "diameter_mm: 3.0", "diameter_mm: three")
    line = path.read_text().splitlines().index("  diameter_mm: three") + 1
    with pytest.raises(InputError) as error:
        read_sheet(path.parent)
    assert error.value.where == f"{path}, line {line}, balls.diameter_mm"
    assert (error.value.found, error.value.wanted) == ("three", "a number, for example 3.0")


def test_all_faults_are_told_at_once(path):
    replace_line(path, "diameter_mm: 3.0", "diameter: 3.0")
    replace_line(path, "detector: flat_panel", "detector: flatpanel")
    replace_line(path, "simulated: false", "simulated: 'no'")
    replace_line(path, "levels: [L1, L2, L3, L4, L5]", "levels: [L1, L7]")
    replace_line(path, "path: ct\n", "path: /data/ct\n")
    replace_line(path, "preset: null", "preset: cios")
    with pytest.raises(InputError) as error:
        read_sheet(path.parent)
    message = str(error.value)
    assert "\n" not in message
    assert "7 problems" in message
    found = {name: (problem.found, problem.wanted) for name, problem in problems_of(path).items()}
    assert list(found) == [
        "simulated",
        "specimen.levels.1",
        "balls.diameter_mm",
        "balls.diameter",
        "ct.path",
        "device.preset",
        "device.detector",
    ]
    assert all(name in message for name in found)
    assert found["simulated"] == ("'no'", "true or false, for example false")
    assert found["specimen.levels.1"][1].startswith("one of C1, ")
    assert found["balls.diameter_mm"][0] == "nothing"
    assert found["balls.diameter"] == ("an unknown field", "diameter_mm?")
    assert found["device.detector"] == ("flatpanel", "'flat_panel' or 'image_intensifier'")
    assert "siemens-cios-spin" in found["device.preset"][1]


def test_what_can_be_read_is_read(path):
    replace_line(path, "site: CHANGE-ME", "site: 7")
    replace_line(path, "count: 1", "count: 21")
    sheet, problems = examine_sheet(path)
    assert [problem.field for problem in problems] == ["site"]
    assert (sheet.balls.count, sheet.site) == (21, "CHANGE-ME")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("donor_id: CHANGE-ME", "donor_id: 0012", "donor_id"),
        ("donor_id: CHANGE-ME", "donor_id: Erika Muster", "donor_id"),
        ("count: 1", "count: 20.5", "balls.count"),
        ("count: 1", "count: true", "balls.count"),
        ("diameter_mm: 3.0", "diameter_mm: -3", "balls.diameter_mm"),
        ("diameter_mm: 3.0", "diameter_mm: .nan", "balls.diameter_mm"),
        ("pixel_spacing_mm: null", "pixel_spacing_mm: [0.3]", "device.pixel_spacing_mm.1"),
        ("pixel_spacing_mm: null", "pixel_spacing_mm: 0.3", "device.pixel_spacing_mm"),
        ("shifted_date: null", "shifted_date: 9.4.2031", "shifted_date"),
        ("files: xrays/*.dcm", "files: ../xrays", "xrays.files"),
        ("exposures: {}", "exposures: {a: {primary_deg: 200}}", "xrays.exposures.a.primary_deg"),
        ("exposures: {}", "exposures: {a: blurred}", "xrays.exposures.a"),
        ("exposures: {}", "exposures: {a b: {exclude: blurred}}", "xrays.exposures.a b"),
        ("convention: drrkit-acquisition/1", "convention: drrkit-acquisition/2", "convention"),
        ("label_scheme: null", "label_scheme: verse", "ct.label_scheme"),
        ("relation: from_header", "relation: log", "pixels.log_slope"),
        ("overrule_headers: false", "overrule_headers: true", "device.overrule_headers"),
        ("log_zero: null", "log_zero: 3900", "pixels.relation"),
        ("levels: [L1, L2, L3, L4, L5]", "levels: [L1, L1]", "specimen.levels"),
        ("notes: ''", "notes: ''\nnotes: again", "notes"),
        ("notes: ''", "notes: ''\nextra: 1", "extra"),
    ],
)
def test_each_fault_is_found_at_its_line(path, old, new, field):
    replace_line(path, old, new)
    problems = problems_of(path)
    assert field in problems
    assert problems[field].found
    assert problems[field].wanted
    text = path.read_text().splitlines()[problems[field].line - 1]
    assert any(f"{part}:" in text for part in field.split("."))


def test_a_shifted_date_needs_no_quotes(path):
    replace_line(path, "shifted_date: null", "shifted_date: 2031-04-09")
    assert read_sheet(path.parent).shifted_date == "2031-04-09"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no fields"),
        (b"just text", "no fields"),
        (b"a: [1", "no YAML"),
        (b"a: 1\n\tb: 2", "no YAML"),
        ("site: Zürich".encode("utf-16"), "another encoding"),
        (b"a: 1\n---\nb: 2", "no YAML"),
        (b"a: \x00", "no YAML"),
        (b"a: !!python/object:os.system {}", "no YAML"),
    ],
)
def test_files_that_are_no_sheet(path, content, words):
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        read_sheet(path.parent)
    assert "\n" not in str(error.value)


def test_a_nested_section_that_is_no_section(path):
    text = path.read_text()
    start, end = text.index("balls:\n"), text.index("# The CT of the specimen")
    path.write_text(f"{text[:start]}balls: many\n\n{text[end:]}")
    sheet, problems = examine_sheet(path)
    assert [(problem.field, problem.found) for problem in problems] == [("balls", "many")]
    assert sheet.balls.diameter_mm == 3.0
