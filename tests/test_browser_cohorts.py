"""In a real browser: a filter becomes a cohort, two are compared, a face is marked."""

import json

import pytest
from audit_folder import write_audit_folder
from browser import (
    console_errors,
    open_browser,
    open_dashboard,
    settle,
    text_of,
    type_into,
    wait_until,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from audit.marked import read_marks

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "audit"
    return folder, write_audit_folder(folder, n=400, pictures=4, tested=False)


@pytest.fixture(scope="module")
def url(audit, tmp_path_factory):
    with open_dashboard(audit[0], cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


def press(browser, key, words):
    """Open the popover `key`, type `words` in its one field of text and send them.

    Arrows move in the words: on the page of a face they turn the leaf everywhere else.
    """
    browser.find_element(By.CSS_SELECTOR, f".st-key-{key} button").click()
    keys = (words, Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ENTER)
    type_into(browser, "[data-testid=stForm] input[type=text]", *keys)


def test_a_filter_is_named_compared_and_found_again_after_a_reload(url, browser, audit):
    folder, faces = audit
    browser.get(f"{url}/?race=Black")
    settle(browser)
    press(browser, "name_cohort", HOSTILE)
    wait_until(lambda: f"“{HOSTILE}” is a cohort now" in text_of(browser), what="the name")
    browser.find_element(By.CSS_SELECTOR, ".st-key-compare button").click()
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".cohorts td"), what="the table")
    settle(browser)
    n = int((faces.race == "Black").sum())
    chosen = f"{n} of 400 faces: race Black"
    wait_until(lambda: chosen in text_of(browser), what="the filter, which came along")
    table = browser.find_element(By.CSS_SELECTOR, ".cohorts").text
    assert HOSTILE in table
    assert f"{n} faces" in table
    assert f"{400 - n} faces" in table
    mae = faces.error.abs()[faces.race == "Black"].mean()
    assert f"{mae:.1f}" in table
    wait_until(lambda: "first=" in browser.current_url, what="the choice in the URL")
    browser.refresh()
    settle(browser)
    wait_until(
        lambda: browser.find_element(By.CSS_SELECTOR, ".cohorts").text == table,
        what="the same table after a reload",
    )
    (line,) = (folder / "user" / "cohorts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["where"] == {"race": ["Black"]}
    assert browser.execute_script("return window.hacked === undefined")
    wide = browser.execute_script(
        "const t = document.querySelector('.cohorts'); return t.scrollWidth - t.clientWidth"
    )
    assert wide == 0, "the table fits its page"
    assert console_errors(browser) == []


def test_two_cohorts_with_their_verdicts_fit_a_phone(url):
    with open_browser(width=375, height=900) as phone:
        phone.get(f"{url}/cohorts?second=everyone+else&race=Black")
        fits = (
            "const table = document.querySelector('.cohorts');"
            "const verdicts = [...table.querySelectorAll('td.words')];"
            "return verdicts.length && table.scrollWidth === table.clientWidth"
            " && verdicts.every(v => v.getBoundingClientRect().right <= window.innerWidth)"
        )
        wait_until(lambda: phone.execute_script(fits), what="verdicts on the screen")


def test_a_face_is_marked_in_words_and_the_mark_taken_back(url, browser, audit):
    folder, _ = audit
    browser.get(f"{url}/errors?face=s00003")
    settle(browser)
    press(browser, "mark", HOSTILE)
    wait_until(lambda: f"Marked mislabelled: {HOSTILE}" in text_of(browser), what="the mark")
    assert read_marks(folder / "user" / "marks.jsonl")["s00003"].reason == HOSTILE
    browser.get(f"{url}/data")
    settle(browser)
    wait_until(lambda: "1 marked." in text_of(browser), what="the list of marks")
    assert browser.execute_script("return window.hacked === undefined")
    browser.find_element(By.XPATH, "//button[contains(., 'Take back')]").click()
    wait_until(lambda: "can be marked mislabelled" in text_of(browser), what="no mark any more")
    assert read_marks(folder / "user" / "marks.jsonl") == {}
    assert console_errors(browser) == []
