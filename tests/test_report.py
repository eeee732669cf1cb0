"""The report: one page that is whole, safe, the same each time, and works in a real browser."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from browser import open_browser, show_as_printed, wait_until
from example_result import RACES, example_result, renamed
from PIL import Image
from plotly.offline import get_plotlyjs

from audit.result import COLUMNS, AuditResult, table
from audit.words import count, in_unit
from reports.faces import age_words, face_cards, face_table, gender_words
from reports.figures import SECTIONS
from reports.html import render_report, write_report
from reports.markup import unbroken, with_code
from reports.opening import opening
from reports.tables import HEADINGS, as_grid, contrast_words, in_words, is_number

RESULT = example_result()
PATIENCE = 120.0  # seconds: figures are drawn in idle moments, and a busy machine has few
HOSTILE = {
    "Asian": '<img src=x onerror="window.hacked=1">',
    "Black": "</script><script>window.hacked=2</script>",
    "Indian": "'\"&{{7*7}}<svg onload=window.hacked=3>",
}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes and text, and whether they are nested well."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "svg" or (tag not in VOID and not self.inside_svg()):
            self.open.append((tag, len(self.elements) - 1))

    def inside_svg(self):
        return any(tag == "svg" for tag, _ in self.open)

    def handle_endtag(self, tag):
        if self.inside_svg() and tag != "svg":
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for _, i in self.open:
            self.text[i] = self.text.get(i, "") + data

    def all(self, tag, **wanted):
        return [
            (attrs, self.text.get(i, ""))
            for i, (name, attrs) in enumerate(self.elements)
            if name == tag and all(attrs.get(k) == v for k, v in wanted.items())
        ]


@pytest.fixture(scope="module")
def html():
    return render_report(RESULT)


def test_a_note_that_names_a_command_shows_it_as_code_and_what_it_quotes_as_text():
    notes = ["The rows are seen with `faceaudit audit`, of <b>one</b> model."]
    html = render_report(replace(RESULT, info=RESULT.info | {"notes": notes}))
    shown = "seen with <code>faceaudit audit</code>, of &lt;b&gt;one&lt;/b&gt; model."
    assert shown in html


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(RESULT, tmp_path_factory.mktemp("report"))


def unpacked(page, name):
    ((_, text),) = page.all("script", id=name)
    return gzip.decompress(base64.b64decode(text)).decode("utf-8")


# The page as text --------------------------------------------------------------------------------


def test_the_same_result_gives_the_same_bytes(html, report):
    assert render_report(AuditResult.from_json(RESULT.to_json())) == html
    assert report.name == "report.html"
    assert report.read_text(encoding="utf-8") == html


def test_the_page_is_well_formed_and_its_headings_skip_no_level(page):
    assert not page.open
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert page.all("html")[0][0]["lang"] == "en"


def test_the_page_stays_under_its_size_and_holds_the_library_once(html, page):
    assert len(html.encode()) < 2_500_000
    assert unpacked(page, "plotly") == get_plotlyjs()
    assert "plotly.js v" not in html


def test_the_packed_figures_are_those_of_the_page(page):
    packed = json.loads(unpacked(page, "numbers"))
    wanted = [attrs["data-figure"] for attrs, _ in page.all("div", **{"class": "plot"})]
    assert sorted(packed["figures"]) == sorted(wanted)
    assert len(wanted) == sum(d.figure is not None for s in SECTIONS for d in s.figures(RESULT))
    for attrs, _ in page.all("div", **{"class": "plot"}):
        height = packed["figures"][attrs["data-figure"]]["layout"]["height"]
        assert attrs["style"] == f"height:{height}px", "the box has its height before it is drawn"


def test_the_policy_allows_exactly_the_two_scripts_and_no_request(page):
    ((attrs, _),) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in attrs["content"].split(";"))
    running = [text for attrs, text in page.all("script") if "type" not in attrs]
    assert len(running) == 1
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in (*running, get_plotlyjs())
    ]
    assert rules["script-src"].split() == hashes
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "connect-src" not in rules


def test_nothing_on_the_page_points_outside_it(page):
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = [a["href"][1:] for _, a in page.elements if a.get("href", "").startswith("#")]
    assert len(links) > 10
    assert not set(links) - ids


def test_every_figure_has_a_title_an_alt_text_and_its_table_one_click_away(page):
    titles = [t.strip() for _, t in page.all("figcaption")]
    drawn = [d for s in SECTIONS for d in s.figures(RESULT)]
    assert titles == [d.title for d in drawn]
    alts = [attrs["aria-label"] for attrs, _ in page.all("div", **{"class": "plot"})]
    assert alts == [d.alt for d in drawn if d.figure is not None]
    behind = page.all("details", **{"class": "behind"})
    assert len(behind) >= len(alts)


def test_the_sections_stand_in_the_order_of_the_list(page):
    keys = [attrs["id"] for attrs, _ in page.all("section")]
    shown = [s.key for s in SECTIONS if s.figures(RESULT)]
    assert keys == ["findings", *shown, "worst", "provenance"]


def test_a_null_verdict_is_called_not_tested_and_no_one_is_called_biased():
    text = render_report(example_result(tested=False))
    page = Page(text)
    body = " ".join(t for _, t in page.all("main"))
    assert "None of the" in body
    assert "not tested" in body
    for word in ("biased", "unbiased", "safe", "discriminat", "nan", "None,"):
        assert not re.search(
            rf"\b{word}", body.replace("Discrimination", "").replace("− discrimination", "")
        ), word


def test_hostile_names_stay_text_everywhere():
    result = renamed(RESULT, HOSTILE)
    info = result.info | {"model": "<script>window.hacked=4</script>", "notes": ["<b>note</b>"]}
    result = replace(result, info=info)
    page = Page(render_report(result))
    assert not page.open
    plain = Page(render_report(RESULT))
    tags = [tag for tag, _ in page.elements]
    assert {t: tags.count(t) for t in set(tags)}.keys() == {t for t, _ in plain.elements}
    assert tags.count("script") == [t for t, _ in plain.elements].count("script")
    assert tags.count("img") == 0
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
    assert any(HOSTILE["Asian"] in text for _, text in page.all("th"))
    assert "49" not in page.all("h1")[0][1]
    assert page.all("h1")[0][1] == "Audit of <script>window.hacked=4</script>"


def test_an_almost_empty_result_still_gives_a_page():
    info = RESULT.info | {"rows_left_out": {}, "rows_read": RESULT.info["rows_audited"]}
    empty = AuditResult(info, **{name: table(name, []) for name in COLUMNS})
    page = Page(render_report(empty))
    assert not page.all("div", **{"class": "plot"})
    assert "No other finding." in page.all("main")[0][1]


# The first screen --------------------------------------------------------------------------------


def test_tiles_repeat_the_overall_figures_and_the_compared_group_on_the_bad_side():
    first = opening(RESULT)
    assert [t.metric for t in first.tiles] == ["age_mae", "gender_accuracy", "interval_coverage"]
    rows = RESULT.subgroups
    for tile in first.tiles:
        row = rows[(rows.feature == "overall") & (rows.metric == tile.metric)].iloc[0]
        unit = "years" if tile.metric == "age_mae" else "share"
        assert tile.value + ("\u00a0%" if unit == "share" else "") == in_unit(row.value, unit)
    compared = rows[(rows.metric == "age_mae") & (rows.status == "ok")]
    compared = compared[compared.feature.isin(["race", "gender_true", "age_group"])]
    assert first.tiles[0].worst_group == f"Highest: {compared.loc[compared.value.idxmax()].group}"
    assert first.tiles[1].worst_group.startswith("Lowest: ")


def test_a_figure_that_is_the_same_everywhere_names_no_worst_group():
    rows = RESULT.subgroups
    perfect = rows.metric == "gender_accuracy"
    result = replace(RESULT, subgroups=rows.assign(value=rows.value.mask(perfect, 1.0)))
    tile = opening(result).tiles[1]
    assert (tile.worst_group, tile.worst_figures) == ("The same in every compared group", "")


def test_all_faces_are_called_so_in_tables_and_under_findings():
    rows = RESULT.subgroups.query("feature == 'overall'")
    assert set(in_words(rows[["group", "value"]])["Group"]) == {"all faces"}
    told = RESULT.findings.assign(feature="overall", group="overall", metric="age_mae")
    first = opening(replace(RESULT, findings=told))
    assert all(f.figures.startswith("all faces: ") for f in first.findings)


def test_a_missing_head_leaves_fewer_tiles_and_others_step_in():
    rows = RESULT.subgroups
    only_age = replace(RESULT, subgroups=rows[rows.metric.isin(["age_mae", "age_cs5"])])
    assert [t.metric for t in opening(only_age).tiles] == ["age_mae", "age_cs5"]
    assert opening(replace(RESULT, subgroups=rows.head(0))).tiles == ()


def test_what_was_left_out_reconciles_with_what_was_read():
    first = opening(RESULT)
    info = RESULT.info
    assert first.left_out[0] == (
        f"{count(info['rows_read'])} rows were read, {count(info['rows_audited'])} audited."
    )
    for reason, n in info["rows_left_out"].items():
        assert f"Left out: {count(n)} rows, {reason}." in first.left_out
    assert info["notes"][0] in first.left_out


def test_what_cannot_be_concluded_counts_the_undecided_and_repeats_the_limits():
    undecided = (RESULT.disparities.verdict == "insufficient evidence").sum()
    tested = RESULT.disparities.verdict.notna().sum()
    first = opening(RESULT).limits
    assert first[0].startswith(f"{undecided} of {tested} comparisons cannot be decided")
    assert list(first[1:]) == RESULT.info["limits"]
    untested = opening(example_result(tested=False)).limits[0]
    assert "comparisons of groups was tested" in untested


def test_a_table_of_too_few_people_says_why_it_has_no_overall_figure():
    whole = RESULT.subgroups.feature == "overall"
    few = RESULT.subgroups.assign(n_subjects=8, value=np.nan, status="suppressed")
    said = opening(replace(RESULT, subgroups=few)).limits[0]
    assert said == (
        "No figure over all faces is shown: they are of 8 people, and a figure is shown from 10 on."
    )
    one = few.where(~whole, RESULT.subgroups)
    assert not any("No figure" in line for line in opening(replace(RESULT, subgroups=one)).limits)


def test_the_verdict_is_the_first_finding_and_is_not_said_twice():
    first = opening(RESULT)
    assert first.verdict == RESULT.findings.sentence.iloc[0]
    assert first.verdict not in [f.sentence for f in first.findings]
    assert len(first.findings) == RESULT.findings.sentence.nunique() - 1
    nothing = opening(replace(RESULT, findings=RESULT.findings.head(0)))
    assert nothing.findings == ()
    assert "nothing was tested" in nothing.verdict


def test_a_finding_carries_its_figures_n_and_adjusted_p(page):
    finding = opening(RESULT).findings[0]
    for words in ("Black", "568\u00a0faces", "adjusted\u00a0p\u00a0<\u00a0.001", "["):
        assert words in finding.figures
    svg = [attrs["aria-label"] for attrs, _ in page.all("svg")]
    assert len(svg) == len(opening(RESULT).findings)
    assert "Black 6.6" in svg[0]


def test_the_date_is_that_of_the_run_in_any_locale():
    for created, day in (
        ("2026-11-23T12:00:00Z", "23 November 2026"),
        ("1970-01-01T00:00:00+00:00", "1 January 1970"),
        ("soon", "soon"),
    ):
        run = RESULT.info["run"] | {"created": created}
        assert opening(replace(RESULT, info=RESULT.info | {"run": run})).about.endswith(day)


# Tables in words ---------------------------------------------------------------------------------


def test_a_table_in_words_has_units_joined_intervals_and_no_nulls():
    rows = RESULT.subgroups.query("feature == 'race' and metric == 'gender_accuracy'")
    words = in_words(rows[["group", "metric", "value", "low", "high", "n", "status"]])
    assert list(words.columns) == ["Group", "Metric", "Value", "95 % interval", "Faces", "Status"]
    first = rows.iloc[0]
    assert words["Value"].iloc[0] == f"{100 * first.value:.1f}\u00a0%"
    assert words["95 % interval"].iloc[0].startswith("[")
    assert words.iloc[-1].to_dict()["Value"] == ""
    assert words["Status"].iloc[-1] == "too few to show"


def test_a_grid_sorts_what_it_shows_in_words_by_the_numbers():
    rows = pd.DataFrame(
        {
            "group": ["a", "b", "c", "d"],
            "metric": ["age_me"] * 4,
            "value": [9.8, 10.8, -4.1, np.nan],
            "low": [9.0, 10.0, -5.0, np.nan],
            "high": [10.0, 11.0, -3.0, np.nan],
            "n": pd.array([900, 1000, 80, 3], dtype="Int64"),
            "status": ["ok", "ok", "few", "suppressed"],
        }
    )
    grid = as_grid(rows)
    shown = in_words(rows)
    assert grid.map(str).to_dict() == shown.to_dict()
    assert list(grid["Value"].astype(float).sort_values().index) == [2, 0, 1, 3]
    assert list(grid["95 % interval"].astype(float).sort_values().index) == [2, 0, 1, 3]
    assert list(grid["Faces"].astype(float)) == [900, 1000, 80, 3]
    assert [type(cell) for cell in grid["Group"]] == [str] * 4
    assert list(shown["Value"])[2:] == ["\u22124.1", ""]


def test_a_grid_sorts_names_by_the_numbers_in_them():
    names = ["70+", "10-19", "site 10", "0-2", "site 9", "3-9", "0.5–1.5", "0.25–0.5"]
    grid = as_grid(pd.DataFrame({"group": names, "n": range(8)}))
    assert list(grid["Group"].map(str)) == names
    assert list(grid.sort_values("Group")["Group"].map(str)) == [
        *("0-2", "0.25–0.5", "0.5–1.5", "3-9", "10-19", "70+", "site 9", "site 10"),
    ]
    sent = pa.Table.from_pandas(grid)["Group"].to_pylist()  # what the browser sorts by
    assert [" ".join(word.split()).replace("- ", "-").replace("– ", "–") for word in sent] == names
    assert sorted(sent) == sent[3:4] + [sent[i] for i in (7, 6, 5, 1, 0, 4, 2)]


def test_differences_of_shares_are_points_and_verdicts_say_what_would_have_been_seen():
    rows = RESULT.disparities.query("metric == 'gender_accuracy'")
    (_, drawn), *_ = [(s, d) for s in SECTIONS for d in s.figures(RESULT) if s.key == "disparities"]
    words = in_words(drawn.table)
    shares = words[words["Comparison"].str.startswith("Gender accuracy")]
    assert len(shares) == len(rows)
    assert all(d.endswith(" points") for d in shares["Difference"])
    undecided = words[words["Verdict"].str.startswith("insufficient")]
    assert all("; seen from " in v for v in undecided["Verdict"])
    assert "seen from" not in "".join(words[words["Verdict"] == "disparity"]["Verdict"])
    drawn.table["detectable"] = None
    blank = in_words(drawn.table).loc[undecided.index, "Verdict"]
    assert all(v.endswith("; no difference is sure to be seen") for v in blank)


def test_numbers_stand_flush_right_and_words_flush_left():
    assert not is_number(HEADINGS["group"])
    assert not is_number(HEADINGS["verdict"])
    for column in ("value", "n", "interval", "p_adjusted", "predicted"):
        assert is_number(HEADINGS[column])


# Faces -------------------------------------------------------------------------------------------


def worst(name):
    return RESULT.worst[RESULT.worst["list"] == name]


def test_a_face_is_told_as_truth_reading_and_error():
    row = worst("age_error").iloc[0].to_dict()
    error = f"{row['error']:+.1f}".replace("-", "\u2212")
    assert age_words(row) == f"{row['age_true']:.0f}\u00a0→\u00a0{row['age_pred']:.1f} ({error})"
    assert age_words(row | {"age_pred": float("nan")}) == ""
    assert "P(female)" in gender_words(row)
    bare = row | {"gender_true": None, "gender_pred": None, "gender_score": float("nan")}
    assert gender_words(bare) == "unknown"


def test_a_table_of_faces_leaves_out_what_it_is_not_about():
    ages, genders = (face_table(worst(n), about=n) for n in ("age_error", "gender_wrong"))
    assert "P(female)" not in ages
    assert "Stated interval" not in genders
    assert "P(female)" in genders
    assert len(ages) == 12


FACES = replace(
    AuditResult(RESULT.info, **{name: table(name, []) for name in COLUMNS}), worst=RESULT.worst
)


@pytest.fixture
def pictures(tmp_path):
    """A folder with pictures of four faces, and one picture beside the folder."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for name in RESULT.worst.image.drop_duplicates()[:4]:
        Image.new("RGB", (200, 160), (120, 90, 60)).save(folder / name)
    Image.new("RGB", (64, 64), (255, 0, 0)).save(tmp_path / "secret.jpg")
    return folder


