"""Findings at their limits: just a margin, just no difference, long lists, their order."""

import pandas as pd
import pytest
from finding_rows import gap, off, told, weak

from audit.difference_words import Names, difference_sentence
from audit.findings import MOST, MOST_SLICES, about_data
from audit.metrics import METRICS
from audit.result import COLUMNS

MINUS = "\u2212"


def untested(feature, metric, difference, **more):
    row = gap(feature, metric, "B", difference, verdict=None, p_adjusted=None)
    return row | {"difference": abs(difference)} | more


@pytest.mark.parametrize(
    ("metric", "of_a", "of_b", "worse"),
    [
        ("age_mae", 3.0, 6.0, "B"),
        ("gender_accuracy", 0.5, 0.9, "a"),
        ("age_me", -8.0, 1.0, "a"),
        ("age_me", -1.0, 8.0, "B"),
    ],
)
def test_an_untested_gap_is_told_of_the_group_that_is_worse_off(metric, of_a, of_b, worse):
    found = told([untested("race", metric, of_b - of_a)], values={"a": of_a, "B": of_b})
    assert (found[0]["group"], found[0]["value"]) == (worse, of_a if worse == "a" else of_b)


def test_untested_gaps_are_those_of_single_features_from_a_margin_on_the_most_margins_first():
    one = METRICS["age_mae"].margin
    rows = [
        untested("race", "age_mae", 3 * one),
        untested("race", "gender_accuracy", 5 * METRICS["gender_accuracy"].margin),
        untested("light", "age_mae", one),
        untested("site", "age_mae", 0.999 * one),
        untested("race × light", "age_mae", 9 * one),
        untested("race", "age_rmse", 9 * one, control="light", control_group="dim"),
    ]
    said = [(r["feature"], r["metric"]) for r in told(rows) if r["kind"] == "disparity"]
    assert said == [("race", "gender_accuracy"), ("race", "age_mae"), ("light", "age_mae")]


def test_a_difference_of_just_the_margin_is_not_called_within_it():
    row = gap("race", "age_mae", "B", METRICS["age_mae"].margin)
    assert "within" not in difference_sentence(row)
    less = gap("race", "age_mae", "B", 0.9 * METRICS["age_mae"].margin)
    found = [r for r in told([row, less | {"feature": "light"}]) if r["kind"] == "disparity"]
    assert found[0]["severity"] > found[1]["severity"]
    assert "within the margin" in found[1]["sentence"]


def test_an_interval_that_ends_at_no_difference_leaves_it_open():
    assert "is open" in difference_sentence(gap("race", "age_mae", "B", 3.0, half=3.0))
    assert "is open" in difference_sentence(gap("race", "age_mae", "B", -3.0, half=3.0))


def test_what_would_have_been_seen_holds_for_every_single_feature():
    quiet = {"verdict": "no disparity found"}
    rows = [gap(f, "age_mae", "B", 0.1, **quiet) for f in ("race", "light", "race × light")]
    for row, least in zip(rows, (1.3, 2.0, 5.0), strict=True):
        row["detectable"] = least
    assert (
        "differences in age error above 2.0 years would have been seen" in told(rows)[0]["sentence"]
    )


@pytest.mark.parametrize(
    ("light", "words"),
    [(2.0, "error above 2.0 years would have been seen; by race, "), (None, "comparisons; ")],
)
def test_a_feature_by_which_nothing_is_sure_to_be_seen_is_told(light, words):
    quiet = {"verdict": "no disparity found"}
    rows = [gap(f, "age_mae", "B", 0.1, **quiet) for f in ("race", "light")]
    rows = [row | {"detectable": d} for row, d in zip(rows, (None, light), strict=True)]
    none = "no difference in age error, however large, is sure to be seen."
    assert told(rows)[0]["sentence"].endswith(words + none)


def test_a_difference_at_one_age_mix_that_points_the_other_way_says_so():
    mix = {
        "outlying_standardised": 1.0,
        "outlying_standardised_low": 0.5,
        "outlying_standardised_high": 1.7,
    }
    words = difference_sentence(gap("race", "age_me", "B", -2.3, **mix))
    assert words.endswith(
        f"younger for B than for everyone else [1.8, 2.8]; standardised for age {MINUS}1.0 "
        f"[{MINUS}1.7, {MINUS}0.5]."
    )


