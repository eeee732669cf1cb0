"""Proposals from whole tables: planted faults are mended, sound models left alone, laws hold."""

import numpy as np
import pandas as pd
import pytest

from audit.choosing import choose
from audit.config import AuditSettings
from audit.groups import OVERALL
from audit.halves import PREDICTED
from audit.predictions import open_predictions
from audit.proposals import propose
from audit.shards import shard_of
from audit.synthetic import Plant, synthetic_predictions
from audit.tally import merge_tallies, tally_predictions

HEADS = ("age", "interval", "gender", "score")
THREE = {"A": 0.5, "B": 0.3, "C": 0.2}
BY = AuditSettings(by=("race",))


def tally_of(table, settings=BY):
    return tally_predictions(open_predictions(table, settings), settings)


def proposed(table, settings=BY):
    proposals, records = propose(tally_of(table, settings), settings=settings)
    return {(p.head, p.method, p.scope): p for p in proposals}, pd.DataFrame(records)


def one(records, head, method, scope, metric, *, feature=OVERALL, group=OVERALL):
    found = records[
        (records["head"] == head)
        & (records["method"] == method)
        & (records["scope"] == scope)
        & (records["metric"] == metric)
        & (records["feature"] == feature)
        & (records["group"] == group)
    ]
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture(scope="module")
def faulty():
    """20,000 faces: of race B scores are shifted, ages read ten years too old, errors double."""
    plant = Plant({"race": "B"}, age_scale=2, age_shift=10, logit_shift=1.5)
    return proposed(synthetic_predictions(20_000, seed=1, races=THREE, planted=[plant]))


def test_a_shift_of_the_logit_is_found_by_the_map_of_its_group(faulty):
    maps, records = faulty
    own = maps["gender", "platt", "race"].groups
    assert own["B"]["offset"] == pytest.approx(-1.5, abs=0.25)
    assert own["A"]["offset"] == pytest.approx(0, abs=0.15)
    row = one(records, "gender", "platt", "race", "gender_brier", feature="race", group="B")
    assert row["high"] < 0
    together = one(records, "gender", "platt", "race", "gender_brier")
    assert together["after"] < one(records, "gender", "platt", OVERALL, "gender_brier")["after"]


def test_a_shift_of_ages_is_taken_off_the_group_that_has_it(faulty):
    _, records = faulty
    row = one(records, "age", "linear", "race", "age_me", feature="race", group="B")
    assert row["before"] == pytest.approx(10, abs=0.7)
    assert row["after"] == pytest.approx(0, abs=0.7)
    assert one(records, "age", "linear", "race", "age_mae")["high"] < 0


def test_by_group_every_group_is_covered_nine_times_in_ten(faulty):
    _, records = faulty
    for scope in ("race", PREDICTED):
        rows = records[(records["method"] == "mondrian") & (records["scope"] == scope)]
        rows = rows[(rows["metric"] == "interval_coverage") & (rows["n_judge"] > 1000)]
        assert len(rows) > 3
        noise = np.sqrt(0.09 * (1 / rows["n_fit"] + 1 / rows["n_judge"]))
        assert (np.abs(rows["after"] - 0.9) < 3 * noise).all(), rows[["group", "after"]]
        assert np.average(rows["after"], weights=rows["n_judge"]) == pytest.approx(0.9, abs=0.02)
    marginal = one(
        records, "interval", "conformal", OVERALL, "interval_coverage", feature="race", group="B"
    )
    assert marginal["after"] < 0.85


def test_what_is_judged_before_is_that_of_the_rows_of_the_other_half():
    table = synthetic_predictions(4000, seed=3, races=THREE)
    _, records = proposed(table)
    source = open_predictions(table, BY)
    judged = np.array([shard_of(int(i)) >= 500 for i in table["sample_id"]])
    assert source.rows_audited == len(table)
    mine = table[judged & (table["race"] == "A").to_numpy()]
    female = mine["gender_true"] == "female"
    expected = {
        ("gender", "platt", "gender_brier"): ((female - mine["gender_score"]) ** 2).mean(),
        ("age", "linear", "age_mae"): (mine["age_pred"] - mine["age_true"]).abs().mean(),
        ("interval", "conformal", "interval_coverage"): mine["age_true"]
        .between(mine["age_low"], mine["age_high"])
        .mean(),
        ("interval", "conformal", "interval_width"): (mine["age_high"] - mine["age_low"]).mean(),
    }
    for (head, method, metric), value in expected.items():
        row = one(records, head, method, OVERALL, metric, feature="race", group="A")
        assert row["n_judge"] == len(mine)
        assert row["before"] == pytest.approx(value, abs=5e-4 if head == "gender" else 0.01)