def embedded(page):
    return [a["src"] for a, _ in page.all("img") if a["src"].startswith("data:image/jpeg")]


def test_without_thumbnails_no_picture_is_in_the_page(pictures):
    page = Page(render_report(FACES, images=pictures))
    assert page.all("img") == []
    assert "Pictures are not part of this report." in page.all("main")[0][1]


def test_thumbnails_are_few_small_and_come_with_a_notice(pictures):
    page = Page(render_report(FACES, images=pictures, thumbnails=6))
    assert 0 < len(embedded(page)) <= 4
    cards = page.all("li", **{"class": "face"})
    assert len(cards) == 6
    assert all(len(src) < 12_000 for src in embedded(page))
    assert all(a["alt"].startswith("Face, ") for a, _ in page.all("img"))
    assert "biometric data" in page.all("main")[0][1]
    assert "no picture" in "".join(t for _, t in cards)
    assert render_report(FACES, images=pictures, thumbnails=6) == render_report(
        FACES, images=pictures, thumbnails=6
    )


def test_the_folder_of_the_result_is_used_and_a_missing_one_gives_placeholders(pictures):
    def with_folder(path):
        run = FACES.info["run"] | {"paths": {"source": None, "images": path}}
        return replace(FACES, info=FACES.info | {"run": run})

    assert embedded(Page(render_report(with_folder(str(pictures)), thumbnails=6)))
    gone = Page(render_report(with_folder(str(pictures / "gone")), thumbnails=6))
    assert embedded(gone) == []
    assert "none was found" in gone.all("main")[0][1]
    assert "biometric" not in gone.all("main")[0][1]
    assert Page(render_report(FACES, thumbnails=6)).all("li", **{"class": "face"}) == []


