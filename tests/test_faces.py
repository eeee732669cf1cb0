"""Faces from a folder or a label file: what is used, what is left out and why, never a guess."""

import csv
import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_faces import picture, save_face, save_faces
from tiny_training import write_tiny_faces

from audit import cli
from audit.errors import InputError
from model.faces import read_faces, split_faces, write_left_out
from model.labels import Label, label_of_name, labels_of_names

UTKFACE = [f"{20 + i}_{i % 2}_{i % 5}_2017010{i}.jpg.chip.jpg" for i in range(6)]


def left_out(table):
    return {row.image: (row.status, row.reason) for row in table.left_out.itertuples()}


def test_names_give_age_gender_and_race(tmp_path):
    names = [
        "1_0_0_a.jpg",
        "26_1_2_b.jpeg",
        "116_1_4_c.PNG",
        "40_0_3_d.webp",
        "deep/er/5_1_1_e.jpg",
    ]
    table = read_faces(save_faces(tmp_path, names))
    found = {row.image: (row.age, row.gender, row.race) for row in table.faces.itertuples()}
    assert found == {
        "1_0_0_a.jpg": (1, "male", "White"),
        "26_1_2_b.jpeg": (26, "female", "Asian"),
        "116_1_4_c.PNG": (116, "female", "Other"),
        "40_0_3_d.webp": (40, "male", "Indian"),
        "deep/er/5_1_1_e.jpg": (5, "female", "Black"),
    }
    assert table.has_race
    assert left_out(table) == {}
    assert list(table.faces["image"]) == sorted(names)


def test_a_folder_without_races_is_read_and_has_no_race_column(tmp_path):
    table = read_faces(save_faces(tmp_path, ["25_0_20170116.jpg", "30_1_x.jpg", "31_1_5_y.jpg"]))
    assert len(table.faces) == 3
    assert "race" not in table.faces
    assert not table.has_race


def test_a_name_that_lacks_a_field_beside_names_with_race_is_refused_not_guessed(tmp_path):
    ambiguous = "39_1_20170116174525125.jpg.chip.jpg"
    table = read_faces(save_faces(tmp_path, [*UTKFACE, ambiguous]))
    assert left_out(table)[ambiguous][0] == "name"
    assert "a field is missing" in left_out(table)[ambiguous][1]
    assert len(table.faces) == 6


def test_each_large_folder_is_judged_by_its_own_names():
    with_race = [f"utk/{i}_0_1_{i}.jpg" for i in range(60)]
    without = [f"appa/{i}_0_x{i}.jpg" for i in range(25)]
    labels = labels_of_names([*with_race, *without, "utk/9_1_2017.jpg", "few/9_1_2017.jpg"])
    assert all(isinstance(label, Label) for label in labels[:85])
    assert all(isinstance(label, str) for label in labels[85:])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("61_3_20170109150557335.jpg", "gender is '3'"),
        ("53__0_20170116184028385.jpg", "gender is empty"),
        ("121_0_0_x.jpg", "age 121 is not in 0 to 120"),
        ("-1_0_0_x.jpg", "does not begin with an age"),
        ("4.5_0_0_x.jpg", "does not begin with an age"),
        ("٣_0_0_x.jpg", "does not begin with an age"),
        ("x_0_0_y.jpg", "does not begin with an age"),
        ("_0_0_y.jpg", "does not begin with an age"),
        ("9" * 200 + "_0_0_x.jpg", "is not in 0 to 120"),
        ("25.jpg", "does not begin with an age"),
        ("25_0.jpg", "no `_` after the gender"),
    ],
)
def test_a_name_that_does_not_parse_is_left_out_with_its_reason(tmp_path, name, words):
    table = read_faces(save_faces(tmp_path, [*UTKFACE, name]))
    assert list(left_out(table)) == [name]
    assert left_out(table)[name][0] == "name"
    assert words in left_out(table)[name][1]
    assert len(table.faces) == 6


