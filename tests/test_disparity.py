"""Disparity records from end to end of the tally: planted groups, laws, what is never tested."""

import numpy as np
import pandas as pd
import pytest
from pandas_tally import FEATURES, some_faces, tally_of, with_groups
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from audit.config import AuditSettings
from audit.disparity import Asked, weigh_disparities
from audit.evidence import holm
from audit.fairness import audited_metrics, disaggregate, is_tested, metrics_of
from audit.groups import gather
from audit.histogram_tests import area_record, areas_compared
from audit.resample import replicate
from audit.result import table

RACE, GENDER, AGE = FEATURES


def asked_of(tally, parts):
    groups = gather(tally, parts)
    keys = audited_metrics(gather(tally, ()))
    by_age = None if AGE in parts else gather(tally, (*parts, AGE))
    return Asked(groups, disaggregate(groups, metrics_of(groups.parts, keys)), lambda: by_age)


def weighed(faces, *crossings, people_given=False, **settings):
    tally = tally_of(faces, people_given=people_given)
    asked = [asked_of(tally, parts) for parts in crossings or ((RACE,), (GENDER,), (AGE,))]
    records = weigh_disparities(asked, settings=AuditSettings(**settings))
    return table("disparities", records).set_index(["feature", "metric"])


def planted(n=4000, *, seed=0, add=0.0, factor=1.0):
    faces = some_faces(n, seed=seed)
    black = faces["race"] == "Black"
    faces.loc[black, "error"] = np.round(faces.loc[black, "error"] * factor + add, 2)
    return faces


def test_a_planted_group_is_a_disparity_with_its_size_in_its_interval():
    found = weighed(planted(factor=1.5)).loc["race", "age_mae"]
    faces = planted(factor=1.5)
    mae = faces["error"].abs().groupby(faces["race"] == "Black").mean()
    assert found["verdict"] == "disparity"
    assert found["outlying_group"] == found["highest_group"] == "Black"
    assert found["outlying_difference"] == pytest.approx(mae[True] - mae[False])
    assert found["outlying_low"] < mae[True] - mae[False] < found["outlying_high"]
    assert found["spread_low"] > 0
    assert found["noise_gap"] < found["difference"]


def test_a_planted_shift_is_a_signed_finding_standardised_for_age():
    found = weighed(planted(add=2.0)).loc["race", "age_me"]
    assert found["verdict"] == "disparity"
    assert found["standardised_p"] < 0.01
    assert found["standardised_difference"] == pytest.approx(found["difference"], abs=0.5)
    assert abs(found["composition"]) < 0.3


def test_the_outlying_group_is_told_at_one_age_mix_with_an_interval_that_holds_its_shift():
    found = weighed(planted(add=2.0)).loc["race", "age_me"]
    assert found["outlying_group"] == "Black"
    low, high = found["outlying_standardised_low"], found["outlying_standardised_high"]
    assert low < found["outlying_standardised"] < high
    assert 0 < low < 2 < high
    assert found["standardised_p"] < found["standardised_p_adjusted"] < 0.04


def test_ages_with_too_few_faces_of_a_group_are_left_out_of_the_standard_and_named():
    faces = some_faces(4000, seed=12)
    faces = faces[~((faces["race"] == "Black") & (faces["age_true"] >= 70))]
    found = weighed(faces, (RACE,)).loc["race", "age_mae"]
    assert found["ages_left_out"] == "70+"
    assert weighed(some_faces(4000, seed=12), (RACE,)).loc["race", "age_mae"]["ages_left_out"] == ""