@pytest.mark.parametrize("name", ["../secret.jpg", "link.jpg", "\0", "a" * 5000, "", None])
def test_no_picture_outside_the_folder_is_embedded(pictures, name):
    (pictures / "link.jpg").symlink_to(pictures.parent / "secret.jpg")
    rows = worst("age_error").head(2).assign(image=[name, "absent.jpg"])
    assert [card.picture for card in face_cards(rows, images=pictures)] == [None, None]


# In a browser ------------------------------------------------------------------------------------


def figures_state(browser):
    return browser.execute_script("return document.documentElement.dataset.figures")


def open_report(browser, path):
    browser.get(path.as_uri())
    wait_until(
        lambda: figures_state(browser) in ("drawn", "none"), what="figures", seconds=PATIENCE
    )


def faults(browser, path):
    """Console messages of warning or worse, and requests for anything but the page itself."""
    said = [e["message"] for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = {
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    }
    own = ("chrome:", "chrome-untrusted:")  # the browser's own first tab
    inside = (path.as_uri(), "data:", *own)
    return said + sorted(url for url in asked if not url.startswith(inside))


@pytest.mark.browser
def test_in_a_browser_every_figure_is_drawn_without_an_error_or_a_request(report):
    with open_browser() as browser:
        open_report(browser, report)
        assert figures_state(browser) == "drawn"
        empty = browser.execute_script(
            "return [...document.querySelectorAll('.plot')]"
            ".filter(p => !p.querySelector('svg.main-svg')).length"
        )
        assert empty == 0
        assert faults(browser, report) == []
        grown = browser.execute_script(
            "return [...document.querySelectorAll('.plot')]"
            ".filter(p => Math.abs(p.offsetHeight - parseInt(p.style.height)) > 1).length"
        )
        assert grown == 0, "a drawn figure keeps the height its box had"


@pytest.mark.browser
def test_on_a_phone_nothing_is_wider_than_the_screen_but_what_scrolls_inside_itself(report):
    with open_browser(width=390, height=844, dark=True) as browser:
        open_report(browser, report)
        wide = browser.execute_script(
            "const w = document.documentElement.clientWidth;"
            "return [...document.querySelectorAll('main *')].filter(e => "
            "e.getBoundingClientRect().right > w + 1 && !e.closest('.scroll, .hidden, svg'))"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        fills = browser.execute_script(
            "return [...document.querySelectorAll('.plot .xtick text')].slice(0, 9)"
            ".map(e => getComputedStyle(e).fill)"
        )
        assert set(fills) == {"rgb(169, 176, 185)"}, "the dark theme's grey"


@pytest.mark.browser
def test_a_long_word_stays_on_the_screen_and_what_scrolls_is_reached_by_the_tab_key(tmp_path):
    word = "Aufnahmebedingungen" * 6
    path = write_report(renamed(RESULT, {n: f"{word}{n}" for n in (*RACES, "70+")}), tmp_path)
    with open_browser(width=390, height=844) as browser:
        open_report(browser, path)
        wide = "return [...document.querySelectorAll('.tile, .facts > *')]"
        wide += ".filter(e => e.getBoundingClientRect().right > 390).length"
        assert browser.execute_script(wide) == 0
        unreached = browser.execute_script(
            "return [...document.querySelectorAll('.scroll')]"
            ".filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length"
        )
        assert unreached == 0
        assert browser.execute_script("return document.querySelector('.drawing[tabindex]')")


@pytest.mark.browser
def test_what_a_fold_alone_holds_is_not_missing_on_paper_without_a_word(report):
    with open_browser() as browser:
        open_report(browser, report)
        show_as_printed(browser)
        shown = browser.execute_script(
            "return [...document.querySelectorAll('details.more:not([open]) > summary')]"
            ".map(e => e.checkVisibility() && getComputedStyle(e, '::after').content)"
        )
        assert shown
        assert set(shown) == {'": folded when this was printed"'}


@pytest.mark.browser
def test_hostile_names_run_nothing_in_the_browser(tmp_path):
    path = write_report(renamed(RESULT, HOSTILE), tmp_path)
    with open_browser() as browser:
        open_report(browser, path)
        assert figures_state(browser) == "drawn"
        assert browser.execute_script("return window.hacked === undefined")
        assert faults(browser, path) == []
        shown = browser.execute_script("return document.querySelector('.ytick text').textContent")
        assert browser.execute_script("return document.querySelectorAll('main img').length") == 0
        assert shown


@pytest.mark.browser
def test_a_browser_that_cannot_unpack_the_library_gets_the_tables(report):
    with open_browser() as browser:
        browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": "delete window.DecompressionStream"},
        )
        open_report(browser, report)
        assert figures_state(browser) == "none"
        closed = "return document.querySelectorAll('details.behind:not([open])').length"
        assert browser.execute_script(closed) == 0
        note = browser.execute_script("return document.getElementById('no-figures').innerText")
        assert "tables are open instead" in note


@pytest.mark.browser
def test_on_paper_every_figure_is_light_and_as_wide_as_the_page(report, tmp_path):
    with open_browser(dark=True) as browser:
        open_report(browser, report)
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        widths = browser.execute_script(
            "return [...document.querySelectorAll('.plot')].map(p => p.layout.width)"
        )
        assert set(widths) == {718, 347, 223}
        inks = browser.execute_script(
            "return [...document.querySelectorAll('.plot')].map(p => "
            "p.layout.template.layout.font.color)"
        )
        assert set(inks) == {"#16191d"}
        pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
        assert base64.b64decode(pdf).startswith(b"%PDF")


@pytest.mark.browser
def test_on_paper_a_table_that_is_read_stands_in_no_grid_and_has_the_whole_width(report):
    """A grid does not grow by the header repeated on a new page: a row was struck through."""
    tables = (
        "return [...document.querySelectorAll('.row > figure table')].map("
        "t => [t, t.closest('figure'), t.closest('.row')]).filter(e => e[0].checkVisibility())"
        ".map(([t, f, r]) => [getComputedStyle(f).display, getComputedStyle(r).display, "
        "t.getBoundingClientRect().right <= r.getBoundingClientRect().right + 1])"
    )
    with open_browser(width=718) as browser:
        open_report(browser, report)
        show_as_printed(browser)
        closed = browser.execute_script(tables)
        browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        opened = browser.execute_script(tables)
    assert 0 < len(closed) < len(opened)
    for found in (*closed, *opened):
        assert found == ["block", "block", True]


def test_the_words_come_before_the_scripts(html):
    first_script = html.index("<script>")
    for words in ("What cannot be concluded", "Settings and provenance"):
        assert html.index(words) < first_script
    assert html.index("</main>") < html.index('id="plotly"')


def test_no_line_ends_within_a_group_of_ages_or_an_interval_and_words_stay_words():
    text = unbroken("Worse for <b> × 0-2 than all [2.9, 9.1], by the well-known rule.")
    assert str(text) == (
        'Worse for &lt;b&gt; × <span class="whole">0-2</span> than all '
        '<span class="whole">[2.9, 9.1]</span>, by the well-known rule.'
    )
    said = RESULT.findings.assign(sentence="Worse for 0-2 [2.9, 9.1].")
    page = Page(render_report(replace(RESULT, findings=said)))
    assert [t for _, t in page.all("span", **{"class": "whole"})][:2] == ["0-2", "[2.9, 9.1]"]


def test_commands_in_a_sentence_are_code_and_all_else_is_words():
    assert str(with_code("Run `a <b>`, or <c>.")) == "Run <code>a &lt;b&gt;</code>, or &lt;c&gt;."


def test_where_no_weak_subgroup_is_confirmed_no_empty_table_stands():
    rejected = dict.fromkeys(COLUMNS["slices"]) | {
        "group": "White × male", "metric": "age_mae", "confirmed": False
    }  # fmt: skip
    page = render_report(replace(RESULT, slices=table("slices", [rejected])))
    figure = page.split("0 of 1 nominated subgroups are confirmed</figcaption>")[1]
    assert "<table" not in figure.split("</figure>")[0]


def test_years_have_their_name_and_shares_differ_by_points_not_by_percent():
    age = {"metric": "age_mae", "value": 9.1, "complement_value": 5.2}
    gender = {"metric": "gender_accuracy", "value": 0.686, "complement_value": 0.952}
    assert contrast_words(age | {"difference": 3.9, "low": 2.5, "high": 5.3}) == (
        "Mean absolute age error 9.1 years, 5.2 for everyone else: "
        "a difference of +3.9 years [+2.5, +5.3]"
    )
    assert contrast_words(gender | {"difference": -0.266, "low": -0.35, "high": -0.18}) == (
        "Gender accuracy 68.6\u00a0%, 95.2\u00a0% for everyone else: "
        "a difference of \u221226.6 points [\u221235.0, \u221218.0]"
    )