def test_groups_of_few_fall_back_to_the_map_of_everyone_and_say_so():
    table = synthetic_predictions(3000, seed=4, races={"A": 0.96, "B": 0.04})
    maps, records = proposed(table)
    for head, method in (("gender", "platt"), ("age", "linear"), ("interval", "mondrian")):
        assert maps[head, method, "race"].fell_back == ("B",)
        assert "B" not in maps[head, method, "race"].groups
    rows = records[(records["scope"] == "race") & (records["group"] == "B")]
    assert rows["fell_back"].all()
    assert one(records, "age", "linear", "race", "age_mae")["fell_back"], "some of all groups did"
    everyone = {r["head"]: r["n_fit"] for _, r in records.iterrows() if r["scope"] == OVERALL}
    assert (rows["n_fit"] == rows["head"].map(everyone)).all()
    same = one(records, "age", "linear", OVERALL, "age_mae", feature="race", group="B")
    fell = one(records, "age", "linear", "race", "age_mae", feature="race", group="B")
    assert (same["after"], same["low"]) == (fell["after"], fell["low"])


def test_no_map_asks_for_a_label():
    table = synthetic_predictions(2000, seed=5, races=THREE)
    maps, records = proposed(table, AuditSettings())
    assert not {"gender_true", "age_group"} & {scope for *_, scope in maps}
    scores = records[records["head"] == "gender"]
    assert not {"gender_true", "age_group", PREDICTED} & set(scores["feature"])


def test_too_few_people_bear_no_map():
    maps, records = proposed(synthetic_predictions(150, seed=6, races=THREE))
    assert not maps
    assert records.empty


def chosen(table, head):
    settings = AuditSettings(by=("gender_true",))
    proposals, records = propose(tally_of(table, settings), settings=settings)
    return choose(head, "best", proposals, records, per=None, heads=HEADS)


def test_a_calibrated_model_is_left_alone():
    rounds, n = 40, 600
    alone = dict.fromkeys(("gender", "age", "interval"), 0)
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        table = synthetic_predictions(n, seed=seed, races=THREE)
        # a reader whose errors do not depend on what it predicts
        table["age_pred"] = np.round(rng.uniform(20, 80, n), 2)
        table["age_true"] = np.round(table["age_pred"] + rng.normal(0, 6, n), 2)
        table["age_low"], table["age_high"] = (table["age_pred"] + s * 1.645 * 6 for s in (-1, 1))
        for head in alone:
            alone[head] += chosen(table, head).proposal is None
    assert all(k >= 0.9 * rounds for k in alone.values()), alone


def test_a_score_twice_too_sure_is_not_left_alone():
    table = synthetic_predictions(12_000, seed=7, races=THREE)
    f = table["gender_score"].clip(1e-6, 1 - 1e-6)
    table["gender_score"] = 1 / (1 + ((1 - f) / f) ** 2)
    choice = chosen(table, "gender")
    assert choice.proposal is not None
    assert "least Brier score" in choice.why


def test_order_and_parts_change_nothing():
    table = synthetic_predictions(3000, seed=8, races=THREE)
    whole = tally_of(table)
    parts = merge_tallies([tally_of(table.iloc[:1000]), tally_of(table.iloc[1000:])])
    shuffled = tally_of(table.sample(frac=1, random_state=1))
    first = propose(whole, settings=BY)
    assert propose(parts, settings=BY) == first
    assert propose(shuffled, settings=BY) == first


def test_every_photo_again_under_its_person_changes_no_map_and_no_interval():
    once = synthetic_predictions(3000, seed=9, races=THREE)
    once["subject_id"] = once["sample_id"]
    again = once.assign(sample_id=once["sample_id"] + 10_000)
    a, b = (proposed(t) for t in (once, pd.concat([once, again], ignore_index=True)))
    assert a[0].keys() == b[0].keys()
    for key, p in a[0].items():
        for numbers, theirs in (
            (p.overall, b[0][key].overall),
            *zip(p.groups.values(), b[0][key].groups.values(), strict=True),
        ):
            for name, value in numbers.items():
                np.testing.assert_allclose(theirs[name], value, rtol=1e-6, atol=1e-9)
    figures = ["before", "after", "change", "low", "high"]
    np.testing.assert_allclose(
        a[1][figures].astype(float), b[1][figures].astype(float), rtol=1e-6, atol=1e-8
    )
    assert (b[1]["n_judge"] == 2 * a[1]["n_judge"]).all()


def test_turning_gender_round_turns_every_offset_and_no_loss():
    table = synthetic_predictions(4000, seed=10, races=THREE, planted=[Plant(logit_shift=0.8)])
    table["gender_score"] = table["gender_score"].round(6)
    other = table.assign(
        gender_score=(1 - table["gender_score"]).round(6),
        gender_true=np.where(table["gender_true"] == "female", "male", "female"),
    )
    (maps, mine), (turned, theirs) = proposed(table), proposed(other)
    a, b = (m["gender", "platt", OVERALL].overall for m in (maps, turned))
    assert a["slope"] == pytest.approx(b["slope"], rel=1e-3)
    assert a["offset"] == pytest.approx(-b["offset"], abs=2e-3)
    for metric in ("gender_brier", "gender_ece"):
        rows = [one(r, "gender", "platt", "race", metric) for r in (mine, theirs)]
        assert rows[0]["after"] == pytest.approx(rows[1]["after"], abs=5e-4)


