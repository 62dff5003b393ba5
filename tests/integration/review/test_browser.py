"""The pages in a real browser, used by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common import StaleElementReferenceException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import WRONG_BODY_PART, ReviewTestbed
from tests.real_parts import program
from veritag.decisions import ReviewDecision
from veritag.records.review.study import study_detail

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    """Headless Chromium with a fresh profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
    yield driver
    driver.quit()


def press(browser: WebDriver, *keys: str) -> None:
    """Press keys one after another, wherever the focus is."""
    ActionChains(browser).send_keys(*keys).perform()


def wait_for(browser: WebDriver, css: str, text: str = "") -> None:
    """Wait until an element with this text is shown.

    While the next page loads, elements of the last one may be found, or be stale.
    """

    def shown(driver: WebDriver) -> bool:
        elements = driver.find_elements(By.CSS_SELECTOR, css)
        return any(text in e.text for e in elements if e.is_displayed())

    gone = [StaleElementReferenceException]
    WebDriverWait(browser, 60, ignored_exceptions=gone).until(shown, css)


def decisions(day: ReviewTestbed, kind: str) -> list[ReviewDecision]:
    """Return the recorded decisions on the study of a kind."""
    study = study_detail(day.records, day.studies[kind])
    assert study is not None
    rows = [row for series in study.series for row in series.findings]
    return [decision for row in rows for decision in row.decisions]


def test_a_study_is_reviewed_by_keyboard_alone(
    browser: WebDriver, day: ReviewTestbed, serve: Serve
) -> None:
    """From the worklist through both findings to the next study without a mouse."""
    browser.get(serve())
    press(browser, "j", "k", Keys.ENTER)
    wait_for(browser, ".finding.chosen h3", "contradicts the image")
    # The first decision asks for the reviewer's name; nothing is stored before.
    press(browser, "c")
    assert browser.switch_to.active_element.get_attribute("name") == "reviewer"
    press(browser, "Ada", Keys.ESCAPE, "x", "THORAX", Keys.ENTER)
    wait_for(browser, ".notice", "CORRECTED to THORAX")
    wait_for(browser, ".finding.chosen h3", "is missing")
    press(browser, "d")
    wait_for(browser, "#onward:focus", "Next study")
    press(browser, Keys.ENTER)
    wait_for(browser, ".finding.chosen h3", "unknown")
    made = decisions(day, "CR-CHEST")
    assert [(d.decision, d.corrected_value, d.reviewer) for d in made] == [
        ("CORRECTED", "THORAX", "Ada"),
        ("DISMISSED", None, "Ada"),
    ]


def test_a_station_group_is_opened_by_keyboard(
    browser: WebDriver, testbed: ReviewTestbed, serve: Serve
) -> None:
    """The keyboard leads from the group to its series and on to the finding."""
    for _ in range(5):
        testbed.add("CR-CHEST", WRONG_BODY_PART, instances=1, station_name="DR1")
    browser.get(serve())
    wait_for(browser, "tr.chosen a.open", "DR1")
    press(browser, Keys.ENTER)
    wait_for(browser, "h1", "where the images show CHEST")
    wait_for(browser, "tr.chosen")
    press(browser, "j", Keys.ENTER)
    wait_for(browser, ".finding.chosen h3", "contradicts the image")
    wait_for(browser, ".finding.chosen .notice", "5 of 5")


def test_keys_do_nothing_while_typing(
    browser: WebDriver, day: ReviewTestbed, serve: Serve
) -> None:
    """Letters typed into a note are text, and Enter there sends nothing."""
    browser.get(f"{serve()}/studies/{day.studies['CR-CHEST']}")
    press(browser, "n", "cd?jx", Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("value") == "cd?jx"
    press(browser, Keys.ESCAPE, "?")
    wait_for(browser, "dialog[open]", "confirm")
    assert decisions(day, "CR-CHEST") == []


def test_what_is_decided_takes_a_second_press(
    browser: WebDriver, day: ReviewTestbed, serve: Serve
) -> None:
    """A stray key does not overturn a decision; the second press does."""
    browser.get(f"{serve()}/studies/{day.studies['MR-KNEE']}")
    press(browser, "c", "Ada", Keys.ESCAPE, "c")
    wait_for(browser, "#done")
    browser.get(browser.current_url.split("?")[0])
    press(browser, "j", "d")
    wait_for(browser, "details[open] .buttons")
    assert len(decisions(day, "MR-KNEE")) == 1
    press(browser, "d")
    wait_for(browser, ".notice", "DISMISSED")
    assert [d.decision for d in decisions(day, "MR-KNEE")] == ["CONFIRMED", "DISMISSED"]


def test_the_browser_reports_no_error(
    browser: WebDriver, day: ReviewTestbed, serve: Serve
) -> None:
    """No script error, no refused content, and every picture is drawn."""
    address = serve()
    for path in (
        "/",
        f"/studies/{day.studies['CR-CHEST']}",
        "/dead-letters",
        "/models",
        "/detectability",
    ):
        browser.get(address + path)
        WebDriverWait(browser, 60).until(
            lambda b: b.execute_script(
                "return [...document.images].every(i => i.complete && i.naturalWidth)"
            )
        )
    assert browser.get_log("browser") == []