@pytest.mark.parametrize(
    "name",
    [
        "24_0_1_20170116220224657 .jpg.chip.jpg",
        "55_0_0_20170116232725357jpg.chip.jpg",
        "28_1_2_201701161846515488.jpg.chip.jpg",
        "28_1_2_2017011618465154.jpg",
        "28_1_2_20170116jpg",
        "28_1_2_x.jpg ",
        "0_0_0_newborn.jpg",
        "120_1_0_x.JPG",
        "25_0_0_\N{GRINNING FACE}é漢.jpg",
        "25_0_0_two\nlines.jpg",
        "25_0_0_<img src=x onerror=alert(1)>.jpg",
        "25_0_0_" + "x" * 244 + ".jpg",
    ],
)
def test_odd_but_readable_names_are_used(tmp_path, name):
    table = read_faces(save_faces(tmp_path, [*UTKFACE, name]))
    assert left_out(table) == {}
    assert name in set(table.faces["image"])


@given(st.text(max_size=40))
def test_any_name_gives_a_label_in_range_or_a_reason(name):
    label = label_of_name(name)
    if isinstance(label, Label):
        assert 0 <= label.age <= 120
        assert name.startswith(tuple("0123456789"))
    else:
        assert label


def test_a_name_in_bytes_that_are_no_text_is_left_out_spelled_with_escapes(tmp_path):
    save_faces(tmp_path, UTKFACE)
    shutil.copy(tmp_path / UTKFACE[0], os.fsencode(tmp_path) + b"/25_0_0_\xff.jpg")
    table = read_faces(tmp_path)
    assert left_out(table) == {"25_0_0_\\xff.jpg": ("not_a_file", "name is not UTF-8; rename it")}


