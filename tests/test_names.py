"""Names from the data stand whole and in their place, whatever letters they are written in."""

from dataclasses import replace

import pytest
from example_result import example_result, renamed

from reports.figures import SECTIONS
from reports.forest import name_width, small_forest
from reports.html import render_report
from reports.names import isolated, isolating, shortened, width
from reports.opening import opening
from reports.tables import in_words
from reports.theme import text, told_apart

RESULT = example_result()
HEBREW, ARABIC, HAN = "עברית 12", "عربي (3)", "中文字符很长的组名在这里"
START, END = "\u2068", "\u2069"


def test_letters_of_east_asia_count_twice_and_marks_not_at_all():
    names = ("abc", "日本語", "e\u0301", "ｶﾅ", "\u2068א\u2069")
    assert list(map(width, names)) == [3, 6, 1, 2, 1]
    assert shortened(HAN, 15) == "中文字…在这里"
    assert told_apart([f"{HAN} × 70+", "b × 70+"], 15) == ["中文字…× 70+", "b × 70+"]
    assert name_width([HAN]) == name_width(["x" * 24])
    assert shortened("a very long name", 9) == "a ve…name"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("female × 70+", "female × 70+"),
        (HAN, HAN),
        (HEBREW, f"{START}{HEBREW}{END}"),
        (f"{ARABIC} × 70+", f"{START}{ARABIC}{END} × 70+"),
        (f"{HEBREW} × {ARABIC} × b", f"{START}{HEBREW}{END} × {START}{ARABIC}{END} × b"),
    ],
)
def test_a_right_to_left_level_is_an_isolate(name, expected):
    assert isolated(name) == expected


def test_of_a_sentence_the_names_are_isolates_and_the_figures_are_not():
    said = isolating(["דרום", HEBREW, "b", "עברית"])
    assert said(f"Brier score: {HEBREW} .098 [.085, .112]") == (
        f"Brier score: {START}{HEBREW}{END} .098 [.085, .112]"
    )
    assert said("b דרום, 2 faces") == f"b {START}דרום{END}, 2 faces"
    assert isolating(["a", HAN])(f"a {HEBREW}") == f"a {HEBREW}"  # nothing of ours to isolate


def test_report_and_overview_keep_right_to_left_names_in_their_place():
    result = renamed(RESULT, {"Black": HEBREW, "White": ARABIC})
    sentences = result.findings.assign(
        sentence=[s.replace("Black", HEBREW) for s in result.findings.sentence]
    )
    result = replace(result, findings=sentences)
    first = opening(result)
    said = [first.verdict, *(x for f in first.findings for x in (f.sentence, f.figures))]
    said += [tile.worst_group for tile in first.tiles]
    assert any(HEBREW in words for words in said)
    assert all(words.count(HEBREW) == words.count(START + HEBREW + END) for words in said)
    shown = text(f"{HEBREW} × 70+")
    assert shown == f"{START}{HEBREW}{END} × 70+"
    forest = small_forest(result, feature="race", metric="age_mae", group=HEBREW)
    assert f">{START}{HEBREW}{END}</text>" in forest
    rows = result.subgroups_of("race", "age_mae")
    assert f"{START}{HEBREW}{END}" in set(in_words(rows[["group", "n"]])["Group"])
    page = render_report(result)
    titles = [d.title for s in SECTIONS for d in s.figures(result) if HEBREW in d.title]
    assert titles
    assert f"{START}{HEBREW}{END}" in page
    captions = [c.partition("</figcaption>")[0] for c in page.split("<figcaption>")[1:]]
    held = [c for c in captions if HEBREW in c]
    assert len(held) >= len(titles)
    assert all(f"{START}{HEBREW}{END}" in c for c in held)


def test_beside_long_names_a_phone_still_shows_what_is_drawn():
    long = renamed(RESULT, {"Black": "a very long name that somebody typed into a spreadsheet"})
    drawn = [d for s in SECTIONS for d in s.figures(long) if d.figure is not None]
    for one in drawn:
        if one.key.startswith("crossing"):
            continue  # its cells have a width of their own
        margin = one.figure.to_dict()["layout"]["margin"]
        assert max(one.min_width, 343) - margin["l"] - margin["r"] >= 120, one.key
    assert any(d.min_width > 400 for d in drawn if d.key == "forest-race-age_mae")


def test_no_figure_scrolls_in_the_column_that_it_was_made_for():
    for names in ({}, {"Black": "eighteen letters 8"}, {"Black": "a name so long " * 4}):
        drawn = [d for s in SECTIONS for d in s.figures(renamed(RESULT, names))]
        assert all(d.min_width <= {"full": 720, "half": 348, "third": 224}[d.span] for d in drawn)
