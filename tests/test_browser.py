"""In a real browser: the dashboard's journeys, its walls, and a report that asks nobody."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from itertools import pairwise
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from audit_folder import write_audit_folder
from browser import (
    SECONDS,
    SHADOWED,
    cards,
    clean_environment,
    console_errors,
    open_browser,
    open_dashboard,
    requests_of,
    settle,
    show_as_printed,
    stand_still,
    text_of,
    type_into,
    wait_until,
)
from example_result import example_faces, example_result
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from audit.embeddings import embeddings_beside, write_embeddings
from reports.html import write_report

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.hacked=1>"
PAGES = ("Overview", "Subgroups", "Calibration", "Errors", "Data")


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """An audit folder whose first face and one of whose levels bear hostile names."""
    folder = tmp_path_factory.mktemp("browser") / "audit"
    faces = example_faces(400).replace({"race": {"Indian": HOSTILE}})
    faces.loc[0, "sample_id"] = HOSTILE
    write_audit_folder(folder, faces=faces, tested=False)
    return folder, faces


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose own Streamlit settings would open every door, and where nothing may be left."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(
        '[server]\naddress = "0.0.0.0"\nallowedHosts = ["*"]\nenableCORS = false\n'
        'enableXsrfProtection = false\ncorsAllowedOrigins = ["http://evil.example"]\n'
        '[[theme.fontFaces]]\nfamily = "x"\nurl = "http://evil.example/font.woff2"\n'
        '[browser]\ngatherUsageStats = true\n[client]\nshowErrorDetails = "full"\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def url(audit, home):
    environment = {"HOME": str(home), "STREAMLIT_SERVER_ALLOWED_HOSTS": "*"}
    with open_dashboard(audit[0], cwd=home, environment=environment) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


def go(browser, page):
    """Click on a page in the side bar."""
    path = f"//a[@data-testid='stSidebarNavLink'][contains(., '{page}')]"
    wait_until(lambda: browser.find_element(By.XPATH, path), what=page).click()
    heading = page if page != "Overview" else "Audit of example network"
    wait_until(
        lambda: browser.find_element(By.XPATH, f"//h1[contains(., '{heading}')]"), what=heading
    )
    settle(browser)


def focused(browser):
    """The sample id of the card in focus."""
    return browser.execute_script(
        "let e = document.activeElement; while (e && e.shadowRoot) e = e.shadowRoot.activeElement;"
        "return e && e.dataset.id"
    )


def button(browser, words):
    return browser.find_element(By.XPATH, f"//button[contains(., '{words}')]")


def ask(url, *, host, path="/", headers=()):
    """Status of a request whose Host header is ours to choose."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def test_the_browser_is_told_to_fetch_from_here_alone(url):
    with urlopen(url, timeout=SECONDS) as answer:
        policy = answer.headers["content-security-policy"]
    for kind in ("img", "font", "media", "connect"):
        sources = re.search(rf"{kind}-src ([^;]*)", policy)[1].split()
        port = urlsplit(url).port
        ours = {f"ws://127.0.0.1:{port}", f"ws://localhost:{port}"}
        assert set(sources) <= {"'self'", "data:", "blob:"} | ours


SOCKET = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def test_every_page_opens_without_an_error_and_asks_this_machine_only(url, browser):
    browser.get(url)
    settle(browser)
    for page in PAGES:
        go(browser, page)
        wait_until(lambda: browser.title.startswith(f"{page} · "), what="the page's title")  # noqa: B023
        assert "cannot be read" not in text_of(browser)
        assert not browser.find_elements(By.CSS_SELECTOR, "[data-testid=stException]")
    for path in ("subgroups", "errors?race=Black"):  # by their own address, too
        browser.get(f"{url}/{path}")
        settle(browser)
    assert console_errors(browser) == []
    host = urlsplit(url).netloc
    assert {urlsplit(address).netloc for address in requests_of(browser)} == {host}


def test_a_filter_changes_the_gallery_and_the_url_and_clear_takes_it_back(url, browser, audit):
    faces = audit[1].set_index("sample_id")
    browser.get(f"{url}/errors")
    all_of_them = wait_until(lambda: cards(browser), what="cards")
    type_into(browser, "[data-testid=stMultiSelect] input", "Black", Keys.ENTER)
    remaining = int((faces.race == "Black").sum())
    wait_until(lambda: f"{remaining} of 400 faces" in text_of(browser), what="the number left")
    narrowed = wait_until(
        lambda: (now := cards(browser)) != all_of_them and now, what="other cards"
    )
    assert set(faces.loc[narrowed].race) == {"Black"}
    wait_until(lambda: "race=Black" in browser.current_url, what="the filter in the URL")
    browser.refresh()
    assert wait_until(lambda: cards(browser), what="cards after a reload") == narrowed
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    button(browser, "Clear").click()
    wait_until(lambda: cards(browser) == all_of_them, what="all faces again")


