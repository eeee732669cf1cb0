import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score

from audit.config import AuditSettings
from audit.errors import InputError
from audit.histograms import FRAMES, SCORE_BINS, frame_keys, score_edges
from audit.metrics import BEYOND, BY_PREDICTED, LOGITS, METRICS, RUNGS, SUMS
from audit.predictions import open_predictions
from audit.shards import SHARDS, counted_people, key_of, key_sql, shard_of, sharded
from audit.source import open_source
from audit.synthetic import Plant, synthetic_predictions
from audit.tally import _always, merge_tallies, tally_predictions

EDGES = [0, 3, 10, 20, 30, 40, 50, 60, 70, 121]
slow = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tally_of(source, **chosen):
    asked = AuditSettings(**chosen)
    return tally_predictions(open_predictions(source, asked), asked)


def same(a, b):
    frames = {name: getattr(a, name) for name in FRAMES}
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(frame, getattr(b, name))
    assert a == replace(b, **frames)


def untidy(n, *, seed):
    """Rows with gaps of every kind, that all the same have a head to audit."""
    rng = np.random.default_rng(seed)
    table = synthetic_predictions(n, seed=seed).astype({"race": object, "gender_true": object})
    table["sample_id"] += 10_000 * seed
    table["age_std"] = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(1, 9, n).round(2))
    hit = rng.random((6, n)) < 0.1
    table.loc[hit[0], "age_pred"] = np.nan
    table.loc[hit[1], "gender_true"] = None
    table.loc[hit[2], "gender_true"] = "other"
    table.loc[hit[3], "race"] = None
    table.loc[hit[4], "age_low"] = np.nan
    table.loc[hit[5], "gender_score"] = rng.choice([0.0, 1.0, np.nan], hit[5].sum())
    return table


def level_frame(tally, name):
    """A table of the tally with level names for codes."""
    frame = getattr(tally, name).copy()
    for f in (f for f in tally.features if f.name in frame):
        frame[f.name] = np.array(f.levels, dtype=object)[frame[f.name].to_numpy()]
    return frame


# Laws


@slow
@given(seed=st.integers(0, 10_000), n=st.integers(30, 300), parts=st.integers(1, 4))
def test_the_tally_of_the_whole_is_the_sum_of_the_tallies_of_its_parts(seed, n, parts):
    table = untidy(n, seed=seed)
    cut = np.random.default_rng(seed).integers(0, parts, n)
    pieces = [table[cut == i] for i in range(parts) if (cut == i).sum() > 5]
    whole = pd.concat(pieces)
    try:
        tallies = [tally_of(piece) for piece in pieces]
    except InputError:  # a part of which nothing can be audited
        return
    same(merge_tallies(tallies), tally_of(whole))
    same(merge_tallies(tallies[::-1]), tally_of(whole))


@slow
@given(seed=st.integers(0, 10_000), n=st.integers(20, 200))
def test_the_order_of_rows_does_not_matter(seed, n):
    table = untidy(n, seed=seed)
    same(tally_of(table.sample(frac=1, random_state=seed)), tally_of(table))


def test_the_number_of_threads_does_not_matter(tmp_path):
    untidy(50_000, seed=1).to_parquet(tmp_path / "t.parquet", row_group_size=3000)
    one, two, four = (tally_of(tmp_path / "t.parquet", threads=n) for n in (1, 2, 4))
    same(one, two)
    same(one, four)


@pytest.mark.parametrize("hundredths", [1, -350, 2000])
def test_adding_c_to_predictions_moves_the_mean_signed_error_by_exactly_c(hundredths):
    table = synthetic_predictions(500, seed=2)
    moved = tally_of(table.assign(age_pred=table["age_pred"] + hundredths / 100)).cells
    before = tally_of(table).cells
    assert moved["age_err"].sum() - before["age_err"].sum() == 500 * hundredths
    assert moved["age_n"].sum() == before["age_n"].sum()


