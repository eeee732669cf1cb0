"""How the dashboard feels: first paint, pages, filters and faces in a real browser, scripted.

19,000 drawn faces with their pictures and made-up readings are audited and served by `faceaudit
dashboard`; headless Chromium then clicks through it as a person would. Then the same over a
million rows without pictures. Times run from the key or the click to the page at rest, thumbnails
and figures included; what is typed to find a level in a list is typed before. Aims: first paint
within 2 s, a change of page within 1 s, 95 of 100 filter actions within .5 s.

    python -m benchmarks.dashboard_feel                        both tables
    python -m benchmarks.dashboard_feel --keep DIR --rows 0    the first only; audits kept in DIR
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from audit.config import AuditSettings
from audit.run import run_audit
from audit.synthetic import synthetic_predictions
from model.drawn_faces import write_drawn_faces
from model.faces import read_faces

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import (
    AT_REST,
    cards,
    console_errors,
    open_browser,
    open_dashboard,
)

PAGES = ("Subgroups", "Calibration", "Errors", "Slices", "Data", "Overview")
BY = ("race", "gender_true", "age_group")
AIMS = {"first paint": 2.0, "page": 1.0, "filter": 0.5}
PICTURES = (
    "return [...document.querySelectorAll('*')].filter(e => e.shadowRoot)"
    ".flatMap(h => [...h.shadowRoot.querySelectorAll('.card img')])"
    ".every(i => i.complete)"
)


def faces_with_readings(folder: Path, n: int) -> pd.DataFrame:
    """A predictions table of drawn faces: readings made up from the labels and noise."""
    if not (folder / "labels.csv").exists():
        write_drawn_faces(folder, n=n, seed=0, progress=True)
    faces = read_faces(folder, progress=False).faces
    rng = np.random.default_rng(0)
    age = faces["age"].to_numpy(np.float64)
    read = np.clip(age + rng.standard_t(4, len(age)) * (2 + 0.05 * age), 0, 110)
    female = (faces["gender"] == "female").to_numpy()
    logit = np.where(female, 2.2, -2.2) + rng.normal(0, 1.6, len(age))
    return pd.DataFrame(
        {
            "sample_id": faces["image"].astype(str),
            "image": faces["image"].astype(str),
            "age_true": age,
            "gender_true": faces["gender"].astype(str),
            "race": faces["race"].astype(str),
            "age_pred": read.round(2),
            "age_low": (read - 9).round(2),
            "age_high": (read + 9).round(2),
            "gender_score": 1 / (1 + np.exp(-logit)),
        }
    )


class Person:
    """Someone at the browser: does one thing at a time and waits until it is done."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser, self.url = browser, url
        self.times: dict[str, list[float]] = {}

    def timed(self, what: str, act: Callable[[], object], done: Callable[[], object]) -> None:
        """Seconds from the start of `act` until `done` holds and the page is at rest."""
        start = time.perf_counter()
        act()
        self.wait(lambda: done() and self.browser.execute_script(AT_REST))
        self.times.setdefault(what, []).append(time.perf_counter() - start)

    def wait(self, question: Callable[[], object]) -> None:
        """Ask every hundredth of a second; half a minute is long enough."""
        end = time.monotonic() + 30
        while True:
            try:
                if question():
                    return
            except Exception as error:  # noqa: BLE001 - a page that redraws meanwhile
                last: Exception | None = error
            else:
                last = None
            if time.monotonic() > end:
                raise TimeoutError("the page never came to rest") from last
            time.sleep(0.01)

    def has(self, css: str, words: str = "") -> bool:
        """Whether an element is seen that holds the words."""
        found = self.browser.find_elements(By.CSS_SELECTOR, css)
        return any(words in e.text for e in found)

    def open(self, path: str = "") -> None:
        """The first look: until the verdict (or the page's heading) is read."""
        self.browser.get("about:blank")
        css = "p.verdict" if not path else "h1"
        start = time.perf_counter()
        self.browser.get(f"{self.url}/{path}")
        self.wait(lambda: self.has(css))
        self.times.setdefault("verdict", []).append(time.perf_counter() - start)
        script = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
        paint = float(self.browser.execute_script(script)) / 1000
        self.times.setdefault("first paint", []).append(paint)

    def go(self, page: str) -> None:
        """Change the page by the side bar."""
        path = f"//a[@data-testid='stSidebarNavLink'][contains(., '{page}')]"
        link = self.browser.find_element(By.XPATH, path)
        css = ("h1", page) if page != "Overview" else ("p.verdict", "")
        self.timed(f"page {page}", link.click, lambda: self.has(*css))
        assert not self.browser.find_elements(By.CSS_SELECTOR, "[data-testid=stException]"), page

    def narrow(self, level: str, *, box: int, page: str) -> None:
        """Choose a level in a box of the filter bar, then clear the bar: two actions."""
        found = self.browser.find_elements(By.CSS_SELECTOR, "[data-testid=stMultiSelect] input")
        found[box].send_keys(level)  # the list narrows while one types; Enter is what chooses
        self.timed(
            f"filter on {page}",
            lambda: found[box].send_keys(Keys.ENTER),
            lambda: " of " in self.remaining() and level in self.remaining() and self.seen(),
        )
        self.browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
        clear = self.browser.find_element(By.CSS_SELECTOR, ".st-key-clear_filters button")
        self.timed(
            f"filter on {page}", clear.click, lambda: "All " in self.remaining() and self.seen()
        )

    def turn(self) -> None:
        """The next page of the gallery."""
        before = self.cards()
        button = self.browser.find_element(By.CSS_SELECTOR, ".st-key-next_top button")
        self.timed("next faces", button.click, lambda: self.cards() != before and self.seen())

    def remaining(self) -> str:
        """The line under the filter bar."""
        return self.browser.find_element(By.CSS_SELECTOR, "p.remain").text

    def cards(self) -> list[str]:
        """The ids of the faces shown."""
        return cards(self.browser)

    def seen(self) -> bool:
        """Whether every picture shown has arrived."""
        return bool(self.browser.execute_script(PICTURES))

    def press(self, what: str, words: str, done: Callable[[], object]) -> None:
        """Click the first button that says so, timed as a step of the story."""
        path = f"//button[contains(., '{words}')]"
        self.wait(
            lambda: (
                self.browser.execute_script(AT_REST) and self.browser.find_element(By.XPATH, path)
            )
        )
        self.timed(what, self.browser.find_element(By.XPATH, path).click, done)