def test_every_fault_of_a_file_is_listed_and_the_rest_is_used(tmp_path):
    save_faces(tmp_path, UTKFACE)
    good = (tmp_path / UTKFACE[0]).read_bytes()
    (tmp_path / "30_0_0_cut.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "30_0_0_empty.jpg").touch()
    (tmp_path / "30_0_0_text.jpg").write_text("not a picture")
    os.mkfifo(tmp_path / "30_0_0_fifo.jpg")
    (tmp_path / "30_0_0_folder.jpg").mkdir()
    save_face(tmp_path / "30_0_0_folder.jpg" / "31_0_0_inside.jpg")
    (tmp_path / "30_0_0_loop.jpg").symlink_to(tmp_path / "30_0_0_loop.jpg")
    (tmp_path / "30_0_0_nowhere.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "30_0_0_x.gif").write_bytes(b"GIF89a")
    save_face(tmp_path / "30_0_0_large.jpg", size=(80, 80))
    table = read_faces(tmp_path, max_pixels=48 * 48)
    assert {image: status for image, (status, _) in left_out(table).items()} == {
        "30_0_0_cut.jpg": "decode_error",
        "30_0_0_empty.jpg": "empty",
        "30_0_0_text.jpg": "decode_error",
        "30_0_0_fifo.jpg": "not_a_file",
        "30_0_0_folder.jpg": "not_a_file",
        "30_0_0_loop.jpg": "not_a_file",
        "30_0_0_nowhere.jpg": "not_a_file",
        "circle": "not_a_file",
        "30_0_0_x.gif": "suffix",
        "30_0_0_large.jpg": "too_large",
    }
    assert sorted(table.faces["image"]) == sorted([*UTKFACE, "30_0_0_folder.jpg/31_0_0_inside.jpg"])


def test_a_file_that_may_not_be_opened_is_left_out(tmp_path, monkeypatch):
    save_faces(tmp_path, UTKFACE)
    read = Path.read_bytes

    def guarded(path):
        if path.name == UTKFACE[2]:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    table = read_faces(tmp_path)
    assert left_out(table) == {UTKFACE[2]: ("unreadable", "cannot be read: Permission denied")}


def test_links_to_pictures_and_folders_are_followed_once(tmp_path):
    save_faces(tmp_path / "elsewhere", ["1_0_0_a.jpg", "2_0_0_b.jpg"])
    faces = tmp_path / "faces"
    save_faces(faces, UTKFACE)
    (faces / "9_0_0_link.jpg").symlink_to(tmp_path / "elsewhere" / "1_0_0_a.jpg")
    (faces / "more").symlink_to(tmp_path / "elsewhere")
    (faces / "zagain").symlink_to(tmp_path / "elsewhere")
    table = read_faces(faces)
    assert {"9_0_0_link.jpg", "more/1_0_0_a.jpg", "more/2_0_0_b.jpg"} < set(table.faces["image"])
    assert set(left_out(table)) == {"zagain"}


def test_files_that_are_no_pictures_are_passed_over_and_counted(tmp_path):
    save_faces(tmp_path, UTKFACE)
    for name in ("README.txt", "truth.json", "labels.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".hidden").mkdir()
    save_face(tmp_path / ".hidden" / "1_0_0_x.jpg")
    table = read_faces(tmp_path)
    assert (len(table.faces), table.passed_over, left_out(table)) == (6, 3, {})


def test_strict_refuses_what_would_be_left_out(tmp_path):
    save_faces(tmp_path, [*UTKFACE, "61_3_x.jpg"])
    assert len(read_faces(save_faces(tmp_path / "good", UTKFACE), strict=True).faces) == 6
    with pytest.raises(InputError, match=r"1 left out \(1 name\); first: '61_3_x.jpg'"):
        read_faces(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is empty, of pictures and of anything else; expected names"),
        (
            lambda path: [path.mkdir(), (path / "a.txt").touch()],
            "no pictures among 1 file; expected",
        ),
        (lambda path: path.write_text("x"), "neither a folder of faces nor"),
        (lambda path: save_faces(path, ["a.jpg", "b.jpg"]), "no face can be used: 2 left out"),
    ],
)
def test_a_source_without_faces_is_refused_in_words(tmp_path, make, words):
    make(tmp_path / "faces")
    with pytest.raises(InputError, match=words):
        read_faces(tmp_path / "faces")


def test_the_table_depends_on_files_not_on_the_order_they_were_written_in(tmp_path):
    names = [f"{i % 90}_{i % 2}_{i % 5}_{i}.jpg" for i in range(40)]
    save_faces(tmp_path / "a", names)
    save_faces(tmp_path / "b", names[::-1])
    a, b = read_faces(tmp_path / "a"), read_faces(tmp_path / "b")
    pd.testing.assert_frame_equal(a.faces, b.faces)


# Label files ---------------------------------------------------------------------------------


def label_file(folder, rows, *, parquet=False):
    for name in {row["image"] for row in rows if isinstance(row["image"], str)}:
        if name and "/" not in name and "\0" not in name:
            save_face(folder / name)
    path = folder / ("labels.parquet" if parquet else "labels.csv")
    frame = pd.DataFrame(rows)
    frame.to_parquet(path) if parquet else frame.to_csv(path, index=False)
    return path


ROWS = [
    {"image": "a.jpg", "age": 20, "gender": "F", "race": "Black", "light": "dim", "split": "train"},
    {"image": "b.jpg", "age": 34, "gender": "male", "race": None, "light": "day", "split": "test"},
    {
        "image": "c.png",
        "age": 61,
        "gender": "Woman",
        "race": "Asian",
        "light": "day",
        "split": "test",
    },
]


@pytest.mark.parametrize("parquet", [False, True])
def test_a_race_is_a_text_whatever_it_looks_like(tmp_path, parquet):
    codes = [0, 4, None] if parquet else ["0", "NA", ""]  # beside a gap, codes become floats
    rows = [row | {"race": code} for row, code in zip(ROWS, codes, strict=True)]
    races = read_faces(label_file(tmp_path, rows, parquet=parquet)).faces["race"]
    assert races[:2].tolist() == (["0", "4"] if parquet else ["0", "NA"])
    assert pd.isna(races[2])


def test_genders_coded_one_and_two_are_refused(tmp_path):
    rows = [row | {"gender": 1 + i % 2} for i, row in enumerate(ROWS)]
    with pytest.raises(InputError, match="gender holds 1 and 2"):
        read_faces(label_file(tmp_path, rows))


def test_only_a_race_may_be_called_na(tmp_path):
    rows = [
        row | {"subject_id": "NA", "light": value} for row, value in zip(ROWS, "1N2", strict=True)
    ]
    path = label_file(tmp_path, rows)
    path.write_text(path.read_text().replace(",N,", ",NA,"))
    faces = read_faces(path).faces
    assert faces["light"].tolist()[::2] == [1.0, 2.0]
    assert pd.isna(faces["light"][1])
    assert faces["subject_id"].nunique() == 3, "nobody is called NA"


def test_rows_with_more_fields_than_the_header_are_refused(tmp_path):
    path = label_file(tmp_path, ROWS)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *(f"{line},more" for line in lines)]) + "\n")
    with pytest.raises(InputError, match="more fields than its header"):
        read_faces(path)


