"""Make the README's pictures again, all from drawn faces: `make pictures` (needs Chromium).

Runs the demo (or takes the folder of one as its argument), photographs its report and dashboard
with headless Chromium, and lays out a sheet of drawn faces. Nothing here comes from a real person.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from model.drawn_faces import contact_sheet, draw_faces

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
CARDS = """return [...document.querySelectorAll('*')].filter(e => e.shadowRoot)
  .flatMap(e => [...e.shadowRoot.querySelectorAll('.card')]).length"""
COLOURS = 128  # a palette keeps each picture under 200 kB


def browser(width: int, height: int) -> webdriver.Chrome:
    """A headless Chromium with a window of this size, in CSS pixels."""
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tempfile.mkdtemp()}")
    options.add_argument(f"--window-size={width},{height}")
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService("/usr/bin/chromedriver")
    )


def shrink(path: Path) -> None:
    """Store a screenshot with a small palette."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def photograph_report(report: Path) -> None:
    """The first screen of the report, and the figures a trainer looks for."""
    page = browser(1240, 1000)
    page.get(report.resolve().as_uri())
    WebDriverWait(page, 60).until(
        lambda p: p.execute_script("return document.querySelectorAll('.main-svg').length > 2")
    )
    page.save_screenshot(str(PICTURES / "report.png"))
    for name, selector in (("confusion", "#confusion"), ("samples", "#worst-sample")):
        section = page.find_element(By.CSS_SELECTOR, selector)
        page.execute_script("arguments[0].scrollIntoView()", section)
        time.sleep(2)  # figures are drawn as they come into view
        section.screenshot(str(PICTURES / f"{name}.png"))
    page.quit()


def photograph_dashboard(folder: Path) -> None:
    """The Errors page of the dashboard."""
    command = [sys.executable, "-m", "audit", "dashboard", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            page = browser(1240, 1000)
            page.get(f"{server.stdout.readline().strip()}/errors")
            WebDriverWait(page, 60).until(lambda p: p.execute_script(CARDS) > 3)
            time.sleep(2)  # the pictures inside the cards
            page.save_screenshot(str(PICTURES / "dashboard.png"))
            page.quit()
        finally:
            server.send_signal(signal.SIGINT)


def main() -> None:
    """Run the demo and take every picture."""
    PICTURES.mkdir(exist_ok=True)
    drawn = draw_faces(24, seed=3)
    sheet = contact_sheet(drawn.pictures, columns=8)
    Image.fromarray(np.asarray(sheet)).save(PICTURES / "drawn_faces.png")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/demo")
        command = [sys.executable, "-m", "audit", "demo", "--out", str(out), "--quiet"]
        if not (out / "report.html").exists():
            subprocess.run(command, check=True, cwd=ROOT)
        curves = (out / "run" / "learning_curves.svg").read_text(encoding="utf-8")
        (PICTURES / "learning_curves.svg").write_text(curves, encoding="utf-8")
        photograph_report(out / "report.html")
        photograph_dashboard(out)
    for path in PICTURES.glob("*.png"):
        shrink(path)


if __name__ == "__main__":
    main()
