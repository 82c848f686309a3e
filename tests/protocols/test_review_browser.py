"""The review page in a real browser: what a reviewer presses, and what comes out."""

from pathlib import Path

import pytest

from browser import CHROMIUM
from protocols.ratings import Rating, read_ratings
from protocols.review.page import write_review
from review_session import make_session
from spines import spine_volume

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DRAWN = "#stage[data-shown='orbit-{:04d}']"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def volume():
    return spine_volume()


@pytest.fixture(scope="module")
def session(volume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return folder, make_session(volume, folder, count=6, size_px=128, distinct=3)


@pytest.fixture(scope="module")
def html(session, tmp_path_factory):
    folder, calibration = session
    out = tmp_path_factory.mktemp("page") / "review.html"
    write_review("toy-session", calibration, folder, out)
    return out


@pytest.fixture
def opened(browser):
    """Open pages in a fresh profile; nothing may leave the file, nothing may be reported as an error."""
    contexts, troubles = [], []

    def opened(path: Path, width=1400, height=900, context=None, **options):
        if context is None:
            context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        own = path.as_uri()
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url == own or request.url.startswith(("data:", "blob:")) or troubles.append(request.url)
            ),
        )
        page.goto(own)
        page.wait_for_selector("#stage[data-shown]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def title(page):
    return page.inner_text("#title")


def exported(page, tmp_path):
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "qc.tsv"
    download.value.save_as(tmp_path / "qc.tsv")
    return read_ratings(tmp_path / "qc.tsv")


def pixels(page):
    """All pixels of the canvas, as a string that is the same for the same picture."""
    return page.evaluate("document.getElementById('picture').toDataURL()")


def test_keys_rate_and_go_on_and_the_export_is_what_was_pressed(html, opened, tmp_path):
    page = opened(html)
    assert page.inner_text("#progress") == "0 of 5 rated"
    page.fill("#reviewer", "M. Müller")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    assert title(page) == "orbit-0002"
    page.keyboard.press("c")
    page.keyboard.type("left pedicle\t0.5 mm off? 123 jk")
    page.keyboard.press("Enter")
    assert title(page) == "orbit-0002"
    page.keyboard.press("2")
    # The third failed: it is told why, and cannot be rated.
    assert title(page) == "orbit-0003"
    assert "only 4 of 18 balls found" in page.inner_text("#no-pair")
    page.keyboard.press("1")
    assert title(page) == "orbit-0003"
    assert "nothing to rate" in page.inner_text("#toast")
    page.keyboard.press("j")
    page.keyboard.press("3")
    page.keyboard.press("ArrowLeft")
    assert title(page) == "orbit-0004"
    assert page.get_attribute("button[data-rating=reject][aria-pressed]", "aria-pressed") == "true"
    assert page.inner_text("#training") == "Kept out of training: rejected."
    assert page.inner_text("#progress") == "3 of 5 rated"
    page.keyboard.press("j")
    page.keyboard.press("1")
    page.keyboard.press("k")
    page.keyboard.press("Backspace")
    assert page.inner_text("#progress") == "3 of 5 rated"
    ratings = exported(page, tmp_path)
    said = {name: (rating.rating, rating.comment, rating.reviewer) for name, rating in ratings.items()}
    assert said == {
        "orbit-0001": ("accept", "", "M. Müller"),
        "orbit-0002": ("doubt", "left pedicle 0.5 mm off? 123 jk", "M. Müller"),
        "orbit-0004": ("reject", "", "M. Müller"),
    }
    assert all(rating.date.endswith("Z") for rating in ratings.values())


def test_the_last_exposure_is_told(html, opened):
    page = opened(html)
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    assert title(page) == "orbit-0006"
    page.keyboard.press("1")
    assert title(page) == "orbit-0006"
    assert "last one" in page.inner_text("#toast")


def test_a_closed_tab_loses_nothing(html, opened):
    page = opened(html)
    page.fill("#reviewer", "me")
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.keyboard.press("c")
    page.keyboard.type("half a comm")
    page.close()
    page = opened(html, context=page.context)
    assert page.inner_text("#progress") == "1 of 5 rated"
    assert title(page) == "orbit-0002"
    assert page.input_value("#comment") == "half a comm"
    assert page.input_value("#reviewer") == "me"
    page.reload()
    page.wait_for_selector("#stage[data-shown]")
    page.keyboard.press("k")
    assert page.get_attribute("button[data-rating=reject][aria-pressed]", "aria-pressed") == "true"


def test_earlier_ratings_are_there_and_newer_words_count(session, opened, tmp_path):
    folder, calibration = session
    before = {
        "orbit-0001": Rating("orbit-0001", "accept", "sharp", "ab", "2026-11-20"),
        "orbit-0002": Rating("orbit-0002", "reject", 'moved "a lot" <b>', "cd", "2026-11-20T10:00:00Z"),
        # The exposure failed since; its rating must not get lost.
        "orbit-0003": Rating("orbit-0003", "doubt", "", "cd", ""),
    }
    out = tmp_path / "review.html"
    write_review("toy-session", calibration, folder, out, before)
    page = opened(out)
    assert page.input_value("#comment") == "sharp"
    assert exported(page, tmp_path) == before
    page.keyboard.press("2")
    newest = {**before, "orbit-0002": Rating("orbit-0002", "accept", "mended", "ef", "2100-01-01")}
    write_review("toy-session", calibration, folder, out, newest)
    page.reload()
    page.wait_for_selector("#stage[data-shown]")
    ratings = exported(page, tmp_path)
    assert (ratings["orbit-0001"].rating, ratings["orbit-0001"].comment) == ("doubt", "sharp")
    assert ratings["orbit-0002"] == newest["orbit-0002"]


def test_space_blinks_and_d_flips(html, opened):
    page = opened(html)
    page.keyboard.press("e")
    real = pixels(page)
    page.keyboard.press("d")
    drr = pixels(page)
    assert drr != real
    assert page.inner_text("#tag-left") == "DRR"
    page.keyboard.press("d")
    assert pixels(page) == real
    page.keyboard.press(" ")
    page.wait_for_selector("#stage[data-image=drr]")
    page.wait_for_selector("#stage[data-image=real]")
    page.wait_for_selector("#stage[data-image=drr]")
    page.keyboard.press(" ")
    assert pixels(page) == real
    page.wait_for_timeout(700)
    assert page.get_attribute("#stage", "data-image") == "real"


def test_the_blink_rate_is_kept(html, opened):
    page = opened(html)
    page.keyboard.press(" ")
    changes = """(rate) => new Promise((done) => {
        const input = document.getElementById('rate');
        input.value = rate;
        input.dispatchEvent(new Event('input'));
        let count = 0;
        const observer = new MutationObserver((records) => { count += records.length; });
        observer.observe(document.getElementById('tag-left'), {childList: true});
        setTimeout(() => { observer.disconnect(); done(count); }, 1300);
    })"""
    slow, fast = page.evaluate(changes, 1), page.evaluate(changes, 4)
    assert 0 < slow <= 3
    assert fast >= 2 * slow


def test_the_slider_moves_by_mouse_and_by_keys(html, opened):
    page = opened(html)
    page.keyboard.press("s")
    value = lambda: int(page.get_attribute("#divider", "aria-valuenow"))  # noqa: E731
    left = lambda: page.locator("#divider").bounding_box()["x"]  # noqa: E731
    assert value() == 50
    start, half = left(), pixels(page)
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + 90, steps=4)
    page.mouse.up()
    assert left() == pytest.approx(start + 120, abs=1.5)
    assert value() > 60
    assert pixels(page) != half
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    assert value() > 60
    page.focus("#divider")
    page.keyboard.press("Home")
    assert value() == 0
    page.keyboard.press("ArrowRight")
    assert value() == 2
    # With the divider in focus the arrows are its own.
    assert title(page) == "orbit-0001"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("]")
    assert value() == 4
    page.keyboard.press("ArrowRight")
    assert title(page) == "orbit-0002"


