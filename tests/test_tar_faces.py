"""Faces in tar files are those of the folder they were made of; what cannot be used is listed."""

import gzip
import io
import json
import os
import tarfile
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import jpeg, left_out, members_of, write_tar
from tiny_faces import picture
from tiny_training import tiny_settings, write_tiny_faces

from audit import cli
from audit.errors import InputError
from audit.gzip_blocks import GzipBlocks
from audit.held import held
from audit.recent import Recent
from model.faces import read_faces
from model.predict import predict
from model.train import train
from reports.thumbnails import picture_path, thumbnails

SHARDS = "faces-{000..002}.tar"
GOOD = [(f"{20 + i}_{i % 2}_{i % 5}_x{i}.jpg", jpeg(i)) for i in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_faces(tmp_path_factory.mktemp("faces") / "faces", 60)


def same_faces(ours, theirs):
    """Equal tables but for where the pictures lie, whose last parts are equal."""
    assert [i.rpartition("/")[2] for i in ours["image"]] == list(theirs["image"])
    pd.testing.assert_frame_equal(ours.drop(columns="image"), theirs.drop(columns="image"))


@pytest.mark.parametrize(
    ("name", "mode"), [("f.tar", "w"), ("f.tar.gz", "w:gz"), ("f.tgz", "w:gz"), ("F.TAR", "w")]
)
def test_a_tar_gives_the_faces_of_the_folder_it_was_made_of(name, mode, folder, tmp_path):
    path = write_tar(tmp_path / name, members_of(folder), mode=mode)
    table = read_faces(path)
    same_faces(table.faces, read_faces(folder).faces)
    assert table.faces["image"].str.startswith(f"{name}/").all()
    assert (table.root, len(table.left_out), table.passed_over) == (tmp_path, 0, 0)


@pytest.mark.parametrize("source", [SHARDS, "faces-*.tar", ".", "faces-00[012].tar"])
def test_shards_are_named_by_braces_a_pattern_or_their_folder(source, folder, tmp_path):
    members = members_of(folder)
    for number in range(3):  # sorted names in consecutive shards: the folder's own order
        part = members[20 * number : 20 * number + 20]
        write_tar(tmp_path / "d" / f"faces-{number:03}.tar", part)
    table = read_faces(tmp_path / "d" / source)
    same_faces(table.faces, read_faces(folder).faces)
    assert table.root == tmp_path / "d"
    assert table.faces["image"].iloc[-1].startswith("faces-002.tar/")


def test_a_shard_that_braces_name_and_that_is_not_there_is_an_error(tmp_path):
    for number in (0, 2):
        write_tar(tmp_path / f"faces-00{number}.tar", GOOD)
    with pytest.raises(InputError, match=r"1 of 3 shards are missing, first .*faces-001\.tar"):
        read_faces(tmp_path / SHARDS)
    with pytest.raises(InputError, match="does not exist"):
        read_faces(tmp_path / "other-*.tar")


def test_an_archive_beside_its_unpacked_pictures_is_passed_over(folder, tmp_path):
    for name, data in members_of(folder):
        (tmp_path / name).write_bytes(data)
    write_tar(tmp_path / "all.tar", members_of(folder))
    table = read_faces(tmp_path)
    pd.testing.assert_frame_equal(table.faces, read_faces(folder).faces)
    assert table.passed_over == 1


def test_labels_beside_a_picture_say_more_than_its_name(tmp_path):
    said = {"age": 31.5, "gender": "woman", "race": "Other", "subject_id": 7, "camera": "A"}
    members = [
        ("a/0001.jpg", jpeg(1)), ("a/0001.json", json.dumps({**said, "box": [1, 2]}).encode()),
        ("a/0002.jpg", jpeg(2)), ("a/0002.cls", b"26 1 2\n"),
        ("a/70_0_1_x.jpg", jpeg(3)), ("a/70_0_1_x.json", b'{"camera": "B"}'),
        ("a/80_0_0_y.jpg", jpeg(4)), ("a/80_0_0_y.json", b'{"age": 50, "gender": 1}'),
        ("README.txt", b"hello"), ("a/9999.json", b"{}"),
    ]  # fmt: skip
    table = read_faces(write_tar(tmp_path / "f.tar", members))
    faces = table.faces.set_index(table.faces["image"].str[8:])
    assert faces["age"].to_dict() == {
        "0001.jpg": 31.5, "0002.jpg": 26, "70_0_1_x.jpg": 70, "80_0_0_y.jpg": 50,
    }  # fmt: skip
    assert list(faces["gender"]) == ["female", "female", "male", "female"]
    assert faces["race"].to_dict() | {"80_0_0_y.jpg": None} == {
        "0001.jpg": "Other", "0002.jpg": "Asian", "70_0_1_x.jpg": "Black", "80_0_0_y.jpg": None,
    }  # fmt: skip
    assert pd.isna(faces["race"]["80_0_0_y.jpg"]), "a label without race is not made up by a name"
    assert faces["subject_id"]["0001.jpg"] == "7"
    assert faces["camera"]["0001.jpg"] == "A"
    assert faces["camera"]["70_0_1_x.jpg"] == "B"
    assert "box" not in faces, "lists are no features"
    assert table.passed_over == 2
    assert left_out(table) == {}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("p.json", b"{", "p.json holds no JSON object"),
        ("p.json", b"[1]", "p.json holds no JSON object"),
        ("p.json", b"[" * 100_000, "p.json holds no JSON object"),
        ("p.json", b'{"age": 130, "gender": 1}', "age 130 is not in 0 to 120"),
        ("p.json", b'{"age": [3], "gender": 1}', "age is no single value"),
        ("p.json", b'{"age": 30}', "gender is empty"),
        ("p.json", b" " * (2**20 + 1), "p.json has more than 1,048,576 bytes"),
        ("p.cls", b"3", "p.cls holds 1 numbers"),
        ("p.cls", b"30 7", "p.cls: gender is '7'"),
    ],
)
def test_a_label_that_is_none_is_listed_with_its_reason(name, data, words, tmp_path):
    path = write_tar(tmp_path / "f.tar", [*GOOD, ("p.jpg", jpeg(50)), (name, data)])
    status, reason = left_out(read_faces(path))["f.tar/p.jpg"]
    assert status == "label"
    assert words in reason


