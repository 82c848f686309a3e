"""The report in a real browser: what a reader presses and sees, on a desk and on a phone, without any network."""

import json

import pytest

from browser import CHROMIUM, WITH_WEBGL
from reconstruction.report.page import write_report
from report_inputs import PARAMETERS, make_inputs

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# x of every visible trace of the ladder.
SHOWN = """() => document.querySelector('#figure-ladder .plot').data
    .filter((trace) => trace.visible !== false).map((trace) => [trace.name, trace.x[4]])"""
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(WITH_WEBGL))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    places = make_inputs(root)
    write_report(places, PARAMETERS, root / "report.html", root / "summary.json")
    return root / "report.html"


@pytest.fixture(scope="module")
def troubles():
    return []


@pytest.fixture(scope="module", params=list(WIDTHS))
def page(request, browser, html, troubles):
    """The page in a window; what it asks of a network or complains of is kept."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    own = html.as_uri()
    page.on(
        "request",
        lambda one: one.url == own or one.url.startswith(("data:", "blob:")) or troubles.append(one.url),
    )
    page.goto(own)
    yield page
    context.close()


def drawn(page, name):
    """Scroll to a figure and wait until it is drawn."""
    box = f"#figure-{name}"
    page.locator(box).scroll_into_view_if_needed()
    page.wait_for_selector(f"{box}[data-drawn=yes]")
    return page.locator(box)


def test_the_ladder_answers_to_buttons_and_menu(page):
    box = drawn(page, "ladder")
    assert page.evaluate(SHOWN) == [["3 views", 0.851]]
    box.get_by_role("button", name="4", exact=True).click()
    page.wait_for_selector('#figure-ladder[data-chosen*=\'"views":"4"\']')
    assert page.evaluate(SHOWN) == [["4 views", 0.871]]
    assert box.locator("button[aria-pressed=true]").all_inner_texts() == ["4"]
    box.locator("select").select_option("hd95_mm")
    page.wait_for_selector("#figure-ladder[data-chosen*=hd95_mm][data-drawn=yes]")
    assert page.evaluate(SHOWN) == [["4 views", pytest.approx(6 - 4 * 0.871)]]
    title = "document.querySelector('#figure-ladder .xtitle').textContent"
    assert page.evaluate(title) == "95 % Hausdorff distance (mm)"
    box.get_by_role("button", name="all", exact=True).click()
    page.wait_for_selector("#figure-ladder[data-shown='4'][data-drawn=yes]")
    assert [name for name, _ in page.evaluate(SHOWN)] == ["2 views", "3 views", "4 views", "6 views"]


def test_meshes_change_with_the_rung(page):
    box = drawn(page, "meshes")
    # A picture in which something is drawn, and another one for every rung.
    pictures = {}
    for rung in ("source only", "both", "true surface"):
        box.get_by_role("button", name=rung, exact=True).click()
        page.wait_for_function(
            "(rung) => JSON.parse(document.querySelector('#figure-meshes').dataset.chosen || '{}').rung === rung",
            arg={"source only": "source_only", "true surface": "truth"}.get(rung, rung),
        )
        page.wait_for_selector("#figure-meshes[data-drawn=yes]")
        pictures[rung] = box.locator(".plot").screenshot()
    assert len(set(pictures.values())) == 3
    assert page.evaluate("document.querySelector('#figure-meshes .plot').data[0].type") == "mesh3d"
    assert page.locator("#figure-meshes canvas").count() >= 1
    assert page.locator("#figure-meshes[data-shown='5']").count() == 1


def test_no_part_is_wider_than_the_window(page):
    for name in ("views", "sets", "angles", "regions", "cameras", "calibration"):
        drawn(page, name)
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # What sticks out lies in a box of its own that scrolls.
    wide = page.evaluate(
        """(width) => [...document.querySelectorAll('main *')]
        .filter((one) => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll, pre, svg, .plot'))
        .map((one) => one.outerHTML.slice(0, 120))""",
        width,
    )
    assert wide == []
    plots = page.evaluate(
        """[...document.querySelectorAll('.figure[data-drawn] svg.main-svg')]
        .map((one) => one.getBoundingClientRect().right)"""
    )
    assert len(plots) >= 8
    assert max(plots) <= width + 1


def test_details_open_and_show_parameters_and_hashes(page):
    for summary in page.locator("details > summary").all():
        summary.click()
    assert "first_seed: 7" in page.inner_text("#parameters pre")
    assert "0" * 32 + ".dir" in page.inner_text("#stages-table")
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]


def test_every_link_leads_somewhere_and_every_control_has_a_name(page):
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map((one) => one.getAttribute('href'))")
    assert len(targets) == 12
    assert all(page.locator(target).count() == 1 for target in targets)
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select')]
        .filter((one) => !(one.textContent.trim() && (one.tagName === 'BUTTON' || one.labels.length)))
        .map((one) => one.outerHTML)"""
    )
    assert json.dumps(nameless) == "[]"


def test_nothing_was_asked_of_a_network_and_nothing_went_wrong(page, troubles):
    assert page.evaluate("typeof Plotly") == "object"
    assert troubles == []
