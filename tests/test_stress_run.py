"""`faceaudit stress` from a trained network to its page."""

import json
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from tiny_training import tiny_faces, tiny_settings

from audit import cli
from model import stress
from model.corruptions import CORRUPTIONS, corrupt
from model.export import export
from model.faces import FaceTable
from model.pictures import read_picture
from model.predict import open_model, predict
from model.stress import examples, read_corrupted, sample_people
from model.train import train

KEYS = ["sample_id", "corruption", "severity"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"), 240)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(table, out=out, settings=tiny_settings(epochs=6))


@pytest.fixture(scope="module")
def readings(run, table):
    found = read_corrupted(run, table, split="all", sample=0, severities=[1, 5], threads=1)
    return found.readings


def test_the_clean_readings_are_the_predictions(readings, run, table, tmp_path):
    rows = pd.read_parquet(predict(run, table, out=tmp_path / "p.parquet"))
    clean = readings[readings["corruption"] == "clean"].set_index("sample_id")
    clean = clean.loc[rows["sample_id"]]
    assert clean["age_pred"].to_numpy() == pytest.approx(rows["age_pred"].to_numpy(), abs=0.002)
    assert clean["gender_score"].to_numpy() == pytest.approx(
        rows["gender_score"].to_numpy(), abs=1e-4
    )
    assert list(clean["split"]) == list(rows["split"])


def test_an_exported_network_reads_worse_pictures_as_its_run_does(readings, run, table, tmp_path):
    exported = export(run, to=tmp_path / "model.onnx").path
    part = table.faces.sample(30, random_state=3)
    few = FaceTable(table.root, part, table.left_out, 0, table.subjects_given, 0)
    again = read_corrupted(exported, few, split="all", sample=0, severities=[1, 5], threads=1)
    both = again.readings.merge(readings, on=KEYS)
    assert len(both) == 30 * (1 + 2 * len(CORRUPTIONS))
    assert both["age_pred_x"].to_numpy() == pytest.approx(both["age_pred_y"].to_numpy(), abs=0.002)
    assert both["gender_score_x"].to_numpy() == pytest.approx(
        both["gender_score_y"].to_numpy(), abs=1e-4
    )


def test_every_face_is_read_once_under_every_corruption_and_severity(readings, table):
    assert not readings.duplicated(KEYS).any()
    assert len(readings) == len(table.faces) * (1 + 2 * len(CORRUPTIONS))
    assert (readings.groupby(["corruption", "severity"]).size() == len(table.faces)).all()


def test_a_network_for_which_bright_is_old_reads_dark_faces_younger(readings):
    """Planted truth: tiny faces tell their age by their brightness alone."""
    error = (
        (readings["age_pred"] - readings["age_true"])
        .groupby([readings["corruption"], readings["severity"]])
        .mean()
    )
    assert error["darkness", 5] < error["clean", 0] - 10
    assert error["overexposure", 5] > error["clean", 0] + 10
    assert abs(error["jpeg", 1] - error["clean", 0]) < 5


def test_a_reading_does_not_depend_on_the_faces_read_beside_it(readings, run, table):
    part = table.faces.sample(30, random_state=2)
    few = FaceTable(table.root, part, table.left_out, 0, table.subjects_given, 0)
    again = read_corrupted(
        run, few, split="all", sample=0, severities=[5], corruptions=["noise", "tilt"], threads=1
    ).readings
    both = again.merge(readings, on=KEYS)
    assert len(both) == 30 * 3
    assert both["age_pred_x"].to_numpy() == pytest.approx(both["age_pred_y"].to_numpy(), abs=0.002)


def test_the_network_reads_the_corrupted_pixels(run, table, readings):
    face = table.faces["image"].iloc[0]
    pixels = read_picture(table.root / face, size=32)
    assert (corrupt(pixels, "blur", 5) != pixels).any()
    one = readings[readings["sample_id"] == face].set_index(["corruption", "severity"])["age_pred"]
    assert one["blur", 5] != one["clean", 0]


def test_people_are_drawn_by_seed_whole_and_whatever_their_order():
    faces = pd.DataFrame({"subject_id": [f"p{i // 3}" for i in range(300)], "face": range(300)})
    drawn = sample_people(faces, 20, seed=1)
    assert drawn["subject_id"].nunique() == 20
    assert (drawn.groupby("subject_id").size() == 3).all()
    turned = sample_people(faces.iloc[::-1], 20, seed=1)
    assert set(turned["face"]) == set(drawn["face"])
    assert set(sample_people(faces, 20, seed=2)["face"]) != set(drawn["face"])
    assert set(sample_people(faces, 30, seed=1)["face"]) > set(drawn["face"])
    assert len(sample_people(faces, 0, seed=1)) == len(sample_people(faces, 100, seed=1)) == 300


def test_a_face_that_breaks_after_the_scan_is_left_out_of_every_reading(run, tmp_path):
    table = tiny_faces(tmp_path / "faces", 12, seed=9)
    broken = table.root / table.faces["image"].iloc[5]
    broken.write_bytes(broken.read_bytes()[:100])
    found = read_corrupted(run, table, sample=0, corruptions=["blur"], severities=[2], threads=1)
    assert len(found.readings) == 11 * 2
    assert broken.name not in set(found.readings["image"])
    assert "1 cannot be decoded" in found.words


@pytest.fixture
def arguments(run, table):
    return run, table


def command(run, table, out, *more):
    return cli.main(["stress", str(run), str(table.root), "--out", str(out), "--quiet", *more])


def test_the_command_leaves_a_page_a_result_and_the_readings(run, table, tmp_path, capsys):
    out = tmp_path / "out"
    few = ["--corruptions", "darkness", "tilt", "--severities", "2", "4"]
    assert command(run, table, out, "--split", "all", "--sample", "150", *few) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("read      150 faces of 150 people, drawn from 240, 5 times each")
    assert said[-1] == str(out / "stress.html")
    assert sorted(p.name for p in out.iterdir()) == ["stress.html", "stress.json", "stress.parquet"]
    result = json.loads((out / "stress.json").read_text())
    assert result["info"]["corruptions"] == ["darkness", "tilt"]
    assert result["info"]["severities"] == [2, 4]
    assert [f["name"] for f in result["info"]["features"]] == ["race", "gender_true", "age_group"]
    page = (out / "stress.html").read_text()
    assert page.count("data:image/jpeg") == 2 * 3  # clean and the two severities read
    assert "drawn by lot from 240" in page
    assert len(pd.read_parquet(out / "stress.parquet")) == 150 * 5


def test_the_same_command_gives_the_same_bytes(run, table, tmp_path):
    few = ["--split", "all", "--corruptions", "noise", "--severities", "3"]
    for name in ("a", "b"):
        assert command(run, table, tmp_path / name, *few) == 0
    for name in ("stress.json", "stress.html", "stress.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_features_of_a_label_file_may_be_named(run, table, tmp_path):
    folder = shutil.copytree(table.root, tmp_path / "faces")
    labels = table.faces[["image", "age", "gender"]].assign(camera=["A", "B"] * 120)
    labels.to_csv(folder / "labels.csv", index=False)
    arguments = ["stress", str(run), str(folder / "labels.csv"), "--out", str(tmp_path / "out")]
    more = [
        "--split",
        "all",
        "--by",
        "camera",
        "picture_brightness",
        "--corruptions",
        "blur",
        "--severities",
        "1",
    ]
    assert cli.main([*arguments, *more, "--quiet"]) == 0
    result = json.loads((tmp_path / "out" / "stress.json").read_text())
    assert {r["feature"] for r in result["comparisons"]} == {
        "camera",
        "picture_brightness",
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--corruptions", "darknes"], "did you mean 'darkness'"),
        (["--severities", "6"], "there are 1, 2, 3, 4, 5"),
        (["--sample", "-1"], "--sample"),
        (["--by", "rase"], "did you mean 'race'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(more, words, arguments, tmp_path, capsys):
    assert command(*arguments, tmp_path / "out", *more) == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_half_done(run, table, tmp_path, capsys, monkeypatch):
    ready, readings = open_model(run), 0

    def read(pictures):
        nonlocal readings
        readings += 1
        if readings == 3:
            raise KeyboardInterrupt
        return ready.score(pictures)

    monkeypatch.setattr(stress, "open_model", lambda *_, **__: replace(ready, score=read))
    assert command(run, table, tmp_path / "out") == 130
    assert capsys.readouterr().err == "faceaudit: interrupted\n"
    assert not (tmp_path / "out").exists()


def test_examples_are_drawn_and_a_severity_each():
    found = examples(severities=[1, 3])
    assert list(found) == list(CORRUPTIONS)
    assert all(len(pictures) == 3 for pictures in found.values())
    assert all(re.match(rb"\xff\xd8", p) for pictures in found.values() for p in pictures)
