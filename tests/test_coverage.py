"""Coverage of age intervals, by group."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scoringrules
from mapie.metrics.regression import regression_mwi_score
from pandas_tally import FEATURES, RACES, some_faces, tally_of, with_groups
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from audit.config import NOMINAL
from audit.coverage import coverage_table
from audit.fairness import audited_metrics, disaggregate, subgroup_table
from audit.groups import gather
from audit.pit import crps


def covered(faces, *, without=(), people_given=False):
    tally = tally_of(faces, people_given=people_given)
    if without:
        names = [c for c in tally.cells if c.startswith(without)]
        tally = replace(tally, cells=tally.cells.assign(**dict.fromkeys(names, 0)))
    groups = gather(tally, FEATURES[:1])
    keys = audited_metrics(groups)
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


def test_photos_that_repeat_change_no_interval_of_scores_and_squared_z():
    """Of a few people, so that degrees of freedom matter."""
    faces = some_faces(120, seed=7)
    five = pd.concat([faces] * 5)
    once, again = (covered(f, people_given=True) for f in (faces, five))
    for a, b in zip(once, again, strict=True):
        assert b["n"] == 5 * a["n"]
        for key in ("winkler_low", "winkler_high", "z2_low", "z2_high", "below", "above"):
            assert a[key] == pytest.approx(b[key]), key


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
    assert np.isnan([asian["below"], asian["winkler"], asian["z2"], asian["crps"]]).all()
    assert np.isnan(asian["coverage"])


def test_misses_interval_score_and_squared_z_are_those_of_the_rows():
    faces = some_faces(2000, seed=5)
    rows = with_groups(faces)
    judge = scoringrules.interval_score(
        faces.age_true, faces.age_true + faces.error - faces.width / 2,
        faces.age_true + faces.error + faces.width / 2, 0.1,
    )  # fmt: skip
    for r in covered(faces):
        mine = (faces.race == r["group"]).to_numpy()
        late = faces.error[mine] > faces.width[mine] / 2
        assert r["below"] == pytest.approx(late.mean())
        assert r["below"] + r["above"] + r["coverage"] == pytest.approx(1)
        assert r["winkler"] == pytest.approx(judge[mine].mean(), abs=0.006)
        mapie = regression_mwi_score(
            faces.age_true[mine].to_numpy(),
            np.stack(
                [faces.age_true + faces.error + side * faces.width / 2 for side in (-1, 1)], axis=1
            )[mine][:, :, None],
            0.9,
        )
        assert r["winkler"] == pytest.approx(mapie, abs=0.006)
        z = (faces.error / rows["std"])[mine]
        assert r["z2"] == pytest.approx((z**2).mean(), abs=1e-4)
        low, high = stats.t.interval(0.95, mine.sum() - 1, r["z2"], stats.sem(z**2))
        assert (r["z2_low"], r["z2_high"]) == pytest.approx((low, high), rel=0.1)
        assert r["winkler_low"] < r["winkler"] < r["winkler_high"]


def test_crps_is_that_of_scoringrules():
    faces = some_faces(3000, seed=6)
    rows = with_groups(faces)
    judge = scoringrules.crps_normal(0.0, faces.error.to_numpy(), rows["std"].to_numpy())
    for r in covered(faces):
        assert r["crps"] == pytest.approx(
            judge[(faces.race == r["group"]).to_numpy()].mean(), rel=1e-3
        )


def test_no_intervals_no_records():
    assert covered(some_faces(200), without=("iv_", "std_")) == []


def test_standard_deviations_alone_are_judged_too():
    [*_, white] = covered(some_faces(400), without=("iv_",))
    assert white["coverage"] is None
    assert (white["n"], white["std_n"] > 100) == (0, True)
    assert white["z2_low"] < white["z2"] < white["z2_high"]
