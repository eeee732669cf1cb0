"""Findings: the words say what the numbers allow, and nothing else."""

import pandas as pd
import pytest
from finding_rows import gap, off, told, weak

from audit.difference_words import difference_sentence, group_words
from audit.metrics import METRICS
from audit.result import COLUMNS, table

KEYS = ("age_mae", "age_rmse")
THIN, MINUS = "\u202f", "\u2212"


def test_the_headline_is_the_largest_disparity_with_its_interval_and_the_count_of_verdicts():
    found = told(
        [
            gap("race", "age_mae", "B", 1.4),
            gap("age_group", "age_mae", "70+", 4.1),
            gap("race", "age_me", "B", 0.2, verdict="no disparity found"),
            gap("race", "gender_tpr", "B", 0.1, verdict="insufficient evidence"),
            gap("race", "gender_ece", "B", 0.1, verdict=None),
        ]
    )
    assert found[0]["kind"] == "verdict"
    assert found[0]["sentence"] == (
        "Age is read 4.1 years worse for 70+ than for everyone else [3.6, 4.6]; 2 of 4 comparisons "
        "show a disparity, 1 none, 1 cannot be decided with this table."
    )
    assert (found[0]["group"], found[0]["p_adjusted"]) == ("70+", 0.001)


def test_without_a_disparity_the_headline_says_what_would_have_been_seen():
    found = told(
        [
            gap("race", "age_mae", "B", 0.3, verdict="no disparity found"),
            gap("race", "gender_accuracy", "B", 0.3, verdict="insufficient evidence"),
        ]
    )
    assert found[0]["sentence"] == (
        "No disparity found in 2 comparisons, 1 of which cannot be decided with this table; "
        "differences in age error above 1.3 years and differences in gender accuracy above "
        "2.1 points would have been seen."
    )


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["insufficient evidence"], "The one comparison cannot be decided with this table; "),
        (["insufficient evidence"] * 2, "None of 2 comparisons can be decided with this table; "),
        (["no disparity found"], "No disparity found in 1 comparison; "),
    ],
)
def test_a_headline_counts_what_was_decided(verdicts, words):
    rows = [gap("race", key, "B", 0.3, verdict=v) for key, v in zip(KEYS, verdicts, strict=False)]
    assert told(rows)[0]["sentence"].startswith(words)


def test_where_nothing_was_tested_the_words_say_so():
    found = told([gap("race", "age_mae", "B", 3.0, verdict=None, p_adjusted=None)])
    assert found[0]["kind"] == "verdict"
    assert found[0]["sentence"].endswith("whether that is more than chance has not been tested.")


def test_where_nothing_can_be_tested_the_headline_says_why():
    row = gap("race", "age_mae", "B", 3.0, verdict="insufficient evidence", p_adjusted=None)
    row |= {"difference": None, "outlying_group": None, "lowest_group": None}
    assert "No comparison could be tested" in told([row])[0]["sentence"]


def test_a_crossing_that_repeats_its_part_comes_after_and_one_that_shows_more_does_not():
    found = told(
        [
            gap("race × age_group", "age_mae", "B × 70+", 9.0),
            gap("gender_true × age_group", "age_mae", "male × 70+", 4.2),
            gap("age_group", "age_mae", "70+", 4.0),
            gap("age_group", "age_rmse", "70+", 5.0),
        ]
    )
    order = [(r["feature"], r["metric"]) for r in found if r["kind"] == "disparity"]
    assert order == [
        ("race × age_group", "age_mae"),
        ("age_group", "age_mae"),
        ("age_group", "age_rmse"),
        ("gender_true × age_group", "age_mae"),
    ]


@pytest.mark.parametrize(
    ("metric", "difference", "words"),
    [
        ("age_mae", 2.0, "Age is read 2.0 years worse for B than for everyone else [1.5, 2.5]."),
        ("age_mae", -2.0, "Age is read 2.0 years better for B than for everyone else [1.5, 2.5]."),
        ("age_me", -2.0, "Age is read 2.0 years younger for B than for everyone else [1.5, 2.5]."),
        ("age_me", 0.4, f"years older for B than for everyone else [{MINUS}0.1, 0.9], within"),
        ("gender_tpr", -0.9, "Females are called female 90.0 points less often for B"),
        ("interval_width", 2.0, "Age intervals are 2.0 years wider for B"),
        ("gender_brier", 0.9, "The Brier score of gender is .900 higher for B"),
    ],
)
def test_a_difference_is_told_with_its_direction(metric, difference, words):
    assert words in difference_sentence(gap("race", metric, "B", difference))


def test_a_group_that_need_not_differ_is_told_last_and_so():
    """The test weighs all groups; the interval is of the one furthest off."""
    found = told([gap("race", "age_mae", "B", 3.0, half=3.1), gap("light", "age_rmse", "dim", 1.5)])
    assert found[0]["feature"] == "light", "the headline is established by itself"
    last = next(r for r in found if r["feature"] == "race")
    assert last["sentence"] == (
        f"Age is read 3.0 years worse for B than for everyone else [{MINUS}0.1, 6.1]; "
        "groups of race differ, whether this one does is open."
    )


