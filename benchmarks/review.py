"""How soon a reviewer can work: time to write the review page, its size, and when it lives in headless Chromium.

python benchmarks/review.py                                   80 crude exposures of a phantom, 512 px
python benchmarks/review.py --calibration DIR --pairs DIR     a session of your own

A page lives when the first exposure is drawn and the key `j` has brought the second one.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from drrkit.phantom import make_phantom
from protocols.calibration.result import SessionCalibration, read_calibration
from protocols.review.page import write_review

TESTS = Path(__file__).parent.parent / "tests"


def crude_session(folder: Path, count: int, size_px: int) -> SessionCalibration:
    """Make the session that the tests use, larger and of a phantom."""
    sys.path.insert(0, str(TESTS))
    from review_session import make_session

    return make_session(make_phantom(4, 1.5).volume, folder, count=count, size_px=size_px, distinct=6)


def opening_ms(browser: Browser, page_file: Path) -> tuple[float, float]:
    """Open the page in a fresh profile; milliseconds until the first exposure is drawn, and until a key has worked."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(page_file.as_uri(), wait_until="commit")
    page.wait_for_selector("#stage[data-shown]")
    drawn = time.perf_counter()
    first = page.get_attribute("#stage", "data-shown")
    page.keyboard.press("j")
    page.wait_for_function("(first) => document.getElementById('stage').dataset.shown !== first", arg=first)
    alive = time.perf_counter()
    context.close()
    return 1000 * (drawn - start), 1000 * (alive - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, help="folder with calibration.json")
    parser.add_argument("--pairs", type=Path, help="folder of its pairs")
    parser.add_argument("--exposures", type=int, default=80)
    parser.add_argument("--size", type=int, default=512, help="pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if (options.calibration is None) != (options.pairs is None):
        parser.error("--calibration and --pairs belong together")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("no Chromium found")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        pairs = options.pairs or Path(temporary) / "pairs"
        if options.calibration:
            calibration = read_calibration(options.calibration)
        else:
            calibration = crude_session(pairs, options.exposures, options.size)
        out = Path(temporary) / "review.html"
        start = time.perf_counter()
        write_review(calibration.acquisition_id, calibration, pairs, out)
        written_s = time.perf_counter() - start
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        times = [opening_ms(browser, out) for _ in range(options.repeats)]
        browser.close()
        size_mb = out.stat().st_size / 1e6
    table = Table("review page", "")
    table.add_row("exposures", str(len(calibration.exposures)))
    table.add_row("written in", f"{written_s:.1f} s")
    table.add_row("file", f"{size_mb:.1f} MB")
    for name, values in zip(("first exposure drawn", "a key has worked"), zip(*times, strict=True), strict=True):
        table.add_row(name, f"{statistics.median(values):.0f} ms (median of {len(values)}, worst {max(values):.0f})")
    Console().print(table)


if __name__ == "__main__":
    main()