def test_left_of_the_divider_is_real_and_right_is_the_drr(html, opened):
    page = opened(html)
    page.keyboard.press("e")
    column = """(share) => {
        const canvas = document.getElementById('picture');
        const x = Math.round(canvas.width * share);
        return [...canvas.getContext('2d').getImageData(x, 0, 1, canvas.height).data].join();
    }"""
    real = [page.evaluate(column, share) for share in (0.35, 0.6)]
    page.keyboard.press("d")
    drr = [page.evaluate(column, share) for share in (0.35, 0.6)]
    page.keyboard.press("s")
    wipe = [page.evaluate(column, share) for share in (0.35, 0.6)]
    assert wipe == [real[0], drr[1]]
    assert real[0] != drr[0]


@pytest.mark.parametrize("key", ["e", "m", "b", "l"])
def test_overlays_go_on_and_off(html, opened, key):
    page = opened(html)
    before = pixels(page)
    page.keyboard.press(key)
    page.wait_for_function("(before) => document.getElementById('picture').toDataURL() !== before", arg=before)
    page.keyboard.press(key)
    page.wait_for_function("(before) => document.getElementById('picture').toDataURL() === before", arg=before)


def test_levels_can_be_hidden_by_name(html, opened):
    page = opened(html)
    page.keyboard.press("m")
    shown = pixels(page)
    assert page.locator("#levels button").all_inner_texts()[-2:] == ["L4", "L5"]
    page.click("#levels >> text=L3")
    assert pixels(page) != shown
    assert page.get_attribute("#levels >> text=L3", "aria-pressed") == "false"
    # It stays hidden on the next exposure, and the keys go on working after the click.
    page.keyboard.press("j")
    assert title(page) == "orbit-0002"
    assert page.get_attribute("#levels >> text=L3", "aria-pressed") == "false"


