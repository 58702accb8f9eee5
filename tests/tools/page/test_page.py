"""The page in a real browser: headless Chromium opens it from disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import browser
from tests.helpers.finished_runs import demo
from tests.helpers.result_tables import write_claims, write_tables
from tools.common.files import write_atomic
from tools.report import report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))]

CLAIMS = """\
claim,verdict,text,n,unit,effect,low,high,p,p_corrected,more_seeds,at,note
C1,holds,base accuracy falls,4,accuracy,-0.021,-0.03,-0.01,0.001,0.012,,base at 60 - base at 10,
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 24 made-up runs: two sizes, three conditions, two seeds; the first is stuck."""
    root = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("CAFFE", raising=False)
        exp = demo()
        folder = Path("results/demo")
        assert write_tables(folder, 2, ["base", "FTall", "S3T"], [500, 50], "fashion-mnist") == 24
        write_claims(folder, CLAIMS)
        write_atomic(Path("models/tiny/A2B/n0050/S3T/seed1/caffe.log"), "I1124 21:31:01 solver.cpp:289] Solving\n")
        report(exp, "caffe")
    return root / folder / "report.html"


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as driver:
        yield driver


@pytest.fixture
def opened(chromium, page: Path):
    """The page, just opened; what its console and the network say is checked at the end of every test."""
    found = browser.open_page(chromium, page)
    assert found == {"console": [], "requests": []}
    yield chromium
    assert browser.console(chromium) == []
    assert browser.requests(chromium, page) == []


def column(driver, number: int) -> list[str]:
    """The texts of a column of the rows that are shown, from the top."""
    script = (
        "return [...document.querySelectorAll('#run-table tbody tr:not([hidden])')].map(r => r.cells[%d].innerText)"
    )
    return driver.execute_script(script % number)


def one(driver, selector: str):
    return driver.find_element("css selector", selector)


def soon(driver, condition: Callable[[], bool]) -> None:
    """What an event brings (hashchange, close, reset) comes after the click or the key that WebDriver waits for."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 30, 0.02).until(lambda _: condition())


def test_it_opens_with_all_its_runs_and_the_first_chart(opened):
    assert len(column(opened, 0)) == 24
    assert len(opened.find_elements("css selector", "#headline svg.plot .curve")) == 2
    assert len(opened.find_elements("css selector", "#headline svg.plot a")) == 6
    assert one(opened, "#claims .verdict.holds").text in ("1 holds", "holds")
    assert "stuck" in one(opened, "#flagged li").text


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(opened):
    accuracy = one(opened, "#run-table th:nth-child(5) button")
    accuracy.click()
    found = [float(text) for text in column(opened, 4)]
    assert found == sorted(found) and len(set(found)) > 5
    assert one(opened, "#run-table th:nth-child(5)").get_attribute("aria-sort") == "ascending"
    accuracy.click()
    assert [float(text) for text in column(opened, 4)] == sorted(found, reverse=True)


def test_conditions_sort_as_the_thesis_orders_them_and_sizes_as_numbers(opened):
    one(opened, "#run-table th:nth-child(1) button").click()
    assert list(dict.fromkeys(column(opened, 0))) == ["base", "FTall", "S3T"]
    one(opened, "#run-table th:nth-child(2) button").click()
    assert list(dict.fromkeys(column(opened, 1))) == ["50", "500"]


def test_a_choice_and_a_word_filter_and_clear_shows_all_again(opened):
    opened.execute_script(
        "const s = document.querySelector('select[name=condition]'); s.value = 'S3T';"
        "s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert set(column(opened, 0)) == {"S3T"} and len(column(opened, 0)) == 8
    one(opened, "input[type=search]").send_keys("50 a2b")
    assert set(zip(column(opened, 1), column(opened, 2), strict=True)) == {("50", "A2B")}
    assert one(opened, "#count").text == "2 of 24 runs"
    one(opened, "button[type=reset]").click()
    soon(opened, lambda: one(opened, "#count").text == "24 runs")
    assert len(column(opened, 0)) == 24


def test_a_point_opens_the_curves_of_its_runs_and_escape_closes_them(opened):
    from selenium.webdriver.common.keys import Keys

    one(opened, "#headline a[href='#cell/50/S3T'] .hit").click()
    soon(opened, lambda: one(opened, "#viewer-title").text == "S3T, 50 a class: 4 runs")
    assert len(opened.find_elements("css selector", "#viewer svg.plot")) == 2
    assert len(opened.find_elements("css selector", "#viewer .curve")) == 4 + 2 * 4 + 4  # accuracy, losses, legend keys
    links = [a.get_attribute("href") for a in opened.find_elements("css selector", "#viewer .files a")]
    assert [Path(link).name for link in links] == ["caffe.log"]
    assert Path(links[0].removeprefix("file://")).is_file()
    one(opened, "#viewer button").send_keys(Keys.ESCAPE)
    soon(opened, lambda: not one(opened, "#viewer").is_displayed())
    soon(opened, lambda: opened.execute_script("return location.hash") == "")


def test_a_run_can_be_opened_with_the_keyboard_alone(opened):
    from selenium.webdriver.common.keys import Keys

    opened.execute_script("document.querySelector('#run-table tbody tr:nth-child(3) a').focus()")
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    soon(opened, lambda: one(opened, "#viewer-title").text == "A2B/n0500/base/seed1")
    assert opened.switch_to.active_element.text == "Close"
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    soon(opened, lambda: not one(opened, "#viewer").is_displayed())


def test_an_address_with_a_run_opens_it(chromium, page: Path):
    browser.open_page(chromium, page)
    chromium.get(f"{page.resolve().as_uri()}#run/B2A/n0050/FTall/seed0")
    soon(chromium, lambda: one(chromium, "#viewer-title").text == "B2A/n0050/FTall/seed0")


def test_it_prints_without_what_only_works_on_a_screen(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not any(one(opened, selector).is_displayed() for selector in ("nav", "#filters", ".skip"))
        assert one(opened, "#result table").is_displayed() and one(opened, "#headline svg.plot").is_displayed()
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_nothing_is_wider_than_a_telephone(opened):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