def test_where_calls_hardly_miss_the_interval_is_newcombes_and_the_least_difference_is_told():
    """One of three groups at a time, at a third of the level; by hand from the counts."""
    faces = some_faces(4000, seed=3)
    female = (faces["gender_true"] == "female").to_numpy()
    wrong = {"Asian": 1, "Black": 6, "White": 1}
    missed = np.concatenate([faces.index[faces["race"] == r][:k] for r, k in wrong.items()])
    score = np.where(female ^ faces.index.isin(missed), 0.9, 0.1)
    records = weighed(faces.assign(score=score), (RACE,))
    found = records.loc["race", "gender_accuracy"]
    n = faces["race"].value_counts()
    hits = n - pd.Series(wrong)
    rest, m = hits.sum() - hits, n.sum() - n
    low, high = confint_proportions_2indep(
        hits["Black"], n["Black"], rest["Black"], m["Black"], method="newcomb", alpha=0.05 / 3
    )
    assert found["outlying_group"] == "Black"
    assert (found["outlying_low"], found["outlying_high"]) == pytest.approx((low, high))
    tests = records[["p_value", "standardised_p"]].notna().sum().sum()
    least, k = found["detectable"], norm.isf(0.04 / tests / 6) + 0.84
    off = hits - least * n  # so many hits a group would have that lies so far below
    a, b = (off + 1) / (n + 2), (rest + 1) / (m + 2)
    error = np.sqrt(a * (1 - a) / (n + 2) + b * (1 - b) / (m + 2)).max()
    assert least == pytest.approx(k * error)


def test_what_unequal_ages_add_is_told_from_the_highest_group_to_the_lowest():
    """Kitagawa by hand from the rows: Black faces are older, and the old are read worse."""
    faces = some_faces(6000, seed=13)
    young = faces["age_true"] < 40
    faces = faces[~((faces["race"] == "Black") & young & (faces.index % 4 > 0))]
    faces = faces.assign(error=np.round(faces["error"] * (1 + faces["age_true"] / 20), 2))
    found = weighed(faces, (RACE,)).loc["race", "age_mae"]
    rows = with_groups(faces).assign(off=faces["error"].abs())
    mae, n = (rows.pivot_table("off", "race", "age_group", how) for how in ("mean", "count"))
    share = n.div(n.sum(axis=1), axis=0)
    high, low = found["highest_group"], found["lowest_group"]
    by_hand = ((share.loc[high] - share.loc[low]) * (mae.loc[high] + mae.loc[low]) / 2).sum()
    assert high == "Black"
    assert found["composition"] == pytest.approx(by_hand, abs=0.02)
    assert by_hand > 0.5


def test_cochrans_q_stands_beside_the_p_of_every_tested_mean():
    found = weighed(planted(factor=1.5))
    assert found.loc[("race", "age_mae"), "cochran_p"] < 0.001
    assert found.loc[("gender_true", "age_mae"), "cochran_p"] > 0.001
    told = found[found["p_value"].notna()]
    assert (told["cochran_q"] >= 0).all()
    assert told["cochran_p"].between(0, 1).all()


def test_other_claims_beside_raise_the_price_of_every_record():
    faces = planted(factor=1.3)
    tally = tally_of(faces, people_given=False)
    asked, chosen = [asked_of(tally, (RACE,))], AuditSettings()
    alone, beside = (
        table("disparities", weigh_disparities(asked, settings=chosen, beside=p))
        for p in ((), [0.5] * 30)
    )
    tested = alone["p_value"].notna()
    assert (beside["p_adjusted"] >= alone["p_adjusted"])[tested].all()
    assert beside["p_adjusted"].min() > alone["p_adjusted"].min()
    assert (beside["detectable"] > alone["detectable"])[alone["detectable"].notna()].all()


def test_equal_groups_are_cleared_where_faces_are_many_and_left_open_where_few():
    many = weighed(some_faces(12_000, seed=1), (GENDER,)).loc["gender_true", "age_mae"]
    few = weighed(some_faces(150, seed=1), (GENDER,)).loc["gender_true", "age_mae"]
    assert many["verdict"] == "no disparity found"
    assert few["verdict"] == "insufficient evidence"
    assert many["detectable"] < 1 < few["detectable"]