def test_swapping_the_genders_mirrors_the_tally():
    table = synthetic_predictions(2000, seed=3)
    swap = {"female": "male", "male": "female"}
    mirror = table.assign(
        gender_true=table["gender_true"].astype(str).map(swap),
        gender_score=1 - table["gender_score"],
    )
    a, b = tally_of(table).cells.sum(), tally_of(mirror).cells.sum()
    assert a["female_n"] == b["male_n"]
    assert a["gender_hit"] == b["gender_hit"]
    assert a["score_brier"] == b["score_brier"]


def test_every_row_stands_in_one_cell_and_one_bin():
    table = untidy(3000, seed=4)
    tally = tally_of(table)
    assert tally.errors["n"].sum() == tally.cells["age_n"].sum()
    assert tally.scores["n"].sum() == tally.cells["score_n"].sum()
    assert tally.years["n"].sum() == 2 * tally.cells["age_n"].sum()
    assert tally.z["n"].sum() == tally.cells["std_n"].sum()
    assert tally.ages["n"].sum() == tally.misses["n"].sum() == tally.cells["age_n"].sum()
    assert tally.misses.loc[tally.misses["iv"] == 1, "n"].sum() == tally.cells["iv_n"].sum()
    names = [f.name for f in tally.features]
    for name in FRAMES:
        keys = frame_keys(name, names)
        frame = getattr(tally, name)
        assert not frame.duplicated(keys).any()
        assert frame[keys].equals(frame[keys].sort_values(keys, ignore_index=True))
    assert tally.predicted[[*BY_PREDICTED]].sum().equals(tally.cells[[*BY_PREDICTED]].sum())
    kept = [*SUMS, *BEYOND]
    assert list(tally.cells.columns)[-len(kept) :] == kept


def test_rungs_and_cuts_are_counted_as_pandas_counts_them():
    table = untidy(3000, seed=8)
    cells = tally_of(table).cells.sum()
    error = (np.floor((table["age_pred"] - table["age_true"]) * 100 + 0.5)).abs()
    for k, rung in enumerate(RUNGS):
        assert cells[f"age_beyond{k}"] == (error > rung).sum()
    score = table["gender_score"]
    for who in ("female", "male"):
        mine = score[table["gender_true"] == who]
        for k, cut in enumerate(LOGITS):
            assert cells[f"score_{who}{k}"] == (mine >= 1 / (1 + np.exp(-cut))).sum()
    assert cells["score_female"] == score[table["gender_true"] == "female"].notna().sum()


def test_an_empty_intersection_is_absent():
    table = synthetic_predictions(2000, seed=5)
    table = table[~((table["race"] == "Black") & (table["gender_true"] == "female"))]
    cells = level_frame(tally_of(table), "cells")
    assert len(cells[cells["race"] == "Black"])
    assert not len(cells[(cells["race"] == "Black") & (cells["gender_true"] == "female")])


# Judges


@pytest.fixture(scope="module")
def judged():
    planted = (Plant({"race": "Black"}, age_shift=3, flips=0.1), Plant({}, logit_shift=0.5))
    table = synthetic_predictions(20_000, seed=6, planted=planted, photos_per_person=2)
    table = table.assign(gender_score=table["gender_score"].astype(np.float32).astype(float))
    return table, tally_of(table)


def groups_of(judged, by):
    table, tally = judged
    sums = level_frame(tally, "cells").groupby(by)[list(SUMS)].sum()
    if "age_group" in by:
        labels = next(f for f in tally.features if f.name == "age_group").levels
        table = table.assign(age_group=pd.cut(table["age_true"], EDGES, right=False, labels=labels))
    rows = table.astype(dict.fromkeys(by, str)).groupby(by)
    assert len(sums) == rows.ngroups
    return [(rows.get_group(k if len(by) > 1 else (k,)), sums.loc[k]) for k in sums.index]


