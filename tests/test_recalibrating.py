"""`faceaudit recalibrate`: the file, the corrected table, the errors; applied by `predict`."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import audit
from audit import AuditSettings, InputError, cli, run_audit
from audit.corrections import (
    FILE,
    METADATA,
    Recalibration,
    apply_recalibration,
    read_recalibration,
    write_recalibration,
)
from audit.recalibrating import recalibrate
from audit.source import ROWS_KEY, key_values
from audit.synthetic import Plant, synthetic_predictions

THREE = {"A": 0.5, "B": 0.3, "C": 0.2}
FAULT = Plant({"race": "B"}, age_scale=1.6, age_shift=8, logit_shift=1.5)
FIGURES = ["gender_score", "age_pred", "age_low", "age_high"]


def faces(n=12_000, *, seed=1):
    table = synthetic_predictions(n, seed=seed, races=THREE, planted=[FAULT], errors="normal")
    years = table["age_pred"].clip(0, 110)  # readings below 0 would be counted as one
    return table.assign(gender_score=table["gender_score"].round(6), age_pred=years, note="")


@pytest.fixture(scope="module")
def table():
    return faces()


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("recalibrated")
    table.to_csv(out / "p.csv", index=False)
    return recalibrate(out / "p.csv", out=out, per="race")


def test_the_best_map_of_every_head_is_chosen_for_a_fault_of_one_group(made):
    heads = made.recalibration.data["heads"]
    assert {name: h["per"] for name, h in heads.items()} == dict.fromkeys(heads, "race")
    assert heads["interval"]["method"] == "mondrian"
    assert "least Brier score of temperature, platt, isotonic" in heads["gender"]["why"]
    assert all(h["judged"] and h["n_fit"] for h in heads.values())


def test_the_corrected_table_has_every_row_and_column_and_says_who_judged(made, table):
    got = pd.read_parquet(made.table)
    assert list(got) == [*table, "recalibration_part"]
    for name in table.columns.difference(FIGURES):
        theirs = table[name] if name == "age_true" else table[name].astype(str)
        assert got[name].fillna("").tolist() == theirs.tolist(), name
    assert got["recalibration_part"].value_counts(normalize=True)["fit"] == pytest.approx(
        0.5, abs=0.03
    )
    assert (got["age_low"] <= got["age_high"]).all()
    metadata = pq.read_schema(made.table).metadata
    assert metadata[METADATA.encode()].decode().startswith(made.recalibration.digest)


def test_an_audit_of_the_other_people_finds_what_was_promised(made):
    settings = AuditSettings(by=("race",), columns={"split": "recalibration_part"}, split="judge")
    subgroups = run_audit(made.table, settings=settings).subgroups
    found = subgroups.set_index(["feature", "group", "metric"])["value"]
    promised = {
        (r["feature"], r["group"], r["metric"]): r["after"]
        for head in made.recalibration.data["heads"].values()
        for r in head["judged"]
    }
    loose = {"gender_brier": 5e-4, "age_mae": 0.05, "age_me": 0.05, "interval_coverage": 0.01}
    for group in (("overall", "overall"), ("race", "A"), ("race", "B")):
        for metric, near in loose.items():
            assert found[*group, metric] == pytest.approx(promised[*group, metric], abs=near)


def test_the_corrected_rows_of_an_audit_are_not_taken_for_its_rows(tmp_path):
    run_audit(faces(2000), settings=AuditSettings(by=("race",)), out=tmp_path / "audit")
    made = recalibrate(tmp_path / "audit" / "predictions.parquet", out=tmp_path / "after")
    assert ROWS_KEY in key_values(tmp_path / "audit" / "predictions.parquet")
    assert ROWS_KEY not in key_values(made.table)


def test_who_taught_the_maps_is_no_group_and_is_told(made):
    told = run_audit(made.table, settings=AuditSettings(depth=1)).info
    assert "recalibration_part" not in [feature["name"] for feature in told["features"]]
    [note] = [note for note in told["notes"] if "recalibration_part" in note]
    assert "--column split=recalibration_part --split judge" in note
    apart = AuditSettings(columns={"split": "recalibration_part"}, split="judge", depth=1)
    assert "recalibration_part" not in " ".join(run_audit(made.table, settings=apart).info["notes"])


def test_rows_that_took_no_part_are_corrected_and_have_none(tmp_path):
    table = faces(6000).assign(split=np.where(np.arange(6000) % 3, "valid", "test"))
    made = recalibrate(table, out=tmp_path, settings=AuditSettings(split="valid"))
    got = pd.read_parquet(made.table)
    assert got.loc[got["split"] == "test", "recalibration_part"].isna().all()
    assert got.loc[got["split"] == "valid", "recalibration_part"].notna().all()
    both = apply_recalibration(made.recalibration, table)
    np.testing.assert_allclose(got["age_pred"], both["age_pred"])


def test_any_order_and_format_makes_the_same_file(table, made, tmp_path):
    shuffled = table.sample(frac=1, random_state=2)
    shuffled.to_parquet(tmp_path / "p.parquet", index=False)
    other = recalibrate(tmp_path / "p.parquet", out=tmp_path, per="race")
    assert other.path.read_bytes() == made.path.read_bytes()


def test_the_file_applied_to_the_table_is_the_corrected_table(made, table):
    mine = audit.apply_recalibration(audit.read_recalibration(made.path), table)
    got = pd.read_parquet(made.table)
    pd.testing.assert_frame_equal(mine[FIGURES], got[FIGURES])


def test_foreign_names_are_read_and_the_corrected_table_bears_ours(tmp_path):
    theirs = faces(3000).rename(columns={"gender_score": "p_female", "race": "group"})
    settings = AuditSettings(columns={"gender_score": "p_female"})
    made = recalibrate(theirs, out=tmp_path, settings=settings, per="group")
    got = pd.read_parquet(made.table)
    assert "gender_score" in got
    assert "p_female" not in got


@pytest.mark.parametrize("damage", ["cut", "flip", "schema", "gone"])
def test_a_damaged_file_is_refused(made, tmp_path, damage):
    path, text = tmp_path / FILE, made.path.read_text(encoding="utf-8")
    if damage != "gone":
        change = {
            "cut": text[:500],
            "flip": text.replace('"threshold": 0.5', '"threshold": 0.4'),
            "schema": text.replace('"schema": 1', '"schema": 9'),
        }[damage]
        assert change != text
        path.write_text(change, encoding="utf-8")
    with pytest.raises(InputError, match=FILE):
        read_recalibration(path)


def a_map(**heads):
    plain = {"per": None, "column": None, "levels": [], "cuts": None, "groups": {}}
    whole = {name: {"method": "none"} for name in ("gender", "age", "interval")}
    whole |= {name: {"method": "any", **plain, **head} for name, head in heads.items()}
    return Recalibration({"schema": 1, "run_id": None, "threshold": 0.5, "heads": whole})


def test_cuts_and_unknown_levels_find_their_map():
    flat, up = {"slope": 1.0, "intercept": 0.0}, {"slope": 1.0, "intercept": 5.0}
    cut = {"per": "light", "column": "light", "levels": ["< 2", "≥ 2"], "cuts": [2.0]}
    got = apply_recalibration(
        a_map(age={**cut, "overall": flat, "groups": {"≥ 2": up}}),
        pd.DataFrame({"age_pred": [30.0] * 4, "light": ["1", "2,5", None, "dark"]}),
    )
    assert got["age_pred"].tolist() == [30, 35, 30, 30]
    words = {"per": "site", "column": "site", "levels": ["1", "2"]}
    got = apply_recalibration(
        a_map(age={**words, "overall": flat, "groups": {"2": up}}),
        pd.DataFrame({"age_pred": [30.0] * 4, "site": ["01", "2.0", None, "9"]}),
    )
    assert got["age_pred"].tolist() == [30, 35, 30, 30]


def test_an_interval_that_held_its_age_holds_the_corrected_one():
    moved = a_map(age={"overall": {"slope": 1.0, "intercept": 20.0}})
    rows = pd.DataFrame({"age_pred": [30.0, np.nan], "age_low": [25.0, 2], "age_high": [35.0, 3]})
    got = apply_recalibration(moved, rows)
    assert got.iloc[0].tolist() == [50, 25, 50]
    assert got.iloc[1, 1:].tolist() == [2, 3]
    narrow = a_map(interval={"stated": True, "overall": {"widen": -8.0}})
    assert apply_recalibration(narrow, rows).iloc[0].tolist() == [30, 30, 30]


def test_the_call_follows_the_corrected_score():
    shifted = a_map(gender={"overall": {"slope": 1.0, "offset": -1.0}})
    rows = pd.DataFrame({"gender_score": [0.6, 0.9, np.nan], "gender_pred": ["F", "F", "M"]})
    assert apply_recalibration(shifted, rows)["gender_pred"].tolist() == ["male", "female", "M"]


@pytest.mark.parametrize(
    ("head", "lacking"),
    [
        ({"gender": {"overall": {"slope": 1.0, "offset": 0.0}}}, "gender_score"),
        ({"interval": {"stated": True, "overall": {"widen": 1.0}}}, "age_low"),
        ({"age": {"per": "race", "column": "race", "overall": {"slope": 1.0}}}, "'race'"),
    ],
)
def test_a_table_without_what_a_map_needs_is_refused(head, lacking):
    with pytest.raises(InputError, match=lacking):
        apply_recalibration(a_map(**head), pd.DataFrame({"age_pred": [30.0]}))


def test_applying_a_map_needs_no_torch_and_no_fairlearn():
    code = "import sys; from audit import apply_recalibration; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "fairlearn", "plotly"} & set(out.stdout.split())


# The command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    whole = faces(2000)
    whole.to_csv(folder / "p.csv", index=False)
    whole.drop(columns="gender_score").to_csv(folder / "ages.csv", index=False)
    whole.head(120).to_csv(folder / "few.csv", index=False)
    return folder


def test_the_command_tells_changes_and_choice_and_ends_with_the_path(files, tmp_path, capsys):
    out = tmp_path / "out"
    argv = [
        "recalibrate",
        str(files / "p.csv"),
        "--out",
        str(out),
        "--age",
        "linear",
        "--per",
        "race",
    ]
    assert cli.main(argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(out / FILE)
    assert any(line.startswith("chosen: age linear per race (as asked)") for line in said)
    assert any(line.startswith("age      isotonic") and "[" in line for line in said)
    assert any("  B: mean absolute error" in line and "n " in line for line in said)
    assert {p.name for p in out.iterdir()} == {FILE, "predictions.parquet"}


@pytest.mark.parametrize("first", ["audit", "recalibrate"])
def test_an_audit_and_a_corrected_table_do_not_replace_each_other_s_rows(
    first, files, tmp_path, capsys
):
    out = tmp_path / "o"
    more = {"audit": ["--by", "race"], "recalibrate": ["--age", "linear"]}
    for again in (False, True):  # the same command may come twice
        assert cli.main([first, str(files / "p.csv"), "--out", str(out), *more[first]]) == 0, again
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    second = next(name for name in more if name != first)
    capsys.readouterr()
    assert cli.main([second, str(files / "p.csv"), "--out", str(out), *more[second]]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["p.csv", "--per", "rase"], "did you mean 'race'"),
        (["p.csv", "--per", "gender_true"], "not for a label"),
        (["p.csv", "--gender", "plat"], "did you mean 'platt'"),
        (["p.csv", "--gendr", "platt"], "did you mean '--gender'"),
        (["p.csv", "--column", "gender_score=p_femal"], "no column 'p_femal'"),
        (["ages.csv", "--gender", "platt"], "no gender_score"),
        (["few.csv"], "too few people"),
        (["few.csv", "--age", "linear"], "must be 100 or more"),
        (["p.csv", "--run", "no-run"], "no run folder"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(argv, words, files, tmp_path, capsys):
    path, *rest = argv
    code = cli.main(["recalibrate", str(files / path), "--out", str(tmp_path / "o"), *rest])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_the_file_round_trips(made, tmp_path):
    path = write_recalibration(tmp_path / FILE, made.recalibration)
    assert read_recalibration(path).digest == made.recalibration.digest
    assert json.loads(path.read_text(encoding="utf-8"))["digest"] == made.recalibration.digest