def test_ball_residuals_are_drawn_at_the_factor_that_is_shown(session, html, opened):
    page = opened(html)
    page.keyboard.press("b")
    page.wait_for_function("document.getElementById('legend').textContent.includes('× 20')")
    legend = page.inner_text("#legend")
    balls = session[1].exposures[0].balls
    assert f"{sum(ball.used for ball in balls)} used" in legend
    assert f"{sum(ball.detected_px is None for ball in balls)} not found" in legend
    shown = pixels(page)
    page.select_option("#vector-scale", "50")
    assert "× 50" in page.inner_text("#legend")
    assert pixels(page) != shown


def test_filters_and_order(session, html, opened):
    page = opened(html)
    names = lambda: page.locator("#list li:not([hidden]) .name").all_inner_texts()  # noqa: E731
    assert len(names()) == 6
    page.select_option("#filter-status", "warn")
    assert names() == ["orbit-0005"]
    assert title(page) == "orbit-0005"
    page.select_option("#filter-status", "fail")
    assert names() == ["orbit-0003"]
    page.select_option("#filter-status", "")
    page.select_option("#filter-rating", "none")
    assert names() == ["orbit-0001", "orbit-0002", "orbit-0004", "orbit-0005", "orbit-0006"]
    page.click("#list button >> nth=0")
    page.keyboard.press("1")
    page.keyboard.press("2")
    assert names() == ["orbit-0004", "orbit-0005", "orbit-0006"]
    assert title(page) == "orbit-0004"
    page.select_option("#filter-rating", "doubt")
    assert names() == ["orbit-0002"]
    page.select_option("#filter-rating", "reject")
    assert names() == []
    assert page.inner_text("#count") == "No exposure matches."
    page.select_option("#filter-rating", "")
    page.select_option("#order", "worst")
    errors = {one.exposure_id: one.target_error_mm for one in session[1].exposures if one.status != "fail"}
    assert names() == ["orbit-0003", *sorted(errors, key=lambda name: -errors[name])]


