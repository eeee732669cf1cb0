"""Who is let through under an age limit, and who is turned away above it: counted row by row."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from audit.age_limits import LIMITS, age_limit_table
from audit.config import AuditSettings
from audit.groups import gather
from audit.predictions import open_predictions
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions

SETTINGS = AuditSettings(by=("race", "gender_true"))


def limits_of(table, name="race"):
    tally = tally_predictions(open_predictions(table, SETTINGS), SETTINGS)
    parts = [f for f in tally.features if f.name == name]
    return pd.DataFrame(age_limit_table(gather(tally, parts), tally, parts))


@pytest.fixture(scope="module")
def faces():
    table = synthetic_predictions(9000, seed=1)
    rng = np.random.default_rng(1)
    table["age_true"] = np.round(table["age_true"] + rng.random(9000), 2)  # not whole years only
    table.loc[rng.random(9000) < 0.02, "age_pred"] = np.nan
    table.loc[:40, "age_pred"] = np.where(np.arange(41) % 2, 18.0, 17.999)
    return table


def test_counts_are_exactly_those_of_the_rows(faces):
    table = limits_of(faces)
    read = faces[np.isfinite(faces["age_pred"])]
    for row in table.itertuples():
        mine = read[read["race"] == row.group]
        under, read_under = (mine[c] < row.threshold for c in ("age_true", "age_pred"))
        assert (row.below_n, row.above_n) == (under.sum(), (~under).sum())
        if under.sum() >= 10:
            assert row.accepted * row.below_n == pytest.approx((under & ~read_under).sum())
        else:
            assert np.isnan(row.accepted)
        if (~under).sum() >= 10:
            assert row.rejected * row.above_n == pytest.approx((~under & read_under).sum())
    assert len(table) == len(LIMITS) * read["race"].nunique()


def test_intervals_are_wilsons_where_every_row_is_a_person(faces):
    rows = limits_of(faces)
    rows = rows[(rows["below_n"] >= 10) & (rows["above_n"] >= 10)]
    for rate, n in (("accepted", "below_n"), ("rejected", "above_n")):
        low, high = proportion_confint(rows[rate] * rows[n], rows[n], method="wilson")
        np.testing.assert_allclose(rows[f"{rate}_low"], low, atol=1e-12)
        np.testing.assert_allclose(rows[f"{rate}_high"], high, atol=1e-12)


def test_repeated_photos_change_no_interval(faces):
    once = faces.assign(subject_id=faces["sample_id"])
    twice = pd.concat([once, once.assign(sample_id=once["sample_id"] + 10_000)])
    a, b = limits_of(once), limits_of(twice)
    assert (b["below_n"] == 2 * a["below_n"]).all()
    for end in ("accepted", "accepted_low", "accepted_high", "rejected_low", "rejected_high"):
        np.testing.assert_allclose(a[end], b[end], rtol=1e-9)


def test_a_group_read_too_young_is_turned_away_more_often():
    table = synthetic_predictions(9000, seed=2)
    black = table["race"] == "Black"
    table["age_pred"] -= 4 * black
    rows = limits_of(table).set_index(["group", "threshold"])
    assert rows.loc[("Black", 21), "rejected"] > rows.loc[("White", 21), "rejected_high"]
    assert rows.loc[("Black", 21), "accepted"] < rows.loc[("White", 21), "accepted_low"]
