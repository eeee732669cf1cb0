"""Pictures in Parquet are the faces they were made of; labels in its columns are read as such."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import jpeg, left_out, members_of, write_parquet
from tiny_training import tiny_settings, write_tiny_faces

import audit.parquet_pictures
from audit import cli
from audit.errors import InputError
from audit.held import held, row_name
from audit.parquet_pictures import parquet_pictures
from audit.recent import Recent
from model.faces import read_faces
from model.predict import predict
from model.scan import fingerprints
from model.train import train
from reports.thumbnails import thumbnails

PICTURES = [(f"{20 + i}_{i % 2}_{i % 5}_x{i}.jpg", jpeg(i)) for i in range(20)]
AGE = [20 + i for i in range(20)]
GENDER = ["female", "male"] * 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_faces(tmp_path_factory.mktemp("faces") / "faces", 60)


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("rows_a_group", [1, 7, 1000])
def test_rows_give_the_faces_of_the_folder_they_were_made_of(
    struct, rows_a_group, folder, tmp_path
):
    pictures = members_of(folder)
    plain = read_faces(folder).faces
    columns = {} if struct else {name: list(plain[name]) for name in ("age", "gender", "race")}
    path = write_parquet(
        tmp_path / "f.parquet", pictures, struct=struct, rows_a_group=rows_a_group, **columns
    )
    table = read_faces(path)
    assert list(table.faces["image"]) == [f"f.parquet/{row_name(i)}" for i in range(60)]
    pd.testing.assert_frame_equal(table.faces.drop(columns="image"), plain.drop(columns="image"))
    assert table.root == tmp_path


def test_shards_in_a_folder_are_read_in_order_and_further_columns_become_features(tmp_path):
    for number in (0, 1):
        part = slice(10 * number, 10 * number + 10)
        write_parquet(
            tmp_path / f"part-{number}.parquet", PICTURES[part], age=AGE[part],
            gender=GENDER[part], camera=["A", None] * 5, exposure=np.linspace(0, 1, 10),
            flash=[True, False] * 5, box=[[1, 2]] * 10, subject_id=list(range(10)),
        )  # fmt: skip
    (tmp_path / "notes.txt").write_text("hello")
    table = read_faces(tmp_path)
    assert len(table.faces) == 20
    assert list(table.faces["age"]) == AGE
    assert list(table.faces["flash"]) == [True, False] * 10
    assert table.faces["exposure"].dtype == float
    assert table.faces["camera"].isna().sum() == 10
    assert "box" not in table.faces
    assert table.faces["subject_id"].nunique() == 10, "one person in both shards"
    assert table.passed_over == 1


def huggingface(**classes):
    """Metadata as the datasets library writes them: names of ClassLabel columns."""
    features = {name: {"names": names, "_type": "ClassLabel"} for name, names in classes.items()}
    features["image"] = {"_type": "Image"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def test_class_labels_are_their_words_whichever_number_they_have(tmp_path):
    """Here 0 is female, the other way round than in UTKFace's names."""
    path = write_parquet(
        tmp_path / "f.parquet", PICTURES, age=AGE, gender=[0, 1] * 10, race=[1, 0, 2, 1] * 5,
        metadata=huggingface(gender=["Female", "Male"], race=["Black", "East Asian", "Roma"]),
    )  # fmt: skip
    faces = read_faces(path).faces
    assert list(faces["gender"]) == ["female", "male"] * 10
    assert list(faces["race"]) == ["East Asian", "Black", "Roma", "East Asian"] * 5
    plain = write_parquet(tmp_path / "g.parquet", PICTURES, age=AGE, gender=[0, 1] * 10)
    assert list(read_faces(plain).faces["gender"]) == ["male", "female"] * 10


def test_ages_most_of_which_are_no_years_are_refused(tmp_path):
    months = [12 * (5 + i) for i in range(len(AGE))]
    path = write_parquet(tmp_path / "f.parquet", PICTURES, age=months, gender=GENDER)
    with pytest.raises(InputError, match=r"age is not in 0 to 120 in 14 of 20 rows.*months"):
        read_faces(path)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"no picture", "decode_error"),
        (jpeg(3)[:200], "decode_error"),
    ],
)
@pytest.mark.parametrize("struct", [True, False])
def test_a_row_without_a_picture_is_listed_with_its_reason(data, status, struct, tmp_path):
    pictures = [*PICTURES[:9], ("30_1_0_bad.jpg", data), *PICTURES[10:]]
    path = write_parquet(tmp_path / "f.parquet", pictures, struct=struct, age=AGE, gender=GENDER)
    table = read_faces(path)
    assert len(table.faces) == 19
    assert {image: why[0] for image, why in left_out(table).items()} == {
        "f.parquet/0000009": status
    }


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("age", 150, "age 150"), ("age", None, "age is empty"), ("gender", "?", "gender is '?'")],
)
def test_a_row_without_a_label_is_listed_with_its_reason(column, value, words, tmp_path):
    columns = {"age": list(AGE), "gender": list(GENDER)}
    columns[column][4] = value
    table = read_faces(write_parquet(tmp_path / "f.parquet", PICTURES, **columns))
    assert left_out(table)["f.parquet/0000004"][0] == "label"
    assert words in left_out(table)["f.parquet/0000004"][1]


