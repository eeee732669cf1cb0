"""A page draws every feature while they are few, else those furthest apart, and says so."""

from dataclasses import replace

import pytest
from example_result import example_result

from audit.words import CROSS
from reports import lookup, narrowed
from reports.figures import SECTIONS
from reports.groups import faces_by_group
from reports.html import render_report
from reports.theme import plain

RESULT = example_result()
BY_FEATURE = [s for s in SECTIONS if s.by_feature]
NAMES = [name for n in (1, 2, 3) for name in lookup.features(RESULT, crossed=n)]


@pytest.fixture
def room(monkeypatch):
    """Room for two features and one crossing of two."""
    monkeypatch.setattr(narrowed, "MOST", {1: 2, 2: 1, 3: 0})


def shown(drawn):
    """What a figure shows, to compare."""
    figure = None if drawn.figure is None else plain(drawn.figure)
    return drawn.title, drawn.alt, figure, drawn.table.to_csv()


def test_where_there_is_room_every_feature_is_drawn_and_nothing_is_said():
    assert narrowed.foremost(RESULT) == [*dict.fromkeys(RESULT.subgroups.feature)][1:]
    assert narrowed.left_undrawn(RESULT, NAMES, crossed=False) == ""
    assert narrowed.left_undrawn(RESULT, NAMES, crossed=True) == ""


@pytest.mark.parametrize("section", BY_FEATURE, ids=lambda s: s.key)
def test_figures_of_one_feature_are_those_of_the_whole_page(section):
    whole = {d.key: shown(d) for d in section.figures(RESULT)}
    met = {}
    for name in NAMES:
        met |= {d.key: shown(d) for d in section.figures(narrowed.only(RESULT, [name]))}
    assert {key: met[key] for key in whole} == whole


def test_true_age_and_labelled_gender_come_first_then_what_findings_name(room):
    told = set(RESULT.findings.feature)
    assert "race" in told
    drawn = narrowed.foremost(RESULT)
    assert [n for n in drawn if CROSS not in n] == ["gender_true", "age_group"]
    (crossed,) = (n for n in drawn if CROSS in n)
    assert crossed in told or not any(CROSS in str(n) for n in told)


def test_among_features_that_no_finding_names_the_largest_difference_comes_first(monkeypatch):
    monkeypatch.setattr(narrowed, "MOST", {1: 1, 2: 0, 3: 0})
    monkeypatch.setattr(narrowed, "ALWAYS", ())
    result = replace(RESULT, findings=RESULT.findings[:0])
    rows = result.disparities
    largest = (rows.difference / rows.margin).where(rows.control.isna())
    single = largest[~rows.feature.str.contains(CROSS)]
    assert narrowed.foremost(result) == [rows.feature[single.idxmax()]]


def test_a_report_that_leaves_features_out_says_how_many(room):
    page = render_report(RESULT)
    features, crossings = (len(lookup.features(RESULT, crossed=n)) for n in (1, 2))
    assert features > 2
    assert crossings > 1
    assert f"2 of {features} features are drawn, chosen by what was found" in page
    assert f"1 of {crossings} crossings are drawn, chosen by what was found" in page


def test_comparisons_and_who_was_audited_stay_whole(room):
    page = render_report(RESULT)
    (comparisons,) = (s.figures(RESULT)[0].title for s in SECTIONS if s.key == "disparities")
    assert comparisons in page
    bars = faces_by_group(RESULT)
    assert len(bars) == len(lookup.features(RESULT))
    assert all(d.title in page for d in bars)
