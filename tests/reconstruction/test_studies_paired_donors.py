import numpy as np
import pytest

import hull_network
from ball_pairs import VIEWS, write_ball_set
from drrkit.errors import InputError
from drrkit.io.store import read_image, write_image
from reconstruction.adaptation.sessions import load_session
from reconstruction.adaptation.summary import TranslatorRecord
from reconstruction.judging.prediction import network_predictor
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.studies.paired_donors import (
    DONOR_COLUMNS,
    first_sessions,
    of_series,
    paired_donor_table,
    score_translators,
)
from reconstruction.studies.pictures import write_paired_donors
from reconstruction.weights import build_network

BOOTSTRAP = BootstrapParameters(resamples=50, confidence=0.9, seed=1)


def record(donors):
    return TranslatorRecord("paired", True, donors, 25 * donors, 9.0, {"flat-panel": 0.4})


RECORDS = {"paired": record(8), "few-4": record(4), "few-1": record(1), "few-pairs-2": record(2)}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The translator of four donors makes perfect DRRs, that of one something between."""
    folder = tmp_path_factory.mktemp("donors")
    with pytest.MonkeyPatch.context() as patch:
        hull_network.register(patch)
        spec = hull_network.hull_spec()
        predictor = network_predictor(build_network(spec).eval(), spec.window)
        chosen = first_sessions(write_ball_set(folder / "set"), "flat-panel", 5)
        for session in chosen:
            for view in VIEWS:
                real, bone = (read_image(session.pairs / kind / f"{view}.tif") for kind in ("real", "drr_bone"))
                for name, pixels in {"few-4": bone, "few-1": bone + 2 * real}.items():
                    write_image(folder / name / session.acquisition_id / f"{view}.tif", pixels.astype(np.float32))
        loaded = {session: load_session(session, 4, 5) for session in chosen}
        series = of_series(RECORDS, "few")
        scores = score_translators(predictor, spec, loaded, {name: folder / name for name in series}, 4, workers=2)
    return paired_donor_table(scores, series, BOOTSTRAP)


def test_more_donors_close_more_of_the_gap(table):
    assert tuple(table.columns) == DONOR_COLUMNS
    assert list(table["images"]) == ["real", "few-1", "few-4", "synthetic"]
    assert list(table["donors"][:3]) == [0, 1, 4]
    assert table["donors"].isna().iloc[3]
    closed = table.set_index("images")["gap_closed"]
    assert closed["real"] == 0
    assert 0 < closed["few-1"] < 1
    assert closed["few-4"] == closed["synthetic"] == 1
    assert set(table["test_donors"]) == {2}


def test_it_is_drawn(table, tmp_path):
    write_paired_donors(tmp_path / "donors.png", table, 4, "few", True)
    assert (tmp_path / "donors.png").stat().st_size > 10_000


def test_series_are_told_by_their_numbers():
    assert of_series(RECORDS, "few") == {"few-1": 1, "few-4": 4}
    with pytest.raises(InputError, match="many-<number>"):
        of_series(RECORDS, "many")
    with pytest.raises(InputError, match="no test donor of the group mobile"):
        first_sessions([], "mobile", 2)