@pytest.mark.parametrize(("kept", "why"), [(-50, "cut, or no Parquet"), (0, "empty file")])
def test_a_cut_shard_in_a_folder_of_shards_is_listed(kept, why, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    columns = {"age": AGE, "gender": GENDER}
    write_parquet(folder / "0.parquet", PICTURES, **columns)
    broken = write_parquet(folder / "1.parquet", PICTURES, **columns)
    broken.write_bytes(broken.read_bytes()[:kept])
    pq.write_table(pa.table({"x": [1]}), folder / "notes.parquet")  # whole: no shard, no fault
    table = read_faces(folder)
    assert len(table.faces) == 20
    assert set(left_out(table)) == {"1.parquet"}
    assert left_out(table)["1.parquet"][0] == "unreadable"
    assert why in left_out(table)["1.parquet"][1]
    assert table.passed_over == 1
    with pytest.raises(InputError, match="--strict"):
        read_faces(folder, strict=True)
    (folder / "0.parquet").unlink()
    with pytest.raises(InputError, match=r"no face can be used: 1 left out \(1 unreadable\)"):
        read_faces(folder)


def test_half_a_label_a_cut_file_and_one_without_pictures_are_one_line(tmp_path, capsys):
    half = write_parquet(tmp_path / "half.parquet", PICTURES, age=AGE)
    with pytest.raises(InputError, match=r"has no column gender \(it has image, age\)"):
        read_faces(half)
    with pytest.raises(InputError, match="has no column age, gender"):
        read_faces(write_parquet(tmp_path / "none.parquet", PICTURES, struct=False))
    whole = write_parquet(tmp_path / "cut.parquet", PICTURES, age=AGE, gender=GENDER)
    whole.write_bytes(whole.read_bytes()[:-50])
    assert cli.main(["check", str(whole), "--out", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    pq.write_table(pa.table({"image": ["a.jpg"]}), tmp_path / "words.parquet")
    with pytest.raises(InputError, match="has no column `image` of bytes"):
        parquet_pictures(tmp_path / "words.parquet")


def test_a_label_file_beside_pictures_stays_one(folder, tmp_path):
    for name, data in members_of(folder):
        (tmp_path / name).write_bytes(data)
    names = sorted(path.name for path in folder.iterdir())
    labels = pd.DataFrame({"image": names, "age": 30, "gender": "male"})
    labels.to_parquet(tmp_path / "labels.parquet")
    assert list(read_faces(tmp_path / "labels.parquet").faces["image"]) == names
    assert (read_faces(tmp_path).faces["age"] != 30).any(), "a folder is read by its names"


def test_a_row_group_is_read_once_in_order_and_few_are_kept(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "f.parquet", PICTURES, rows_a_group=4)
    kept = Recent(budget=3 * max(len(data) for _, data in PICTURES) * 4)
    monkeypatch.setattr(audit.parquet_pictures, "RECENT", kept)
    honest, groups = pq.ParquetFile.read_row_group, []

    def counted(self, group, columns):
        groups.append((group, columns))
        return honest(self, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    found = parquet_pictures(path)
    assert [found.read(row) for row in range(20)] == [data for _, data in PICTURES]
    assert groups == [(group, ["image.bytes"]) for group in range(5)]
    assert kept.weight <= kept.budget
    found.read(0)
    assert len(groups) == 6, "the first one went to make room"


def test_a_row_group_too_large_for_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "f.parquet", PICTURES, rows_a_group=20, age=AGE, gender=GENDER)
    monkeypatch.setattr(audit.parquet_pictures, "MOST_BYTES", 1000)
    with pytest.raises(
        InputError, match=r"row group 0 holds .* write it again with row_group_size"
    ):
        read_faces(path)


def test_a_row_that_is_not_there_is_no_picture(tmp_path):
    path = write_parquet(tmp_path / "f.parquet", PICTURES)
    assert held(f"{path}/0000003").read() == PICTURES[3][1]
    for name in ("0000020", "3", "x", "0000003/x"):
        with pytest.raises(FileNotFoundError):
            held(f"{path}/{name}")
    shown = thumbnails(tmp_path, ["f.parquet/0000003", "f.parquet/0000020"], cache=None)
    assert [one is not None for one in shown] == [True, False]


def test_training_and_predictions_are_those_of_the_folder(folder, tmp_path):
    path = write_parquet(tmp_path / "faces.parquet", members_of(folder))
    rows = {}
    for name, source in (("folder", folder), ("parquet", path)):
        table = read_faces(source)
        run = train(table, out=tmp_path / name, settings=tiny_settings(epochs=1))
        rows[name] = pd.read_parquet(predict(run, table, out=tmp_path / f"{name}_p.parquet"))
    other = ["sample_id", "image"]
    pd.testing.assert_frame_equal(
        rows["parquet"].drop(columns=other), rows["folder"].drop(columns=other)
    )


def test_a_picture_named_by_many_rows_is_held_once(tmp_path):
    one, rows = b"\xff\xd8" + b"\0" * 2**20, 64
    image = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [one])
    table = pa.table({"image": image, "age": [30] * rows, "gender": [0] * rows})
    path = tmp_path / "f.parquet"
    pq.write_table(table, path, dictionary_pagesize_limit=2**30, store_schema=False)
    pictures = parquet_pictures(path)
    assert pictures.read(0) == pictures.read(rows - 1) == one
    assert pictures._group(0).nbytes < 2 * len(one)


def test_a_picture_that_cannot_be_used_is_not_kept_for_its_reason(tmp_path):
    path = write_parquet(tmp_path / "f.parquet", [("x", b"no picture")] * 3)
    for error in fingerprints([str(path / row_name(row)) for row in range(3)]):
        assert error.status == "decode_error"
        assert error.__traceback__ is error.__context__ is error.__cause__ is None