def test_rows_that_end_in_a_comma_are_read_as_their_header_says(tmp_path):
    path = label_file(tmp_path, ROWS)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *(f"{line}," for line in lines)]) + "\n")
    faces = read_faces(path).faces
    assert faces["age"].tolist() == [20, 34, 61]
    assert faces["image"].tolist() == ["a.jpg", "b.jpg", "c.png"]


@pytest.mark.parametrize("parquet", [False, True])
def test_a_label_file_gives_labels_and_keeps_its_further_columns(tmp_path, parquet):
    table = read_faces(label_file(tmp_path, ROWS, parquet=parquet))
    faces = table.faces
    assert list(faces["gender"]) == ["female", "male", "female"]
    assert list(faces["age"]) == [20, 34, 61]
    assert faces["age"].dtype == "int64"
    assert faces["race"].isna().tolist() == [False, True, False]
    assert list(faces["light"]) == ["dim", "day", "day"]
    assert list(faces["split"]) == ["train", "test", "test"]
    assert not table.subjects_given
    assert table.root == tmp_path


def test_row_order_and_format_of_a_label_file_do_not_matter(tmp_path):
    rows = [
        {"image": f"{i}.jpg", "age": i, "gender": i % 2, "subject_id": f"p{i // 3}"}
        for i in range(12)
    ]
    tables = [
        read_faces(label_file(tmp_path, rows)),
        read_faces(label_file(tmp_path, rows[::-1])),
        read_faces(label_file(tmp_path, rows[5:] + rows[:5], parquet=True)),
    ]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0].faces, other.faces)


