"""The whole audit, table in and result out."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import audit
from audit import AuditResult, AuditSettings, InputError, MachineError, run_audit
from audit.metrics import METRICS
from audit.result import COLUMNS
from audit.scan import scan
from audit.sites import tally_site
from audit.synthetic import Plant, synthetic_predictions
from audit.tally_file import write_tally

THREE = {"A": 0.5, "B": 0.3, "C": 0.2}


def faces(n=1200, *, seed=1, **how):
    table = synthetic_predictions(n, seed=seed, races=THREE, **how)
    table["gender_score"] = table["gender_score"].round(6)
    return table


def body(result):
    """What must be equal between equal audits: everything but `info.run`."""
    whole = json.loads(result.to_json())
    whole["info"].pop("run")
    return json.dumps(whole)


@pytest.fixture(scope="module")
def table():
    return faces()


@pytest.fixture(scope="module")
def out(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "out"
    run_audit(table, settings=AuditSettings(model="one"), out=folder, images=folder)
    return folder


@pytest.fixture(scope="module")
def result(out):
    return AuditResult.load(out)


@pytest.fixture(scope="module")
def plain(table):
    return run_audit(table, settings=AuditSettings(by=("race", "gender_true")))


@pytest.mark.parametrize("form", ["shuffled csv", "gz", "parquet", "one thread"])
def test_order_format_and_threads_change_no_byte(table, plain, tmp_path, form):
    shuffled = table.sample(frac=1, random_state=3)
    if form == "parquet":
        path = tmp_path / "p.parquet"
        shuffled.to_parquet(path, row_group_size=200, index=False)
    else:
        path = tmp_path / ("p.csv.gz" if form == "gz" else "p.csv")
        shuffled.to_csv(path, index=False)
    threads = 1 if form == "one thread" else None
    settings = AuditSettings(by=("race", "gender_true"), threads=threads)
    assert body(run_audit(path, settings=settings)) == body(plain)


def test_a_table_scanned_beforehand_gives_the_same_audit_and_brings_its_settings(table, plain):
    scanned = scan(table, AuditSettings(by=("race", "gender_true")))
    assert body(run_audit(scanned)) == body(plain)


@pytest.mark.parametrize("at", ["audit_tally", "find", "write_text"])
@pytest.mark.parametrize("source", ["rows", "tally"])
def test_an_audit_given_up_leaves_the_earlier_one_as_it_was(
    at, source, table, tmp_path, monkeypatch
):
    def given_up(*_, **__):
        raise KeyboardInterrupt

    settings = AuditSettings(by=("race",))
    run_audit(table, settings=settings, out=tmp_path / "audit")
    (tmp_path / "audit" / "report.html").write_text("of the earlier one")
    before = {p.name: p.read_bytes() for p in (tmp_path / "audit").iterdir()}
    later = table.head(200)
    if source == "tally":
        write_tally(tally_site(later, settings), tmp_path / "tally.parquet")
        later = tmp_path / "tally.parquet"
    monkeypatch.setattr(f"audit.run.{at}", given_up)
    with pytest.raises(KeyboardInterrupt):
        run_audit(later, settings=settings, out=tmp_path / "audit")
    assert {p.name: p.read_bytes() for p in (tmp_path / "audit").iterdir()} == before
    assert set(before) == {"predictions.parquet", "result.json", "report.html"}


def test_no_report_of_an_earlier_audit_stands_beside_new_figures(table, tmp_path):
    for name in ("result.json", "report.html"):
        (tmp_path / name).write_text("of the earlier one")
    run_audit(table, settings=AuditSettings(by=("race",)), out=tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_fault_in_writing_the_faces_is_the_audits_fault(table, tmp_path, monkeypatch):
    def full(*_, **__):
        raise MachineError("no space left")

    monkeypatch.setattr("audit.run.write_normalised", full)
    with pytest.raises(MachineError, match="no space left"):
        run_audit(table, settings=AuditSettings(by=("race",)), out=tmp_path)
    assert not (tmp_path / "result.json").exists()


def test_what_was_written_is_what_was_returned(table, result, out):
    assert (out / "predictions.parquet").is_file()
    assert len(pd.read_parquet(out / "predictions.parquet")) == len(table)
    assert result.to_json() == (out / "result.json").read_text(encoding="utf-8")


def test_rows_reconcile_and_every_feature_holds_every_face(result):
    info = result.info
    assert info["rows_read"] == info["rows_audited"] + sum(info["rows_left_out"].values())
    mae = result.subgroups[result.subgroups.metric == "age_mae"]
    assert set(mae.groupby("feature").n.sum()) == {info["rows_audited"]}


def test_the_overall_figures_are_those_of_the_rows(result, table):
    row = result.subgroups[result.subgroups.feature == "overall"].set_index("metric").value
    error = table.age_pred - table.age_true
    female = table.gender_true == "female"
    assert row["age_mae"] == pytest.approx(error.abs().mean(), abs=1e-9)
    assert row["age_me"] == pytest.approx(error.mean(), abs=1e-9)
    accuracy = ((table.gender_score >= 0.5) == female).mean()
    assert row["gender_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    inside = table.age_true.between(table.age_low, table.age_high).mean()
    assert row["interval_coverage"] == pytest.approx(inside, abs=1e-9)


def test_every_record_is_complete_and_inside_its_interval(result):
    for name, columns in COLUMNS.items():
        if len(getattr(result, name)):
            assert tuple(getattr(result, name).columns) == columns, name
    rows = result.subgroups
    assert not rows.duplicated(["feature", "group", "metric"]).any()
    ok = rows[rows.status == "ok"]
    assert ok[["value", "low", "high"]].notna().all().all()
    shown = rows[rows.value.notna()]
    assert (shown.low <= shown.value).all()
    assert (shown.value <= shown.high).all()
    assert rows[rows.status == "suppressed"].value.isna().all()


def test_without_by_features_are_the_tables_own_then_gender_and_age(result):
    names = [f["name"] for f in result.info["features"]]
    assert names == [
        "race",
        "gender_true",
        "age_group",
        "race × gender_true",
        "race × age_group",
        "gender_true × age_group",
    ]
    crossed = result.info["features"][3]
    assert crossed["crossing"]
    assert crossed["levels"][0] == "A × female"


def test_who_leaves_ages_out_is_told_that_unequal_ages_may_make_a_difference(result, plain):
    told = [any("one age mix" in note for note in r.info["notes"]) for r in (result, plain)]
    assert told == [False, True]


def test_info_tells_what_it_rests_on(result):
    info = result.info
    assert info["heads"] == ["age", "interval", "gender", "score"]
    assert info["model"] == "one"
    assert info["margins"] == {key: m.margin for key, m in METRICS.items()}
    assert info["subjects_assumed"]
    assert any("one photo per person" in note for note in info["notes"])
    assert any("meant as a 90\u00a0% interval" in note for note in info["notes"])
    assert info["age_me_half_year"] == pytest.approx(overall(result, "age_me") - 0.5)
    assert not any("/" in str(v) for k, v in info.items() if k != "run")


def overall(result, metric):
    rows = result.subgroups
    return rows[(rows.feature == "overall") & (rows.metric == metric)].value.item()


def test_only_run_holds_paths_and_times(result, out):
    run = result.info["run"]
    assert run["paths"]["images"] == str(out)
    assert run["seconds"] > 0
    assert set(run) == {
        "created",
        "seconds",
        "engine",
        "threads",
        "paths",
        "source_sha256",
        "packages",
        "tool_version",
        "notes",
    }


def test_source_date_epoch_sets_the_time(table, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    small = AuditSettings(by=("race",), depth=1)
    result = run_audit(table.head(300), settings=small)
    assert result.info["run"]["created"] == "1970-01-02T00:00:00+00:00"
    assert result.info["run"]["seconds"] is None, "or no two reports would be alike"


def test_a_planted_weakness_is_the_headline():
    weak = faces(4000, planted=[Plant({"race": "B"}, age_scale=1.6)])
    result = run_audit(weak, settings=AuditSettings(by=("race", "gender_true")))
    head = result.findings.iloc[0]
    assert head.kind == "verdict"
    assert head.sentence.startswith("Age is read ")
    assert "worse for B than for everyone else [" in head.sentence
    assert (head.feature, head.group, head.metric) == ("race", "B", "age_mae")
    found = result.disparities.set_index(["feature", "metric"])
    assert found.verdict["race", "age_mae"] == "disparity"
    assert found.verdict["gender_true", "age_mae"] != "disparity"


def test_where_nothing_is_planted_the_headline_says_what_would_have_been_seen():
    result = run_audit(faces(4000, seed=8), settings=AuditSettings(by=("race", "gender_true")))
    assert not (result.disparities.verdict == "disparity").any()
    head = result.findings.iloc[0].sentence
    assert head.startswith("No disparity found in ")
    assert "would have been seen" in head


def test_calibration_is_never_split_by_true_gender(result):
    for name in ("scores", "reliability", "thresholds"):
        features = set(getattr(result, name).feature)
        assert {"overall", "race", "age_group"} <= features, name
        assert not any("gender_true" in f for f in features), name
    crossed = result.scores[result.scores.feature == "race × age_group"]
    assert crossed.miscalibration_p.isna().all()
    assert crossed.spiegelhalter_p.notna().any()
    single = result.scores[(result.scores.feature == "race") & result.scores.brier.notna()]
    assert single.drop(columns=["feature", "group"]).notna().all().all()


def test_age_limits_are_never_split_by_true_age(result):
    assert set(result.age_thresholds.feature) == {"overall", "race", "gender_true"}


def test_at_one_half_the_sweep_gives_the_rates_of_the_audit(result):
    half = result.thresholds[result.thresholds.threshold == 0.5].set_index(["feature", "group"])
    rates = result.subgroups.set_index(["metric", "feature", "group"])
    for key, column in (("gender_tpr", "tpr"), ("gender_fpr", "fpr")):
        for place, value in half[column].dropna().items():
            row = rates.loc[(key, *place)]
            assert value == pytest.approx(row.value, abs=1e-9)
            ends = half.loc[place, [f"{column}_low", f"{column}_high"]]
            assert list(ends) == pytest.approx([row.low, row.high], abs=1e-9)


def test_a_standard_deviation_is_judged_where_the_table_has_one(table):
    std = (table.age_high - table.age_low) / 3.29
    settings = AuditSettings(by=("race",), depth=1)
    result = run_audit(table.assign(age_std=std), settings=settings)
    overall = result.coverage[result.coverage.feature == "overall"].iloc[0]
    z = (table.age_true - table.age_pred) / std
    assert overall.z2 == pytest.approx((z**2).mean(), abs=1e-4)
    assert overall.z2_low < overall.z2 < overall.z2_high
    pit = result.histograms[result.histograms.kind == "age_pit"]
    assert pit.groupby(["feature", "group"]).size().eq(20).all()
    plain = run_audit(table, settings=settings)
    assert plain.coverage.std_n.eq(0).all()
    assert "age_pit" not in set(plain.histograms.kind)


def test_a_model_that_says_the_same_of_every_face_is_audited_and_flagged():
    table = synthetic_predictions(1500, seed=3).assign(age_pred=31.0, gender_score=0.5)
    result = run_audit(table.assign(age_low=25.0, age_high=40.0))
    flagged = " ".join(result.info["notes"])
    assert "read as 31 years old" in flagged
    assert "the same P(female), 0.5" in flagged
    whole = result.subgroups[result.subgroups["feature"] == "overall"].set_index("metric")["value"]
    assert whole["gender_auc"] == 0.5
    assert whole["gender_brier"] == 0.25


def test_one_head_is_audited_alone(table):
    small = AuditSettings(by=("race",))
    ages = run_audit(table[["sample_id", "race", "age_true", "age_pred"]], settings=small)
    assert set(ages.subgroups.metric) == {"age_mae", "age_me", "age_rmse", "age_cs5", "age_p90"}
    for name in ("scores", "reliability", "thresholds", "coverage"):
        assert getattr(ages, name).empty, name
    assert not ages.age_thresholds.empty
    calls = table.assign(gender_pred=np.where(table.gender_score >= 0.5, "F", "M"))
    calls = calls[["sample_id", "race", "gender_true", "gender_pred"]]
    gender = run_audit(calls, settings=small)
    assert not any(m.startswith("age") for m in gender.subgroups.metric)
    assert "gender_brier" not in set(gender.subgroups.metric)
    assert gender.info["age_me_half_year"] is None


def test_control_features_compare_within_their_levels(table):
    settings = AuditSettings(by=("race",), control=("gender_true",), depth=1)
    result = run_audit(table, settings=settings)
    assert set(result.subgroups.feature) == {"overall", "race"}
    rows = result.disparities
    assert set(rows.control_group.dropna()) == {"female", "male"}
    inside = rows[(rows.control_group == "female") & (rows.metric == "age_mae")].iloc[0]
    mine = table[table.gender_true == "female"]
    mae = (mine.age_pred - mine.age_true).abs().groupby(mine.race).mean()
    assert inside.difference == pytest.approx(np.ptp(mae), abs=1e-9)
    assert (inside.feature, inside.lowest_group) == ("race", mae.idxmin())
    assert "gender_brier" not in set(rows[rows.control_group == "female"].metric)


def test_training_rows_are_left_out_counted_and_no_error_even_when_strict(table):
    split = table.assign(split=np.where(table.index < 300, "train", "test"))
    result = run_audit(split, settings=AuditSettings(by=("race",), depth=1, strict=True))
    assert list(result.info["rows_left_out"].values()) == [300]
    assert result.info["rows_audited"] == len(table) - 300
    assert any("left out" in s for s in result.findings.sentence)


def test_strict_refuses_rows_that_would_be_left_out(table):
    broken = table.assign(age_true=table.age_true.where(table.index != 5, 300))
    settings = AuditSettings(by=("race",), depth=1)
    assert run_audit(broken, settings=settings).info["rows_left_out"]
    with pytest.raises(InputError, match="age_true is not from 0 to 120: 1"):
        run_audit(broken, settings=settings.replace(strict=True))


def test_line_numbers_of_bad_rows_depend_on_the_order_and_stay_in_run(table, tmp_path):
    broken = table.assign(age_true=table.age_true.where(table.index != 5, 300))
    settings = AuditSettings(by=("race",), depth=1)
    results = []
    for i, rows in enumerate((broken, broken.iloc[::-1])):
        rows.to_csv(tmp_path / f"{i}.csv", index=False)
        results.append(run_audit(tmp_path / f"{i}.csv", settings=settings))
    assert body(results[0]) == body(results[1])
    assert results[0].info["run"]["notes"] != results[1].info["run"]["notes"]


def test_importing_audit_loads_nothing_heavy():
    heavy = ["torch", "plotly", "streamlit", "fairlearn", "sklearn", "duckdb", "pandas"]
    code = f"import sys, audit; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("name", audit.__all__)
def test_what_audit_offers_is_there(name):
    assert getattr(audit, name) is not None


def test_audit_has_no_other_attribute():
    with pytest.raises(AttributeError, match="run_adit"):
        audit.run_adit  # noqa: B018


@pytest.mark.parametrize(("photos", "told"), [("uneven", True), ("even", False)])
def test_an_audit_of_which_few_people_own_most_photos_says_so(photos, told):
    """Of 200 people the first has 200 photos, the second 100, the third 66; or five each."""
    each = np.maximum(200 // np.arange(1, 201), 1) if photos == "uneven" else np.full(200, 5)
    table = synthetic_predictions(int(each.sum()), seed=2)
    table["subject_id"] = np.repeat(np.arange(200), each)
    notes = run_audit(table, settings=AuditSettings(by=("race",))).info["notes"]
    said = [note for note in notes if "own most photos" in note]
    assert len(said) == told
    if told:
        assert re.match(r"Few of the (19\d|20\d) people own .* 4 people with equally many", *said)
