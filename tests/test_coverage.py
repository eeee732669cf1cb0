"""Coverage of age intervals, by group."""

import numpy as np
import pytest
from pandas_tally import FEATURES, RACES, some_faces, tally_of
from statsmodels.stats.proportion import proportion_confint

from audit.coverage import NOMINAL, coverage_table
from audit.fairness import audited_metrics, disaggregate, subgroup_table
from audit.groups import gather
from audit.pit import crps


def covered(faces, **how):
    tally = tally_of(faces, people_given=False)
    groups = gather(tally, FEATURES[:1])
    keys = how.get("keys", audited_metrics(groups))
    mine = subgroup_table(groups, disaggregate(groups, keys))
    return coverage_table(mine, groups, crps(groups, tally, FEATURES[:1]))


def test_coverage_and_width_are_those_of_the_rows_with_wilsons_interval():
    faces = some_faces(2000, seed=4)
    records = covered(faces)
    assert [r["group"] for r in records] == list(RACES)
    for r in records:
        mine = faces[faces.race == r["group"]]
        hits = (mine.error.abs() <= mine.width / 2).sum()
        assert r["coverage"] == pytest.approx(hits / len(mine))
        assert (r["low"], r["high"]) == pytest.approx(
            proportion_confint(hits, len(mine), method="wilson")
        )
        assert r["width"] == pytest.approx(mine.width.mean())
        assert (r["level"], r["n"]) == (NOMINAL, len(mine))


def test_an_overconfident_group_lies_below_and_the_others_do_not():
    faces = some_faces(6000, seed=4)
    half = np.quantile(faces.error.abs(), 0.9)
    faces["width"] = np.round(2 * half * np.where(faces.race == "Black", 0.4, 1.02), 2)
    below = {r["group"]: r["high"] < NOMINAL for r in covered(faces)}
    assert below == {"Asian": False, "Black": True, "White": False}


def test_a_tiny_group_carries_n_alone():
    faces = some_faces(500)
    faces = faces[(faces.race != "Asian") | (faces.groupby("race").cumcount() < 9)]
    asian = covered(faces)[0]
    assert (asian["group"], asian["n"]) == ("Asian", 9)
    assert asian["low"] is None
    assert np.isnan(asian["coverage"])


def test_no_intervals_no_records():
    assert covered(some_faces(200), keys=("age_mae",)) == []