def test_adjusted_p_is_holms_over_every_tested_record():
    found = weighed(planted(factor=1.3))
    adjusted = holm(found[["p_value", "standardised_p"]].to_numpy().T.ravel())
    own, at_one_mix = adjusted.reshape(2, -1)
    np.testing.assert_allclose(found["p_adjusted"], own, rtol=1e-6)
    np.testing.assert_allclose(found["standardised_p_adjusted"], at_one_mix, rtol=1e-6)
    is_called = found["verdict"] == "disparity"
    assert (is_called == (found["p_adjusted"] < 0.04)).all()


def test_what_is_no_claim_is_never_tested():
    found = weighed(some_faces(2000), (RACE,), (GENDER,), (AGE,), (RACE, GENDER), (RACE, AGE))
    for (feature, key), row in found.iterrows():
        if not is_tested(feature.split(" × "), key):
            assert pd.isna(row["verdict"])
            assert np.isnan(row[["p_value", "p_adjusted", "detectable"]].astype(float)).all()
        elif row["groups_compared"] >= 2:
            assert 0 < row["p_value"] <= row["p_adjusted"] <= 1
    assert pd.isna(found.loc[("age_group", "age_me"), "verdict"])
    assert pd.isna(found.loc[("race", "gender_ece"), "verdict"])


def test_groups_of_few_leave_insufficient_evidence_and_no_test():
    faces = some_faces(400, seed=3)
    faces = faces[(faces["race"] == "White") | (faces.groupby("race").cumcount() < 20)]
    found = weighed(faces, (RACE,)).loc["race", "age_mae"]
    assert found["verdict"] == "insufficient evidence"
    assert np.isnan(found["p_value"])


def test_the_order_of_rows_changes_nothing():
    faces = some_faces(1500, seed=4)
    pd.testing.assert_frame_equal(weighed(faces), weighed(faces.sample(frac=1, random_state=1)))


def test_photos_repeated_under_their_person_change_no_test_of_sums():
    faces = some_faces(1200, seed=5)
    twice = pd.concat([faces, faces])
    once, both = (weighed(f, (RACE,), people_given=True) for f in (faces, twice))
    columns = ["p_value", "standardised_p", "outlying_low", "outlying_high"]
    for key in [k for k in once.index if k[1] != "gender_ece"]:
        columns = columns[:1] if key[1] == "age_p90" else columns  # its interval counts in ranks
        a, b = (f.loc[key, columns].astype(float).to_numpy() for f in (once, both))
        np.testing.assert_allclose(a, b, rtol=0.03, atol=0.003, err_msg=str(key))


def test_the_difference_of_rare_events_is_that_of_all_faces_however_often_people_repeat():
    faces = some_faces(400, seed=6, photos=5)
    once = (faces["race"] == "Black") & faces.duplicated("subject")
    faces = faces[~once].assign(width=faces["width"] * 2.5)
    found = weighed(faces, (RACE,), people_given=True).loc["race", "interval_coverage"]
    held = with_groups(faces)["iv_hit"].astype(float)
    own = faces["race"] == found["outlying_group"]
    difference = held[own].mean() - held[~own].mean()
    assert (~held[own].astype(bool)).sum() < 40  # few enough misses for the exact test
    assert found["outlying_difference"] == pytest.approx(difference, abs=1e-9)


def test_nearly_all_faces_are_no_disparity_beside_a_few_without_a_single_event():
    faces = some_faces(3000, seed=8).sort_values("subject")
    faces["race"] = np.where(np.arange(3000) < 40, "Black", "White")
    missed = np.random.default_rng(8).random(3000) < np.where(faces["race"] == "White", 0.03, 0)
    faces["score"] = np.where((faces["gender_true"] == "female") != missed, 0.9, 0.1)
    found = weighed(faces, (RACE,)).loc["race", "gender_accuracy"]
    assert found["p_value"] > 0.3  # no miss among 40 is what three in a hundred make
    assert found["verdict"] == "insufficient evidence"