@pytest.mark.parametrize("by", [["race"], ["race", "gender_true"], ["age_group"]])
def test_metrics_of_the_sums_are_those_of_the_raw_rows(judged, by):
    for rows, sums in groups_of(judged, by):
        value = {key: float(m.value(sums)) for key, m in METRICS.items() if m.top}
        error = rows["age_pred"] - rows["age_true"]
        female, called = rows["gender_true"] == "female", rows["gender_score"] >= 0.5
        inside = (rows["age_low"] <= rows["age_true"]) & (rows["age_true"] <= rows["age_high"])
        assert sums["age_n"] == len(rows)
        mae = mean_absolute_error(rows["age_true"], rows["age_pred"])
        assert value["age_mae"] == pytest.approx(mae, abs=0.005)
        assert value["age_me"] == pytest.approx(error.mean(), abs=0.005)
        assert value["age_rmse"] == pytest.approx(np.sqrt((error**2).mean()), abs=0.005)
        assert value["age_cs5"] == (error.round(2).abs() <= 5).mean()
        assert value["gender_accuracy"] == (female == called).mean()
        assert value["gender_selection"] == called.mean()
        brier = brier_score_loss(female, rows["gender_score"], labels=[False, True])
        assert value["gender_brier"] == pytest.approx(brier, abs=1e-6)
        assert value["interval_coverage"] == inside.mean()
        width = (rows["age_high"] - rows["age_low"]).mean()
        assert value["interval_width"] == pytest.approx(width, abs=0.005)
        if female.any():
            assert value["gender_tpr"] == called[female].mean()
        else:
            assert np.isnan(value["gender_tpr"])


def test_sums_are_those_of_exact_arithmetic():
    table = untidy(300, seed=7)
    cells = tally_of(table, by=("race",)).cells
    rows = table[np.isfinite(table["age_pred"])]
    expected = 0
    for age, pred in zip(rows["age_true"], rows["age_pred"], strict=True):
        x = Fraction(pred) * 100 - Fraction(int(age)) * 100
        expected += abs((x + Fraction(1, 2)).__floor__())
    assert cells["age_abs"].sum() == expected


def test_the_error_histogram_counts_hits_exactly_at_every_tenth(judged):
    table, tally = judged
    error = (table["age_pred"] - table["age_true"]).round(2).abs()
    for tenths in (0, 1, 5, 50, 53, 100):
        counted = tally.errors.loc[tally.errors["bin"] <= tenths, "n"].sum()
        assert counted == (error <= tenths / 10 + 1e-9).sum()


def auc_of(scores):
    bins = scores.pivot_table(index="bin", columns="female", values="n", aggfunc="sum").fillna(0)
    below = bins[0].cumsum() - bins[0]
    return float((bins[1] * (below + bins[0] / 2)).sum() / (bins[1].sum() * bins[0].sum()))


def test_auc_from_the_histogram_is_that_of_the_rows(judged):
    table, tally = judged
    for race, within in (("White", 2e-5), ("Black", 2e-5), ("Other", 5e-4)):
        rows = table[table["race"] == race]
        expected = roc_auc_score(rows["gender_true"] == "female", rows["gender_score"])
        binned = level_frame(tally, "scores")
        assert auc_of(binned[binned["race"] == race]) == pytest.approx(expected, abs=within)


def test_auc_holds_on_a_saturated_softmax():
    table = synthetic_predictions(50_000, seed=8)
    logit = np.log(table["gender_score"] / (1 - table["gender_score"])) * 4
    sharp = (1 / (1 + np.exp(-logit))).astype(np.float32).astype(float)
    assert (sharp == 1).mean() > 0.1  # saturated indeed
    expected = roc_auc_score(table["gender_true"] == "female", sharp)
    got = auc_of(tally_of(table.assign(gender_score=sharp)).scores)
    assert got == pytest.approx(expected, abs=1e-5)


def test_scores_fall_in_the_bin_whose_edges_hold_them():
    rng = np.random.default_rng(9)
    scores = np.concatenate([[0.0, 1.0, 0.5, 1e-30, 1e-12], rng.beta(0.3, 0.3, 500)])
    table = pd.DataFrame({"sample_id": range(505), "gender_true": ["F", "M"] * 252 + ["F"]})
    edges = score_edges()
    assert len(edges) == SCORE_BINS + 1
    got = tally_of(table.assign(gender_score=scores)).scores
    lower = np.searchsorted(edges[1:-1], scores, side="right")
    lower = np.where(scores == 1, SCORE_BINS - 1, np.minimum(lower, SCORE_BINS - 2))
    lower = np.where(scores == 0, 0, np.maximum(lower, 1))
    assert got.groupby("bin")["n"].sum().to_dict() == pd.Series(lower).value_counts().to_dict()
    assert got["score"].sum() == np.floor(scores * 1e6 + 0.5).sum()