def point_at(browser, css, which=0):
    """Click on a mark of a figure as a hand does: over it first, until plotly knows it."""
    marks = wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, css), what=css)
    settle(browser)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", marks[which])
    ActionChains(browser).move_to_element(marks[which]).perform()
    wait_until(
        lambda: browser.find_elements(By.CSS_SELECTOR, ".hoverlayer > *"), what="a label beside it"
    )
    ActionChains(browser).click().perform()


def test_a_click_on_a_groups_dot_opens_its_faces(url, browser, audit):
    faces = audit[1].set_index("sample_id")
    browser.get(f"{url}/subgroups")
    point_at(browser, ".scatterlayer .point")
    shown = wait_until(lambda: cards(browser), what="the group's faces")
    assert len(set(faces.loc[shown].race)) == 1
    came = "From Mean absolute age error by race"
    wait_until(lambda: came in text_of(browser), what="words of where one came from")


def test_a_click_on_a_cell_of_the_confusion_opens_the_faces_called_wrongly(url, browser, audit):
    faces = audit[1]
    browser.get(f"{url}/data")
    point_at(browser, ".st-key-figure-confusion-gender .textpoint", 1)
    wait_until(lambda: "gender_pred=" in browser.current_url, what="the cell in the URL")
    settle(browser)
    (true,) = [w for w in ("female", "male") if f"gender_true={w}" in browser.current_url]
    (called,) = [w for w in ("female", "male") if f"gender_pred={w}" in browser.current_url]
    wait_until(lambda: button(browser, f"called: {called}").is_displayed(), what="a chip")
    wanted = ((faces.gender_true == true) & (faces.gender_pred == called)).sum()
    wait_until(lambda: f"{wanted} of 400 faces" in text_of(browser), what="how many there are")


def test_a_click_on_a_bar_of_scores_opens_the_faces_with_such_scores(url, browser, audit):
    faces = audit[1].set_index("sample_id")
    browser.get(f"{url}/calibration")
    point_at(browser, ".st-key-figure-reliability-overall-overall .barlayer .point path", 1)
    shown = wait_until(lambda: cards(browser), what="the bar's faces")
    assert faces.loc[shown].gender_score.between(0.05, 0.1).all()
    wait_until(lambda: "gender_score=0.05..0.099999" in browser.current_url, what="the span")


def taken_back(browser, chip):
    """Whether no chip says so any more; else it is clicked, as who sees it still there would."""
    found = browser.find_elements(By.XPATH, f"//button[contains(., '{chip}') and contains(., '×')]")
    for one in found:
        one.click()
        settle(browser)
    return not found