@pytest.mark.parametrize(
    ("left_out", "which"),
    [("0-2, 3-9, 10-19", "(only 70+)"), ("0-2, 3-9", "(without 0-2, 3-9)"), ("", "age 2.0")],
)
def test_the_shorter_list_of_ages_is_told(left_out, which):
    mix = dict.fromkeys(("outlying_standardised", "outlying_standardised_high"), 2.0)
    mix |= {"outlying_standardised_low": 1.0, "ages_left_out": left_out}
    names = Names(ages=("0-2", "3-9", "10-19", "70+"))
    assert which in difference_sentence(gap("race", "age_me", "B", 2.3, **mix), names)


def test_what_a_feature_shows_within_a_control_group_makes_no_crossing_an_echo():
    within = gap("race", "age_mae", "B", 9.0, control="light", control_group="dim")
    rows = [
        gap("race", "age_mae", "B", 3.0),
        within,
        gap("race × light", "age_mae", "B × dim", 4.0),
        gap("site", "age_rmse", "x", 5.0),
    ]
    order = [(r["feature"], r["metric"]) for r in told(rows) if r["kind"] == "disparity"]
    assert order.index(("race × light", "age_mae")) < order.index(("site", "age_rmse"))


def test_the_longest_lists_are_cut_and_a_slice_is_known_by_its_metric():
    rows = [gap(f"f{i}", "age_mae", "B", 2.0 + i) for i in range(MOST + 3)]
    slices = [weak(feature=f"f{i} × g") for i in range(MOST_SLICES + 3)]
    found = told(rows, slices=[weak(feature="f1"), *slices])
    assert sum(r["kind"] == "disparity" for r in found) == MOST
    said = [r["feature"] for r in found if r["kind"] == "slice"]
    assert len(said) == MOST_SLICES
    assert said[0] == "f1", "its age error was told, its accuracy was not"


@pytest.mark.parametrize(
    ("error", "p", "words"),
    [
        (0.01, 0.3, "over all faces, within chance;"),
        (0.03, 0.3, "over all faces;"),
        (0.03, 0.045, "over all faces;"),  # the records' part of alpha is .04
        (0.03, 0.035, "over all faces, more than chance;"),
    ],
)
def test_calibration_over_all_faces_is_set_beside_chance(error, p, words):
    rows = [off("overall", "overall", error, p), off("race", "B", 0.1, p)]
    found = [r for r in told([], scores=rows) if r["kind"] == "calibration"]
    assert words in found[-1]["sentence"]
    assert len(found) == (2 if "more" in words else 1)


def test_features_that_are_not_calibrated_are_told_the_furthest_off_first():
    scores = [off("site", "x", 0.05, 0.001), off("race", "B", 0.09, 0.001)]
    found = [r["group"] for r in told([], scores=scores) if r["kind"] == "calibration"]
    assert found == ["B", "x"]


def test_the_furthest_off_is_so_beyond_what_chance_adds_to_few_faces():
    many = off("race", "B", 0.09, 0.001) | {"l2": 0.008}
    few = off("race", "C", 0.12, 0.002) | {"l2": 0.004, "n": 40}
    found = [r["group"] for r in told([], scores=[few, many]) if r["kind"] == "calibration"]
    assert found == ["B"]


def test_coverage_is_told_beside_the_level_that_was_meant():
    row = dict.fromkeys(COLUMNS["coverage"]) | {
        "feature": "overall",
        "group": "overall",
        "level": 0.9,
        "coverage": 0.8,
        "low": 0.75,
        "high": 0.84,
        "n": 70,
    }
    (said,) = (r for r in told([], coverage=[row]) if r["kind"] == "coverage")
    assert said["sentence"] == (
        "The stated age intervals, meant to hold 90.0\u00a0% of true ages, hold 80.0\u00a0% "
        "[75.0\u00a0%, 84.0\u00a0%]."
    )


def test_groups_of_few_are_counted_by_feature_and_level():
    status = {("race", "unknown"): "few", ("site", "unknown"): "suppressed", ("race", "A"): "ok"}
    subgroups = pd.DataFrame(
        [
            {"feature": f, "group": g, "metric": metric, "status": status[f, g]}
            for f, g in status
            for metric in ("age_mae", "age_rmse")
        ]
    )
    (said,) = about_data(subgroups, {"rows_read": 60, "rows_left_out": {}})
    assert said["sentence"].startswith("2 of 3 groups have fewer than 30 people")
    assert said["n"] == 2