def story(person: Person, pictures: Path | None) -> None:
    """From the first finding to a file: its faces, against all others, listed as CSV."""
    browser = person.browser

    def shoot(name: str) -> None:
        if pictures:
            path = pictures / f"{name}.png"
            browser.save_screenshot(str(path))
            with Image.open(path) as picture:  # a palette keeps each under 200 kB
                picture.convert("RGB").quantize(128).save(path, optimize=True)

    with tempfile.TemporaryDirectory() as downloads:
        behaviour = {"behavior": "allow", "downloadPath": downloads}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        person.open()
        person.press(
            "story: the first finding's faces",
            "See the faces",
            lambda: person.has("h1", "Errors") and person.cards() and person.seen(),
        )
        shoot("story_faces")
        button = browser.find_element(By.XPATH, "//button[contains(., 'Name it')]")
        button.click()
        person.wait(lambda: browser.find_element(By.CSS_SELECTOR, "form input, .stForm input"))
        browser.find_element(By.CSS_SELECTOR, ".stForm input").send_keys("the worst group")
        person.press("story: named", "Keep", lambda: person.has(".note", "is a cohort now"))
        person.press(
            "story: against everyone else",
            "Compare it",
            lambda: person.has(".cohorts", "Mean absolute"),
        )
        shoot("story_cohorts")
        person.press(
            "story: listed", "List the faces", lambda: [*Path(downloads).glob("faces-*.csv")]
        )


def journey(person: Person, levels: Iterator[tuple[int, str]], actions: int) -> None:
    """Three looks, every page three times, then filters on two pages."""
    for _ in range(3):
        person.open()
    for page in PAGES * 3:
        person.go(page)
    for page, share in (("Errors", 0.8), ("Subgroups", 0.2)):
        person.go(page)
        for _ in range(round(actions * share / 2)):
            box, level = next(levels)
            person.narrow(level, box=box, page=page)
    person.go("Errors")
    for _ in range(10):
        person.turn()


def show(title: str, times: dict[str, list[float]]) -> None:
    """One table."""
    print(
        f"\n| {title} | n | median s | 95 of 100 s | longest s | aim |\n|---|---|---|---|---|---|"
    )
    for name, seconds in times.items():
        aim = next((a for key, a in AIMS.items() if name.startswith(key)), None)
        middle, most = np.quantile(seconds, [0.5, 0.95])
        print(
            f"| {name} | {len(seconds)} | {middle:.2f} | {most:.2f} | {max(seconds):.2f} | "
            f"{'' if aim is None else f'{aim:g}'} |"
        )


def measure(
    title: str, folder: Path, actions: int, *, told: bool = False, pictures: Path | None = None
) -> None:
    """Serve an audit folder and walk through it."""
    shutil.rmtree(folder / "user", ignore_errors=True)  # cohorts named by an earlier walk
    races = ("Black", "White", "Asian", "Indian")
    levels = cycle([*((0, r) for r in races), (1, "female"), (2, "20-29"), (1, "male"), (2, "70+")])
    with open_dashboard(folder) as url, open_browser() as browser:
        person = Person(browser, url)
        journey(person, levels, actions)
        if told:
            story(person, pictures)
        assert not (errors := console_errors(browser)), errors
    show(title, person.times)


def main() -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=19_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the second table; 0: none")
    parser.add_argument("--actions", type=int, default=50, help="filter actions")
    parser.add_argument("--pictures", type=Path, help="where screenshots of the story go")
    parser.add_argument("--keep", type=Path, help="keep faces and audits here, or use them again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.keep or Path(scratch)
        small, large = root / "audit", root / f"audit-{asked.rows}"
        settings = AuditSettings(by=BY)
        if not (small / "result.json").exists():
            table = faces_with_readings(root / "faces", asked.faces)
            run_audit(table, settings=settings, images=(root / "faces").resolve(), out=small)
        if asked.rows and not (large / "result.json").exists():
            run_audit(synthetic_predictions(asked.rows, seed=0), settings=settings, out=large)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {datetime.now(UTC):%Y-%m-%d}"
        )
        measure(
            f"{asked.faces:,} faces with pictures",
            small,
            asked.actions,
            told=True,
            pictures=asked.pictures,
        )
        if asked.rows:
            measure(f"{asked.rows:,} rows, no pictures", large, asked.actions)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