@pytest.mark.parametrize(("tool", "asked"), [("lasso", "area="), ("box", "age_pred=")])
def test_faces_drawn_around_in_the_scatter_are_a_chip_that_can_be_cleared(
    url, browser, tool, asked
):
    console_errors(browser)
    browser.get(f"{url}/errors")
    everybody = wait_until(lambda: cards(browser), what="cards")
    fold = "//summary[contains(., 'Choose faces in a scatter')]"
    wait_until(lambda: browser.find_element(By.XPATH, fold), what="the fold").click()
    scatter = ".js-plotly-plot .nsewdrag"
    stand_still(browser, scatter)
    settle(browser)
    if tool == "box":
        browser.find_element(By.CSS_SELECTOR, "[data-attr=dragmode][data-val=select]").click()
    plot = browser.find_element(By.CSS_SELECTOR, scatter)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    plot = stand_still(browser, scatter)
    path = [(-150, -80), (150, -80), (150, 80), (-150, 80)]
    chain = ActionChains(browser).move_to_element_with_offset(plot, *path[0]).click_and_hold()
    for (x0, y0), (x1, y1) in pairwise(path):
        chain.move_by_offset(x1 - x0, y1 - y0)
        if tool == "box" and (x1, y1) == path[2]:
            break
    chain.release().perform()
    wait_until(lambda: asked in browser.current_url, what="what was drawn, in the URL")
    wait_until(lambda: cards(browser) != everybody, what="the faces within")
    inside = cards(browser)
    browser.refresh()
    assert wait_until(lambda: cards(browser), what="cards after a reload") == inside
    for chip in ("outline",) if tool == "lasso" else ("true age", "age read"):
        settle(browser)
        wait_until(lambda c=chip: button(browser, c), what=chip)
        wait_until(lambda c=chip: taken_back(browser, c), what=f"{chip} taken back")
    wait_until(lambda: cards(browser) == everybody, what="all faces again")
    assert console_errors(browser) == []


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """An audit with embeddings: look-alikes of one kind are read 25 years too old."""
    folder = tmp_path_factory.mktemp("embedded") / "audit"
    faces = example_faces(1200)
    kind = np.arange(1200) % 6
    faces.loc[kind == 2, "age_pred"] += 25
    faces["error"] = faces.age_pred - faces.age_true
    faces.loc[2, "sample_id"] = HOSTILE
    write_audit_folder(folder, faces=faces, tested=False)
    write_embeddings(
        embeddings_beside(folder / "predictions.parquet"),
        np.eye(6)[kind] * 5 + np.random.default_rng(0).normal(0, 0.5, (1200, 6)),
        ids=faces.sample_id.tolist(),
        age_pred=faces.age_pred.tolist(),
        gender_score=faces.gender_score.tolist(),
    )
    return folder, faces.assign(kind=kind).set_index("sample_id")


def test_from_a_confirmed_cluster_to_its_faces_to_one_and_to_its_neighbour(embedded, browser):
    folder, faces = embedded
    console_errors(browser)
    with open_dashboard(folder) as address:
        browser.get(f"{address}/slices")
        wait_until(lambda: "are worse on the other half too" in text_of(browser), what="clusters")
        settle(browser)
        wait_until(lambda: button(browser, "See all"), what="a way to all faces").click()
        wait_until(lambda: "lookalikes=1" in browser.current_url, what="the cluster in the URL")
        settle(browser)
        assert (faces.kind[cards(browser)] == 2).all()
        wait_until(lambda: button(browser, "cluster: 1").is_displayed(), what="a chip")
        first = wait_until(lambda: cards(browser), what="its faces")[0]
        click_card(browser, 0)
        wait_until(lambda: "Nearest faces" in text_of(browser), what="the face")
        settle(browser)
        near = wait_until(lambda: cards(browser), what="neighbours")
        assert first not in near
        assert (faces.kind[near] == 2).all()
        click_card(browser, 0)
        wait_until(lambda: f"face={near[0]}" in unquote(browser.current_url), what="the neighbour")
        settle(browser)
        assert browser.execute_script("return window.hacked === undefined")
        assert console_errors(browser) == []
        browser.get("about:blank")


def click_card(browser, which):
    """Click a card of the gallery."""
    browser.execute_script(f"{SHADOWED} shadowed('.card')[arguments[0]].click()", which)


def test_groups_side_by_side_and_a_moved_threshold_change_the_counts_and_survive_a_reload(
    url, browser, audit
):
    faces = audit[1]
    console_errors(browser)
    browser.get(f"{url}/calibration")
    settle(browser)
    for group in ("Black", "Asian"):
        type_into(browser, ".st-key-groups-calibration input", group, Keys.ENTER)
        wait_until(lambda g=group: f"groups={g}" in browser.current_url, what=f"{group} in the URL")
        settle(browser)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)  # the list of groups
    browser.find_element(By.XPATH, "//*[@role='tab'][contains(., 'Threshold')]").click()
    wait_until(lambda: "part=Threshold" in browser.current_url, what="the part in the URL")
    settle(browser)
    called = faces.gender_score >= 0.53
    females = faces.gender_true == "female"
    wanted = f"At 0.53, {(called & females).sum()} of {females.sum()} faces labelled female"
    assert wanted not in text_of(browser)
    # the slider's own input is hidden behind its thumb, where some drivers refuse to type
    thumb = browser.find_element(By.CSS_SELECTOR, ".st-key-threshold input[type=range]")
    browser.execute_script("arguments[0].focus()", thumb)
    ActionChains(browser).send_keys(*[Keys.ARROW_RIGHT] * 3).perform()
    wait_until(lambda: wanted in text_of(browser), what="the counts at the new threshold")
    black = faces.race == "Black"
    row = "//div[@class='counts'][1]//th[text()='Black']/following-sibling::td[2]"
    found = wait_until(lambda: browser.find_elements(By.XPATH, row), what="the row of a group")
    assert found[0].text == str((called & females & black).sum())
    wait_until(lambda: "threshold=0.53" in browser.current_url, what="the threshold in the URL")
    browser.refresh()
    wait_until(lambda: wanted in text_of(browser), what="the same counts after a reload")
    settle(browser)
    browser.find_element(By.XPATH, "//*[@role='tab'][contains(., 'Gender scores')]").click()
    wait_until(lambda: "part=" not in browser.current_url, what="the usual part")
    settle(browser)
    titles = [t.text for t in browser.find_elements(By.CSS_SELECTOR, ".figure-title")]
    groups = [t.split(",")[0] for t in titles if "faces: MCB" in t]
    assert groups == ["All faces", "Black", "Asian"]
    assert console_errors(browser) == []


