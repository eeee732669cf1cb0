"""A real browser and a real dashboard for the tests: headless Chromium, one server per audit."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

SECONDS = 60.0  # patience: machines may be slow or shared; a wait ends as soon as it may
OWN = ("data:", "blob:", "chrome:", "chrome-untrusted:")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Cards stand in shadow roots, which no selector of the page reaches into.
SHADOWED = (
    "const shadowed = css => [...document.querySelectorAll('*')].flatMap("
    "e => e.shadowRoot ? [...e.shadowRoot.querySelectorAll(css)] : []);"
)
AT_REST = (
    "const app = document.querySelector('[data-testid=stApp]');"
    "return !!app && app.dataset.testScriptState === 'notRunning' "
    "&& !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')"
    "&& !!document.querySelector('[data-testid=stMainBlockContainer] [data-testid]')"
)


def chromium_or_skip() -> tuple[str, str]:
    """Paths of Chromium and its driver. Missing: the test is skipped, but fails where CI is set."""
    binary = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    if binary and driver:
        return binary, driver
    if os.environ.get("CI"):
        pytest.fail("CI has no Chromium or no chromedriver: install both")
    pytest.skip("no Chromium with its driver on this machine")


@contextmanager
def open_browser(*, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Chrome]:
    """A fresh headless Chromium that keeps its console and network logs."""
    binary, driver = chromium_or_skip()
    profile = tempfile.mkdtemp(prefix="faceaudit-browser-")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(driver))
    try:
        browser.set_script_timeout(SECONDS)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield browser
    finally:
        browser.quit()
        shutil.rmtree(profile, ignore_errors=True)


@contextmanager
def open_dashboard(
    folder: Path, *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """`faceaudit dashboard FOLDER` in a process of its own; yields the URL it printed."""
    command = [sys.executable, "-m", "audit", "dashboard", str(folder), "--no-browser"]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    named = clean_environment() | dict(environment or {})
    with subprocess.Popen(command, cwd=cwd, env=named, **out) as process:
        try:
            url = process.stdout.readline().strip()
            if not re.fullmatch(r"http://127\.0\.0\.1:\d+", url):
                raise AssertionError(f"no URL but {url!r}; stderr: {process.stderr.read()}")
            yield url
        finally:
            process.terminate()
            process.wait(SECONDS)


def clean_environment() -> dict[str, str]:
    """The environment with this checkout first, so that the tests meet what they stand beside."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def wait_until(question: Callable[[], object], *, what: str, seconds: float = SECONDS) -> object:
    """Ask until the answer is true, and return it; a page that redraws meanwhile is asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            if answer := question():
                return answer
        except (StaleElementReferenceException, WebDriverException):
            pass
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


def settle(browser: Chrome) -> None:
    """Wait until Streamlit has run the page to its end and drawn it."""
    wait_until(lambda: browser.execute_script(AT_REST), what="the page to come to rest")


def show_as_printed(browser: Chrome) -> None:
    """Give the page its look on paper, and wait until a frame of it has been laid out.

    Asked before that, `checkVisibility` may still answer for the screen: folds are hidden there.
    """
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    browser.execute_async_script(two_frames)


def stand_still(browser: Chrome, css: str, *, seconds: float = 0.5) -> WebElement:
    """Wait until an element has stood in one place for so long, and return it.

    A fold that opens and a figure that is laid out move what a drag would start on.
    """
    place: object = None
    since = time.monotonic()

    def stands() -> WebElement | None:
        nonlocal place, since
        element = browser.find_element(By.CSS_SELECTOR, css)
        now = (element.id, element.rect)
        if now != place:
            place, since = now, time.monotonic()
        return element if time.monotonic() - since >= seconds else None

    return cast("WebElement", wait_until(stands, what=f"{css} to stand still"))


def type_into(browser: Chrome, css: str, *keys: str) -> None:
    """Send keys to an element once it takes them: what is being laid out takes none."""

    def typed() -> bool:
        browser.find_element(By.CSS_SELECTOR, css).send_keys(*keys)
        return True

    wait_until(typed, what=f"{css} to take keys")


def cards(browser: Chrome) -> list[str]:
    """The sample ids of the gallery's cards."""
    script = f"{SHADOWED} return shadowed('.card').map(c => c.dataset.id)"
    return list(browser.execute_script(script))


def text_of(browser: Chrome) -> str:
    """The text of the whole page as seen."""
    return browser.find_element(By.TAG_NAME, "body").text


def console_errors(browser: Chrome) -> list[str]:
    """What the page complained about on its console since last asked."""
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]


def requests_of(browser: Chrome) -> list[str]:
    """Addresses asked for since last asked, without data:, blob: and the browser's own chrome:."""
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    sent += [
        {"request": {"url": m["params"]["url"]}}
        for m in messages
        if m["method"] == "Network.webSocketCreated"
    ]
    return [u for p in sent if not (u := p["request"]["url"]).startswith(OWN)]