def test_a_table_without_intervals_gets_them_around_the_reading():
    table = synthetic_predictions(4000, seed=11, races=THREE).drop(columns=["age_low", "age_high"])
    maps, records = proposed(table)
    row = one(records, "interval", "conformal", OVERALL, "interval_coverage")
    assert pd.isna(row["before"])
    assert row["after"] == pytest.approx(0.9, abs=0.02)
    width = one(records, "interval", "conformal", OVERALL, "interval_width")
    assert width["after"] == pytest.approx(
        2 * maps["interval", "conformal", OVERALL].overall["widen"]
    )


def test_whole_ages_are_mapped_where_they_lie_not_half_a_year_beside():
    rng = np.random.default_rng(12)
    pred = rng.integers(10, 70, 6000)
    true = np.clip(np.round(0.5 * pred + 20 + rng.normal(0, 3, 6000)), 0, 120)
    table = pd.DataFrame({"age_pred": pred, "age_true": true, "race": rng.choice(["A", "B"], 6000)})
    maps, _ = proposed(table)
    linear = maps["age", "linear", OVERALL].overall
    assert linear["slope"] == pytest.approx(0.5, abs=0.02)
    assert linear["intercept"] + linear["slope"] * 40 == pytest.approx(40, abs=0.15)


def judging(table):
    """Whether each face lies in the half that judges."""
    return np.array([shard_of(int(i)) >= 500 for i in table["sample_id"]])


def test_faces_are_counted_in_the_half_they_are_used_in():
    table = synthetic_predictions(3000, seed=13, races=THREE)
    judge, of_a, of_b = judging(table), *((table["race"] == r).to_numpy() for r in "AB")
    _, records = proposed(table)
    linear = records[(records["method"] == "linear") & (records["metric"] == "age_mae")]
    n = linear.set_index(["scope", "feature", "group"])[["n_fit", "n_judge"]]
    everyone = [(~judge).sum(), judge.sum()]
    assert n.loc[OVERALL, OVERALL, OVERALL].tolist() == everyone
    assert n.loc["race", OVERALL, OVERALL].tolist() == everyone
    assert n.loc["race", "race", "A"].tolist() == [(~judge & of_a).sum(), (judge & of_a).sum()]
    assert n.loc["race", "race", "B"].tolist() == [(~judge & of_b).sum(), (judge & of_b).sum()]
    assert n.loc[OVERALL, "race", "A"].tolist() == [(~judge).sum(), (judge & of_a).sum()]


def test_groups_are_judged_from_ten_people_on_and_fall_back_where_none_was_fitted_on():
    table = synthetic_predictions(3000, seed=14, races=THREE)
    judge = judging(table)
    table["race"] = "A"
    place = np.flatnonzero(judge)
    table.loc[place[:10], "race"] = "B"
    table.loc[place[10:19], "race"] = "C"
    table.loc[place[19:49], ["race", "gender_score"]] = ["D", np.nan]
    maps, records = proposed(table)
    assert maps["age", "linear", "race"].fell_back == ("B", "C", "D")
    assert maps["gender", "platt", "race"].fell_back == ("B", "C"), "D has no score to map"
    judged = records[(records["feature"] == "race") & (records["head"] == "age")]
    assert set(judged["group"]) == {"A", "B", "D"}


def test_many_photos_of_few_people_are_not_judged():
    table = synthetic_predictions(3000, seed=15, races=THREE)
    table["subject_id"] = table["sample_id"]
    place = np.flatnonzero(judging(table))[:24]
    table["race"] = "A"
    table.loc[place, "race"] = "B"
    person = table.loc[place[:4], "subject_id"].to_numpy()
    table.loc[place, "subject_id"] = np.repeat(person, 6)
    _, records = proposed(table)
    assert set(records[records["feature"] == "race"]["group"]) == {"A", OVERALL}


def test_where_everyone_lies_in_the_fitting_half_there_are_maps_and_no_judgement():
    table = synthetic_predictions(1500, seed=16, races=THREE)
    maps, records = proposed(table[~judging(table)])
    assert maps["age", "linear", OVERALL].n_fit[OVERALL] == (~judging(table)).sum()
    assert records.empty


def test_calls_are_judged_at_the_threshold_of_the_settings():
    table = synthetic_predictions(3000, seed=17, races=THREE)
    _, records = proposed(table, AuditSettings(by=("race",), threshold=0.9))
    mine = table[judging(table)]
    right = (mine["gender_score"] >= 0.9) == (mine["gender_true"] == "female")
    row = one(records, "gender", "platt", OVERALL, "gender_accuracy")
    assert row["before"] == pytest.approx(right.mean(), abs=0.002)