@pytest.mark.parametrize("metric", ["gender_brier", "age_rmse"])
def test_a_few_whom_large_losses_spare_are_no_disparity(metric):
    """Three in a hundred are far off, and none of forty by chance: nor at one age mix."""
    faces = some_faces(3000, seed=8).sort_values("subject").assign(age_true=35.0)
    faces["race"] = np.where(np.arange(3000) < 40, "Black", "White")
    rng = np.random.default_rng(8)
    far = rng.random(3000) < np.where(faces["race"] == "White", 0.03, 0)
    faces["error"] = np.round(np.where(far, 40, 1) * rng.normal(size=3000), 2)
    right = rng.uniform(0.9, 1, 3000)
    faces["score"] = np.where((faces["gender_true"] == "female") != far, right, 1 - right)
    found = weighed(faces, (RACE,)).loc["race", metric]
    assert found[["p_value", "standardised_p"]].min() > 0.04
    assert found["verdict"] == "insufficient evidence"


def test_five_photos_of_a_person_are_not_five_people():
    faces = some_faces(400, seed=6, photos=5)
    rows = faces.assign(subject=range(len(faces)))
    ends = ["outlying_low", "outlying_high"]
    people, alone = (
        weighed(f, (RACE,), people_given=True).loc["race", "age_cs5"][ends] for f in (faces, rows)
    )
    assert np.ptp(people.astype(float)) > 1.2 * np.ptp(alone.astype(float))


def test_settings_choose_seed_margin_and_alpha():
    faces = some_faces(1500, seed=7)
    first, second = weighed(faces), weighed(faces, seed=1)
    assert (first["p_value"].dropna() != second["p_value"].dropna()).any()
    wide = weighed(faces, margins={"age_mae": 50.0}).loc["race", "age_mae"]
    assert wide["verdict"] == "no disparity found"


def test_percentiles_are_told_in_years_and_a_planted_one_is_found():
    found = weighed(planted(factor=1.6, seed=9)).loc["race", "age_p90"]
    faces = planted(factor=1.6, seed=9)
    black = faces["race"] == "Black"
    p90 = [np.quantile(faces.loc[m, "error"].abs(), 0.9) for m in (black, ~black)]
    assert found["verdict"] == "disparity"
    assert found["outlying_group"] == "Black"
    assert found["outlying_difference"] == pytest.approx(p90[0] - p90[1], abs=0.2)


def areas(groups):
    everyone = np.ones(len(groups.names), bool)
    [found] = replicate([area_record(groups, everyone)])
    return areas_compared(found, groups, everyone, alpha=0.05)


def test_areas_differ_from_the_rest_as_scikit_learn_says():
    faces = some_faces(4000, seed=10)
    black = (faces["race"] == "Black").to_numpy()
    faces.loc[black, "score"] = 0.5 + (faces.loc[black, "score"] - 0.5) * 0.2
    turned = black & (np.random.default_rng(0).random(len(faces)) < 0.3)
    faces.loc[turned, "score"] = 1 - faces.loc[turned, "score"]
    groups = gather(tally_of(faces, people_given=False), (RACE,))
    found = areas(groups)
    female = faces["gender_true"] == "female"
    area = [roc_auc_score(female[m], faces.loc[m, "score"]) for m in (black, ~black)]
    g = groups.names.index("Black")
    assert found.difference[g] == pytest.approx(area[0] - area[1], abs=2e-3)
    assert found.low[g] < found.difference[g] < found.high[g] < 0
    assert found.p_value < 0.001


def test_areas_of_equal_groups_seldom_differ():
    rejected = []
    for seed in range(60):
        groups = gather(tally_of(some_faces(700, seed=seed), people_given=False), (RACE,))
        rejected.append(areas(groups).p_value <= 0.05)
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