def test_arrows_move_between_faces_enter_opens_one_and_arrows_turn_the_leaf(url, browser):
    browser.get(f"{url}/errors")
    order = wait_until(lambda: cards(browser), what="cards")
    settle(browser)
    browser.execute_script(
        "for (const e of document.querySelectorAll('*')) "
        "{ const c = e.shadowRoot?.querySelector('.card'); if (c) { c.focus(); break; } }"
    )
    assert focused(browser) == order[0]
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert focused(browser) == order[1]
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    wait_until(lambda: "2 of 400" in text_of(browser), what="the second face")
    heading = "return document.activeElement.matches('h1.reading')"
    wait_until(lambda: browser.execute_script(heading), what="the keyboard at the face")
    settle(browser)
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    wait_until(lambda: "3 of 400" in text_of(browser), what="the third face")
    settle(browser)
    browser.find_element(By.CSS_SELECTOR, "[data-testid=stMultiSelect] input").click()
    levels = "return document.querySelector('[role=listbox]') !== null"
    wait_until(lambda: browser.execute_script(levels), what="an open list")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()  # closes the list, not the face
    wait_until(lambda: not browser.execute_script(levels), what="the list closed")
    settle(browser)
    assert "3 of 400" in text_of(browser)
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    wait_until(lambda: cards(browser) == order, what="the gallery again")
    wait_until(lambda: focused(browser) == order[2], what="the keyboard at the card left")


FOCUSED = """let e = document.activeElement;
while (e && e.shadowRoot && e.shadowRoot.activeElement) e = e.shadowRoot.activeElement;
return e.getAttribute('aria-label') || e.innerText || ''"""


def test_the_tab_key_goes_from_pages_to_filters_to_order_to_faces(url, browser):
    browser.get(f"{url}/errors?race=Black")
    wait_until(lambda: cards(browser), what="cards")
    settle(browser)
    met = []
    for _ in range(30):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        met.append(browser.execute_script(FOCUSED).split("\n")[0])
    stops = ["Skip to main content", "Overview", "Errors", "Hide pictures", "race"]
    stops += ["labelled gender", "More filters", "Clear", "Name it", "Order", "Next"]
    places = [met.index(stop) for stop in stops]
    face = next(i for i, word in enumerate(met) if word.startswith("Face "))
    assert [*places, face] == sorted([*places, face]), met


def test_names_from_the_data_are_text_in_every_corner(url, browser):
    for path in ("", "subgroups", "errors?sort=id", "data"):
        browser.get(f"{url}/{path}")
        settle(browser)
    browser.get(f"{url}/errors?sort=id")
    assert HOSTILE in wait_until(lambda: cards(browser), what="cards")
    browser.get(f"{url}/errors?face=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E")
    wait_until(lambda: HOSTILE in text_of(browser), what="the name as text")
    assert browser.execute_script("return window.hacked === undefined")
    assert not browser.find_elements(By.CSS_SELECTOR, "img[src='x']")


def test_two_people_look_at_one_audit_each_with_a_filter_of_their_own(url, browser):
    browser.get(f"{url}/errors?race=Black")
    with open_browser() as other:
        other.get(f"{url}/errors?race=Asian")
        wait_until(lambda: "race Asian" in text_of(other), what="the other's filter")
        assert wait_until(lambda: cards(other), what="the other's cards")
    wait_until(lambda: "race Black" in text_of(browser), what="the first one's filter")


