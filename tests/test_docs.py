"""The link checker itself: what `make check` runs on the pages."""

import runpy
from pathlib import Path

import pytest

broken_links = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "check_links.py"))["broken_links"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[a](docs/there.md)", None),
        ("[a](docs/gone.md)", "docs/gone.md"),
        ("[a](docs/there.md#the-heading)", None),
        ("[a](docs/there.md#no-heading)", "no-heading"),
        ('<img src="gone.png">', "gone.png"),
        ("```\n[a](gone.md)\n```", None),
        ("[a](https://example.org/x)", None),
    ],
)
def test_broken_links_are_found(tmp_path, text, finding):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("# The heading\n")
    (tmp_path / "README.md").write_text(text)
    lines = broken_links(tmp_path)
    assert (lines == []) if finding is None else (len(lines) == 1 and finding in lines[0])
