"""Two cohorts side by side: pandas, scipy and the audit's own resampling are the judges."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audit import AuditSettings, InputError, run_audit
from audit.apart import means_apart, quantiles_apart, rare_shares_apart
from audit.cohorts import FOUND, KEYS, compare
from audit.evidence import newcombe
from audit.resample import Ratios, replicate
from audit.rows import EVERYONE, Cohort, faces_of, open_rows, rest_of
from audit.shards import SHARDS, key_of, shard_of
from audit.synthetic import Plant, synthetic_predictions

BLACK = Cohort("Black", {"race": ("Black",)})
OLD = Cohort("old", {"age_group": ("60-69", "70+")})


def audited(folder, table):
    result = run_audit(table, settings=AuditSettings(depth=1), out=folder)
    return open_rows(folder), result


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    planted = [Plant({"race": "Black"}, age_scale=1.5, flips=0.1)]
    table = synthetic_predictions(3000, seed=4, planted=planted)
    return audited(tmp_path_factory.mktemp("audit"), table)


def rows_of(rows, cohort):
    faces = pd.read_parquet(rows.path)
    held = np.ones(len(faces), dtype=bool)
    for column, levels in cohort.where.items():
        held &= faces[column].isin(levels).to_numpy()
    return faces[~held if cohort.inverted else held]


def metric_of(faces, key):
    """Each metric in one line of pandas."""
    female, male = faces[faces.gender_true == "female"], faces[faces.gender_true == "male"]
    inside = faces.age_true.between(faces.age_low, faces.age_high)
    truth = (faces.gender_true == "female").astype(float)
    return {
        "age_mae": faces.error.abs().mean(),
        "age_me": faces.error.mean(),
        "age_cs5": (faces.error.abs() <= 5).mean(),
        "age_p90": np.ceil(10 * faces.error.abs().quantile(0.9, "inverted_cdf") - 1e-9) / 10,
        "gender_accuracy": (faces.gender_true == faces.gender_pred).mean(),
        "gender_tpr": (female.gender_pred == "female").mean(),
        "gender_fpr": (male.gender_pred == "female").mean(),
        "gender_brier": ((truth - faces.gender_score) ** 2).mean(),
        "interval_coverage": inside.mean(),
        "interval_width": (faces.age_high - faces.age_low).mean(),
    }[key]


PAIRS = [(BLACK, rest_of(BLACK)), (BLACK, EVERYONE), (BLACK, OLD), (rest_of(OLD), BLACK)]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda c: c.name)
def test_values_and_differences_are_those_of_the_rows(audit, first, second):
    rows, result = audit
    found = compare(rows, first, second, info=result.info)
    a, b = rows_of(rows, first), rows_of(rows, second)
    assert found.table.metric.tolist() == list(KEYS)
    for row in found.table.itertuples():
        values = metric_of(a, row.metric), metric_of(b, row.metric)
        assert (row.first_value, row.second_value) == pytest.approx(values, abs=2e-5)
        assert row.difference == pytest.approx(values[0] - values[1], abs=4e-5)
        assert row.difference_low <= row.difference <= row.difference_high
    assert found.faces == (len(a), len(b))
    assert found.shared == len(set(a.sample_id) & set(b.sample_id))
    assert found.unshared == len(set(a.sample_id) ^ set(b.sample_id))


def test_a_cohort_that_is_a_group_has_the_groups_own_figures(audit):
    rows, result = audit
    table = compare(rows, BLACK, rest_of(BLACK), info=result.info).table.set_index("metric")
    told = result.subgroups[
        (result.subgroups.feature == "race") & (result.subgroups.group == "Black")
    ]
    told = told.set_index("metric").loc[list(KEYS)]
    for mine, theirs in (("value", "value"), ("low", "low"), ("high", "high"), ("n", "n")):
        assert table[f"first_{mine}"].to_numpy() == pytest.approx(told[theirs].to_numpy())


def test_what_is_planted_is_found_and_what_is_not_is_not(audit):
    rows, result = audit
    verdicts = compare(rows, BLACK, rest_of(BLACK), info=result.info).table.set_index("metric")
    assert verdicts.verdict["age_mae"] == FOUND
    assert verdicts.verdict["gender_accuracy"] == FOUND
    assert verdicts.verdict["interval_width"] == "no difference found within margin"
    assert (verdicts.p_adjusted >= verdicts.p_value).all()


def test_a_part_against_everyone_is_judged_as_against_the_rest(audit):
    """The two differences are in a fixed ratio, so the same p and the same verdicts follow."""
    rows, result = audit
    rest, whole = (
        compare(rows, BLACK, other, info=result.info).table for other in (rest_of(BLACK), EVERYONE)
    )
    share = 1 - len(rows_of(rows, BLACK)) / rows.total
    means = ["age_mae", "age_me", "interval_width", "gender_brier"]
    a, b = (t.set_index("metric").loc[means] for t in (rest, whole))
    assert b.difference.to_numpy() == pytest.approx(share * a.difference.to_numpy())
    assert b.p_value.to_numpy() == pytest.approx(a.p_value.to_numpy(), abs=0.02)


def test_few_people_are_shown_and_not_compared_and_fewer_are_not_shown(tmp_path):
    table = synthetic_predictions(600, seed=2)
    table["site"] = ["a"] * 9 + ["b"] * 20 + ["c"] * 571
    rows, result = audited(tmp_path, table)
    site = {s: Cohort(s, {"site": (s,)}) for s in "abc"}
    hidden = compare(rows, site["a"], site["c"], info=result.info).table
    assert hidden.first_value.isna().all()
    assert hidden.difference.isna().all()
    few = compare(rows, site["b"], site["c"], info=result.info).table.set_index("metric")
    assert few.first_status["age_mae"] == "few"
    assert few.first_value["age_mae"] > 0
    assert few.difference.isna().all()
    assert set(few.verdict) == {"insufficient evidence"}


def test_cohorts_that_differ_by_few_people_give_no_difference(tmp_path):
    """Else the value of nine people could be worked out from two cohorts of hundreds."""
    table = synthetic_predictions(600, seed=2)
    table["site"] = ["a"] * 9 + ["c"] * 591
    rows, result = audited(tmp_path, table)
    found = compare(rows, Cohort("c", {"site": ("c",)}), EVERYONE, info=result.info)
    assert found.unshared == 9
    assert found.table.difference.isna().all()
    same = compare(rows, BLACK, BLACK, info=result.info)
    assert (same.unshared, same.shared) == (0, same.faces[0])
    assert same.table.difference.isna().all()


def test_nobody_is_a_cohort_without_figures(audit):
    rows, result = audit
    found = compare(rows, Cohort("no one", {"race": ("Martian",)}), BLACK, info=result.info)
    assert found.faces[0] == 0
    assert set(found.table.first_status) == {"undefined"}
    assert found.table.difference.isna().all()


def test_what_may_not_be_claimed_is_not_tested(audit):
    rows, result = audit
    wrong = compare(rows, Cohort("wrong", {"gender_call": ("wrong",)}), EVERYONE, info=result.info)
    assert wrong.chosen_by == ("gender_call",)
    assert wrong.table.verdict.isna().all()
    ages = compare(rows, OLD, rest_of(OLD), info=result.info).table.set_index("metric")
    assert ages.verdict[["age_me"]].isna().all()
    assert ages.verdict["age_mae"] is not None
    women = Cohort("women", {"gender_true": ("female",)})
    genders = compare(rows, women, rest_of(women), info=result.info).table.set_index("metric")
    assert "gender_brier" not in genders.index
    assert genders.verdict[["gender_tpr"]].isna().all()
    black, white = (
        Cohort(r, {"race": (r,), "gender_true": ("female",)}) for r in ("Black", "White")
    )
    within = compare(rows, black, white, info=result.info).table.set_index("metric")
    assert within.verdict["gender_tpr"] == FOUND  # of women, by race: flipped in one


def test_faces_that_lack_a_value_belong_to_everyone_else(tmp_path):
    table = synthetic_predictions(300, seed=6)
    rows, result = audited(tmp_path, table)
    faces = pd.read_parquet(rows.path)
    faces["race"] = faces.race.astype("str").where(np.arange(300) >= 50)
    faces.to_parquet(rows.path)
    found = compare(open_rows(tmp_path), BLACK, rest_of(BLACK), info=result.info)
    assert sum(found.faces) == 300


@pytest.mark.parametrize("cohort", [BLACK, rest_of(OLD), EVERYONE], ids=lambda c: c.name)
def test_the_faces_of_a_cohort_are_listed_in_order(audit, cohort):
    rows, _ = audit
    wanted = rows_of(rows, cohort).sort_values("sample_id")
    listed = faces_of(rows, cohort)
    assert list(listed) == list(rows.columns)
    for column in ("sample_id", "error", "race", "age_group"):
        assert listed[column].tolist() == wanted[column].tolist()


def test_a_folder_that_holds_a_part_of_the_faces_is_refused(audit):
    rows, result = audit
    with pytest.raises(InputError, match="the worst read among them"):
        compare(rows, BLACK, EVERYONE, info=result.info | {"rows_audited": rows.total + 1})


@pytest.mark.parametrize("drop", ["age", "gender", "score", "interval"])
def test_an_audit_without_a_head_is_compared_on_the_others(tmp_path, drop):
    table = synthetic_predictions(400, seed=3)
    gone = {
        "age": ["age_true", "age_pred", "age_low", "age_high"],
        "gender": ["gender_true", "gender_score"],
        "score": ["gender_score"],
        "interval": ["age_low", "age_high"],
    }[drop]
    if drop == "score":
        table["gender_pred"] = np.where(table.gender_score >= 0.5, "female", "male")
    rows, result = audited(tmp_path, table.drop(columns=gone))
    keys = set(compare(rows, BLACK, EVERYONE, info=result.info).table.metric)
    held = set(result.subgroups.metric[result.subgroups.value.notna()])
    assert keys == set(KEYS) & held


# The differences -----------------------------------------------------------------------------


def shard_sums(values, people, *, sides):
    """(top, bottom) [side, shard] of faces whose side(s) are masks."""
    shard = np.array([shard_of(key_of(str(p))) for p in people])
    add = [np.bincount(shard[s], values[s], minlength=SHARDS) for s in sides]
    rows = [np.bincount(shard[s], minlength=SHARDS) for s in sides]
    return np.array(add, float), np.array(rows, float)


def test_sides_that_share_nothing_are_compared_as_a_group_and_its_rest():
    rng = np.random.default_rng(8)
    values, first = rng.exponential(500, 900).round(), np.arange(900) < 200
    top, bottom = shard_sums(values, np.arange(900), sides=(first, ~first))
    mine = means_apart(top, bottom, scale=100)
    (judge,) = replicate([Ratios(top, bottom, np.array([True, False]), "mean", 100.0)])
    low, high = judge.interval(0.05)
    assert mine.difference == pytest.approx(judge.difference[0])
    # the judge may have drawn more replicates
    assert (mine.low, mine.high) == pytest.approx((low[0], high[0]), rel=0.05)
    assert mine.p_value == pytest.approx(judge.p_value, abs=0.01)


def test_shared_faces_and_shared_people_are_carried_along():
    """Against a bootstrap of the people themselves, three photos each, on both sides."""
    rng = np.random.default_rng(9)
    person = np.repeat(np.arange(400), 3)
    values = (rng.exponential(300, 400)[person] + rng.exponential(200, 1200)).round()
    first, second = rng.random(1200) < 0.6, rng.random(1200) < 0.6
    mine = means_apart(*shard_sums(values, person, sides=(first, second)))
    drawn = rng.integers(0, 400, (4000, 400))
    counts = np.stack([np.bincount(d, minlength=400) for d in drawn])
    sums = [
        (np.bincount(person[s], values[s], 400), np.bincount(person[s], minlength=400))
        for s in (first, second)
    ]
    ratios = [(counts @ top) / (counts @ rows) for top, rows in sums]
    low, high = np.quantile(ratios[0] - ratios[1], [0.025, 0.975])
    assert mine.high - mine.low == pytest.approx(high - low, rel=0.1)
    apart = np.hypot(*(values[s].std() / np.sqrt(s.sum()) for s in (first, second)))
    assert mine.high - mine.low < 0.85 * 2 * 1.96 * apart, "as if the sides were strangers"


def test_percentiles_apart_agree_with_a_bootstrap_of_the_faces():
    rng = np.random.default_rng(10)
    bins = rng.integers(0, 200, 3000)
    first = rng.random(3000) < 0.3
    shard = rng.integers(0, SHARDS, 3000)
    counts = np.zeros((2, SHARDS, 200), np.float32)
    np.add.at(counts, ((~first).astype(int), shard, bins), 1)
    mine = quantiles_apart(counts, np.arange(200) / 10, 0.9)
    a, b = bins[first], bins[~first]
    judge = [
        np.quantile(rng.choice(a, len(a)), 0.9) - np.quantile(rng.choice(b, len(b)), 0.9)
        for _ in range(2000)
    ]
    low, high = np.quantile(judge, [0.025, 0.975]) / 10
    assert (mine.low, mine.high) == pytest.approx((low, high), abs=0.35)


def test_rare_events_have_newcombes_interval_and_the_p_value_belongs_to_it():
    mine = rare_shares_apart(
        np.array([3.0, 0, 40]), np.array([60.0, 0, 500]), np.array([60.0, 0, 500])
    )
    one = np.ones(1)
    low, high = newcombe(one * 3 / 60, one * 60, one * 40 / 500, one * 500, alpha=0.05)
    assert (mine.low, mine.high) == pytest.approx((low[0], high[0]))
    at = newcombe(one * 3 / 60, one * 60, one * 40 / 500, one * 500, alpha=mine.p_value)
    assert at[1][0] == pytest.approx(0, abs=1e-9)
    nested = rare_shares_apart(
        np.array([0, 3.0, 40]), np.array([0, 60.0, 500]), np.array([0, 60.0, 500])
    )
    assert nested.p_value == pytest.approx(mine.p_value)
    assert nested.difference == pytest.approx(mine.difference * 500 / 560)
    none = rare_shares_apart(np.zeros(3), np.array([50.0, 10, 60]), np.array([50.0, 10, 60]))
    assert (none.difference, none.p_value) == (0, 1)
    assert none.low < 0 < none.high


def test_where_nothing_differs_a_difference_is_found_no_more_often_than_the_level():
    """300 draws of two overlapping sets of 90 and 150 people with two photos each."""
    rng = np.random.default_rng(11)
    draws, false = 300, {"mean": 0, "share": 0}
    for _ in range(draws):
        person = np.repeat(np.arange(200), 2)
        first, second = person < 90, person >= 50
        values = (abs(rng.standard_t(4, 200))[person] + abs(rng.standard_t(4, 400))) * 250
        hits = (rng.random(200)[person] + rng.random(400) < 1.2).astype(float)
        for name, what in (("mean", values.round()), ("share", hits)):
            found = means_apart(*shard_sums(what, person, sides=(first, second)))
            false[name] += found.p_value <= 0.05
    most = stats.binom.ppf(0.999, draws, 0.05)
    assert max(false.values()) <= most, false
    assert min(false.values()) >= stats.binom.ppf(0.001, draws, 0.05), false