@pytest.fixture(scope="module")
def stated():
    """Rows with a standard deviation, some intervals missing, two photos a person."""
    rng = np.random.default_rng(20)
    table = synthetic_predictions(6000, seed=20, photos_per_person=2)
    table["age_std"] = rng.uniform(0.5, 9, 6000).round(2)
    table.loc[rng.random(6000) < 0.2, ["age_low", "age_high"]] = np.nan
    table.loc[:3, "age_pred"] = [300, -40, 0.0, 121.5]
    return table, tally_of(table, by=("race", "age_group"))


def test_interval_and_z_sums_are_those_of_the_rows(stated):
    table, tally = stated
    sums = tally.cells.sum()
    below = (table["age_low"] - table["age_true"]).clip(lower=0)
    above = (table["age_true"] - table["age_high"]).clip(lower=0)
    assert sums["iv_below"] == (below > 0).sum()
    score = table["age_high"] - table["age_low"] + 20 * (below + above)
    assert sums["iv_winkler"] == pytest.approx(100 * score.sum(), abs=0.5 * len(table))
    z = (table["age_true"] - table["age_pred"]) / table["age_std"]
    assert sums["std_n"] == len(table)
    assert sums["std_z2"] == pytest.approx(1e4 * (z**2).sum(), abs=0.5 * len(table))


@pytest.mark.parametrize("limit", [1, 18, 21, 60, 121])
def test_who_is_read_across_an_age_is_counted_exactly(stated, limit):
    table, tally = stated
    rows = tally.years.assign(below=tally.years["age_year"] < limit)
    n = rows[rows["below"]].groupby(["read_older", "of_pred"])["n"].sum()
    n = n.reindex(pd.MultiIndex.from_product([[0, 1], [0, 1]]), fill_value=0)
    true, pred = table["age_true"] < limit, table["age_pred"] < limit
    assert n[1, 0] - n[1, 1] == (true & ~pred).sum()
    assert n[0, 1] - n[0, 0] == (~true & pred).sum()


def test_z_lies_in_its_bin_with_its_standard_deviation(stated):
    table, tally = stated
    z = ((table["age_true"] - table["age_pred"]) / table["age_std"]).clip(-100, 99.999)
    by_bin = tally.z.groupby("bin")[["n", "sigma"]].sum()
    assert by_bin["n"].to_dict() == np.floor(z * 50).astype(int).value_counts().to_dict()
    assert by_bin["sigma"].sum() == np.round(table["age_std"] * 100).sum()


