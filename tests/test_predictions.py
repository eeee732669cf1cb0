import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from audit.config import AuditSettings
from audit.errors import InputError
from audit.levels import cut_labels, ranked, read_words, sorted_levels
from audit.normalised import write_normalised
from audit.predictions import FAR, open_predictions
from audit.source import open_source
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions
from audit.worst import ranked_faces
from model.prediction_table import write_predictions

AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")


def faces(n=6, **columns):
    """`n` rows of the contract with both heads, one column after another replaced."""
    plain = {
        "sample_id": [f"s{i}" for i in range(n)],
        "age_true": [10.0 * (i % 9) for i in range(n)],
        "age_pred": [10.0 * (i % 9) + 2 for i in range(n)],
        "gender_true": ["female", "male"] * (n // 2) + ["female"] * (n % 2),
        "gender_score": [0.9, 0.2] * (n // 2) + [0.9] * (n % 2),
        "race": ["Black", "White", "White"] * (n // 3) + ["White"] * (n % 3),
    }
    return pd.DataFrame({k: v for k, v in (plain | columns).items() if v is not None})


def opened(source, **settings):
    return open_predictions(source, AuditSettings(**settings))


def refused(source, **settings):
    with pytest.raises(InputError) as error:
        opened(source, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def kept(predictions, column):
    sql = f"SELECT {column} FROM faces ORDER BY row_at"
    return [value for (value,) in predictions.con.execute(sql).fetchall()]


# Names


def test_foreign_names_are_mapped_and_are_no_features():
    table = faces().rename(columns={"age_pred": "their_age", "gender_score": "p"})
    table["age_pred"] = 99  # the table's own column of that name is not read, and that is said
    mapping = {"age_pred": "their_age", "gender_score": "p"}
    read = opened(table, columns=mapping)
    assert kept(read, "age_pred") == [10.0 * i + 2 for i in range(6)]
    assert [f.name for f in read.features] == ["race", "gender_true", "age_group"]
    assert any("own 'age_pred' was not read" in note for note in read.notes)


def test_one_foreign_column_may_serve_two_names():
    table = faces(sample_id=None).assign(photo=[f"p{i}.jpg" for i in range(6)])
    read = opened(table, columns={"image": "photo", "sample_id": "photo"})
    assert kept(read, "sample_id") == kept(read, "image") == [f"p{i}.jpg" for i in range(6)]


def test_an_unknown_name_on_either_side_is_refused_with_the_nearest():
    assert "did you mean 'gender_score'" in refused(faces(), columns={"gender_scor": "race"})
    assert "did you mean 'race'" in refused(faces(), columns={"image": "rcae"})


def test_a_table_without_a_head_is_refused_with_what_was_found():
    words = refused(pd.DataFrame({"face": [1], "age": [3]}))
    assert "found: face, age" in words
    assert "--column age_pred=THEIRS" in words
    assert "neither" in refused(faces(age_pred=None, gender_true=None))


@pytest.mark.parametrize(
    ("lost", "heads"),
    [
        (("age_pred",), ("gender", "score")),
        (("age_true",), ("gender", "score")),
        (("gender_true",), ("age",)),
        (("gender_score",), ("age",)),
        ((), ("age", "gender", "score")),
    ],
)
def test_either_head_may_be_missing(lost, heads):
    assert opened(faces(**dict.fromkeys(lost))).heads == heads


# Gender


@pytest.mark.parametrize(
    ("female", "male"),
    [
        ("1", "0"),
        (1, 0),
        (1.0, 0.0),
        ("F", "m"),
        ("FEMALE", "Male"),
        ("woman", "MAN"),
        (" f ", "M"),
    ],
)
def test_gender_is_read_in_any_usual_spelling(female, male):
    assert kept(opened(faces(gender_true=[female, male] * 3)), "y") == [1, 0] * 3


def test_other_words_are_levels_of_their_own_outside_the_two_way_head():
    words = ["female", "male", "nonbinary", None, "", "F"]
    read = opened(faces(gender_true=words))
    feature = next(f for f in read.features if f.name == "gender_true")
    assert feature.levels == ("female", "male", "nonbinary", "unknown")
    assert kept(read, "gender_level") == [0, 1, 2, 3, 3, 0]
    assert kept(read, "y") == [1, 0, None, None, None, 1]
    assert (read.counts["gender_other"], read.counts["gender_unknown"]) == (1, 2)
    assert sum("gender_true" in note for note in read.notes) == 2
    assert read.rows_audited == 6


def test_gender_codes_that_cannot_be_told_apart_are_refused():
    assert "1 and 2" in refused(faces(gender_true=[1, 2] * 3))
    words = refused(faces(gender_true=["a", "b"] * 3))
    assert "no word for female or male, only 'a', 'b'" in words
    many = faces(60, gender_true=[f"w{i}" for i in range(60)])
    assert "more than 50 different words" in refused(many)


def test_calls_that_mostly_disagree_with_the_label_are_remarked():
    read = opened(faces(gender_true=["male", "female"] * 3))
    assert any("other way round" in note for note in read.notes)
    assert not any("other way round" in note for note in opened(faces()).notes)


@pytest.mark.parametrize(
    ("read", "asked"),
    [
        (lambda age: 12 * age, "in months"),
        (lambda age: 2020 - age, "a year of birth"),
        (lambda age: age / 10, "in decades"),
        (lambda age: age / 116, "scaled to 0 to 1"),
        (lambda age: 0 * age + 30, None),  # a poor model, of babies and the old too
        (lambda age: 100 - age, None),
        (lambda age: age / 2, None),
    ],
)
def test_ages_read_in_another_unit_are_asked_about_and_a_poor_model_is_not(read, asked):
    table = synthetic_predictions(300, seed=2)
    table["age_pred"] = read(table.age_true) + np.resize([-0.2, 0.2], 300)
    [*told] = (n for n in opened(table).notes if "must be in years" in n)
    assert [asked in note for note in told] == [True] * (asked is not None)
    young = table[table.age_true < 10]
    assert not any("must be in years" in note for note in opened(young).notes)


def test_a_model_that_says_the_same_of_every_face_is_remarked():
    notes = " ".join(opened(faces(age_pred=31.5, gender_score=0.7)).notes)
    assert "read as 31.5 years old" in notes
    assert "the same P(female), 0.7" in notes
    calls = opened(faces(gender_score=None, gender_pred="male", age_pred=[30, np.nan] * 3))
    assert "Every face is called male." in calls.notes
    assert any("read as 30 years old" in note for note in calls.notes)
    usual = " ".join(opened(faces()).notes)
    assert "Every face" not in usual


def test_what_left_out_rows_say_does_not_hide_a_constant():
    table = faces(split=["train", "test"] * 3, age_pred=[1, 40, 2, 40, 3, 40])
    assert any("read as 40 years old" in note for note in opened(table).notes)


def test_people_who_are_among_the_training_rows_too_make_the_audit_leaky():
    parts = ["train", "test", "test", "train", "valid", "test"]
    table = faces(split=parts, subject_id=["a", "a", "b", "c", "c", "d"])
    read = opened(table)
    assert read.counts["subject_also_in_training"] == 2
    assert any(note.startswith("2 audited rows") and "leaky" in note for note in read.notes)
    for clean in (table.assign(subject_id=list("abcdef")), table.drop(columns="subject_id")):
        assert not any("leaky" in note for note in opened(clean).notes)
    assert opened(table, split="all").counts["subject_also_in_training"] == 0


def test_the_score_decides_and_disagreements_are_counted():
    read = opened(faces(gender_pred=["male", "male", "F", None, "woman", "0"]))
    assert kept(read, "called") == [1, 0, 1, 0, 1, 0]
    assert read.counts["score_and_pred_disagree"] == 1
    assert "gender_pred" not in [f.name for f in read.features]


def test_the_call_stands_where_there_is_no_score():
    calls = ["male", "male", "F", None, "woman", "0"]
    read = opened(faces(gender_score=None, gender_pred=calls))
    assert kept(read, "called") == [0, 0, 1, None, 1, 0]
    assert read.counts["gender_not_called"] == 1
    some = opened(faces(gender_score=[np.nan, 0.2] * 3, gender_pred=calls))
    assert kept(some, "called") == [0, 0, 1, 0, 1, 0]
    assert some.counts["score_rows"] == 3


def test_called_female_starts_at_the_threshold():
    scores = [0.5, 0.4999, 0.7, 0.3, 0.6999, 0.0]
    assert kept(opened(faces(gender_score=scores)), "called") == [1, 0, 1, 0, 1, 0]
    assert kept(opened(faces(gender_score=scores), threshold=0.7), "called") == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("wrong", [1.2, -0.1, 55.0, np.inf, -3.0])
def test_scores_outside_0_to_1_are_refused_with_rows_and_first(wrong):
    words = refused(faces(gender_score=[0.5, 0.5, wrong, 0.5, wrong, 1.0]))
    assert "gender_score is not from 0 to 1 in 2 rows (first: row 3" in words
    assert "logits" in words
    assert "percent" in words


def test_words_among_scores_are_refused(tmp_path):
    faces(gender_score=["0.5", "high", "0.1", "", "NaN", "1e-3"]).to_csv(tmp_path / "t.csv")
    assert "in 1 row (first: line 3, 'high')" in refused(tmp_path / "t.csv")


# Ages


@pytest.mark.parametrize("wrong", [-1, 121, np.inf, 200.5, -0.01])
def test_a_true_age_out_of_range_leaves_the_row_out_by_name(wrong):
    read = opened(faces(age_true=[1, wrong, 3, 4, wrong, 6]))
    assert read.rows_left_out == {"age_true is not from 0 to 120": 2}
    assert any("2 rows (first: row 2, row 5)" in note for note in read.notes)
    assert kept(read, "age_true") == [1, 3, 4, 6]


def test_line_numbers_of_a_csv_count_its_header(tmp_path):
    faces(age_true=[1, "old", 3, "", 130, 6]).to_csv(tmp_path / "t.csv", index=False)
    read = opened(tmp_path / "t.csv")
    assert read.rows_left_out == {"age_true is empty": 1, "age_true is not from 0 to 120": 2}
    assert any("2 rows (first: line 3, line 6)" in note for note in read.notes)


def test_rows_left_out_for_their_part_are_not_named_again():
    split = ["train", "test", "test", "test", "test", "test"]
    read = opened(faces(age_true=[-1, 2, 3, -1, 5, 6], split=split))
    assert any("1 row (first: row 4)" in note for note in read.notes)


def test_both_ends_of_the_range_and_fractions_are_ages():
    read = opened(faces(age_true=[0, 120, 0.5, 119.99, 2.999, 3]))
    assert read.rows_left_out == {}
    assert kept(read, "age_group") == [0, 8, 0, 8, 0, 1]


def test_a_reading_that_is_not_finite_is_counted_and_keeps_its_gender():
    read = opened(faces(age_pred=[1, np.nan, np.inf, -np.inf, None, 6]))
    assert read.counts["age_pred_not_finite"] == 4
    assert read.counts["age_rows"] == 2
    assert read.rows_audited == 6
    assert kept(read, "age_group_pred")[1:5] == kept(read, "coalesce(error, -1)")[1:5] == [-1] * 4
    assert any("4 rows have no finite age_pred" in note for note in read.notes)
    one = opened(faces(age_pred=[1, np.nan, 3, 4, 5, 6]))
    assert any("1 row has no finite age_pred" in note for note in one.notes)


def test_a_row_without_a_usable_head_is_left_out():
    read = opened(faces(age_pred=[np.nan] * 3 + [1.0] * 3, gender_true=["female", None] * 3))
    assert read.rows_left_out == {"no finite age and no gender call": 1}
    assert kept(read, "sample_id") == ["s0", "s2", "s3", "s4", "s5"]


@pytest.mark.parametrize(
    ("age", "group"),
    [(0, 0), (2.999, 0), (3, 1), (9.999, 1), (10, 2), (69.99, 7), (70, 8), (120, 8)],
)
def test_age_groups_are_left_closed(age, group):
    assert kept(opened(faces(age_true=[age] * 6)), "age_group") == [group] * 6


def test_age_groups_are_named_by_their_years():
    read = opened(faces(), age_groups=(0, 18, 19, 65))
    assert read.age_groups == ("0-17", "18", "19-64", "65+")
    assert read.features[-1].ordered


@pytest.mark.parametrize("edges", [(0, 10, 10), (0, 20, 10), (5, 10), ()])
def test_edges_that_do_not_rise_from_0_are_refused(edges):
    with pytest.raises(InputError):
        AuditSettings(age_groups=edges)


def test_a_predicted_age_beyond_all_groups_falls_in_the_outermost():
    read = opened(faces(age_pred=[-5, 2.9, 1e6, 70, 69.999, 300]))
    assert kept(read, "age_group_pred") == [0, 0, 8, 8, 7, 8]
    assert read.counts["age_pred_far"] == 1
    assert max(kept(read, "abs(error)")) == 100 * FAR


def test_errors_are_whole_hundredths_halves_up():
    pred = [30.005, 29.995, 30.014, 25.0, 30.0149, 29.98]
    read = opened(faces(age_true=[30] * 6, age_pred=pred))
    expected = np.floor((np.array(pred) - 30) * 100 + 0.5).astype(int)
    assert kept(read, "error") == expected.tolist()


# Intervals


def test_an_interval_upside_down_is_refused():
    table = faces(age_low=[1.0] * 6, age_high=[2, 2, 0.5, 2, 1, np.nan])
    assert "age_low is above age_high in 1 row (first: row 3" in refused(table)


def test_a_missing_bound_leaves_the_interval_out_and_is_counted():
    table = faces(age_low=[1, np.nan, 1, -np.inf, 1, 1.0], age_high=[2, 2, np.inf, 2, 2, 1.0])
    read = opened(table)
    assert "interval" in read.heads
    assert read.counts["interval_rows"] == 3
    assert [x is None for x in kept(read, "age_low")] == [False, True, True, True, False, False]


@pytest.mark.parametrize("std", [0, -1.0, np.inf])
def test_a_standard_deviation_is_above_0(std):
    assert "age_std is not above 0 in 1 row" in refused(faces(age_std=[1, 2, std, np.nan, 3, 4]))


# Identity


def test_a_sample_id_that_repeats_is_refused_with_the_first_ten():
    table = faces(30, sample_id=[f"s{i // 2:02}" for i in range(24)] + list("abcdef"))
    words = refused(table)
    assert "sample_id is not unique, 12 stand in several rows" in words
    assert "s00 (2 times)" in words
    assert "s09 (2 times) and 2 more" in words
    assert "s10" not in words


def test_ids_that_repeat_in_several_files_name_the_files(tmp_path):
    for name in ("predictions", "stress"):
        faces().to_parquet(tmp_path / f"{name}.parquet")
    words = refused(tmp_path)
    assert "(2 files: predictions.parquet, stress.parquet): sample_id is not unique" in words


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(6, dtype=np.int8) - 3,
        np.array([0, 1, 2, 3, 2**27, 2**27 + 1]),  # too far apart for a row of bits
        np.array([i - 2**63 for i in range(6)]),
        np.array([2**64 - 6 + i for i in range(6)], dtype=np.uint64),
    ],
    ids=["negative", "far apart", "lowest", "highest"],
)
def test_whole_numbers_that_repeat_are_found_wherever_they_lie(ids):
    assert opened(faces(sample_id=ids)).ids_checked
    twice = ids.copy()
    twice[5] = twice[0]
    assert f"1 stands in several rows: {ids[0]} (2 times)" in refused(faces(sample_id=twice))


def test_ids_are_compared_as_text_so_that_007_is_not_7():
    assert opened(faces(3, sample_id=["7", "07", "007"])).rows_audited == 3


def test_a_long_table_is_checked_for_ids_only_when_asked(monkeypatch):
    monkeypatch.setattr("audit.breaches.EXACT_ROWS", 3)
    table = faces(sample_id=["a"] * 6)
    assert not opened(table).ids_checked
    assert "not unique" in refused(table, check_ids=True)
    assert opened(faces(), check_ids=True).ids_checked


def test_an_empty_sample_id_is_refused():
    assert "sample_id is empty in 2 rows (first: row 2)" in refused(
        faces(sample_id=["a", None, "c", "", "e", "f"])
    )


def test_ids_are_made_of_file_and_row_number_when_absent(tmp_path):
    faces(sample_id=None).to_csv(tmp_path / "t.csv", index=False)
    read = opened(tmp_path / "t.csv")
    assert kept(read, "sample_id") == [f"t.csv {i}" for i in range(1, 7)]
    assert read.ids_made
    assert any("no sample_id" in note for note in read.notes)
    assert not opened(faces()).ids_made


def test_one_photo_per_person_is_assumed_and_said_without_subject_id():
    assert opened(faces()).subjects_assumed
    assert any("one photo per person" in note for note in opened(faces()).notes)
    read = opened(faces(subject_id=["p", "p", None, "", "q", "q"]))
    assert not read.subjects_assumed
    assert read.counts["subject_missing"] == 2
    assert not any("one photo per person" in note for note in read.notes)


# Parts


def test_training_rows_are_left_out_unless_asked_for():
    table = faces(split=["train", "valid", "test", "TRAIN", "test", "test"])
    read = opened(table)
    assert read.rows_left_out == {"split is train": 2}
    assert kept(read, "split") == ["valid", "test", "test", "test"]
    assert opened(table, split="all").rows_audited == 6
    assert opened(table, split="test").rows_left_out == {"split is train": 2, "split is valid": 1}
    assert opened(table, split="train").rows_audited == 2
    assert "split" not in [f.name for f in read.features]


def test_a_part_that_is_not_there_is_refused():
    assert "no column 'split'" in refused(faces(), split="test")
    words = refused(faces(split=["train", "valid"] * 3), split="test")
    assert "no such rows; split: train, valid" in words


def test_rows_read_are_always_audited_or_left_out_with_one_reason():
    rng = np.random.default_rng(5)
    n = 500
    table = synthetic_predictions(n, seed=5).assign(
        age_true=rng.choice([np.nan, -1, 5, 40, 300], n),
        age_pred=rng.choice([np.nan, np.inf, 30.0], n),
        gender_true=rng.choice(["F", "M", "x", ""], n),
        split=rng.choice(["train", "test", "", "odd"], n),
    )
    read = opened(table)
    assert read.rows_audited + sum(read.rows_left_out.values()) == read.rows_read == n
    assert len(kept(read, "row_at")) == read.rows_audited
    assert all(read.rows_left_out.values())
    assert len(read.rows_left_out) == 4


def test_a_table_of_which_nothing_is_left_is_refused_with_the_reasons():
    words = refused(faces(age_true=[None] * 5 + [200]))
    assert "none of the 6 rows" in words
    assert "age_true is empty: 5; age_true is not from 0 to 120: 1" in words


def test_strict_refuses_rows_left_out_but_not_a_part_not_chosen():
    table = faces(age_true=[1, 2, None, 4, 5, 6])
    assert opened(table).rows_audited == 5
    assert "age_true is empty: 1" in refused(table, strict=True)
    parts = faces(split=["train", "valid", "test"] * 2)
    assert opened(parts, split="test", strict=True).rows_audited == 2


# Features


def test_without_by_the_tables_own_columns_come_first_in_table_order():
    table = faces(light=["a", "b"] * 3, image=list("uvwxyz"), constant=["k"] * 6)
    read = opened(table)
    assert [f.name for f in read.features] == ["race", "light", "gender_true", "age_group"]
    assert any("'constant' holds one level only" in note for note in read.notes)


def test_levels_that_differ_in_capital_letters_only_are_told():
    read = opened(faces(light=["Dim", "dim", "DIM", "bright", "lit", "Lit"], site=list("aabbcc")))
    assert read.features[1].levels == ("DIM", "Dim", "Lit", "bright", "dim", "lit")
    [told] = [note for note in read.notes if "capital letters" in note]
    assert told.startswith("light: 'DIM' and 'Dim' and 'dim', 'Lit' and 'lit' differ in capital")


def test_by_and_control_name_the_features_in_their_order():
    table = faces(light=["a", "b"] * 3, site=["k"] * 6)
    read = opened(table, by=("age_group", "race"), control=("light",))
    assert [f.name for f in read.features] == ["age_group", "race", "light"]
    assert opened(table, by=("site",)).features[0].levels == ("k",)


def test_a_feature_that_is_none_is_refused_with_the_nearest():
    assert "did you mean 'race'" in refused(faces(), by=("rase",))
    assert "cannot be a feature" in refused(faces(), by=("gender_score",))
    table = faces().rename(columns={"gender_true": "sex"})
    words = refused(table, by=("sex",), columns={"gender_true": "sex"})
    assert "'sex' is read as gender_true" in words
    assert "a name of faceaudit's own" in refused(faces(shard=list("aabbcc")), by=("shard",))
    assert "name age_group, of the true age" in refused(faces(), by=("age_group_pred",))


def test_age_groups_are_made_from_the_true_age_where_there_is_one():
    table = faces(age_group=["young", "old"] * 3)
    read = opened(table)
    assert next(f for f in read.features if f.name == "age_group").levels == AGES
    assert any("own 'age_group' was not read" in note for note in read.notes)
    bare = opened(table.drop(columns=["age_true", "age_pred"]))
    assert next(f for f in bare.features if f.name == "age_group").levels == ("old", "young")


def test_too_many_levels_are_refused_by_name_and_passed_over_unasked():
    table = synthetic_predictions(500, seed=0).assign(photo=[f"p{i}" for i in range(500)])
    words = refused(table, by=("photo",))
    assert "'photo' has more than 50 levels" in words
    assert "--max-groups" in words
    read = opened(table)
    assert "photo" not in [f.name for f in read.features]
    assert any("'photo' has more than 50 levels" in note for note in read.notes)
    assert len(opened(table, by=("photo",), max_groups=500).features[0].levels) == 500
    few = table.assign(photo=[f"p{i % 51}" for i in range(500)])
    assert "'photo' has 51 levels" in refused(few, by=("photo",))


def test_a_missing_level_is_unknown_and_comes_last():
    read = opened(faces(race=["White", None, "", "nan", "zebra", "unknown"]))
    assert read.features[0].levels == ("White", "zebra", "unknown")
    assert kept(read, "f0") == [0, 2, 2, 2, 1, 2]


def test_whole_numbers_are_levels_in_numeric_order():
    read = opened(faces(tone=[10, 9, 1, 10, 9, 1]))
    assert next(f for f in read.features if f.name == "tone").levels == ("1", "9", "10")


def test_other_numbers_are_cut_at_the_quintiles_of_the_audited_rows():
    n = 1000
    rng = np.random.default_rng(1)
    light = rng.permutation(np.arange(n) / 7)
    split = np.where(light > 100, "train", "test")
    read = opened(faces(n, light=light, split=split, race=None))
    feature = read.features[0]
    used = np.sort(light[split == "test"])
    expected = [used[-(-q * len(used) // 5) - 1] for q in (1, 2, 3, 4)]
    assert feature.cuts == tuple(expected)
    assert feature.ordered
    codes = np.searchsorted(expected, light[split == "test"], side="right")
    assert kept(read, "f0") == codes.tolist()


def test_numbers_are_cut_where_asked_left_closed_and_named():
    read = opened(faces(light=[1, 2, 3, 4, np.nan, 2.5]), cuts={"light": (2.0, 3.5)}, by=("light",))
    feature = read.features[0]
    assert feature.levels == ("< 2", "2–3.5", "≥ 3.5", "unknown")
    assert kept(read, "f0") == [0, 1, 1, 2, 3, 1]
    assert "words, not numbers" in refused(faces(), cuts={"race": (1.0,)})
    assert "did you mean 'race'" in refused(faces(), cuts={"rac": (1.0,)})


def test_ties_at_a_quintile_make_one_cut_and_no_empty_bin():
    light = [0.0] * 700 + [0.5] * 200 + [1.5] * 100
    read = opened(faces(1000, light=light, race=None))
    assert read.features[0].cuts == (0.5,)
    assert set(kept(read, "f0")) == {0, 1}


def test_edges_that_look_alike_are_named_with_more_digits():
    assert cut_labels([1.00001, 1.00002]) == ("< 1.00001", "1.00001–1.00002", "≥ 1.00002")
    assert cut_labels([2.0]) == ("< 2", "≥ 2")


def test_levels_are_read_alike_whatever_their_type():
    assert set(read_words(["1", "1.0", " 01", None]).values()) == {"1", "unknown"}
    assert read_words(["1", "b"]) == {"1": "1", "b": "b"}
    assert read_words(["None", "NA"]) == {"None": "None", "NA": "NA"}
    assert sorted_levels({"unknown", "b", "10", "9"}) == ("10", "9", "b", "unknown")


@pytest.mark.parametrize("held", [0, 50, 10**6])
def test_order_statistics_are_exact_however_they_are_found(monkeypatch, held):
    monkeypatch.setattr("audit.levels._HELD", held)
    monkeypatch.setattr("audit.levels._BINS", 16)
    rng = np.random.default_rng(2)
    for values in (
        rng.lognormal(0, 3, 999),
        rng.integers(0, 3, 500).astype(float),
        np.array([1e-300, 1e300, -1e300]),
        rng.normal(1e9, 1e-6, 300),
    ):
        source = open_source(pd.DataFrame({"x": values}))
        ranks = sorted({1, len(values) // 3, len(values)})
        got = ranked(source, "(SELECT c0 AS x FROM raw) WHERE isfinite(x)", ranks)
        assert got == np.sort(values)[np.array(ranks) - 1].tolist()


# The normalised table


def write(read, path, **how):
    return write_normalised(read, path, tally_predictions(read, AuditSettings()).errors, **how)


def test_the_normalised_table_holds_every_audited_row_in_words(tmp_path):
    table = synthetic_predictions(300, seed=1, photos_per_person=2)
    read = opened(table, by=("race",))
    path = tmp_path / "out" / "predictions.parquet"
    assert write(read, path) == 300
    frame = pd.read_parquet(path)
    assert frame["race"].astype(str).tolist() == table["race"].astype(str).tolist()
    assert frame["gender_true"].astype(str).tolist() == table["gender_true"].astype(str).tolist()
    assert frame["age_pred"].tolist() == table["age_pred"].tolist()
    np.testing.assert_allclose(frame["error"], table["age_pred"] - table["age_true"], atol=0.0051)
    assert frame["subject_id"].tolist() == table["subject_id"].astype(str).tolist()
    edges = [0, 3, 10, 20, 30, 40, 50, 60, 70, 200]
    groups = pd.cut(table["age_true"], edges, right=False, labels=AGES)
    assert frame["age_group"].astype(str).tolist() == groups.astype(str).tolist()
    called = np.where(table["gender_score"] >= 0.5, "female", "male")
    assert frame["gender_pred"].astype(str).tolist() == called.tolist()


def test_a_flipped_bit_in_the_normalised_table_does_not_read_silently(tmp_path):
    path = tmp_path / "p.parquet"
    write(opened(synthetic_predictions(5000, seed=1)), path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 8
    path.write_bytes(bytes(raw))
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


def test_a_flipped_bit_in_what_predict_wrote_is_found_before_it_is_audited(tmp_path):
    path = tmp_path / "predictions.parquet"
    config = {"network": "compact", "run_id": "abc", "decode": {}}
    table = synthetic_predictions(5000, seed=1).astype({"sample_id": str})
    write_predictions(table, path, config=config, images=tmp_path)
    assert open_predictions(path, AuditSettings()).rows_read == 5000
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 8
    path.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"predictions\.parquet: its bytes are not"):
        open_predictions(path, AuditSettings())


def test_a_column_of_weights_is_no_feature_unless_it_is_asked_for():
    table = synthetic_predictions(500, seed=1).assign(Sample_Weight=np.arange(500) % 5 - 1)
    read = opened(table)
    assert "Sample_Weight" not in [f.name for f in read.features]
    assert "'Sample_Weight' is no feature, and no weight: every row counts once." in read.notes
    asked = opened(table, by=("Sample_Weight",))
    assert [f.name for f in asked.features] == ["Sample_Weight"]


def test_a_table_too_long_is_written_as_its_worst_rows_and_whole_persons(tmp_path):
    table = synthetic_predictions(20_000, seed=1, photos_per_person=4)
    read = opened(table, by=("race",))
    n = write(read, tmp_path / "p.parquet", most=2000)
    frame = pd.read_parquet(tmp_path / "p.parquet")
    assert len(frame) == n
    assert 1500 < n < 2400
    size = (table["age_pred"] - table["age_true"]).abs().to_numpy()
    assert set(np.argsort(-size)[:100].astype(str)) <= set(frame["sample_id"])
    drawn = frame[frame["error"].abs() < np.sort(size)[-400]]
    whole = drawn.groupby("subject_id").size()
    assert (whole == 4).mean() > 0.8


def test_faces_that_a_report_names_are_written_of_any_table(tmp_path):
    table = synthetic_predictions(20_000, seed=1)
    path = tmp_path / "t.parquet"  # rows named by their number have keys of another kind
    table.drop(columns="sample_id").to_parquet(path)
    for read in (opened(table), open_predictions(path, AuditSettings())):
        asked = AuditSettings()
        ranked = ranked_faces(read, asked, tally_predictions(read, asked))
        n = write(read, tmp_path / "p.parquet", most=1000, listed=ranked["face"].tolist())
        assert n < 2000
        there = set(pd.read_parquet(tmp_path / "p.parquet")["sample_id"])
        assert set(ranked["sample_id"]) <= there
        assert write(read, tmp_path / "p.parquet", most=1000) < n


def test_a_long_table_with_few_ages_is_not_written_whole(tmp_path):
    table = synthetic_predictions(5000, seed=1)
    table.loc[0, "age_pred"] = table.loc[0, "age_true"]
    table.loc[100:, "age_pred"] = np.nan
    n = write(opened(table, by=("race",)), tmp_path / "p.parquet", most=1000)
    assert 100 < n < 1300
    errors = pd.read_parquet(tmp_path / "p.parquet")["error"]
    assert errors.notna().sum() == 100


def test_the_old_normalised_table_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    read = opened(synthetic_predictions(100, seed=1))
    write(read, path)
    before = path.read_bytes()

    def fail(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr("audit.normalised._with_words", fail)
    with pytest.raises(RuntimeError):
        write(read, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def test_a_foreign_feature_takes_the_name_it_is_given():
    table = synthetic_predictions(200, seed=1)
    foreign = table.rename(columns={"race": "true_race"})
    settings = AuditSettings(columns={"race": "true_race"})
    ours, theirs = open_predictions(table, AuditSettings()), open_predictions(foreign, settings)
    assert [f.name for f in theirs.features] == [f.name for f in ours.features]
    assert not any("was not read" in note for note in theirs.notes)


def test_a_feature_is_not_renamed_onto_another():
    table = synthetic_predictions(50, seed=1).assign(true_race="a")
    with pytest.raises(InputError, match="has a column 'race' of its own"):
        open_predictions(table, AuditSettings(columns={"race": "true_race"}))


def test_conditions_that_nobody_named_are_written_beside_the_features(tmp_path):
    from audit.contract import CONDITIONS  # noqa: PLC0415

    n = 40
    table = pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "age_true": 30.0,
            "age_pred": np.arange(n) + 10.0,
            "race": ["a", "b"] * (n // 2),
            "picture_brightness": np.arange(n) / n,
            "picture_copy": ["near", "none"] * (n // 2),
        }
    )
    table.loc[3, "picture_brightness"] = np.nan
    for by in (None, ("race", "picture_brightness")):
        out = tmp_path / "out.parquet"
        write(open_predictions(table, AuditSettings(by=by)), out)
        rows = pd.read_parquet(out).set_index("sample_id")
        assert [c for c in rows if c in CONDITIONS] == (
            ["picture_brightness", "picture_copy"]
            if by is None
            else ["picture_copy", "picture_brightness"]
        )
        assert rows.picture_copy.tolist() == table.picture_copy.tolist()
    assert rows.picture_brightness.dtype != float  # compared, so cut into levels
    write(open_predictions(table, AuditSettings()), out)
    rows = pd.read_parquet(out)
    assert rows.picture_brightness.equals(table.picture_brightness)
