import pytest

from drrkit.errors import InputError
from protocols.ratings import Rating, read_ratings, write_ratings

HEADER = "exposure_id\trating\tcomment\treviewer\tdate\n"


def written(tmp_path, text):
    path = tmp_path / "qc.tsv"
    path.write_bytes(text.encode())
    return path


def test_ratings_survive_the_file(tmp_path):
    ratings = {
        "run-0001": Rating("run-0001", "accept"),
        "run-0003": Rating("run-0003", "doubt", 'left "ball" 3, édge 0.3 mm off', "M. Müller", "2026-11-21T14:05:00Z"),
        "run-0002": Rating("run-0002", "reject", "moved", "mm", "2026-11-21"),
    }
    path = tmp_path / "new" / "qc.tsv"
    write_ratings(path, ratings)
    assert read_ratings(path) == ratings
    assert list(read_ratings(path)) == list(ratings)
    assert path.read_text().startswith(HEADER)


def test_a_header_alone_means_nothing_rated(tmp_path):
    assert read_ratings(written(tmp_path, HEADER)) == {}
    write_ratings(tmp_path / "none.tsv", {})
    assert read_ratings(tmp_path / "none.tsv") == {}


def test_what_a_spreadsheet_saves_is_read(tmp_path):
    text = "\ufeffdate\treviewer\tcomment\trating\texposure_id\r\n2026-11-21\tmm\tsharp\taccept\ta\r\n"
    assert read_ratings(written(tmp_path, text)) == {"a": Rating("a", "accept", "sharp", "mm", "2026-11-21")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1.*empty file"),
        ("exposure_id\trating\n", "line 1.*columns exposure_id, rating;"),
        (HEADER.replace("date", "date\tmood"), "line 1.*mood"),
        (HEADER.replace("date", "comment"), "line 1"),
        (HEADER + "a\taccept\t\t\t\nb\tgood\t\t\t\n", "line 3, rating: found 'good'; wanted accept or doubt or reject"),
        (HEADER + "a\tAccept\t\t\t\n", "line 2, rating"),
        (HEADER + "a\taccept\t\t\t\na\treject\t\t\t\n", "line 3: found the exposure a again, after line 2"),
        (HEADER + "a\taccept\n", "line 2: found 2 fields"),
        (HEADER + "\n", "line 2: found 1 fields"),
        (HEADER + "\taccept\t\t\t\n", "line 2, exposure_id"),
        (HEADER + "a\taccept\t\t\tyesterday\n", "line 2, date"),
    ],
)
def test_a_doubtful_file_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_ratings(written(tmp_path, text))


def test_no_file_and_no_text_are_told(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_ratings(tmp_path / "gone.tsv")
    (tmp_path / "image.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no UTF-8"):
        read_ratings(tmp_path / "image.tsv")


def test_what_would_break_the_file_is_no_rating(tmp_path):
    with pytest.raises(InputError, match="comment"):
        Rating("a", "accept", "two\nlines")
    with pytest.raises(InputError, match="reviewer"):
        Rating("a", "accept", "", "a\tb")
    with pytest.raises(InputError, match="the rating of a under b"):
        write_ratings(tmp_path / "qc.tsv", {"b": Rating("a", "accept")})
    assert not (tmp_path / "qc.tsv").exists()
