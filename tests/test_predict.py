import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tiny_training import tiny_faces, tiny_settings, write_tiny_faces

from audit import cli
from audit.contract import CONDITIONS
from audit.errors import InputError
from model.evaluate import measure, score
from model.face_sources import split_columns
from model.faces import read_faces
from model.network import build_network
from model.predict import known_split, predict
from model.train import train


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(table, out=out, settings=tiny_settings(epochs=2))


@pytest.fixture(scope="module")
def predictions(run, table, tmp_path_factory):
    return predict(run, table, out=tmp_path_factory.mktemp("out") / "predictions.parquet")


def test_what_is_read_is_not_written_over(run, table, tmp_path, capsys):
    labels = table.root / "labels.csv"
    table.faces[["image", "age", "gender"]].to_csv(labels, index=False)
    before = labels.read_bytes()
    try:
        assert cli.main(["predict", str(run), str(labels), "--out", str(labels)]) == 2
        assert "is what is read" in capsys.readouterr().err
        assert labels.read_bytes() == before
    finally:
        labels.unlink()
    assert cli.main(["predict", str(run), str(labels), "--out", str(tmp_path)]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err


def test_the_table_has_the_contract_s_columns_and_every_face(predictions, table):
    rows = pd.read_parquet(predictions)
    assert list(rows) == [
        "sample_id", "subject_id", "image", "age_true", "age_pred", "age_low", "age_high",
        "gender_true", "gender_score", "split", "race", *CONDITIONS,
    ]  # fmt: skip
    assert rows["picture_brightness"].corr(rows["age_true"]) > 0.9  # tiny faces: bright is old
    assert list(rows["image"]) == list(table.faces["image"])
    assert list(rows["age_true"]) == list(table.faces["age"])
    assert rows["gender_score"].between(0, 1).all()
    assert (rows["age_low"] <= rows["age_pred"]).all()
    assert (rows["age_pred"] <= rows["age_high"]).all()


def test_predictions_agree_with_the_figures_measured_at_the_end_of_training(predictions, run):
    rows = pd.read_parquet(predictions)
    metrics = json.loads((run / "config.json").read_text())["metrics"]
    for split in ("valid", "test"):
        part = rows[rows["split"] == split]
        stated = metrics[split]
        assert len(part) == stated["n"]
        mae = (part["age_pred"] - part["age_true"]).abs().mean()
        assert mae == pytest.approx(stated["age_mae"], abs=0.001)
        called = (part["gender_score"] >= 0.5) == (part["gender_true"] == "female")
        assert called.mean() == pytest.approx(stated["gender_accuracy"])
        inside = part["age_true"].between(part["age_low"], part["age_high"]).mean()
        assert inside == pytest.approx(stated["interval_coverage"], abs=0.02)


def test_the_same_faces_give_the_same_bytes(predictions, run, table, tmp_path):
    again = predict(run, table, out=tmp_path / "again.parquet", threads=1)
    assert again.read_bytes() == predictions.read_bytes()


def test_the_metadata_name_the_model_the_run_and_the_folder_of_pictures(predictions, run, table):
    metadata = pq.read_schema(predictions).metadata
    assert metadata[b"faceaudit.images"].decode() == str(table.root.resolve())
    about = json.loads(metadata[b"faceaudit"])
    run_id = json.loads((run / "config.json").read_text())["run_id"]
    assert about["run"] == run_id
    assert about["model"] == f"compact {run_id}"


def test_a_flipped_bit_in_the_predictions_is_found_by_their_page_checksums(predictions, tmp_path):
    data = bytearray(predictions.read_bytes())
    data[len(data) // 4] ^= 4
    (tmp_path / "p.parquet").write_bytes(data)
    with pytest.raises(OSError, match=r"CRC|checksum|[Cc]orrupt"):
        pq.read_table(tmp_path / "p.parquet", page_checksum_verification=True)


def test_csv_and_parquet_say_the_same(run, table, predictions, tmp_path):
    rows = pd.read_csv(predict(run, table, out=tmp_path / "p.csv"), dtype={"subject_id": str})
    pd.testing.assert_frame_equal(rows, pd.read_parquet(predictions), check_dtype=False)


def test_one_part_alone_can_be_predicted(run, table, predictions, tmp_path):
    rows = pd.read_parquet(predict(run, table, out=tmp_path / "t.parquet", split="test"))
    whole = pd.read_parquet(predictions)
    assert list(rows["image"]) == list(whole[whole["split"] == "test"]["image"])


def test_a_face_seen_in_training_is_known_in_another_folder_under_another_name(
    run, table, tmp_path
):
    split = pd.read_csv(run / "split.csv")
    seen = split[split["split"] == "train"]["image"].iloc[0]
    folder = tmp_path / "elsewhere"
    write_tiny_faces(folder, 12, seed=77)
    shutil.copy(table.root / seen, folder / "50_1_0_renamed.png")
    rows = pd.read_parquet(predict(run, read_faces(folder), out=tmp_path / "p.parquet"))
    by_image = rows.set_index("image")["split"]
    assert by_image["50_1_0_renamed.png"] == "train"
    assert set(by_image.drop("50_1_0_renamed.png")) == {"test"}


def test_copies_take_the_part_nearest_to_training():
    faces = pd.DataFrame({"content_hash": list("abcde"), "subject_id": list("11233")})
    trained = pd.DataFrame(
        {"content_hash": list("abcc"), "split": ["test", "train", "valid", "test"]}
    )
    assert list(known_split(faces, trained)) == ["train", "train", "valid", "test", "test"]


def test_further_columns_of_a_label_file_become_features(run, tmp_path):
    folder = write_tiny_faces(tmp_path / "faces", 20, seed=5)
    names = sorted(path.name for path in folder.iterdir())
    labels = pd.DataFrame({"image": names})
    labels["age"] = [int(name.split("_")[0]) for name in names]
    labels["gender"] = [name.split("_")[1] for name in names]
    labels["camera"] = ["A", "B"] * 10
    labels["picture_side"] = 7
    labels.to_csv(folder / "labels.csv", index=False)
    rows = pd.read_parquet(
        predict(run, read_faces(folder / "labels.csv"), out=tmp_path / "p.parquet")
    )
    assert list(rows["camera"]) == ["A", "B"] * 10
    assert (rows["picture_side"] == 7).all()  # a label file's own column is not written over
    assert "race" not in rows


def test_a_face_that_breaks_after_the_scan_is_left_out_with_its_reason(run, tmp_path):
    table = tiny_faces(tmp_path / "faces", 10, seed=9)
    broken = table.root / table.faces["image"].iloc[3]
    broken.write_bytes(broken.read_bytes()[:100])
    rows = pd.read_parquet(predict(run, table, out=tmp_path / "out" / "p.parquet"))
    assert len(rows) == 9
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert list(left_out["image"]) == [broken.name]
    for path in table.root.iterdir():
        path.write_bytes(b"\x89PNG nonsense")
    with pytest.raises(InputError, match="none of 10 faces can be decoded"):
        predict(run, table, out=tmp_path / "out" / "p.parquet")


def test_a_greyscale_or_rotated_copy_is_read_as_its_plain_version(run, tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    grey = Image.fromarray(pixels)
    grey.save(folder / "30_1_0_grey.png")
    grey.convert("RGB").save(folder / "30_1_0_rgb.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.convert("RGB").rotate(90, expand=True).save(folder / "30_1_0_turned.png", exif=exif)
    rows = pd.read_parquet(predict(run, read_faces(folder), out=tmp_path / "p.parquet"))
    assert len(set(rows["age_pred"])) == 1
    assert len(set(rows["gender_score"])) == 1


def test_a_mirrored_face_is_scored_as_the_face_itself():
    torch.manual_seed(0)
    network = build_network("compact", size=32).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    how = {
        "mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.25),
        "device": torch.device("cpu"), "precision": "float32",
    }  # fmt: skip
    straight = score(network, pictures, flip=True, **how)
    mirrored = score(network, pictures[:, :, ::-1], flip=True, **how)
    for one, other in zip(straight, mirrored, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert straight[0].sum(1) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(score(network, pictures, flip=False, **how)[0], straight[0], atol=1e-7)


def test_figures_are_the_contract_s():
    rule = {"age": "value", "interval": {"correction": 2.0}}
    age = np.array([10.0, 25.004, 40.0, 62.0])
    truth = np.array([11.0, 20.0, 40.0, 68.0])
    figures = measure(
        age,
        np.array([0.5, 0.2, 0.9, 0.4]),
        rule=rule,
        age_true=truth,
        female=np.array([1, 0, 0, 1]),
    )
    assert figures["age_mae"] == pytest.approx((1 + 5.004 + 0 + 6) / 4)
    assert figures["age_cs5"] == 0.75, "5.004 is 5.00 to 1/100 year"
    assert figures["gender_accuracy"] == 0.5
    assert figures["interval_coverage"] == 0.5
    assert figures["interval_width"] == pytest.approx(4.0)


def test_wrong_folders_names_and_parts_are_named(run, table, tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        predict(tmp_path, table, out=tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"must end in \.parquet or \.csv"):
        predict(run, table, out=tmp_path / "p.txt")
    with pytest.raises(InputError, match="split 'later'"):
        predict(run, table, out=tmp_path / "p.parquet", split="later")
    seen = pd.read_csv(run / "split.csv")
    trained = table.faces[(seen["split"] == "train").to_numpy()]
    with pytest.raises(InputError, match="no face to predict"):
        predict(
            run, dataclasses.replace(table, faces=trained), out=tmp_path / "p.csv", split="test"
        )


@pytest.mark.parametrize("name", ["model.safetensors", "split.csv"])
def test_a_missing_file_of_the_run_is_named(name, run, table, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"copy lacks {name}, "):
        predict(copy, table, out=tmp_path / "p.parquet")


def test_a_split_that_was_cut_makes_no_test_faces_of_those_learned_from(run, table, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    lines = (copy / "split.csv").read_bytes().splitlines(keepends=True)
    (copy / "split.csv").write_bytes(b"".join(lines[: len(lines) // 2]))
    with pytest.raises(InputError, match=r"split\.csv is not the file its training wrote"):
        predict(copy, table, out=tmp_path / "p.parquet")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", True),
        ("size", 0),
        ("std", [0.2, 0, 0.2]),
        ("mean", [float("nan")] * 3),
        ("width", "wide"),
        ("run_id", None),
        ("split", "abc"),
    ],
)
def test_a_config_that_no_training_writes_is_told_by_its_key(key, value, run, table, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(InputError, match=f"{key}: not what a training writes"):
        predict(copy, table, out=tmp_path / "p.parquet")


def test_a_config_that_lacks_what_is_needed_is_named(run, table, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    del config["mean"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="lacks mean"):
        predict(copy, table, out=tmp_path / "p.parquet")


def test_a_label_file_of_other_names_is_read_as_the_command_says(run, tmp_path, capsys):
    folder = write_tiny_faces(tmp_path / "faces", 20, seed=5)
    names = sorted(path.name for path in folder.iterdir())
    labels = pd.DataFrame({"file": names, "age": [int(name.split("_")[0]) for name in names]})
    labels["sex"] = [name.split("_")[1] for name in names]
    labels.to_csv(folder / "theirs.csv", index=False, sep=";")
    out = tmp_path / "p.parquet"
    command = ["predict", str(run), str(folder / "theirs.csv"), "--out", str(out)]
    assert cli.main(command) == 2
    assert "--column image=file gender=sex" in capsys.readouterr().err
    assert cli.main([*command, "--column", "image=file", "gender=sex"]) == 0
    assert set(pd.read_parquet(out)["image"]) == set(names)


def test_a_run_gives_labels_to_the_faces_and_other_names_to_the_audit(tmp_path):
    (tmp_path / "l.csv").write_text("file,age\n")
    columns = {"image": "file", "race": "group", "place": "site"}
    assert split_columns(columns, tmp_path / "l.csv") == (
        {"image": "file", "race": "group"},
        {"place": "site"},
    )
    assert split_columns(columns, tmp_path) == ({}, columns), "of a folder the audit's alone"