def test_a_host_that_is_not_ours_is_refused_and_this_machine_is_answered(url):
    port = urlsplit(url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert ask(url, host=host) == 200
        assert ask(url, host=host, path="/_stcore/stream", headers=SOCKET) == 101
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert ask(url, host=host) == 400
        assert ask(url, host=host, path="/_stcore/health") == 400
        assert ask(url, host=host, path="/_stcore/stream", headers=SOCKET) in (400, 403)


def test_a_page_from_elsewhere_may_not_open_the_socket(url):
    headers = (*SOCKET, ("Origin", "http://evil.example"))
    host = urlsplit(url).netloc
    assert ask(url, host=host, path="/_stcore/stream", headers=headers) == 403


def test_only_this_machine_can_connect(url):
    port = urlsplit(url).port
    others = {a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((address, port), timeout=2)
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        pass


def test_nothing_is_written_but_in_the_audits_own_cache(url, browser, audit, home):
    browser.get(f"{url}/errors")
    wait_until(lambda: cards(browser), what="cards")
    left = sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())
    assert left == [".streamlit/config.toml"]
    named = {p.relative_to(audit[0]).parts[0] for p in audit[0].rglob("*") if p.is_file()}
    assert named == {"result.json", "predictions.parquet", "cache"}


def test_an_audit_taken_away_while_open_gives_a_message_and_comes_back(url, browser, audit):
    folder = audit[0]
    browser.get(url)
    settle(browser)
    away = folder.with_name("away")
    shutil.move(folder, away)
    try:
        path = "//a[@data-testid='stSidebarNavLink'][contains(., 'Data')]"
        browser.find_element(By.XPATH, path).click()
        wait_until(lambda: "This audit cannot be read" in text_of(browser), what="a message")
        assert "Traceback" not in text_of(browser)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(away, folder)
    settle(browser)
    button(browser, "Reload").click()
    wait_until(lambda: "Audited and left out" in text_of(browser), what="the page again")


def test_a_filter_on_an_audit_taken_away_gives_a_message(url, browser, audit):
    folder = audit[0]
    browser.get(f"{url}/subgroups")
    settle(browser)
    away = folder.with_name("away")
    shutil.move(folder, away)
    try:
        type_into(browser, "[data-testid=stMultiSelect] input", "Black", Keys.ENTER)
        wait_until(lambda: "This audit cannot be read" in text_of(browser), what="a message")
        assert not browser.find_elements(By.CSS_SELECTOR, "[data-testid=stException]")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(away, folder)


def test_the_theme_follows_the_system(url):
    with open_browser(dark=True) as chromium:
        chromium.get(url)
        settle(chromium)
        script = "return getComputedStyle(document.querySelector('.stApp')).backgroundColor"
        assert chromium.execute_script(script) == "rgb(20, 23, 26)"
        chromium.get(f"{url}/errors?race=Black")
        color = "return getComputedStyle(document.querySelector('[data-tag] [title=Black]')).color"
        chosen = wait_until(lambda: chromium.execute_script(color), what="the chosen level")
        assert chosen == "rgb(20, 23, 26)", "4.5:1 on the accent"
        chromium.get(f"{url}/subgroups")
        settle(chromium)
        show_as_printed(chromium)  # a page of dark paper is a cartridge of ink
        looks = chromium.execute_script(
            "const look = css => getComputedStyle(document.querySelector(css));"
            "return [look('.stApp').backgroundColor, look('h1').color, look('.how').color, "
            "look('.stPlotlyChart').filter.slice(0, 9)]"
        )
        assert looks == ["rgb(255, 255, 255)", "rgb(22, 25, 29)", "rgb(87, 94, 104)", "invert(1)"]


def test_the_keyboard_is_seen_where_it_is_on_every_stop_of_the_side_bar(url, browser):
    browser.get(f"{url}/data")
    settle(browser)
    ring = (
        "const e = document.activeElement, box = e.closest('label') || e;"
        "const c = getComputedStyle(box);"
        "return [e.innerText || e.getAttribute('aria-label') || box.innerText, "
        "(c.outlineStyle === 'solid' && parseFloat(c.outlineWidth) >= 2) "
        "|| c.boxShadow.includes('3.2px')]"
    )
    stops = {}
    while "Use and consent" not in stops:
        assert len(stops) < 20
        ActionChains(browser).send_keys(Keys.TAB).perform()
        name, seen = browser.execute_script(ring)
        stops[name] = seen
    assert {"Overview", "Data", "Hide pictures"} <= set(stops)
    assert all(stops.values()), stops


def test_in_high_contrast_intervals_and_switches_are_still_drawn(url):
    with open_browser() as chromium:
        features = [{"name": "forced-colors", "value": "active"}]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        chromium.get(f"{url}/errors")
        wait_until(lambda: cards(chromium), what="cards")
        shades = chromium.execute_script(
            f"{SHADOWED} const bars = shadowed('.bar, .truth');"
            "const paper = getComputedStyle(document.body).backgroundColor;"
            "return bars.map(e => getComputedStyle(e)).map(c => c.boxShadow !== 'none' "
            "|| c.backgroundColor !== paper && c.backgroundColor !== 'rgba(0, 0, 0, 0)')"
        )
        assert shades
        assert all(shades)
        kept = chromium.execute_script(
            "return [...document.querySelectorAll('label:has([role=switch]) div')]"
            ".filter(e => !e.querySelector('p')).map(e => getComputedStyle(e).forcedColorAdjust)"
        )
        assert "none" in kept


def test_on_paper_a_page_has_no_controls_and_its_figures_stand_whole_side_by_side(url):
    """A4 less its margins is 718 px wide: numbers at the right edge of figures were cut off."""
    with open_browser() as paper:
        paper.get(f"{url}/subgroups")
        settle(paper)
        button(paper, "labelled gender").click()  # names that are short: figures side by side
        wait_until(lambda: "By labelled gender" in text_of(paper), what="that feature")
        settle(paper)
        screen = {"width": 718, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        show_as_printed(paper)
        paper.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        ends = (
            "return [...document.querySelectorAll('.stPlotlyChart')].map(box => "
            "[box.getBoundingClientRect().left, "
            "box.querySelector('.main-svg').getBoundingClientRect().right])"
        )
        found = wait_until(lambda: paper.execute_script(ends), what="figures")
        assert len({round(left) for left, _ in found[:2]}) == 2
        assert max(right for _, right in found) <= 718
        for css in ("[data-testid=stSidebar]", ".st-key-filter_bar"):
            assert not paper.find_element(By.CSS_SELECTOR, css).is_displayed()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_dashboard_ends_cleanly_when_told_to(audit, tmp_path, sent, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "audit", "dashboard", str(audit[0]), "--no-browser"],
        cwd=tmp_path,
        env=clean_environment() | {"HOME": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = process.stdout.readline().strip()
    assert ask(address, host=urlsplit(address).netloc) == 200
    process.send_signal(sent)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err


def test_the_report_opens_without_asking_anyone(tmp_path, browser):
    page = write_report(example_result(), tmp_path)
    console_errors(browser), requests_of(browser)
    browser.get(page.as_uri())
    wait_until(
        lambda: browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg"), what="figures"
    )
    assert requests_of(browser) == [page.as_uri()]
    assert console_errors(browser) == []


def test_at_200_percent_no_figure_of_a_card_is_cut_off(url):
    """A screen of 1280 px at 200 %: four cards in a row were too narrow for a wrong call."""
    with open_browser(width=640) as narrow:
        narrow.get(f"{url}/errors?sort=gender")
        wait_until(lambda: cards(narrow), what="cards")
        cut = narrow.execute_script(
            f"{SHADOWED} return shadowed('.age, .gender')"
            ".filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"
        )
        assert cut == []


# The first feature's figures have a least width too, and are gone once the click is answered.
WIDE = "[class*='st-key-least_'][class*='crossing-race']"


def test_wide_figures_scroll_by_themselves_on_a_phone(url):
    with open_browser(width=375, height=900) as phone:
        phone.get(f"{url}/subgroups")
        settle(phone)
        crossing = "//button[contains(., 'race × labelled gender')]"
        phone.find_element(By.XPATH, crossing).click()

        def least_and_drawn():
            found = phone.find_elements(By.CSS_SELECTOR, WIDE)
            return found and all(drawn >= least for least, drawn in map(widths, found))

        # The page is at rest until the click reaches the server: asked until it has answered.
        wait_until(least_and_drawn, what="figures as wide as they want to be")
        for box in phone.find_elements(By.CSS_SELECTOR, WIDE):
            assert box.size["width"] <= 375
        main = "return document.querySelector('.stMain').scrollWidth"
        assert phone.execute_script(main) <= 375


def widths(box):
    """In pixels: the least a figure that scrolls may have, and what it is drawn with."""
    least = int(re.search(r"st-key-least_(\d+)", box.get_attribute("class"))[1])
    return least, box.find_element(By.CSS_SELECTOR, ".main-svg").size["width"]
