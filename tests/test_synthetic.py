import numpy as np
import pandas as pd
import pytest

from audit.config import AuditSettings
from audit.predictions import open_predictions
from audit.synthetic import AGES, MAE, RACES, Plant, synthetic_predictions

LAWS = ["normal", "t4", "lognormal", "skewed"]


def error_of(table):
    return table["age_pred"] - table["age_true"]


@pytest.mark.parametrize("errors", LAWS)
def test_unplanted_errors_have_the_stated_mean_and_intervals_cover_90_in_100(errors):
    n = 100_000
    table = synthetic_predictions(n, seed=1, errors=errors)
    error = error_of(table)
    spread = error.std() / np.sqrt(n)
    assert error.mean() == pytest.approx(0, abs=4 * spread)
    assert error.abs().mean() == pytest.approx(MAE, abs=4 * spread)
    inside = (table["age_low"] <= table["age_true"]) & (table["age_true"] <= table["age_high"])
    assert inside.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / n))


@pytest.mark.parametrize("by", ["race", "gender_true"])
def test_unplanted_groups_are_served_alike(by):
    table = synthetic_predictions(100_000, seed=2)
    error = error_of(table).abs()
    for _, rows in error.groupby(table[by], observed=True):
        assert rows.mean() == pytest.approx(MAE, abs=4.5 * rows.std() / np.sqrt(len(rows)))


def test_scores_are_calibrated_in_every_bin():
    table = synthetic_predictions(200_000, seed=3)
    f, y = table["gender_score"], table["gender_true"] == "female"
    for _, rows in f.groupby(pd.cut(f, np.linspace(0, 1, 11)), observed=True):
        noise = np.sqrt((rows * (1 - rows)).sum())
        assert abs((y[rows.index] - rows).sum()) < 4.5 * noise
    assert ((f >= 0.5) == y).mean() == pytest.approx(0.9332, abs=0.003)


def test_groups_have_their_shares_down_to_one_in_a_hundred():
    table = synthetic_predictions(100_000, seed=4)
    shares = table["race"].value_counts(normalize=True)
    for race, share in RACES.items():
        assert shares[race] == pytest.approx(share, abs=0.01)
    edges = [first for _, first, _, _ in AGES] + [200]
    ages = pd.cut(table["age_true"], edges, right=False).value_counts(normalize=True, sort=False)
    assert ages.to_numpy() == pytest.approx([share for *_, share in AGES], abs=0.01)


def test_what_is_planted_is_there_and_nowhere_else():
    black = Plant({"race": "Black"}, age_scale=1.35, age_shift=2)
    old = Plant({"race": "White", "age_group": "70+"}, flips=0.3)
    table = synthetic_predictions(60_000, seed=5, planted=(black, old))
    plain = synthetic_predictions(60_000, seed=5)
    is_black = table["race"] == "Black"
    change = error_of(table) - (error_of(plain) * 1.35 + 2)
    assert change[is_black].abs().max() < 0.02
    assert (error_of(table) == error_of(plain))[~is_black].all()
    is_old = (table["race"] == "White") & (table["age_true"] >= 70)
    turned = (table["gender_score"] - plain["gender_score"]).abs() > 1e-9
    assert turned[is_old].mean() == pytest.approx(0.3, abs=0.05)
    assert not turned[~is_old].any()


def test_a_shifted_logit_is_a_shifted_logit():
    table = synthetic_predictions(1000, seed=6, planted=(Plant({}, logit_shift=1.0),))
    plain = synthetic_predictions(1000, seed=6)["gender_score"]
    logit = np.log(plain / (1 - plain)) + 1
    assert table["gender_score"].to_numpy() == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-9)


def test_photos_of_a_person_are_alike():
    table = synthetic_predictions(
        50_000, seed=7, photos_per_person=5, likeness=0.6, errors="normal"
    )
    assert table["subject_id"].value_counts().unique().tolist() == [5]
    own = ["subject_id", "race", "gender_true", "age_true"]
    assert len(table[own].drop_duplicates()) == 10_000
    error = error_of(table).to_numpy().reshape(-1, 5)
    assert np.corrcoef(error[:, 0], error[:, 1])[0, 1] == pytest.approx(0.58, abs=0.05)


def test_ages_may_be_mixed_differently_while_nothing_else_differs():
    young = {"Black": [0, 0, 0, 1, 0, 0, 0, 0, 0]}
    table = synthetic_predictions(20_000, seed=8, age_shares=young)
    black = table["race"] == "Black"
    assert table.loc[black, "age_true"].between(20, 29).all()
    assert table.loc[~black, "age_true"].max() > 80


def test_the_seed_decides_everything_and_the_table_keeps_the_contract():
    table = synthetic_predictions(500, seed=9, extra={"light": 4, "pose": 2})
    pd.testing.assert_frame_equal(
        table, synthetic_predictions(500, seed=9, extra={"light": 4, "pose": 2})
    )
    read = open_predictions(table, AuditSettings())
    assert [f.name for f in read.features] == ["race", "light", "pose", "gender_true", "age_group"]
    assert read.heads == ("age", "interval", "gender", "score")
    assert read.rows_audited == 500