def test_a_difference_within_a_control_group_names_it():
    row = gap("race", "age_mae", "B", 2.0, control="gender_true", control_group="female")
    assert difference_sentence(row).startswith("Among female: Age is read 2.0 years worse for B")
    assert told([row])[1]["value"] is None, "the group's figure over all faces is another one"


def test_a_bare_level_is_named_with_its_feature():
    assert group_words("glasses", "1") == "glasses 1"
    assert group_words("race × glasses", "unknown × yes") == "race unknown × glasses yes"
    assert group_words("race × age_group", "Black × 70+") == "Black × 70+"


def test_confirmed_slices_are_told_unless_their_feature_was():
    one = weak()
    known = one | {"feature": "race", "group": "B"}
    missed = one | {"group": "B × 70+ × bright", "confirmed": False}
    found = told([gap("race", "gender_accuracy", "B", -0.6)], slices=[one, known, missed])
    said = [r for r in found if r["kind"] == "slice"]
    assert len(said) == 1
    assert said[0]["n"] == 44, "the figures are of the half that confirms"
    assert "60.0\u00a0% for B × 70+ × dim, 90.0\u00a0% for everyone else" in said[0]["sentence"]
    assert f"{MINUS}30.0 points [{MINUS}40.0, {MINUS}20.0]" in said[0]["sentence"]


def test_rows_left_out_and_small_groups_are_told():
    found = told([], rows_left_out={"age_true is empty": 7})
    data = [r for r in found if r["kind"] == "data"]
    assert data[0]["sentence"] == f"7 of 1{THIN}000 rows were left out: age_true is empty."
    assert data[0]["n"] == 7
    (row, *_) = told([], rows_left_out={"age_true is empty": 1})[1:]
    assert row["sentence"] == f"1 of 1{THIN}000 rows was left out: age_true is empty."


def test_no_sentence_calls_anything_biased_fair_or_safe():
    rows = [gap("race", key, "B", d) for key in METRICS for d in (5.0, -5.0)]
    words = " ".join(r["sentence"] for r in told(rows)).lower()
    assert not {"biased", "fair", "safe", "unbiased", "legal"} & set(words.replace(".", "").split())


def test_a_signed_finding_is_told_at_one_age_mix_too_whichever_way_it_points():
    mix = {
        "outlying_standardised": -2.1,
        "outlying_standardised_low": -2.6,
        "outlying_standardised_high": -1.6,
    }
    words = difference_sentence(gap("race", "age_me", "B", -2.3, **mix))
    assert words == (
        "Age is read 2.3 years younger for B than for everyone else [1.8, 2.8]; standardised for "
        "age 2.1 [1.6, 2.6]."
    )


def test_ages_that_could_not_be_compared_are_named():
    mix = dict.fromkeys(("outlying_standardised", "outlying_standardised_high"), 2.0)
    mix |= {"outlying_standardised_low": 1.0, "ages_left_out": "0-2, 70+"}
    words = difference_sentence(gap("race", "age_me", "B", 2.3, **mix))
    assert "; standardised for age (without 0-2, 70+) 2.0 [1.0, 2.0]." in words


def test_miscalibration_is_told_of_the_furthest_group_and_only_where_it_is_established():
    scores = [
        off("overall", "overall", 0.03, 0.001),
        off("race", "A", 0.05, 0.001),
        off("race", "B", 0.09, 0.001),
        off("race", "C", 0.2, 0.3),
        off("site", "x", 0.2, 0.05),
    ]
    found = [r for r in told([], scores=scores) if r["kind"] == "calibration"]
    assert [(r["group"], r["p_adjusted"]) for r in found] == [("B", 0.001), ("overall", 0.001)]
    assert "more than chance" in found[0]["sentence"]
    assert "more than chance" in found[1]["sentence"]
    quiet = told([], scores=[off("overall", "overall", 0.03, 0.2)])
    assert "more than chance" not in " ".join(r["sentence"] for r in quiet)


def test_findings_fit_their_table():
    found = told([gap("race", "age_mae", "B", 2.0)])
    assert isinstance(table("findings", found), pd.DataFrame)
    assert all(tuple(r) == COLUMNS["findings"] for r in found)


def test_a_gap_made_by_unequal_ages_says_so_and_one_that_is_not_does_not():
    half = gap("race", "age_mae", "B", 3.0, composition=1.5)
    assert "unequal ages alone make 1.5 years of the 3.0" in difference_sentence(half)
    made = gap("race", "age_mae", "B", 3.0, composition=2.1)
    assert difference_sentence(made).endswith(
        " Between a and B unequal ages alone make 2.1 years of the 3.0 years of difference."
    )
    for part in (1.2, -2.1, None):
        assert "unequal" not in difference_sentence(
            gap("race", "age_mae", "B", 3.0, composition=part)
        )
