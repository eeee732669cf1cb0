"""Rates at every threshold: exact at the edges of bins, scikit-learn's ROC in between."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from audit.config import AuditSettings
from audit.groups import gather, with_tails
from audit.histograms import SCORE_BINS
from audit.intervals import freedom
from audit.predictions import open_predictions
from audit.shards import SHARDS, counted_people, shard_of
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions
from audit.thresholds import THRESHOLDS, called_from, threshold_table

SETTINGS = AuditSettings(by=("race",))


def groups_of(table, *, overall=False):
    tally = with_tails(tally_predictions(open_predictions(table, SETTINGS), SETTINGS))
    return gather(tally, () if overall else tally.features)


def sweep(table, **how):
    return pd.DataFrame(threshold_table(groups_of(table, **how)))


@pytest.fixture(scope="module")
def faces():
    return synthetic_predictions(20_000, seed=1)


@pytest.fixture(scope="module")
def table(faces):
    return sweep(faces)


def test_at_one_half_the_rates_are_those_of_the_calls(faces, table):
    groups = groups_of(faces)
    half = table[table["threshold"] == 0.5].set_index("group").loc[list(groups.names)]
    for rate, top, bottom in (
        ("tpr", "female_called", "female_n"),
        ("fpr", "male_called", "male_n"),
        ("selection", "called", "gender_n"),
    ):
        exact = groups.totals(top) / groups.totals(bottom)
        assert half[rate].tolist() == exact.tolist()


def test_between_edges_the_rates_are_scikit_learns_within_a_bin(faces):
    table = sweep(faces, overall=True).set_index("threshold")
    female = faces["gender_true"] == "female"
    fpr, tpr, at = roc_curve(female, faces["gender_score"], drop_intermediate=False)
    for threshold in THRESHOLDS:
        place = np.flatnonzero(at >= threshold)[-1]
        assert table.loc[threshold, "tpr"] == pytest.approx(tpr[place], abs=0.003)
        assert table.loc[threshold, "fpr"] == pytest.approx(fpr[place], abs=0.003)


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_scores_that_lie_on_a_threshold_are_called(faces, digits):
    rounded = faces.assign(gender_score=faces["gender_score"].round(digits))
    table = sweep(rounded, overall=True).set_index("threshold")
    females = rounded.loc[rounded["gender_true"] == "female", "gender_score"]
    for threshold in THRESHOLDS:
        exact = (females >= threshold).mean()
        assert table.loc[threshold, "tpr"] == pytest.approx(exact, abs=0.005)
    assert (np.diff(table["tpr"]) <= 0).all()


def test_fewer_are_called_at_a_higher_threshold(table):
    assert sorted(THRESHOLDS) == list(THRESHOLDS)
    for _, rows in table.groupby("group"):
        assert rows["threshold"].tolist() == list(THRESHOLDS)
        for rate in ("tpr", "fpr", "selection"):
            assert (np.diff(rows[rate]) <= 0).all()
            assert (rows[f"{rate}_low"] <= rows[rate]).all()
            assert (rows[rate] <= rows[f"{rate}_high"]).all()


def test_intervals_are_wilsons(table):
    rows = table[table["threshold"] == 0.5]
    for rate, n in (("tpr", "female_n"), ("fpr", "male_n"), ("selection", "n")):
        low, high = proportion_confint(rows[rate] * rows[n], rows[n], method="wilson")
        np.testing.assert_allclose(rows[f"{rate}_low"], low)
        np.testing.assert_allclose(rows[f"{rate}_high"], high)


def test_swapping_the_genders_mirrors_the_sweep(faces, table):
    mirror = faces.assign(
        gender_true=faces["gender_true"].astype(str).map({"female": "male", "male": "female"}),
        gender_score=1 - faces["gender_score"],
    )
    other = sweep(mirror).iloc[::-1].sort_values("group", kind="stable")
    mine = table.sort_values("group", kind="stable")
    np.testing.assert_allclose(1 - other["fpr"], mine["tpr"], atol=0.003)
    np.testing.assert_allclose(1 - other["selection"], mine["selection"], atol=0.003)


def test_scores_of_exactly_0_and_1_are_below_and_above_every_threshold():
    table = pd.DataFrame(
        {"sample_id": range(60), "gender_true": ["F", "M"] * 30, "gender_score": [1.0, 0.0] * 30}
    ).assign(race=["a", "b", "c"] * 20)
    rows = sweep(table, overall=True)
    assert (rows["tpr"] == 1).all()
    assert (rows["fpr"] == 0).all()


def test_a_rate_of_few_people_is_null_and_a_tiny_group_absent(faces):
    female = faces["gender_true"] == "female"
    black, other = faces["race"] == "Black", faces["race"] == "Other"
    kept = ~(black & female) | (faces.index.isin(faces.index[black & female][:9]))
    kept &= ~other | faces.index.isin(faces.index[other][:9])
    rows = sweep(faces[kept])
    assert "Other" not in set(rows["group"])
    mine = rows[rows["group"] == "Black"]
    assert mine["tpr"].isna().all()
    assert (mine["female_n"] == 9).all()
    assert mine["fpr"].notna().all()


def test_ten_people_are_shown():
    """Nine are not, as above."""
    n = 10 + 10 + 30
    table = pd.DataFrame(
        {
            "sample_id": range(n),
            "gender_true": ["F"] * 10 + ["M"] * 10 + ["F"] * 30,
            "gender_score": np.linspace(0.1, 0.9, n),
            "race": ["a"] * 20 + ["b"] * 30,
        }
    )
    rows = sweep(table).set_index("group")
    assert rows.loc["a", ["tpr", "fpr", "selection"]].notna().all(axis=None)
    few = sweep(table.iloc[10:]).set_index("group")
    assert few.loc["a", "fpr"].notna().all()
    assert few.loc["a", "tpr"].isna().all()


def test_even_the_lowest_threshold_calls_no_score_of_0_and_1_calls_every_score_of_1():
    faces, bins = np.array([3.0, 5.0, 7.0]), np.array([0, 900, SCORE_BINS - 1])
    called = called_from(faces, bins, np.array([1e-18, 0.5, 1.0]))
    assert called.tolist() == [12, 12, 7]


def worth_by_hand(hit, shard):
    """Rows over the design effect of a share: the variance between persons over the binomial.

    For less, where the persons of a shard are taken for one: photos are uneven then.
    """
    share, n = hit.mean(), len(hit)
    off = (hit - share).groupby(shard).sum()
    rows = np.bincount(shard, minlength=SHARDS)[None] * 1.0
    even, own = (
        stats.t.ppf(0.975, freedom(counted_people(rows, 1 / 3), of)) for of in (None, rows)
    )
    return n * share * (1 - share) / ((off**2).sum() / n) * (even / own)[0] ** 2


def test_intervals_are_of_people_by_the_calls_of_each_rate():
    faces = synthetic_predictions(1500, seed=3, photos_per_person=3)
    # the photos of a man read alike, those of a woman do not: every rate has a worth of its own
    male, subject = faces["gender_true"] == "male", faces["subject_id"]
    first = faces.groupby(subject)["gender_score"].transform("first")
    faces["gender_score"] = faces["gender_score"].where(~male, first)
    shard = subject.map(lambda i: shard_of(int(i)))
    row = sweep(faces, overall=True).set_index("threshold").loc[0.5]
    called = faces["gender_score"] >= 0.5
    for rate, part in (("tpr", ~male), ("fpr", male), ("selection", male | True)):
        hit = called[part].astype(float)
        worth = worth_by_hand(hit, shard[part])
        low, high = proportion_confint(hit.mean() * worth, worth, method="wilson")
        assert row[f"{rate}_low"] == pytest.approx(low, abs=1e-9)
        assert row[f"{rate}_high"] == pytest.approx(high, abs=1e-9)