def special(name, kind, **facts):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def test_a_label_beside_a_picture_that_names_neither_age_nor_gender_says_what_it_has(tmp_path):
    beside = json.dumps({"Sex": "F", "Age": 30}).encode()
    path = write_tar(tmp_path / "f.tar", [*GOOD, ("p.jpg", jpeg(50)), ("p.json", beside)])
    [(image, status, reason)] = read_faces(path).left_out.to_numpy().tolist()
    assert (image, status) == ("f.tar/p.jpg", "name")
    assert reason.endswith(", and p.json has neither age nor gender (it has 'Age', 'Sex')")


@pytest.mark.parametrize(
    ("member", "status", "words"),
    [
        (("../30_1_0_x.jpg", jpeg(60)), "name", "path leads out of the tar"),
        (("a/../../30_1_0_x.jpg", jpeg(60)), "name", "path leads out of the tar"),
        (("/etc/30_1_0_x.jpg", jpeg(60)), "name", "path leads out of the tar"),
        (("30_1_0_x.jpg", b"no picture"), "decode_error", "not a picture"),
        (("30_1_0_x.jpg", jpeg(60)[:300]), "decode_error", "cannot be decoded"),
        (("30_1_0_x.jpg", b""), "empty", "0 bytes"),
        (("130_1_0_x.jpg", jpeg(60)), "name", "age 130"),
        (("30_1_0_x.tif", jpeg(60)), "suffix", "not a .jpg"),
        (special("30_1_0_x.jpg", tarfile.SYMTYPE, linkname="/etc/passwd"), "not_a_file", "regular"),
        (special("30_1_0_x.jpg", tarfile.LNKTYPE, linkname=GOOD[0][0]), "not_a_file", "regular"),
        (special("30_1_0_x.jpg", tarfile.FIFOTYPE), "not_a_file", "regular"),
        (special("30_1_0_x.jpg", tarfile.CHRTYPE), "not_a_file", "regular"),
    ],
)
def test_a_member_that_is_no_face_is_listed_with_its_reason(member, status, words, tmp_path):
    table = read_faces(write_tar(tmp_path / "f.tar", [*GOOD[:4], member, *GOOD[4:]]))
    name = member.name if isinstance(member, tarfile.TarInfo) else member[0]
    assert len(table.faces) == len(GOOD)
    assert list(left_out(table)) == [f"f.tar/{name}"]
    assert left_out(table)[f"f.tar/{name}"][0] == status
    assert words in left_out(table)[f"f.tar/{name}"][1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.tar"], "nothing is unpacked"
    with pytest.raises(InputError, match="--strict, but 1 left out"):
        read_faces(tmp_path / "f.tar", strict=True)


def test_a_name_that_is_not_utf_8_is_listed_and_hidden_files_are_passed_over(tmp_path):
    path = tmp_path / "f.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name, data in [*GOOD, ("30_1_0_\udcff.jpg", b"x"), ("._30_1_0_x.jpg", b"x")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    table = read_faces(path)
    assert len(table.faces) == len(GOOD)
    assert left_out(table) == {
        "f.tar/30_1_0_\\xff.jpg": ("not_a_file", "name is not UTF-8; rename it")
    }


def test_a_name_that_is_there_twice_counts_once_when_the_bytes_agree_and_else_not_at_all(tmp_path):
    (name, data), (other, _) = GOOD[0], GOOD[1]
    path = write_tar(tmp_path / "f.tar", [*GOOD, (name, data), (other, jpeg(70))])
    table = read_faces(path)
    assert set(table.faces["image"]) == {f"f.tar/{n}" for n, _ in GOOD if n != other}
    listed = table.left_out.groupby("image")["reason"].agg(list).to_dict()
    words = "in the tar more than once with other bytes"
    assert listed == {
        f"f.tar/{name}": ["in the tar more than once"], f"f.tar/{other}": [words, words]
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_wherever_a_tar_is_cut_whole_faces_are_read_and_the_cut_is_listed(mode, tmp_path):
    whole = write_tar(tmp_path / "whole.tar", GOOD, mode=mode)
    data = whole.read_bytes()
    expected = read_faces(whole).faces.set_index("content_hash")["age"]
    last = GOOD[-1][0]
    for share in (0.45, 0.55, 0.77, 0.9, 0.97):
        path = tmp_path / "cut.tar"
        path.write_bytes(
            data[: int(share * data.rindex(b"\xff\xd9") if mode == "w" else share * len(data))]
        )
        os.utime(path, ns=(0, int(share * 1e9)))
        table = read_faces(path)
        found = table.faces.set_index("content_hash")["age"]
        assert 0 < len(found) < len(GOOD)
        assert found.to_dict() == expected[found.index].to_dict()
        assert left_out(table)["cut.tar"][0] == "truncated"
        assert f"cut.tar/{last}" not in set(table.faces["image"])


def test_a_tar_cut_between_two_members_lacks_its_end_mark(tmp_path):
    whole = write_tar(tmp_path / "f.tar", GOOD)
    data = whole.read_bytes()
    fifth = data.index(GOOD[5][0].encode())
    whole.write_bytes(data[:fifth])
    table = read_faces(whole)
    assert len(table.faces) == 5
    status, reason = left_out(table)["f.tar"]
    assert status == "truncated"
    assert f"its end mark is missing from byte {fifth:,} on" in reason


def test_a_damaged_header_in_the_midst_is_said_not_taken_for_the_end(tmp_path):
    path = write_tar(tmp_path / "f.tar", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(GOOD[5][0].encode()) + 150] ^= 1  # its checksum
    path.write_bytes(data)
    table = read_faces(path)
    assert len(table.faces) == 5
    assert left_out(table)["f.tar"][0] == "truncated"


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, b"\x1f\x8bno gzip"])
def test_what_is_no_tar_is_one_line(data, tmp_path, capsys):
    (tmp_path / "f.tar").write_bytes(data)
    assert cli.main(["check", str(tmp_path / "f.tar"), "--out", str(tmp_path / "o")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "f.tar" in err


def test_one_bad_shard_does_not_take_the_others_along(tmp_path):
    write_tar(tmp_path / "a.tar", GOOD)
    (tmp_path / "b.tar").write_bytes(b"no tar")
    table = read_faces(tmp_path)
    assert len(table.faces) == len(GOOD)
    assert left_out(table)["b.tar"][0] == "unreadable"


# Reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_training_and_predictions_are_those_of_the_folder(mode, folder, tmp_path):
    path = write_tar(tmp_path / "faces.tar", members_of(folder), mode=mode)
    sources = {"folder": read_faces(folder), "tar": read_faces(path)}
    rows = {}
    for name, table in sources.items():
        run = train(table, out=tmp_path / name, settings=tiny_settings(epochs=1))
        rows[name] = pd.read_parquet(predict(run, table, out=tmp_path / f"{name}.parquet"))
    other = ["sample_id", "image"]
    pd.testing.assert_frame_equal(
        rows["tar"].drop(columns=other), rows["folder"].drop(columns=other)
    )
    assert list(rows["tar"]["image"]) == [f"faces.tar/{n}" for n in rows["folder"]["image"]]


def test_a_picture_that_changed_under_the_scan_is_noticed(tmp_path):
    path = write_tar(tmp_path / "f.tar", GOOD)
    name = f"{path}/{GOOD[3][0]}"
    assert held(name).read() == GOOD[3][1]
    write_tar(path, [(GOOD[3][0], jpeg(99)), *GOOD[:3]])
    assert held(name).read() == jpeg(99), "an index goes with the time and size of its file"
    with pytest.raises(FileNotFoundError, match=r"f\.tar holds no picture"):
        held(f"{path}/{GOOD[5][0]}")


def test_a_folder_may_be_called_like_a_tar(folder, tmp_path):
    plain = tmp_path / "faces.tar"
    plain.mkdir()
    for name, data in members_of(folder):
        (plain / name).write_bytes(data)
    pd.testing.assert_frame_equal(read_faces(plain).faces, read_faces(folder).faces)


def test_the_dashboard_and_check_show_pictures_of_a_tar(tmp_path):
    path = write_tar(tmp_path / "d" / "f.tar", GOOD)
    image = f"f.tar/{GOOD[0][0]}"
    assert thumbnails(path.parent, [image, "f.tar/none.jpg", "f.tar"], cache=None)[0].startswith(
        "data:image/jpeg"
    )
    assert thumbnails(path.parent, ["f.tar/none.jpg", "f.tar"], cache=None) == [None, None]
    assert picture_path(tmp_path / "other", f"../d/{image}") is None, "outside of the folder"
    assert cli.main(["check", str(path), "--out", str(tmp_path / "o"), "--quiet"]) == 0
    assert "data:image/jpeg" in (tmp_path / "o" / "check.html").read_text()


# Gzip ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A gzip file of two members with both dull and wild content, and what it unpacks to."""
    wild = picture(0, size=(256, 256), cells=200).tobytes()
    parts = [wild + b"\0" * 500_000, b"dull " * 100_000 + wild]
    path = tmp_path_factory.mktemp("gz") / "x.gz"
    path.write_bytes(b"".join(gzip.compress(part) for part in parts))
    return path, b"".join(parts)


@given(place=st.integers(-5, 1_400_000), size=st.integers(0, 300_000))
@settings(max_examples=40)
def test_any_part_of_a_gzip_file_is_what_unpacking_it_whole_gives(packed, place, size):
    path, content = packed
    blocks = GzipBlocks(path, spacing=100_000)
    assert len(blocks.marks) > 5
    assert (blocks.length, blocks.fault) == (len(content), "")
    place = max(place, 0)
    assert blocks.read_at(place, size) == content[place : place + size]


def test_marks_are_thinned_out_and_still_lead_to_the_same_bytes(packed):
    path, content = packed
    blocks = GzipBlocks(path, spacing=1000, most=6)
    assert 3 <= len(blocks.marks) <= 6
    assert blocks.read() == content
    assert blocks.read() == b""
    dense = GzipBlocks(path, spacing=1000, most=6, widest=100_000)
    gaps = np.diff([mark.place for mark in dense.marks])
    assert len(dense.marks) > 6
    assert gaps.max() < 4 * 100_000, "however long a file is, little of it is unpacked at once"
    assert dense.read() == content


def test_a_gzip_file_that_was_cut_or_damaged_gives_what_is_whole_and_says_why(packed, tmp_path):
    path, content = packed
    data = path.read_bytes()
    (tmp_path / "cut.gz").write_bytes(data[: len(data) // 3])
    cut = GzipBlocks(tmp_path / "cut.gz")
    assert "end too early" in cut.fault
    assert cut.read() == content[: cut.length]
    damaged = bytearray(data)
    damaged[len(data) // 3] ^= 255
    (tmp_path / "bad.gz").write_bytes(damaged)
    bad = GzipBlocks(tmp_path / "bad.gz", spacing=100_000)
    assert "damaged" in bad.fault
    assert len(bad.read()) == bad.length
    with pytest.raises((zlib.error, OSError)):
        gzip.decompress(damaged)


def test_what_was_read_last_is_kept_within_its_budget():
    kept, made = Recent(100), []

    def get(key, weight):
        return kept.get(key, lambda: (made.append(key) or key, weight))

    for key in "abcabc":
        get(key, 30)
    assert made == ["a", "b", "c"]
    get("d", 30)
    assert kept.weight == 90
    get("a", 30)
    assert made == ["a", "b", "c", "d", "a"], "the one read longest ago went first"
    get("e", 1000)
    assert kept.weight == 1030, "two parts stay whatever they weigh"