def test_zoom_goes_in_and_back_out(html, opened):
    page = opened(html)
    whole = pixels(page)
    page.keyboard.press("+")
    assert pixels(page) != whole
    page.keyboard.press("z")
    assert pixels(page) == whole


def test_the_session_shows_plots_that_lead_to_exposures(html, opened):
    page = opened(html)
    page.keyboard.press("v")
    assert page.is_visible("#session")
    assert not page.is_visible("#review")
    assert "1 without a camera" in page.inner_text("#orbit-text")
    before = page.evaluate("document.getElementById('orbit').toDataURL()")
    page.focus("#orbit")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.getElementById('orbit').toDataURL()") != before
    # Ratings are not given to what is not on screen.
    page.keyboard.press("1")
    assert page.inner_text("#progress") == "0 of 5 rated"
    page.click(".plot [data-exposure=orbit-0004] >> nth=0")
    assert page.is_visible("#review")
    assert title(page) == "orbit-0004"


def test_help_opens_and_closes_by_keys(html, opened):
    page = opened(html)
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    assert page.inner_text("#progress") == "0 of 5 rated"


def test_everything_can_be_reached_by_tab_and_has_a_name(html, opened):
    page = opened(html)
    page.keyboard.press("s")
    controls = "button, input, select, textarea, [role=slider], canvas"
    nameless = page.evaluate(
        """(controls) => [...document.querySelectorAll(controls)]
        .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)
            || one.tabIndex < 0 && one.tagName !== 'CANVAS')
        .map((one) => one.outerHTML)""",
        controls,
    )
    assert nameless == []
    # A focused button is pressed by the space bar, as everywhere; it does not blink.
    page.focus("[data-overlay=masks]")
    page.keyboard.press(" ")
    assert page.get_attribute("[data-overlay=masks]", "aria-pressed") == "true"
    assert page.get_attribute("[data-mode=wipe]", "aria-pressed") == "true"


def test_a_narrow_window_scrolls_only_down_and_rates_by_touch(html, opened, tmp_path):
    page = opened(html, width=390, height=844, has_touch=True, is_mobile=True, device_scale_factor=2)
    for _ in ("exposures", "session"):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.keyboard.press("v")
    assert page.is_visible("text=SIMULATED SESSION")
    page.tap("[data-mode=wipe]")
    page.tap("button[data-rating=doubt][aria-pressed]")
    assert title(page) == "orbit-0002"
    page.tap("#next")
    assert title(page) == "orbit-0003"
    assert [rating.rating for rating in exported(page, tmp_path).values()] == ["doubt"]


def test_eighty_exposures_open_at_once_and_show_what_they_should(volume, opened, tmp_path):
    calibration = make_session(volume, tmp_path / "pairs", count=80, size_px=64, distinct=2)
    write_review("toy-session", calibration, tmp_path / "pairs", tmp_path / "review.html")
    page = opened(tmp_path / "review.html")
    took_ms = page.evaluate("performance.now()")
    assert took_ms < 3000
    assert page.locator("canvas").count() == 2
    for _ in range(79):
        page.keyboard.press("j")
    page.wait_for_selector(DRAWN.format(80))
    assert title(page) == "orbit-0080"
    page.keyboard.press("1")
    assert page.inner_text("#progress") == "1 of 79 rated"


def test_a_damaged_image_is_told(html, opened, tmp_path):
    text = html.read_text()
    start = text.index('id="image-drr_bone-0">') + len('id="image-drr_bone-0">')
    (tmp_path / "broken.html").write_text(text[:start] + "AAAA" + text[start + 400 :])
    page = opened(tmp_path / "broken.html")
    assert "cannot be shown" in page.inner_text("#no-pair")
    page.keyboard.press("j")
    page.wait_for_selector(DRAWN.format(2))
    assert not page.is_visible("#no-pair")