def test_fractions_of_years_are_kept(tmp_path):
    rows = [{**row, "age": row["age"] + 0.5} for row in ROWS]
    assert list(read_faces(label_file(tmp_path, rows)).faces["age"]) == [20.5, 34.5, 61.5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": None}, "age is empty"),
        ({"age": "old"}, "age 'old' is not a number"),
        ({"age": "20-29"}, "age '20-29' is not a number: it is a band of ages; a face needs one"),
        ({"age": -1}, "is not in 0 to 120"),
        ({"age": 120.5}, "is not in 0 to 120"),
        ({"age": float("inf")}, "is not in 0 to 120"),
        ({"gender": None}, "gender is empty"),
        ({"gender": "other"}, "gender is 'other', not female or male"),
        ({"image": "/etc/25_0_0_x.jpg"}, "path leads out of the file's folder"),
        ({"image": "../x.jpg"}, "path leads out of the file's folder"),
        ({"image": "a/../../x.jpg"}, "path leads out of the file's folder"),
        ({"image": "a\\..\\..\\x.jpg"}, "path leads out of the file's folder"),
        ({"image": "\\x.jpg"}, "path leads out of the file's folder"),
        ({"image": "C:x.jpg"}, "path leads out of the file's folder"),
        ({"image": "sub/gone.jpg"}, "No such file"),
        ({"image": None}, "image is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_with_its_reason(tmp_path, change, words):
    rows = [*ROWS, {**ROWS[0], "image": "d.jpg", **change}]
    table = read_faces(label_file(tmp_path, rows))
    assert len(table.faces) == 3
    (row,) = table.left_out.to_dict("records")
    assert words in row["reason"]
    if row["status"] == "label":
        assert row["reason"].startswith("row 4: ")


def test_ages_most_of_which_are_no_years_are_refused(tmp_path):
    months = [{**ROWS[0], "image": f"{i}.jpg", "age": age} for i, age in enumerate([9, 300, 480])]
    with pytest.raises(
        InputError, match=r"labels.csv: age is not in 0 to 120 in 2 of 3 rows \(first: row 2, '300'"
    ) as told:
        read_faces(label_file(tmp_path, months))
    assert "divide months by 12" in str(told.value)


def test_a_path_with_a_nul_is_left_out(tmp_path):
    table = read_faces(label_file(tmp_path, [*ROWS, {**ROWS[0], "image": "a\0.jpg"}], parquet=True))
    assert list(table.left_out["status"]) == ["unreadable"]


@pytest.mark.skipif(os.sep == "\\", reason="there such a path leads to its picture")
def test_a_path_of_another_system_is_told_how_to_be_written(tmp_path):
    (tmp_path / "sub").mkdir()
    save_face(tmp_path / "sub" / "d.jpg")
    path = label_file(tmp_path, ROWS)
    path.write_text(path.read_text() + "sub\\d.jpg,30,F,Black,dim,train\n")
    (row,) = read_faces(path).left_out.to_dict("records")
    assert row["status"] == "unreadable"
    assert row["reason"] == "row 4: no such file; write / for each \\"


def test_a_picture_listed_twice_counts_once_and_with_two_labels_not_at_all(tmp_path):
    rows = [*ROWS, ROWS[0], {**ROWS[1], "age": 50}]
    table = read_faces(label_file(tmp_path, rows))
    assert list(table.faces["image"]) == ["a.jpg", "c.png"]
    assert sorted(table.left_out["reason"]) == [
        "listed more than once",
        "listed more than once with other labels",
        "listed more than once with other labels",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,age,gender\na.jpg,1,0\n", "no column image .it has file, age, gender."),
        ("image,age,gender\n", "has no rows"),
        ("file_name,Age,sex\na.jpg,1,0\n", "--column image=file_name age=Age gender=sex$"),
        ("name,years,gender\na.jpg,1,0\n", "--column image=THEIRS age=THEIRS$"),
        ("image,age,age,gender\na.jpg,1,2,0\n", "two columns named 'age'"),
        ("", "labels.csv has no rows: the file is empty"),
        ('image,age,gender\n"a.jpg,1,0\n', "cannot read the label file"),
    ],
)
def test_a_label_file_that_is_none_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_faces(path)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "labels.csv is no UTF-8 but looks like UTF-16; save the file as UTF-8"),
        ("utf-16-le", "labels.csv is no UTF-8 but looks like UTF-16; save the file as UTF-8"),
        ("latin-1", "labels.csv, line 3: not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_label_file_in_another_encoding_is_told_by_its_line(tmp_path, encoding, words):
    path = label_file(tmp_path, [ROWS[0], ROWS[1] | {"light": "hell, schön"}, ROWS[2]])
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    with pytest.raises(InputError, match=words):
        read_faces(path)


@pytest.mark.parametrize(("delimiter", "name"), [(";", "l.csv"), ("\t", "l.tsv"), ("|", "l.csv")])
def test_label_files_are_read_by_the_delimiter_of_their_header(tmp_path, delimiter, name):
    comma = label_file(tmp_path, ROWS)
    path = tmp_path / name
    path.write_text(comma.read_text().replace(",", delimiter))
    pd.testing.assert_frame_equal(read_faces(path).faces, read_faces(comma).faces)


def test_a_packed_label_file_is_read(tmp_path):
    path = label_file(tmp_path, ROWS)
    packed = tmp_path / "labels.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    pd.testing.assert_frame_equal(read_faces(packed).faces, read_faces(path).faces)


def test_decimal_commas_are_read_where_they_part_no_columns(tmp_path):
    label_file(tmp_path, ROWS)
    path = tmp_path / "semicolons.csv"
    path.write_text(
        "image;age;gender;light;note;race\n"
        "a.jpg;20,5;f;1,25;1,5;1,0\nb.jpg;;m;2;x;2,0\nc.png;61,0;m;3,5;2;3,0\n"
    )
    faces = read_faces(path).faces
    assert faces["age"].tolist() == [20.5, 61]
    assert faces["light"].tolist() == [1.25, 3.5]
    assert faces["note"].tolist() == ["1,5", "2"], "a column of texts is left as it stands"
    assert faces["race"].tolist() == ["1,0", "3,0"]


def test_the_index_of_pandas_is_no_feature(tmp_path):
    path = label_file(tmp_path, ROWS)
    pd.read_csv(path, keep_default_na=False).to_csv(path)
    assert not [name for name in read_faces(path).faces if "Unnamed" in name]


@pytest.mark.parametrize("parquet", [False, True])
def test_foreign_columns_are_read_as_labels(tmp_path, parquet):
    """As APPA-REAL's: two ages, one of which is named `age` and is not the one that is meant."""
    theirs = [
        {
            "file_name": row["image"],
            "age": 99,
            "real_age": row["age"],
            "sex": row["gender"],
            "ethnicity": "NA" if i else "0",
            "who": "x",
        }
        for i, row in enumerate(ROWS)
    ]
    label_file(tmp_path, ROWS)
    path = tmp_path / ("theirs.parquet" if parquet else "theirs.csv")
    frame = pd.DataFrame(theirs)
    frame.to_parquet(path) if parquet else frame.to_csv(path, index=False)
    columns = {"image": "file_name", "age": "real_age", "gender": "sex", "race": "ethnicity"}
    faces = read_faces(path, columns=columns | {"subject_id": "who"}).faces
    assert faces["age"].tolist() == [20, 34, 61]
    assert faces["race"].tolist() == ["0", "NA", "NA"]
    assert len(set(faces["subject_id"])) == 1
    assert not {"real_age", "sex", "ethnicity", "who"} & set(faces.columns)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"gendr": "gender"}, "--column gendr=gender: there is no label 'gendr'; did you mean"),
        ({"race": "lihgt"}, "has no column 'lihgt'; did you mean 'light'"),
        ({"race": "light", "subject_id": "light"}, "'light' is read as 'race' already"),
    ],
)
def test_a_foreign_name_that_cannot_be_is_told(tmp_path, columns, words):
    with pytest.raises(InputError, match=words):
        read_faces(label_file(tmp_path, ROWS), columns=columns)


