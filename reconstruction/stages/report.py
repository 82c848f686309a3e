"""Stage ``report``: one page that explains what all stages found, and one summary of their numbers.

Writes results/report.html, which needs no network, and results/summary.json. Reads files only; what stages before it
left out is an error, not a gap in the page. Data hashes come from dvc.lock, a plain file.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import PARAMETERS_PATH, read_parameters
from reconstruction.report.page import write_report
from reconstruction.report.settings import Places, ReportParameters

PLACES = Places(
    root=Path(),
    ladder=Path("results/ladder.csv"),
    evaluation=Path("results/evaluate"),
    meshes=Path("data/evaluate/meshes"),
    studies=Path("results/study"),
    mean_vertebra=Path("data/study/mean_vertebra.npz"),
    pictures=Path("results/translate/pictures"),
    calibrations=Path("data/calibrate"),
    rehearsal=Path("results/rehearse/summary.json"),
    sessions=Path("data/sessions"),
    cases=Path("data/cases"),
    cohort=Path("data/cohort"),
    accounts=Path("data/accounts"),
    lock=Path("dvc.lock"),
    pipeline=Path("dvc.yaml"),
    parameters=PARAMETERS_PATH,
    sources=(Path("drrkit"), Path("protocols"), Path("reconstruction"), Path("styletransfer")),
)
PAGE = Path("results/report.html")
SUMMARY = Path("results/summary.json")


def main() -> None:
    """Write results/report.html and results/summary.json."""
    write_report(PLACES, read_parameters("report", ReportParameters), PAGE, SUMMARY)


if __name__ == "__main__":
    run_stage("report", main, account=False)
