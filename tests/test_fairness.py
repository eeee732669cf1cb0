"""Subgroups and disparities: fairlearn on the raw rows is the judge, laws are the law."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from pandas_tally import AGES, FEATURES, GENDERS, RACES, some_faces, tally_of, with_groups
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

import audit.fairness
from audit.fairness import (
    audited_metrics,
    disaggregate,
    disparity_table,
    is_tested,
    metrics_of,
    subgroup_table,
)
from audit.features import Feature
from audit.groups import gather
from audit.metrics import METRICS
from audit.result import table

MARGINS = {key: metric.margin for key, metric in METRICS.items()}
RACE, GENDER, AGE = FEATURES


def audited(faces, parts, *, features=FEATURES, people_given=True):
    tally = tally_of(faces, features, people_given=people_given)
    groups = gather(tally, parts)
    found = disaggregate(groups, metrics_of(groups.parts, audited_metrics(gather(tally, ()))))
    subgroups = table("subgroups", subgroup_table(groups, found))
    disparities = table("disparities", disparity_table(groups, found, margins=MARGINS))
    return subgroups, disparities


def row_metrics():
    """What each metric means on raw rows, written down a second time."""
    female = lambda f: f.gender_true == "female"  # noqa: E731
    called = lambda f: f.score >= 0.5  # noqa: E731
    return {
        "age_mae": lambda f: f.error.abs().mean(),
        "age_me": lambda f: f.error.mean(),
        "age_rmse": lambda f: np.sqrt((f.error**2).mean()),
        "age_cs5": lambda f: (f.error.abs() <= 5).mean(),
        "age_p90": lambda f: (
            np.ceil(np.quantile(f.error.abs(), 0.9, method="inverted_cdf") * 10 - 1e-9) / 10
        ),
        "gender_accuracy": lambda f: (female(f) == called(f)).mean(),
        "gender_tpr": lambda f: called(f)[female(f)].mean(),
        "gender_fpr": lambda f: called(f)[~female(f)].mean(),
        "gender_selection": lambda f: called(f).mean(),
        "gender_brier": lambda f: ((f.score - female(f)) ** 2).mean(),
        "gender_auc": lambda f: roc_auc_score(female(f), f.score),
        "interval_coverage": lambda f: (f.error.abs() <= f.width / 2).mean(),
        "interval_width": lambda f: f.width.mean(),
    }


def on_rows(faces, metric):
    return lambda at, _: float(metric(faces.loc[at]))


@pytest.fixture(scope="module")
def faces():
    return some_faces(6000, seed=3)


@pytest.mark.parametrize("parts", [(RACE,), (AGE,), (RACE, AGE)], ids=len)
def test_values_and_gaps_are_those_of_fairlearn_on_the_rows(faces, parts):
    subgroups, disparities = audited(faces, parts)
    rows = with_groups(faces)
    functions = {key: on_rows(faces, f) for key, f in row_metrics().items()}
    judge = MetricFrame(
        metrics=functions,
        y_true=faces.index,
        y_pred=faces.index,
        sensitive_features=rows[[f.name for f in parts]],
    )
    close = {"gender_brier": 1e-6, "gender_auc": 5e-4}
    gaps = disparities.set_index("metric")
    for key in functions:
        mine = subgroups[subgroups.metric == key].set_index("group")["value"]
        theirs = judge.by_group[key].dropna()
        names = [" × ".join(i) if isinstance(i, tuple) else i for i in theirs.index]
        np.testing.assert_allclose(
            mine[names], theirs, rtol=0, atol=close.get(key, 1e-9), err_msg=key
        )
        atol = 2 * close.get(key, 1e-9)
        assert gaps.difference[key] == pytest.approx(judge.difference()[key], abs=atol)
        if key != "age_me":
            assert gaps.ratio[key] == pytest.approx(judge.ratio()[key], abs=10 * atol)


def test_a_changed_metric_frame_changes_values_differences_and_ratios(faces, monkeypatch):
    before = audited(faces, (RACE,))

    class Changed(MetricFrame):
        @property
        def by_group(self):
            return super().by_group + 1000

        def difference(self, *args, **named):
            return super().difference(*args, **named) + 2000

        def ratio(self, *args, **named):
            return super().ratio(*args, **named) + 3000

    monkeypatch.setattr(audit.fairness, "MetricFrame", Changed)
    after = audited(faces, (RACE,))
    np.testing.assert_allclose(after[0].value - before[0].value, 1000)
    np.testing.assert_allclose(after[1].difference - before[1].difference, 2000)
    np.testing.assert_allclose((after[1].ratio - before[1].ratio).dropna(), 3000)


def test_groups_keep_their_own_order(faces):
    subgroups, _ = audited(faces, (AGE,))
    assert tuple(subgroups[subgroups.metric == "age_mae"].group) == AGES


def test_ages_as_levels_do_not_fall_into_the_order_of_spelling():
    odd = Feature("race", ("White", "Asian", "Black"))
    subgroups, _ = audited(some_faces(400), (odd,), features=(odd,))
    assert tuple(subgroups[subgroups.metric == "age_mae"].group) == odd.levels


def test_every_interval_holds_its_value(faces):
    for parts in ((), (RACE,), (RACE, AGE), (GENDER, AGE)):
        rows = audited(faces, parts)[0]
        shown = rows[rows.status.isin(["ok", "few"])]
        assert shown[["value", "low", "high"]].notna().all().all()
        assert (shown.low <= shown.value).all()
        assert (shown.value <= shown.high).all()


def test_status_hides_and_leaves_out_by_people(faces):
    few = faces[faces.race != "Asian"]
    tiny = pd.concat([few, faces[faces.race == "Asian"].head(9)])
    small = pd.concat([few, faces[faces.race == "Asian"].head(20)])
    for part, status in ((tiny, "suppressed"), (small, "few")):
        subgroups, disparities = audited(part, (RACE,))
        asian = subgroups[(subgroups.group == "Asian") & (subgroups.metric == "age_mae")].iloc[0]
        assert asian.status == status
        assert np.isnan(asian.value) == (status == "suppressed")
        assert asian.n == len(part) - len(few)
        mae = disparities[disparities.metric == "age_mae"].iloc[0]
        assert {mae.lowest_group, mae.highest_group} == {"Black", "White"}
        assert mae.groups_compared == 2


def test_a_small_wild_group_moves_no_gap(faces):
    calm = faces[faces.race != "Asian"]
    wild = faces[faces.race == "Asian"].head(25).assign(error=90.0)
    gaps = [
        audited(f, (RACE,))[1].set_index("metric").difference
        for f in (calm, pd.concat([calm, wild]))
    ]
    pd.testing.assert_series_equal(*gaps)


def test_true_positive_rate_without_females_is_undefined_not_zero(faces):
    subgroups, disparities = audited(faces, (GENDER,))
    male = subgroups[(subgroups.metric == "gender_tpr") & (subgroups.group == "male")].iloc[0]
    assert (male.status, male.n) == ("undefined", 0)
    assert np.isnan(male.value)
    assert "gender_tpr" not in set(disparities.metric), "one group left is no comparison"


def test_one_group_gives_no_disparity(faces):
    assert audited(faces[faces.race == "Black"], (RACE,))[1].empty


def test_two_groups_of_few_people_are_insufficient_evidence(faces):
    part = pd.concat([faces[faces.race == race].head(20) for race in RACES])
    row = audited(part, (RACE,))[1].set_index("metric").loc["age_mae"]
    assert row.verdict == "insufficient evidence"
    assert np.isnan(row.difference)
    assert row.groups_compared == 0


def test_what_is_no_claim_has_no_verdict_even_where_groups_are_few(faces):
    for people, parts, key in ((40, (RACE, GENDER), "gender_tpr"), (20, (RACE,), "gender_ece")):
        part = pd.concat([faces[faces.race == race].head(people) for race in RACES])
        row = audited(part, parts)[1].set_index("metric").loc[key]
        assert row.groups_compared < 2
        assert pd.isna(row.verdict)


def test_a_signed_metric_has_no_ratio(faces):
    _, disparities = audited(faces, (RACE,))
    ratio = disparities.set_index("metric").ratio
    assert np.isnan(ratio["age_me"])
    assert ratio.drop("age_me").notna().all()


def test_calibration_of_gender_is_never_split_by_true_gender(faces):
    for parts in ((GENDER,), (RACE, GENDER)):
        metrics = set(audited(faces, parts)[0].metric)
        assert not metrics & {"gender_brier", "gender_ece", "gender_auc"}
        assert "gender_accuracy" in metrics


def test_what_may_not_be_claimed_is_not_tested():
    untested = {
        (("age_group",), "age_me"),
        (("race", "age_group"), "age_me"),
        (("gender_true",), "gender_tpr"),
        (("race", "gender_true"), "gender_selection"),
        (("race",), "gender_ece"),
    }
    for parts, key in untested:
        assert not is_tested(parts, key)
    assert is_tested(("race",), "age_me")
    assert is_tested(("age_group",), "age_mae")
    assert is_tested(("race",), "gender_tpr")


def test_adding_a_constant_moves_the_signed_error_by_it(faces):
    moved = faces.assign(error=faces.error + 2.25)
    me = [
        audited(f, (RACE,))[0].set_index(["metric", "group"]).value["age_me"]
        for f in (faces, moved)
    ]
    np.testing.assert_allclose(me[1] - me[0], 2.25, atol=1e-12)


def turned(faces):
    other = dict(zip(GENDERS, GENDERS[::-1], strict=True))
    return faces.assign(gender_true=faces.gender_true.map(other), score=1 - faces.score)


def test_turning_gender_round_leaves_accuracy_error_and_area(faces):
    exact = faces.assign(score=np.round(faces.score * 0.98 + 0.011, 4))
    mine, theirs = (
        audited(f, (RACE,))[0].set_index(["metric", "group"]) for f in (exact, turned(exact))
    )
    for key in ("gender_accuracy", "gender_brier", "gender_ece", "gender_auc"):
        np.testing.assert_allclose(mine.value[key], theirs.value[key], atol=2e-4, err_msg=key)
    np.testing.assert_allclose(mine.value["gender_tpr"], 1 - theirs.value["gender_fpr"], atol=1e-12)


@pytest.mark.parametrize("photos", [1, 3])
def test_every_photo_twice_under_its_person_changes_no_interval(photos):
    once = some_faces(1500, seed=8, photos=photos)
    twice = pd.concat([once, once], ignore_index=True)
    for parts in ((), (RACE,), (RACE, AGE)):
        a, b = (audited(f, parts)[0] for f in (once, twice))
        both = (a.status != "suppressed") & (a.status == b.status)
        assert both.mean() > 0.9
        columns = ["value", "low", "high"]
        np.testing.assert_allclose(a.loc[both, columns], b.loc[both, columns], rtol=1e-9)


def test_photos_of_one_person_widen_the_interval():
    faces = some_faces(800, seed=2, photos=5)
    by_person = audited(faces, ())[0].set_index("metric")
    by_photo = audited(faces, (), people_given=False)[0].set_index("metric")
    for key in ("age_cs5", "age_p90"):
        wide, narrow = (t.high[key] - t.low[key] for t in (by_person, by_photo))
        assert wide > 1.25 * narrow, key


def test_intervals_of_single_photos_are_wilson_and_student(faces):
    rows = audited(faces, (RACE,), people_given=False)[0].set_index(["metric", "group"])
    for race in RACES:
        mine = faces[faces.race == race]
        hit = (mine.error.abs() <= 5).sum()
        low, high = proportion_confint(hit, len(mine), method="wilson")
        cs5 = rows.loc[("age_cs5", race)]
        assert (cs5.low, cs5.high) == pytest.approx((low, high), rel=1e-9)
        low, high = stats.t.interval(0.95, len(mine) - 1, mine.error.mean(), stats.sem(mine.error))
        me = rows.loc[("age_me", race)]
        assert (me.high - me.low) == pytest.approx(high - low, rel=0.1)


def test_metrics_of_a_missing_head_are_absent(faces):
    tally = tally_of(faces)
    for key in ("iv_n", "iv_hit", "iv_width", "score_n", "score_resid", "score_brier"):
        tally.cells[key] = 0
    keys = audited_metrics(gather(tally, ()))
    assert not {k for k in keys if METRICS[k].head in ("interval", "score")}
    assert {"age_mae", "gender_accuracy"} <= set(keys)