def test_names_hold_no_columns_to_be_named(tmp_path):
    save_faces(tmp_path / "f", UTKFACE)
    with pytest.raises(InputError, match=r"f is no label file .*--column race=light"):
        read_faces(tmp_path / "f", columns={"race": "light"})


def test_a_cut_parquet_file_is_refused_in_words(tmp_path):
    path = label_file(tmp_path, ROWS, parquet=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot read the label file"):
        read_faces(path)


# People --------------------------------------------------------------------------------------


def test_copies_share_a_subject_that_depends_on_content_alone(tmp_path):
    a = save_faces(tmp_path / "a", UTKFACE)
    shutil.copy(a / UTKFACE[0], a / "77_1_3_copy.jpg")
    b = tmp_path / "b"
    b.mkdir()
    for name in UTKFACE[::-1]:
        shutil.copy(a / name, b / name.replace("_2017", "_renamed"))
    first = read_faces(a).faces.set_index("image")["subject_id"]
    second = read_faces(b).faces.set_index("image")["subject_id"]
    assert first[UTKFACE[0]] == first["77_1_3_copy.jpg"]
    assert first.nunique() == 6
    assert first.str.fullmatch(r"\d{1,18}").all()
    for name in UTKFACE:
        assert first[name] == second[name.replace("_2017", "_renamed")]


def test_given_people_are_kept_and_joined_where_they_share_a_photo(tmp_path):
    people = {"a": "ann", "b": "ann", "c": "bob", "d": "cem", "e": None, "f": None}
    rows = [
        {"image": f"{name}.jpg", "age": 30, "gender": "f", "subject_id": person}
        for name, person in people.items()
    ]
    path = label_file(tmp_path, rows)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "c.jpg")
    shutil.copy(tmp_path / "d.jpg", tmp_path / "e.jpg")
    table = read_faces(path)
    subject = table.faces.set_index("image")["subject_id"]
    assert subject["a.jpg"] == subject["b.jpg"] == subject["c.jpg"] == "ann"
    assert subject["d.jpg"] == subject["e.jpg"] == "cem"
    assert subject["f.jpg"] not in {"ann", "bob", "cem", None}
    assert table.subjects_given
    assert table.subjects_merged == 1


