import numpy as np
import pandas as pd
import pytest

from audit.config import AuditSettings
from audit.predictions import open_predictions
from audit.result import COLUMNS
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions
from audit.worst import SAMPLED, ranked_faces


def worst_of(table, *, top=20, **chosen):
    asked = AuditSettings(**chosen)
    read = open_predictions(table, asked)
    return ranked_faces(read, asked, tally_predictions(read, asked), top=top)


@pytest.fixture(scope="module")
def table():
    table = synthetic_predictions(3000, seed=1).astype({"race": str, "gender_true": str})
    return table.assign(image=[f"{i}.jpg" for i in range(3000)])


def listed(worst, name):
    return worst[worst["list"] == name].reset_index(drop=True)


def test_the_columns_are_those_of_the_result(table):
    worst = worst_of(table)
    assert tuple(worst.columns) == (*COLUMNS["worst"], "best", "face")
    assert (worst["face"].astype(str) == worst["sample_id"]).all()
    assert set(worst["list"]) == {"age_error", "gender_wrong", "sample"}


def test_the_largest_errors_come_first_and_ties_go_by_id(table):
    size = ((table["age_pred"] - table["age_true"]) * 100 + 0.5).apply(np.floor).abs()
    order = pd.DataFrame({"size": -size, "id": table["sample_id"].astype(str)})
    expected = order.sort_values(["size", "id"])["id"].head(20).tolist()
    worst = listed(worst_of(table), "age_error")
    assert worst["sample_id"].tolist() == expected
    assert worst["rank"].tolist() == list(range(1, 21))
    assert (worst["error"].abs().diff().dropna() <= 0).all()


def test_the_surest_wrong_calls_come_first(table):
    called = np.where(table["gender_score"] >= 0.5, "female", "male")
    wrong = table[called != table["gender_true"]]
    sure = (wrong["gender_score"] - 0.5).abs().sort_values(ascending=False)
    worst = listed(worst_of(table), "gender_wrong")
    assert (
        worst["sample_id"].astype(int).tolist() == table.loc[sure.index[:20], "sample_id"].tolist()
    )
    assert (worst["gender_true"] != worst["gender_pred"]).all()


def test_a_list_is_the_same_from_a_scan_of_its_own(table, monkeypatch):
    whole = worst_of(table, top=SAMPLED + 1)
    monkeypatch.setattr("audit.worst._FEW", SAMPLED)
    pd.testing.assert_frame_equal(worst_of(table, top=SAMPLED + 1), whole)


def test_few_rows_are_kept_of_many_wherever_they_stand(table, monkeypatch):
    monkeypatch.setattr("audit.worst._SOME", 300)
    mild = table.assign(size=(table["age_pred"] - table["age_true"]).abs()).sort_values("size")
    asked = AuditSettings()
    read = open_predictions(mild.drop(columns="size"), asked)
    found = ranked_faces(read, asked, tally_predictions(read, asked), top=20)
    held = read.source.one("SELECT count(*) AS n FROM ranked")["n"]
    assert len(found) == 20 + 20 + SAMPLED <= held < 20 + 20 + 20 * SAMPLED
    pd.testing.assert_frame_equal(found, worst_of(table))


def test_the_sample_is_drawn_by_lot_from_the_seed_and_favours_nobody(table):
    ids = [set(listed(worst_of(table, seed=s), "sample")["sample_id"]) for s in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == SAMPLED
    drawn = [
        int(i) for s in range(15) for i in listed(worst_of(table, seed=s), "sample")["sample_id"]
    ]
    assert abs(np.mean(drawn) - 1500) < 4 * 3000 / np.sqrt(12 * len(drawn))


def test_neither_order_nor_threads_change_the_lists(table):
    plain = worst_of(table)
    pd.testing.assert_frame_equal(worst_of(table.sample(frac=1, random_state=1)), plain)
    pd.testing.assert_frame_equal(worst_of(table, threads=1), plain)


def test_a_face_carries_its_picture_and_its_groups(table):
    worst = worst_of(table, by=("race", "gender_true"))
    row = worst.iloc[0]
    rows = table.set_index(table["sample_id"].astype(str)).loc[row["sample_id"]]
    assert row["groups"] == f"{rows['race']} × {rows['gender_true']}"
    assert row["image"] == rows["image"]
    assert row["age_pred"] == rows["age_pred"]


def test_a_head_that_is_missing_has_no_list(table):
    ages = worst_of(table.drop(columns=["gender_score"]))
    assert set(ages["list"]) == {"age_error", "sample"}
    genders = worst_of(table.drop(columns=["age_pred", "age_low", "age_high"]))
    assert set(genders["list"]) == {"gender_wrong", "sample"}
    assert genders["error"].isna().all()


def test_wrong_calls_without_a_score_are_listed_too(table):
    calls = table["gender_true"].where(table.index % 100 > 0, "male")
    worst = listed(
        worst_of(table.drop(columns="gender_score").assign(gender_pred=calls)), "gender_wrong"
    )
    expected = table[(table["gender_true"] == "female") & (table.index % 100 == 0)]
    assert set(worst["sample_id"].astype(int)) == set(expected["sample_id"])


def test_a_table_shorter_than_the_lists_is_listed_whole(table):
    worst = worst_of(table[:5])
    assert len(listed(worst, "age_error")) == len(listed(worst, "sample")) == 5


@pytest.mark.parametrize("seed", [15, 42, 2**32 - 1])
def test_every_seed_that_settings_allow_draws_a_lot_of_its_own(table, seed):
    drawn = listed(worst_of(table, seed=seed), "sample")["sample_id"]
    assert len(drawn) == SAMPLED
    assert set(drawn) != set(listed(worst_of(table), "sample")["sample_id"])
