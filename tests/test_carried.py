"""A run folder that carries a map: `predict` applies it, says so, and refuses what does not fit."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tiny_training import tiny_faces, tiny_settings

from audit import InputError, cli
from audit.corrections import FILE, METADATA, Recalibration, write_recalibration
from model.export import export
from model.predict import carried
from model.train import train


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"), 320)


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(faces, out=out, settings=tiny_settings(epochs=1))


@pytest.fixture
def loaded(run):
    """The run with a map that makes everyone ten years older, without it afterwards."""
    run_id = json.loads((run / "config.json").read_text())["run_id"]
    everyone = {"per": None, "column": None, "levels": [], "cuts": None, "groups": {}}
    age = {"method": "linear", **everyone, "overall": {"slope": 1.0, "intercept": 10.0}}
    none = {"method": "none"}
    data = {
        "schema": 1,
        "run_id": run_id,
        "threshold": 0.5,
        "heads": {"gender": none, "age": age, "interval": none},
    }
    write_recalibration(run / FILE, Recalibration(data))
    yield run, data
    (run / FILE).unlink()


def predicted(run, faces, out, *options):
    assert cli.main(["predict", str(run), str(faces.root), "--out", str(out), *options]) == 0
    return pd.read_parquet(out)


def test_predict_applies_it_unless_told_not_to_and_says_so(loaded, faces, tmp_path, capsys):
    run, _ = loaded
    plain = predicted(run, faces, tmp_path / "plain.parquet", "--no-recalibration")
    assert capsys.readouterr().err == ""
    mended = predicted(run, faces, tmp_path / "mended.parquet")
    assert "recalibrated (age linear)" in capsys.readouterr().err
    expected = (plain["age_pred"] + 10).clip(0, 120)
    pd.testing.assert_series_equal(mended["age_pred"], expected, check_exact=False, atol=2e-3)
    assert (mended["gender_score"] == plain["gender_score"]).all()
    told = [
        METADATA.encode() in pq.read_schema(tmp_path / f"{n}.parquet").metadata
        for n in ("plain", "mended")
    ]
    assert told == [False, True]


def test_a_map_that_corrects_nothing_is_not_spoken_of(loaded, faces, tmp_path, capsys):
    run, data = loaded
    heads = {name: {"method": "none"} for name in data["heads"]}
    write_recalibration(run / FILE, Recalibration(data | {"heads": heads}))
    predicted(run, faces, tmp_path / "p.parquet")
    assert capsys.readouterr().err == ""


def test_an_exported_file_carries_the_map_of_its_run(loaded, faces, tmp_path, capsys):
    run, _ = loaded
    exported = export(run, to=tmp_path / "model.onnx").path
    theirs = predicted(run, faces, tmp_path / "run.parquet")
    capsys.readouterr()
    ours = predicted(exported, faces, tmp_path / "onnx.parquet")
    assert "recalibrated (age linear)" in capsys.readouterr().err
    pd.testing.assert_series_equal(ours["age_pred"], theirs["age_pred"], rtol=0, atol=0.02)
    plain = predicted(exported, faces, tmp_path / "plain.parquet", "--no-recalibration")
    assert (ours["age_pred"] - plain["age_pred"]).median() == pytest.approx(10, abs=2e-3)


def test_recalibrate_leaves_its_map_in_the_run(run, faces, tmp_path, capsys):
    table = tmp_path / "p.parquet"
    predicted(run, faces, table)
    argv = ["recalibrate", str(table), "--out", str(tmp_path / "o"), "--run", str(run)]
    options = "--split all --gender none --age linear --interval conformal".split()
    try:
        assert cli.main([*argv, *options]) == 0
        assert f"carried by {run / FILE}" in capsys.readouterr().out
        assert carried(run).words() == "age linear, interval conformal"
        predicted(run, faces, table)
        assert cli.main(argv) == 2
        assert "corrected already" in capsys.readouterr().err
    finally:
        (run / FILE).unlink()


def test_a_table_that_does_not_say_who_predicted_it_is_refused_for_a_run(
    run, faces, tmp_path, capsys
):
    path = tmp_path / "p.csv"
    assert cli.main(["predict", str(run), str(faces.root), "--out", str(path)]) == 0
    argv = ["recalibrate", str(path), "--out", str(tmp_path / "o"), "--split", "all"]
    assert cli.main([*argv, "--run", str(run)]) == 2
    assert "p.csv does not say which run predicted it" in capsys.readouterr().err
    assert not (run / FILE).exists()


def test_predictions_of_another_run_are_refused(run, faces, tmp_path, capsys):
    path, run_id = tmp_path / "p.parquet", json.loads((run / "config.json").read_text())["run_id"]
    predicted(run, faces, path)
    arrow = pq.read_table(path)
    pq.write_table(arrow.replace_schema_metadata({b"faceaudit.run": b"another"}), path)
    assert cli.main(["recalibrate", str(path), "--out", str(tmp_path), "--run", str(run)]) == 2
    assert f"by run another, not by --run {run_id}" in capsys.readouterr().err


def test_a_map_of_other_weights_or_altered_is_refused(loaded):
    run, data = loaded
    write_recalibration(run / FILE, Recalibration({**data, "run_id": "others"}))
    with pytest.raises(InputError, match="made for run others"):
        carried(run)
    text = (run / FILE).read_text(encoding="utf-8")
    (run / FILE).write_text(text.replace("10.0", "11.0"), encoding="utf-8")
    with pytest.raises(InputError, match="altered"):
        carried(run)


def test_faces_without_the_feature_of_a_map_are_refused_before_any_is_read(
    loaded, faces, tmp_path, capsys
):
    run, data = loaded
    age = data["heads"]["age"] | {"per": "light", "column": "light"}
    heads = data["heads"] | {"age": age}
    write_recalibration(run / FILE, Recalibration({**data, "heads": heads}))
    argv = ["predict", str(run), str(faces.root), "--out", str(tmp_path / "p.parquet")]
    assert cli.main(argv) == 2
    assert "'light', a column that is not there" in capsys.readouterr().err
    assert not (tmp_path / "p.parquet").exists()
    assert cli.main([*argv, "--no-recalibration"]) == 0