def test_ages_and_misses_are_counted_by_half_of_the_people(stated):
    table, tally = stated
    half = np.array([shard_of(int(i)) >= 500 for i in table["subject_id"]])
    error = np.floor((table["age_pred"] - table["age_true"]) * 100 + 0.5)
    year = np.floor(table["age_pred"]).clip(0, 121)
    expected = table.assign(
        half=half, pred_year=year, bin=((error + 10) // 20).clip(-300, 300)
    ).value_counts(["race", "half", "pred_year", "bin"])
    expected = expected[expected > 0].to_dict()
    counted = level_frame(tally, "ages").set_index(["race", "half", "pred_year", "bin"])["n"]
    assert {k: int(v) for k, v in counted.items()} == {
        (r, int(h), int(y), int(b)): n for (r, h, y, b), n in expected.items()
    }
    assert tally.ages["pred"].sum() == np.floor(table["age_pred"] * 100 + 0.5).sum()
    has = table["age_low"].notna()
    low, high, true = table["age_low"], table["age_high"], table["age_true"]
    outside = np.maximum(low - true, true - high)
    hundredths = np.where(has, np.floor(outside * 100 + 0.5), error.abs())
    place = np.ceil(hundredths / 10).clip(-1200, 1200)
    rows = pd.DataFrame({"half": half, "iv": has, "bin": place}).astype(int)
    counted = tally.misses.groupby(["half", "iv", "bin"])["n"].sum()
    assert counted.to_dict() == rows.value_counts().to_dict()
    assert "age_group" not in tally.ages
    assert "age_group" not in tally.misses


def test_what_a_table_does_not_have_is_counted_nowhere():
    table = synthetic_predictions(300, seed=21)
    plain = tally_of(table.drop(columns=["age_low", "age_high"]))
    assert not plain.cells[["iv_n", "iv_winkler", "std_n", "std_z2"]].any().any()
    assert len(plain.z) == 0
    assert set(plain.misses["iv"]) == {0}
    calls = tally_of(table[["sample_id", "race", "gender_true", "gender_score"]])
    assert all(len(getattr(calls, name)) == 0 for name in ("errors", "years", "z", "ages"))
    same(merge_tallies([calls]), calls)


# Persons


@pytest.mark.parametrize(
    "person", ["0", "7", "123456789012345678", "1234567890123456789", "é", "-1"]
)
def test_a_persons_shard_is_the_same_in_sql_and_in_words_of_python(person):
    source = open_source(pd.DataFrame({"x": [person, "other"]}))
    rows = sharded("raw", key_sql("c0"))
    got = source.rows(f"SELECT key, shard FROM {rows} ORDER BY row_at")[0]
    plain = person.isdecimal() and len(person) <= 18
    digest = hashlib.md5(person.encode()).hexdigest()
    assert got[0] == key_of(person) == (int(person) if plain else int(digest[:15], 16))
    assert got[1] == shard_of(got[0])


@given(st.integers(0, 2**60 - 1))
def test_the_mix_stays_within_63_bits(key):
    assert 0 <= shard_of(key) < SHARDS
    assert ((key & (2**30 - 1)) * 2654435761 + (key >> 30) * 2246822519) < 2**63


@given(st.lists(st.integers(0, 2**60 - 1), max_size=50))
def test_the_shards_of_an_array_of_keys_are_those_of_each(keys):
    assert shard_of(np.array(keys, dtype=np.int64)).tolist() == [shard_of(k) for k in keys]


@pytest.mark.parametrize("step", [1, 2, 10, 1000, 4096, 10**9])
def test_shards_are_even_and_neighbours_are_unlike(step):
    shards = np.array([shard_of(i * step) for i in range(100_000)])
    counts = np.bincount(shards, minlength=SHARDS)
    chi2 = ((counts - 100) ** 2 / 100).sum()
    assert 999 - 5 * np.sqrt(2 * 999) < chi2 < 999 + 5 * np.sqrt(2 * 999)
    halves = shards < SHARDS // 2
    assert abs((halves[1:] == halves[:-1]).mean() - 0.5) < 0.01


def test_photos_of_one_person_share_a_shard_and_persons_are_counted():
    table = synthetic_predictions(900, seed=10, photos_per_person=3)
    tally = tally_of(table)
    assert (tally.subjects, tally.subjects_are_rows) == (300, False)
    per_shard = tally.cells.groupby("shard")["age_n"].sum()
    assert (per_shard % 3 == 0).all()
    single = tally_of(table.assign(subject_id=table["sample_id"]))
    assert (single.subjects, single.subjects_are_rows) == (900, True)
    assumed = tally_of(table.drop(columns="subject_id"))
    assert (assumed.subjects, assumed.subjects_are_rows) == (900, True)
    same(replace(single, subjects_assumed=True), assumed)


def test_ids_are_one_person_whether_written_as_number_or_as_text(tmp_path):
    table = synthetic_predictions(300, seed=11, photos_per_person=3)
    plain = tally_of(table)
    same(tally_of(table.astype({"subject_id": str, "sample_id": str})), plain)
    holes = table.assign(subject_id=table["subject_id"].astype(float))
    same(tally_of(holes), plain)
    holes.to_csv(tmp_path / "t.csv", index=False)
    assert ".0," in (tmp_path / "t.csv").read_text()
    same(tally_of(tmp_path / "t.csv"), plain)


def test_persons_of_a_long_table_are_estimated_and_lone_photos_known(monkeypatch):
    monkeypatch.setattr("audit.tally.EXACT_ROWS", 1000)
    table = synthetic_predictions(200_000, seed=12, photos_per_person=2)
    tally = tally_of(table)
    assert tally.subjects == pytest.approx(100_000, rel=0.1)
    assert not tally.subjects_are_rows
    lone = tally_of(table.assign(subject_id=table["sample_id"]))
    assert (lone.subjects, lone.subjects_are_rows) == (200_000, True)
    assert tally_of(table, check_ids=True).subjects == 100_000


@pytest.mark.parametrize("people", [3, 9, 29, 100, 700])
def test_persons_of_a_group_follow_from_the_shards_they_fill(people):
    rng = np.random.default_rng(people)
    ids = rng.integers(0, 2**59, (200, people))
    rows = np.stack([np.bincount(shard_of(row), minlength=SHARDS) for row in ids])
    assert np.mean(counted_people(rows)) == pytest.approx(people, rel=0.02, abs=0.3)
    assert (counted_people(rows) == counted_people(3 * rows)).all()  # more photos, nobody more


# Parts that do not match


def test_parts_may_lack_a_level_of_words():
    table = synthetic_predictions(3000, seed=13)
    north, south = table[table["race"] != "Other"][:1500], table[table["race"] == "Other"]
    rest = table.drop(north.index).drop(south.index)
    parts = [tally_of(part.astype({"race": str})) for part in (south, north, rest)]
    assert [len(p.features[0].levels) for p in parts] == [1, 6, 6] or len(parts[0].features) == 2
    by = {"by": ("race", "gender_true")}
    parts = [tally_of(part.astype({"race": str}), **by) for part in (south, north, rest)]
    same(merge_tallies(parts), tally_of(table.astype({"race": str}), **by))


def test_tallies_that_do_not_match_are_refused():
    table = synthetic_predictions(100, seed=14).assign(light=np.arange(100) / 7)
    plain = tally_of(table, by=("race", "light"))
    with pytest.raises(InputError, match="differ in their features"):
        merge_tallies([plain, tally_of(table, by=("light",))])
    with pytest.raises(InputError, match="differ in their age groups"):
        merge_tallies([plain, tally_of(table, by=("race", "light"), age_groups=(0, 18))])
    with pytest.raises(InputError, match="cut 'light' at different places"):
        merge_tallies([plain, tally_of(table[:50], by=("race", "light"))])
    with pytest.raises(InputError, match="no tally"):
        merge_tallies([])


# Size


def test_many_features_do_not_overflow_their_key():
    rng = np.random.default_rng(15)
    table = synthetic_predictions(300, seed=15)
    for i in range(14):
        table[f"c{i}"] = rng.integers(0, 40, 300)
    tally = tally_of(table)
    assert len(tally.features) == 17
    assert tally.cells["age_n"].sum() == 300
    for i in range(14):
        feature = next(f for f in tally.features if f.name == f"c{i}")
        codes = tally.cells.groupby(f"c{i}")["age_n"].sum()
        counts = table[f"c{i}"].value_counts()
        assert {feature.levels[k]: v for k, v in codes.items()} == {
            str(k): v for k, v in counts.items()
        }


def test_readings_far_off_do_not_overflow_their_sums():
    table = synthetic_predictions(100, seed=16).assign(age_pred=[1e300, -1e300] * 50)
    cells = tally_of(table).cells
    assert cells["age_abs"].sum() == 100 * 1_000_000
    assert cells["age_sq"].sum() == 100 * 10**12
    assert tally_of(table).errors["bin"].max() == 100_000


@pytest.mark.parametrize(
    ("lacking", "asked"),
    [
        ([], set()),
        (["age_low"], {"age_low IS NOT NULL"}),
        (["age_pred"], {"age_low IS NOT NULL", "error IS NOT NULL"}),
        (["gender_score"], {"f IS NOT NULL"}),
    ],
)
def test_rows_are_not_asked_for_what_all_of_them_have(lacking, asked, monkeypatch):
    table = synthetic_predictions(500, seed=3)
    table.loc[7, lacking] = np.nan
    heads = {"error IS NOT NULL", "age_low IS NOT NULL", "f IS NOT NULL"}
    with_gaps, always = tally_of(table), []
    monkeypatch.setattr("audit.tally._always", lambda p: always.append(_always(p)) or set())
    assert tally_of(table).fingerprint == with_gaps.fingerprint
    assert always == [heads - asked]
