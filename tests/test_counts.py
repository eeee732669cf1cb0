"""Counts: nothing is lost between the rows and the figures."""

import numpy as np
import pytest
from pandas_tally import AGES, EDGES, FEATURES, RACES, some_faces, tally_of, with_groups

from audit.counts import (
    age_confusion,
    age_counts,
    error_counts,
    gender_confusion,
    score_counts,
    within_years,
)
from audit.groups import gather


@pytest.fixture(scope="module")
def faces():
    return some_faces(2500, seed=9)


@pytest.fixture(scope="module")
def tally(faces):
    return tally_of(faces)


def test_gender_confusion_counts_every_face_of_every_group(faces, tally):
    records = gender_confusion(gather(tally, FEATURES[:1]))
    called = np.where(faces.score >= 0.5, "female", "male")
    for r in records:
        mine = (faces.race == r["group"]) & (faces.gender_true == r["true"])
        assert r["n"] == (mine & (called == r["predicted"])).sum()
    assert sum(r["n"] for r in records) == len(faces)


def test_confusion_of_a_tiny_group_is_withheld(faces):
    few = faces[(faces.race != "Asian") | (faces.groupby("race").cumcount() < 9)]
    records = gender_confusion(gather(tally_of(few), FEATURES[:1]))
    assert {r["group"] for r in records} == {"Black", "White"}


def test_age_confusion_counts_every_face(faces, tally):
    records = age_confusion(tally, edges=EDGES)
    rows = with_groups(faces)
    assert sum(r["n"] for r in records) == len(faces)
    for r in records:
        mine = (rows.age_group == r["true"]) & (rows.age_group_pred == AGES.index(r["predicted"]))
        assert r["n"] == mine.sum()


def test_age_confusion_needs_the_true_age_group(faces):
    assert age_confusion(tally_of(faces, FEATURES[:1]), edges=EDGES) == []


def test_ages_are_counted_by_true_and_predicted_group(faces, tally):
    records = age_counts(tally, edges=EDGES)
    for kind in ("age_true", "age_pred"):
        mine = [r for r in records if r["kind"] == kind]
        assert [r["low"] for r in mine] == list(EDGES)
        assert sum(r["n"] for r in mine) == len(faces)
    first = next(r for r in records if r["kind"] == "age_true")
    assert first["n"] == (faces.age_true < 3).sum()


def test_errors_are_counted_by_whole_years(faces, tally):
    records = error_counts(gather(tally, ()))
    size = faces.error.abs()
    assert sum(r["n"] for r in records) == len(faces)
    for r in records[1:-1]:
        assert r["n"] == ((size > r["low"]) & (size <= r["high"])).sum()
    assert records[0]["n"] == (size <= 1).sum()
    assert records[-1]["high"] is None


def test_the_share_within_k_years_is_that_of_the_rows(faces, tally):
    records = within_years(gather(tally, FEATURES[:1]))
    assert [r["high"] for r in records[:31]] == list(range(31))
    for r in records:
        mine = faces[faces.race == r["group"]].error.abs()
        assert r["value"] == pytest.approx((mine <= r["high"]).mean(), abs=1e-12)
        assert r["value_low"] <= r["value"] <= r["value_high"]
        assert r["n"] == len(mine)
    for race in RACES:
        mine = [r["value"] for r in records if r["group"] == race]
        assert mine == sorted(mine)


def test_scores_are_counted_by_twentieths(faces, tally):
    records = score_counts(gather(tally, ()))
    assert sum(r["n"] for r in records) == len(faces)
    counted = np.cumsum([r["n"] for r in records])
    below = [(faces.score < r["high"]).sum() for r in records]
    assert np.abs(counted - below).max() <= 0.01 * len(faces)
    females = sum(r["n"] * (r["value"] or 0) for r in records)
    assert females == pytest.approx((faces.gender_true == "female").sum())