def test_renaming_and_moving_faces_leaves_every_one_on_its_side(tmp_path):
    names = [f"{i}_{i % 2}_{i % 5}_{i}.jpg" for i in range(60)]
    a = save_faces(tmp_path / "a", names)
    b = tmp_path / "other"
    b.mkdir()
    for i, name in enumerate(names):
        shutil.copy(a / name, b / name.replace(f"_{i}.jpg", f"_{997 * i % 61}x.jpg"))
    sides = []
    for folder in (a, b):
        faces = read_faces(folder).faces
        sides.append(dict(zip(faces["content_hash"], split_faces(faces, seed=3), strict=True)))
    assert sides[0] == sides[1]


# left_out.csv --------------------------------------------------------------------------------


def test_left_out_csv_survives_strange_names_and_starts_no_formula(tmp_path):
    strange = ["=cmd|' /C calc'!A0.jpg", "+1.jpg", "-1.jpg", "@x.jpg", 'quo"te,comma\nline.jpg']
    save_faces(tmp_path / "faces", [*UTKFACE, *strange])
    table = read_faces(tmp_path / "faces")
    path = write_left_out(table, tmp_path / "left_out.csv")
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["image", "status", "reason"]
    cells = {row[0] for row in rows[1:]}
    assert cells == {"'" + name for name in strange[:4]} | {strange[4]}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_nothing_left_out_is_written_as_a_head_without_rows(tmp_path):
    table = read_faces(save_faces(tmp_path / "faces", UTKFACE))
    assert write_left_out(table, tmp_path / "left_out.csv").read_text() == "image,status,reason\n"


def test_the_read_depends_neither_on_threads_nor_on_the_kind_of_picture(tmp_path, monkeypatch):
    save_faces(tmp_path, [*UTKFACE, "30_0_0_x.png", "30_0_0_y.webp"])
    grey = Image.fromarray(np.asarray(picture(5).convert("L"), dtype=np.uint16) * 257)
    grey.save(tmp_path / "30_0_0_deep.png")
    many = read_faces(tmp_path).faces
    monkeypatch.setattr("model.threads.cores", lambda: 1)
    pd.testing.assert_frame_equal(many, read_faces(tmp_path).faces)
    assert len(many) == 9


@pytest.mark.parametrize("command", ["train", "predict", "stress"])
def test_what_is_left_out_is_told_before_the_long_work(command, tmp_path, capsys):
    faces = write_tiny_faces(tmp_path / "faces", 8)
    (faces / "ab_0_1.png").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")  # refused in the end, to be quick
    asked = {
        "train": [str(faces), "--out", str(tmp_path / "run")],
        "predict": ["run", str(faces), "--out", str(tmp_path / "p.csv"), "--no-recalibration"],
        "stress": ["run", str(faces), "--out", str(tmp_path / "out")],
    }
    assert cli.main([command, *asked[command]]) == 2
    told, refused = capsys.readouterr().err.splitlines()
    assert told.startswith("1 left out (1 name); first: 'ab_0_1.png': name does not begin with")
    assert ("left_out.csv" in told) == (command != "stress")
    assert cli.main([command, *asked[command], "--quiet"]) == 2
    assert capsys.readouterr().err.splitlines() == [refused]
