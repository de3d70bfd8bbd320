"""The page in a browser: the Chromium of the system, where there is one."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
A4_WIDTH_PX = round((297 - 2 * 12) / 25.4 * 96)
"""Of a printed page: A4 across, less its margins."""
ACCURACY = "table[data-key=accuracy]"


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, reported: Path):
    """`opened(viewport, hash="")`: the report in a new page. No page may say or miss anything."""
    troubles, pages = [], []

    def open_page(viewport: dict, fragment: str = ""):
        page = chromium.new_page(viewport=viewport)
        pages.append(page)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(request.url))
        page.goto(f"{(reported / 'report.html').as_uri()}{fragment}")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert troubles == []


def column(page, place: int) -> list[str]:
    return page.eval_on_selector_all(f"{ACCURACY} tbody tr", f"rows => rows.map(r => r.cells[{place}].textContent)")


def test_the_page_asks_for_nothing_and_fits_a_phone(opened):
    page = opened(PHONE)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    assert [url for url in asked if not url.startswith("data:")] == [page.url]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click(f"{ACCURACY} tbody a >> nth=0")
    assert page.evaluate("document.getElementById('record').getBoundingClientRect().width") <= PHONE["width"]
    page.click("#record li a >> nth=0")
    assert page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.getElementById('record'))") == 0


def test_a_header_sorts_its_table_by_number_and_by_text(opened):
    page = opened(DESKTOP)
    page.click(f"{ACCURACY} thead th:nth-child(2) button")
    values = [float(cell.split()[0]) for cell in column(page, 1)]
    assert len(values) == 4 and values == sorted(values)
    page.keyboard.press("Enter")  # the button has the focus
    assert [float(cell.split()[0]) for cell in column(page, 1)] == values[::-1]
    assert page.get_attribute(f"{ACCURACY} thead th:nth-child(2)", "aria-sort") == "descending"
    page.click(f"{ACCURACY} thead th:nth-child(1) button")
    assert column(page, 0) == sorted(column(page, 0), key=str.lower)
    assert page.get_attribute(f"{ACCURACY} thead th:nth-child(2)", "aria-sort") is None


def test_a_row_leads_to_its_records_and_they_say_where_they_lie(opened, reported):
    page = opened(DESKTOP)
    page.click(f"{ACCURACY} tbody a >> nth=0")
    assert page.text_content("#record-title") == "6 records behind this row"
    name = page.text_content("#record li a >> nth=0")
    page.click("#record li a >> nth=0")
    assert page.text_content("#record-title") == name
    told = page.text_content("#record .body")
    assert "weights_sha256" in told and "Fit: where it ran" in told
    for link in page.eval_on_selector_all("#record .body p a", "links => links.map(a => a.getAttribute('href'))"):
        assert (reported / link).is_file()
    page.click("#record .body > a")
    assert page.locator("#record li").count() == 6
    page.keyboard.press("Escape")
    assert not page.is_visible("#record")


def test_a_record_can_be_linked_to(opened, reported):
    run = next((reported / "runs").iterdir()).name
    page = opened(DESKTOP, f"#run:{run}")
    assert page.text_content("#record-title") == run


def test_a_figure_is_enlarged_by_the_keyboard_alone(opened):
    page = opened(DESKTOP)
    page.focus("#figure-ablation button")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#enlarged img').style.width !== ''")
    widths = [page.evaluate("document.querySelector('#enlarged img').clientWidth")]
    assert widths[0] > page.evaluate("document.querySelector('#figure-ablation img').clientWidth")
    page.keyboard.press("+")
    widths.append(page.evaluate("document.querySelector('#enlarged img').clientWidth"))
    assert widths[1] == pytest.approx(1.5 * widths[0], abs=2)
    page.keyboard.press("-")
    assert page.evaluate("document.querySelector('#enlarged img').clientWidth") == widths[0]
    page.keyboard.press("Escape")
    assert not page.is_visible("#enlarged")
    assert page.evaluate("document.activeElement.closest('figure').id") == "figure-ablation"


def test_a_row_scrolled_sideways_still_says_which_it_is(opened):
    page = opened(PHONE)
    for table in ("accuracy", "comparison", "claims", "runs"):
        region = page.locator(f".scroll:has(table[data-key={table}])")
        region.evaluate("region => { region.scrollLeft = 1e6; region.scrollTop = 60; }")
        assert region.evaluate("region => region.scrollLeft") > 100
        for cell in ("thead th:first-child", "tbody tr:last-child td:first-child"):
            place = "(cell, side) => cell.getBoundingClientRect()[side]"
            left = page.locator(f"table[data-key={table}] {cell}").evaluate(place, "left")
            assert left == pytest.approx(region.evaluate(place, "left"), abs=2)
            assert page.locator(f"table[data-key={table}] {cell}").evaluate(place, "right") < PHONE["width"] / 2


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, {"width": 390, "height": 844}])
def test_figures_are_legible_at_every_width(opened, tmp_path, viewport):
    page = opened(viewport)
    widths = page.eval_on_selector_all(".picture img", "all => all.map(i => [i.clientWidth, i.getAttribute('width')])")
    assert len(widths) > 5
    # The smallest letters have 7 points, 9.3 pixels, at the nominal width.
    assert min(shown / int(nominal) for shown, nominal in widths) > 0.74
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.screenshot(path=tmp_path / f"report-{viewport['width']}.png", full_page=True)


def test_no_table_is_cut_off_in_print(opened, tmp_path):
    page = opened({"width": A4_WIDTH_PX, "height": 700})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    # As wide as the claims of a study with all baselines: a source is one long word.
    cells = "table[data-key=claims] tbody tr:first-child td"
    page.eval_on_selector_all(
        cells, "all => all.forEach(one => { one.textContent = 'owner/repository_docs/model_zoo.md'; })"
    )
    page.screenshot(path=tmp_path / "report-print.png", full_page=True)
    clipped = page.eval_on_selector_all(
        ".scroll, .scroll th, .scroll td",
        """all => all.filter(one => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1)
                  .map(one => one.textContent.trim().slice(0, 60))""",
    )
    assert clipped == []
    right = "all => Math.max(...all.map(table => table.getBoundingClientRect().right))"
    assert page.eval_on_selector_all("table", right) <= A4_WIDTH_PX


def test_what_is_folded_is_printed(opened):
    page = opened(DESKTOP)
    page.emulate_media(media="print")
    assert not page.is_visible("nav")
    folded = page.locator("details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded > 0 and page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded
    widest = "Math.max(...[...document.querySelectorAll('.picture img')].map(i => i.getBoundingClientRect().right))"
    assert page.evaluate(widest) <= DESKTOP["width"]
