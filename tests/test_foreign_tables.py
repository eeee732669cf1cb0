"""Tables as people have them: what is no number, no gender, no part is told, never guessed."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from audit import cli, run_audit
from audit.config import AuditSettings
from audit.errors import InputError
from audit.levels import cut_labels
from audit.predictions import open_predictions
from audit.recalibrating import recalibrate
from audit.synthetic import synthetic_predictions


@pytest.fixture
def table():
    return synthetic_predictions(400, seed=1)


def opened(table, **settings):
    return open_predictions(table, AuditSettings(**settings))


def said(capsys):
    out, err = capsys.readouterr()
    assert len(err.strip().splitlines()) == 1
    return out + err


# What is read is never written over ----------------------------------------------------------


@pytest.mark.parametrize("command", ["audit", "recalibrate"])
def test_a_command_never_writes_over_the_table_it_reads(command, table, tmp_path, capsys):
    path = tmp_path / "predictions.parquet"
    table.to_parquet(path)
    before = path.read_bytes()
    for source in (path, tmp_path / "*.parquet"):
        assert cli.main([command, str(source), "--out", str(tmp_path)]) == 2
        assert "choose another folder" in said(capsys)
    assert path.read_bytes() == before


def test_an_audit_is_not_put_into_the_folder_of_rows(table, tmp_path, capsys):
    table.to_parquet(tmp_path / "part.parquet")
    assert cli.main(["audit", str(tmp_path), "--out", str(tmp_path / "audit")]) == 2
    assert "would be read as more rows" in said(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["part.parquet"]


# Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("gender_true", {"female": "W", "male": "M"}),
        ("gender_pred", {"female": "woman", "male": "Mann"}),
    ],
)
def test_a_gender_whose_other_word_is_not_read_is_refused(table, column, words):
    whole = table.drop(columns="gender_score").assign(gender_pred=table["gender_true"])
    whole[column] = whole["gender_true"].astype(str).map(words)
    with pytest.raises(InputError, match=f"{column} holds a word for .*male, none for the other"):
        opened(whole)


def test_zero_one_two_is_not_taken_for_male_female_and_other(table):
    coded = table["gender_true"].astype(str).map({"female": "2", "male": "1"})
    coded[:5] = "0"
    with pytest.raises(InputError, match="holds 1 and 2"):
        opened(table.assign(gender_true=coded))


def test_people_who_are_neither_stay_levels_of_their_own(table):
    only = table[table["gender_true"].astype(str) == "female"]
    words = only["gender_true"].astype(str).to_numpy().astype(object)
    words[:20] = "nonbinary"
    assert opened(only.assign(gender_true=words)).gender_levels == ("female", "male", "nonbinary")


@pytest.mark.parametrize("word", ["training", "Train", " trn "])
def test_training_rows_are_left_out_by_any_usual_name(table, word):
    parts = np.where(np.arange(400) < 300, word, "testing")
    read = opened(table.assign(split=parts))
    assert dict(read.rows_left_out) == {"split is train": 300}


def test_parts_of_other_names_are_told(table):
    read = opened(table.assign(split=np.where(np.arange(400) < 300, "A", "B")))
    assert read.rows_audited == 400
    assert any(note.startswith("split holds 'a', 'b', not train") for note in read.notes)
    assert not any("split holds" in note for note in opened(table.assign(split="test")).notes)


# Numbers -------------------------------------------------------------------------------------


def test_decimal_commas_are_refused_where_a_comma_parts_fields_and_read_elsewhere(table, tmp_path):
    ages = [f"{x:.1f}".replace(".", ",") for x in table["age_pred"]]
    written = table.assign(age_pred=ages)
    written.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"age_pred is no number in .*line 2, '[0-9]+,[0-9]'"):
        opened(tmp_path / "t.csv")
    for name, sep in (("t.tsv", "\t"), ("s.csv", ";")):
        written.to_csv(tmp_path / name, index=False, sep=sep)
        read = opened(tmp_path / name)
        got = read.source.frame("SELECT age_pred FROM faces ORDER BY row_at")["age_pred"]
        assert got.tolist() == [float(age.replace(",", ".")) for age in ages]


def test_ages_with_their_unit_are_refused_and_a_stray_word_is_not(table):
    spelled = [f"{x:.1f} years" for x in table["age_pred"]]
    with pytest.raises(InputError, match="age_pred is no number in 400 of 400 rows"):
        opened(table.assign(age_pred=spelled))
    stray = table["age_pred"].astype(str).where(np.arange(400) != 7, "no face")
    read = opened(table.assign(age_pred=stray))
    assert read.counts["age_pred_not_finite"] == 1
    assert not any("Every face is read" in note for note in read.notes)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("20-29", "a band of ages"),
        ("more than 70", "a band of ages"),
        ("70+", "a band of ages"),
        ("1984-05-31", "a date; give the age in years"),
        ("31.05.1984", "a date; give the age in years"),
        ("31.5 years", "without their unit"),
        ("18 months", "without their unit"),
        ("12,5", "written with a point"),
    ],
)
def test_what_stands_in_the_place_of_an_age_is_told_with_what_to_do(table, word, hint):
    with pytest.raises(InputError, match=rf"age_true is no number in 400 of 400 .*; .*{hint}"):
        opened(table.assign(age_true=word))


@pytest.mark.parametrize("ages", [lambda age: age * 12, lambda age: 2026 - age, lambda age: -1])
def test_true_ages_that_are_no_years_are_refused_and_a_few_are_left_out(ages, table):
    odd = table["age_true"].map(ages)
    with pytest.raises(InputError, match=r"age_true is not from 0 to 120 in .* it is in years: "):
        opened(table.assign(age_true=odd))
    half = table["age_true"].where(np.arange(400) < 250, -1.0)
    assert opened(table.assign(age_true=half)).rows_audited == 250
    learned = np.where(np.arange(400) < 250, "test", "train")
    with pytest.raises(InputError, match="in 150 of 250 rows"):
        opened(table.assign(age_true=half.where(np.arange(400) < 100, 999), split=learned))


def test_a_line_of_more_fields_than_the_header_is_not_called_cut(tmp_path):
    for text in ("# by us\nage_true,age_pred\n1,2\n", "age_true,age_pred\n1,2\n1,2,3\n"):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(InputError, match=r"line [23]: . fields where .*does line 1 name the"):
            opened(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("age_true,age_pred\n1,2\n1\n")
    with pytest.raises(
        InputError, match=r"line 3: 1 field where the header has 2; is the file cut"
    ):
        opened(tmp_path / "t.csv")


def test_a_number_with_decimal_commas_is_cut_as_a_number(table, tmp_path):
    doses = [str(x).replace(".", ",") for x in np.tile([0.5, 1.5, 2.5, 4.5], 100)]
    table.assign(dose=doses).to_csv(tmp_path / "t.csv", index=False, sep=";")
    read = opened(tmp_path / "t.csv", by=("dose",), cuts={"dose": (1, 3)})
    assert read.features[0].levels == ("< 1", "1–3", "≥ 3")


def test_labels_of_cuts_say_where_the_cuts_are():
    years = [1965.0, 1980.0, 1995.0, 2010.0]
    assert cut_labels(years) == ("< 1965", "1965–1980", "1980–1995", "1995–2010", "≥ 2010")
    assert cut_labels([12345.678, 23456.7]) == ("< 12346", "12346–23457", "≥ 23457")
    assert cut_labels([0.000123456, 2.5]) == ("< 0.000123", "0.000123–2.5", "≥ 2.5")
    assert cut_labels([0.0, 1e-30]) == ("< 0", "0–1e-30", "≥ 1e-30")


@pytest.mark.parametrize("edge", ["inf", "nan"])
def test_a_cut_that_is_no_number_is_refused(edge, table, tmp_path, capsys):
    table.to_csv(tmp_path / "t.csv", index=False)
    asked = ["--by", "age_std", "--cuts", f"age_std={edge}", "--out", str(tmp_path / "o")]
    assert cli.main(["audit", str(tmp_path / "t.csv"), *asked]) == 2
    said(capsys)


# Names and files -----------------------------------------------------------------------------


def test_names_in_capitals_are_offered_as_they_are_mapped(table):
    with pytest.raises(InputError, match="--column gender_true=GENDER_TRUE age_true=AGE_TRUE"):
        opened(table[["age_true", "gender_true"]].rename(columns=str.upper))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"age_true": "age"}, ["age_pred is not audited: there is no age_true", "=THEIRS"]),
        ({"gender_true": "sex"}, ["gender_score is not audited: there is no gender_true"]),
        ({"gender_true": "Gender_True"}, ["--column gender_true=Gender_True"]),
        ({"age_pred": "Age_Pred"}, ["--column age_pred=Age_Pred reads it as age_pred"]),
    ],
)
def test_a_head_of_which_one_column_is_not_found_is_told(names, said, table):
    notes = " ".join(opened(table.rename(columns=names)).notes)
    assert all(words in notes for words in said)
    assert "--column" not in " ".join(opened(table).notes)


def test_one_end_of_an_interval_is_told_not_to_be_read(table):
    read = opened(table.drop(columns="age_high"))
    assert "age_low was not read: there is no age_high." in read.notes


def test_a_file_whose_lines_end_in_two_ways_says_so(table, tmp_path):
    text = table.to_csv(index=False)
    (tmp_path / "t.csv").write_bytes((text + text.replace("\n", "\r\n")).encode())
    with pytest.raises(InputError) as error:
        opened(tmp_path / "t.csv")
    assert "cut off or damaged" not in str(error.value)


def test_a_name_that_joins_features_is_no_feature(table):
    named = table.assign(**{"race × light": table["race"]})
    read = opened(named)
    assert "race × light" not in [f.name for f in read.features]
    assert any("which joins the features of a crossing" in note for note in read.notes)
    with pytest.raises(InputError, match="rename it"):
        opened(named, by=("race × light",))


@pytest.mark.parametrize(
    ("name", "bytes_", "words"),
    [
        ("t.csv", b"PK\x03\x04rest", "is a workbook"),
        ("t.zip", b"PK\x03\x04\0\0rest", "or zip"),
        ("t.feather", b"ARROW1\0\0rest", "is Feather"),
        ("t.pkl", b"\x80\x05\x95\0\0", "is a pickle"),
        ("t.csv", b"\x1f\x8b\x08\0\0", "without .gz in its name"),
        ("t.csv", b"sep=;\nage_true;age_pred\n3;4\n", "line 1: 'sep=;' is a word to Excel"),
        ("t.json", b'[{"age_true": 3, "age_pred": 4}]', "is JSON"),
        ("t.csv", b"age_true,age_pred\n3,\xff\n", "line 2"),
    ],
)
def test_a_file_that_is_no_table_says_what_it_is(name, bytes_, words, tmp_path):
    (tmp_path / name).write_bytes(bytes_)
    with pytest.raises(InputError, match=words):
        opened(tmp_path / name)


@pytest.mark.parametrize("text", ["", "a,b\n1,2,3\n4\n5,6,7,8\n", "age\n1\n", b"\xff\xfe\x00"])
def test_a_history_that_is_none_is_refused(text, table, tmp_path, capsys):
    table.to_csv(tmp_path / "t.csv", index=False)
    path = tmp_path / "h.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    asked = ["--history", str(path), "--out", str(tmp_path / "o")]
    assert cli.main(["audit", str(tmp_path / "t.csv"), *asked]) == 2
    assert "h.csv" in said(capsys)


def test_a_name_too_long_is_the_users_to_mend(capsys):
    assert cli.main(["report", "x" * 300]) == 2
    said(capsys)


@pytest.mark.parametrize("command", [["audit", "t.csv", "--out", "o"], ["report", "o"]])
@pytest.mark.parametrize("images", ["nowhere", "n" * 300])
def test_a_folder_of_pictures_that_is_not_there_is_refused(command, images, capsys):
    assert cli.main([*command, "--images", images]) == 2
    assert f"--images: '{images}' is not there" in said(capsys)


@pytest.mark.parametrize("number", ["-3", "2.5", "many"])
def test_a_number_of_pictures_is_whole(number, capsys):
    assert cli.main(["report", "x", f"--thumbnails={number}"]) == 2
    assert "thumbnails" in said(capsys)


# A score the wrong way round -----------------------------------------------------------------


def test_a_score_turned_round_is_not_recalibrated_to_a_constant(table, tmp_path):
    turned = table.assign(gender_score=1 - table["gender_score"])
    with pytest.raises(InputError, match=r"turn it round \(1 - score\)"):
        recalibrate(turned, out=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_ages_are_recalibrated_beside_a_score_turned_round(table, tmp_path):
    turned = table.assign(gender_score=1 - table["gender_score"])
    made = recalibrate(turned, out=tmp_path, choice={"gender": "none"})
    corrected = pd.read_parquet(made.table)
    assert corrected["gender_score"].to_numpy() == pytest.approx(turned["gender_score"].to_numpy())


def test_a_recalibration_says_what_was_left_out(tmp_path):
    table = synthetic_predictions(3000, seed=1)
    table.loc[:99, "age_true"] = -1
    made = recalibrate(table, out=tmp_path)
    assert any(note.startswith("Left out, age_true") for note in made.notes)


# Levels and settings at their ends -----------------------------------------------------------


def test_levels_with_underscores_and_long_numbers_stay_what_they_are(table, tmp_path):
    ages, codes = ["18_25", "1_825"], [5, 2**60, 2**60 + 1]
    rng = np.random.default_rng(0)
    table = table.assign(years=rng.choice(ages, 400), code=rng.choice(codes, 400))
    table.to_csv(tmp_path / "t.csv", index=False)
    for source in (table, tmp_path / "t.csv"):
        found = {f.name: f.levels for f in opened(source).features}
        assert found["years"] == ("18_25", "1_825")
        assert found["code"] == tuple(map(str, codes))


def test_an_age_with_an_underscore_is_no_number(table, tmp_path):
    table = table.astype({"age_pred": object})
    table.loc[3, "age_pred"] = "3_0"
    table.to_csv(tmp_path / "t.csv", index=False)
    assert opened(tmp_path / "t.csv").counts["age_pred_not_finite"] == 1


def test_levels_that_hold_the_sign_of_crossings_are_no_levels(table):
    table["site"] = np.where(table.index % 2, "A × B", "A")
    read = opened(table)
    assert "site" not in {f.name for f in read.features}
    assert any("'site' has the level 'A × B'" in note for note in read.notes)
    with pytest.raises(InputError, match=r"'A × B'.* rename it"):
        opened(table, by=("site",))


def test_an_infinity_in_a_feature_is_unknown_whatever_the_file(table, tmp_path):
    table["light"] = np.random.default_rng(0).normal(size=400)
    table.loc[[3, 4], "light"] = [np.inf, np.nan]
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    found = [opened(tmp_path / name).features for name in ("t.csv", "t.parquet")]
    assert found[0] == found[1]
    assert next(f for f in found[0] if f.name == "light").levels[-1] == "unknown"


def test_a_tables_own_age_group_does_not_decide_the_order_of_features(table):
    table.insert(0, "age_group", "old")
    assert [f.name for f in opened(table).features] == ["race", "gender_true", "age_group"]


def test_groups_of_one_person_each_are_audited_and_shown_by_their_number(tmp_path):
    """What is left of the spread within a person is rounding, not a million rows."""
    rng = np.random.default_rng(1)
    age, person = rng.integers(0, 90, 603), rng.integers(0, 20, 603)
    table = {"subject_id": person, "camera": [f"c{i}" for i in person], "age_true": age}
    table |= {"age_pred": np.round(age + rng.normal(0, 4, 603), 2)}
    result = run_audit(pd.DataFrame(table), settings=AuditSettings(by=("camera",)))
    own = result.subgroups[result.subgroups.feature == "camera"]
    assert set(own.status) == {"suppressed"}
    assert own.low.isna().all()


@pytest.mark.parametrize("option", [["--age-groups", "0"], ["--threshold", "1"]])
def test_settings_at_their_ends_give_a_report(option, table, tmp_path):
    table.to_parquet(tmp_path / "t.parquet")
    out = tmp_path / "out"
    assert cli.main(["audit", str(tmp_path / "t.parquet"), "--out", str(out), *option]) == 0
    assert (out / "report.html").exists()


def test_half_floats_and_columns_that_no_engine_knows_do_not_stop_an_audit(table):
    plain = run_audit(table, settings=AuditSettings(by=("race",)))
    odd = table.assign(
        half=np.float16(1.5),
        z=np.ones(len(table)) * 1j,
        huge=[2**70] * len(table),
        cut=pd.Series(["\ud800"] * len(table), dtype=object),
        lists=[[1]] * len(table),
    )
    found = run_audit(odd, settings=AuditSettings(by=("race",)))
    pd.testing.assert_frame_equal(found.subgroups, plain.subgroups)
    halves = table.assign(age_true=table["age_true"].astype("float16"))
    found = run_audit(halves, settings=AuditSettings(by=("race",)))
    pd.testing.assert_frame_equal(found.subgroups, plain.subgroups)


def test_days_are_the_same_levels_in_every_format(table, tmp_path):
    days = pd.to_datetime(["2024-01-01", "2024-02-29", None]).as_unit("us")
    table = table.assign(day=days[np.arange(len(table)) % 3])
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    settings = AuditSettings(by=("day",))
    found = [run_audit(source, settings=settings) for source in (table, *tmp_path.iterdir())]
    assert found[0].info["features"][0]["levels"] == ["2024-01-01", "2024-02-29", "unknown"]
    assert len({one.info["hash_of_rows"] for one in found}) == 1


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_column_of_many_dates_says_that_it_has_too_many_levels(table, zone):
    days = pd.date_range("2024-01-01", periods=len(table), tz=zone)
    with pytest.raises(InputError, match="'when' has more than 50 levels"):
        run_audit(table.assign(when=days), settings=AuditSettings(by=("when",)))
    few = days[np.arange(len(table)) % 2]
    result = run_audit(table.assign(when=few), settings=AuditSettings(by=("when",)))
    assert len(result.info["features"][0]["levels"]) == 2


@pytest.mark.parametrize("odd", [None, {"age_true": [3]}, pa.table({"age_true": [3]})])
def test_what_is_no_table_or_no_settings_is_told_in_python(odd, table, tmp_path):
    with pytest.raises(InputError, match=r"not (builtins|pyarrow\.).*to_pandas"):
        run_audit(odd)
    with pytest.raises(InputError, match=r"to_pandas"):
        recalibrate(odd, out=tmp_path)
    with pytest.raises(InputError, match=r"from_plain makes them of a dict"):
        run_audit(table, settings={"by": ["race"]})


# What pandas holds beside columns of numbers and words -----------------------------------------


def table_of(source):
    predictions = opened(source)
    return predictions.features, predictions.notes


@pytest.mark.parametrize("index", ["sample_id", "race", ["race", "sample_id"]])
def test_an_index_that_has_a_name_is_a_column_as_in_the_file_that_pandas_writes(
    index, table, tmp_path
):
    indexed = table.set_index(index)
    indexed.to_csv(tmp_path / "t.csv")
    assert table_of(indexed) == table_of(tmp_path / "t.csv")
    assert table_of(table.rename_axis("race")) == table_of(table)  # the column counts


@pytest.mark.parametrize("kind", ["category", "interval[float64, right]", "object"])
def test_bands_of_pandas_are_the_levels_that_its_csv_has(kind, table, tmp_path):
    months = pd.PeriodIndex(np.where(np.arange(len(table)) % 2, "2024-01", "2024-02"), freq="M")
    bands = pd.cut(table["age_true"], [0.0, 30.5, 60.0]).astype(kind)
    odd = table.assign(band=bands, month=months)
    odd.to_csv(tmp_path / "t.csv", index=False)
    settings = AuditSettings(by=("band", "month"))
    found, wanted = (run_audit(t, settings=settings) for t in (odd, tmp_path / "t.csv"))
    assert found.info["features"][0]["levels"] == ["(0.0, 30.5]", "(30.5, 60.0]", "unknown"]
    assert found.info["hash_of_rows"] == wanted.info["hash_of_rows"]
