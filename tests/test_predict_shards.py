"""A prediction shared by processes, or killed and taken up again, is that of one process, byte for
byte; pieces of anything else are refused.
"""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import write_tar
from tiny_training import tiny_faces, tiny_settings, write_tiny_faces

import model.pieces
import model.scoring
from audit import cli
from audit.errors import InputError
from model.export import export
from model.faces import read_faces, read_faces_shared
from model.pieces import parts_folder
from model.place import Place
from model.predict import predict
from model.train import train

ROOT = Path(__file__).parents[1]
N = 230  # faces; in pieces of 64 here: three whole ones and the rest
SMALL = "import sys, model.scoring, model.pieces\nmodel.scoring.PIECE = model.pieces.PIECE = 64\n"


@pytest.fixture(autouse=True)
def _smsome_pieces(monkeypatch):
    monkeypatch.setattr(model.scoring, "PIECE", 64)
    monkeypatch.setattr(model.pieces, "PIECE", 64)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"), N)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(table, out=out, settings=tiny_settings(epochs=1))


@pytest.fixture(scope="module")
def alone(run, table, tmp_path_factory):
    """What one process writes without pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.scoring, "PIECE", 64)
        out = tmp_path_factory.mktemp("alone") / "predictions.parquet"
        return predict(run, table, out=out, embeddings=True)


def same_bytes(out, alone):
    for name in ("predictions.parquet", "predictions.embeddings.npz"):
        assert out.with_name(name).read_bytes() == alone.with_name(name).read_bytes()


def broken_copy(table, folder):
    """The faces with two pictures that break after the scan, in different pieces."""
    shutil.copytree(table.root, folder)
    for row in (3, 150):
        (folder / table.faces["image"][row]).write_bytes(b"no picture")
    return folder


def test_pieces_change_nothing_and_are_gone_in_the_end(run, table, alone, tmp_path):
    out = predict(run, table, out=tmp_path / "predictions.parquet", embeddings=True, resume=True)
    same_bytes(out, alone)
    assert not parts_folder(out).exists()
    assert {p.name for p in tmp_path.iterdir()} == {out.name, "predictions.embeddings.npz"}


@given(n=st.integers(0, 500), size=st.integers(1, 7), step=st.integers(1, 70))
def test_the_shares_of_all_processes_are_every_thing_once_and_come_back_in_order(n, size, step):
    things = list(range(n))
    parts = [Place(rank, size).share(things, step=step) for rank in range(size)]
    assert sorted(thing for part in parts for thing in part) == things
    assert Place(0, size).interleaved(parts, step=step) == things


def test_two_processes_under_torchrun_write_what_one_writes(run, table, tmp_path, monkeypatch):
    monkeypatch.undo()  # the command reads pieces of its own size, here one and a bit
    many = write_tiny_faces(tmp_path / "many", 1100, seed=3)
    (many / "33_1_0_broken.jpg").write_bytes(b"no picture")
    lone = tmp_path / "alone" / "predictions.parquet"
    assert cli.main(["predict", str(run), str(many), "--out", str(lone), "--quiet"]) == 0
    out = tmp_path / "shared" / "predictions.parquet"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = ["--nproc-per-node", "2", "-m", "model.predict", run, many, "--out", out]
    done = subprocess.run(
        [*torchrun, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n", "one process prints"
    assert out.read_bytes() == lone.read_bytes()
    left_out = [path.with_name("left_out.csv").read_bytes() for path in (out, lone)]
    assert left_out[0] == left_out[1]
    assert b"33_1_0_broken.jpg" in left_out[0]
    assert not parts_folder(out).exists()


def test_what_the_first_refuses_every_process_refuses(tmp_path):
    """One that waited for the first, which had ended, showed a traceback of gloo."""
    handed = []

    def from_first(value):
        handed.append(value)
        return value

    first = Place(0, 2, lambda mine: [mine, mine], from_first)
    with pytest.raises(InputError, match="is empty"):
        read_faces_shared(tmp_path, place=first)
    other = Place(1, 2, lambda mine: None, lambda value: pickle.loads(pickle.dumps(handed[0])))
    with pytest.raises(InputError, match="is empty"):
        read_faces_shared(tmp_path, place=other)


def test_two_places_share_the_pieces_and_the_first_joins_them(run, table, alone, tmp_path):
    """The same without torchrun: the second process writes its pieces, then the first does."""
    out = tmp_path / "predictions.parquet"
    how = {"out": out, "embeddings": True, "resume": True}
    predict(run, table, place=Place(1, 2, lambda mine: None, lambda value: value), **how)
    assert not out.exists()
    assert len(list(parts_folder(out).iterdir())) == 2
    before = {p.name: p.stat().st_mtime_ns for p in parts_folder(out).iterdir()}
    assert set(before) == {"piece-000001.parquet", "piece-000003.parquet"}
    predict(run, table, **how)
    same_bytes(out, alone)


def test_killed_in_the_midst_it_goes_on_and_reads_only_what_is_missing(
    run, table, alone, tmp_path, monkeypatch
):
    out = tmp_path / "predictions.parquet"
    slow = (
        f"{SMALL}import time, model.scoring as s\nread = s._read_batch\n"
        "def slow(*a, **k):\n    time.sleep(0.7)\n    return read(*a, **k)\n"
        "s._read_batch = slow\nfrom model.predict import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [str(run), str(table.root), "--out", str(out), "--embeddings", "--resume"]
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *words], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    folder, until = parts_folder(out), time.monotonic() + 120
    while not (folder.exists() and len(list(folder.glob("piece-*"))) >= 2):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(folder.glob("piece-*")))
    assert 2 <= kept < 4
    assert not out.exists()
    read = []
    honest = model.pieces.read_pieces

    def counted(model, paths, **how):
        read.extend(paths)
        return honest(model, paths, **how)

    monkeypatch.setattr(model.pieces, "read_pieces", counted)
    predict(run, table, out=out, embeddings=True, resume=True)
    assert len(read) == N - 64 * kept
    same_bytes(out, alone)


def some_pieces(run, table, tmp_path, **how):
    """Two of the four pieces of a prediction: those of the second and third of three processes."""
    out = tmp_path / "predictions.parquet"
    for rank in (1, 2):
        place = Place(rank, 3, lambda mine: None, lambda value: value)
        predict(run, table, out=out, resume=True, place=place, **how)
    return out


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-40],
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + bytes([data[200] ^ 16]) + data[201:],
    ],
)
def test_a_piece_that_is_not_whole_is_made_anew(damage, run, table, alone, tmp_path):
    out = some_pieces(run, table, tmp_path, embeddings=True)
    piece = sorted(parts_folder(out).iterdir())[0]
    piece.write_bytes(damage(piece.read_bytes()))
    predict(run, table, out=out, embeddings=True, resume=True)
    same_bytes(out, alone)


def test_pieces_of_another_model_other_faces_or_another_reading_are_refused(
    run, table, tmp_path, capsys
):
    out = some_pieces(run, table, tmp_path)
    other = train(table, out=tmp_path / "other", settings=tiny_settings(epochs=1, seed=5))
    fewer = write_tiny_faces(tmp_path / "fewer", N - 1)
    for words in (
        [other, table.root], [run, fewer], [run, table.root, "--embeddings"],
    ):  # fmt: skip
        asked = ["predict", *map(str, words), "--out", str(out), "--resume", "--quiet"]
        assert cli.main(asked) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "predictions.parquet.parts holds pieces of another model or of other faces" in err
        assert not out.exists()
    assert cli.main(["predict", str(run), str(table.root), "--out", str(out), "--resume"]) == 0


def test_other_labels_of_the_same_faces_take_the_pieces_that_are_there(
    run, table, tmp_path, monkeypatch
):
    out = some_pieces(run, table, tmp_path)
    labels = pd.DataFrame({"image": table.faces["image"], "age": 44, "gender": "female"})
    labels.to_csv(table.root / "labels.csv", index=False)
    read = []
    honest = model.pieces.read_pieces
    monkeypatch.setattr(
        model.pieces, "read_pieces", lambda m, p, **how: read.extend(p) or honest(m, p, **how)
    )
    relabelled = read_faces(table.root / "labels.csv")
    rows = pd.read_parquet(predict(run, relabelled, out=out, resume=True))
    (table.root / "labels.csv").unlink()
    assert (rows["age_true"] == 44).all()
    assert len(read) == 128, "the two pieces of the first process"


def test_faces_that_cannot_be_decoded_are_listed_as_without_pieces(run, table, tmp_path):
    folder = broken_copy(table, tmp_path / "faces")
    moved = read_faces(table.root)
    moved = type(moved)(**{**vars(moved), "root": folder})
    plain = predict(run, moved, out=tmp_path / "a" / "p.parquet")
    pieces = predict(run, moved, out=tmp_path / "b" / "p.parquet", resume=True)
    assert plain.read_bytes() == pieces.read_bytes()
    lists = [pd.read_csv(path.with_name("left_out.csv")) for path in (plain, pieces)]
    pd.testing.assert_frame_equal(*lists)
    assert len(lists[0]) == 2
    assert len(pd.read_parquet(pieces)) == N - 2


def test_a_whole_piece_that_cannot_be_decoded_takes_nothing_along(run, table, tmp_path):
    folder = tmp_path / "faces"
    shutil.copytree(table.root, folder)
    for image in table.faces["image"][64:128]:
        (folder / image).write_bytes(b"no picture")
    moved = type(table)(**{**vars(table), "root": folder})
    plain = predict(run, moved, out=tmp_path / "p.parquet", embeddings=True)
    pieces = predict(run, moved, out=tmp_path / "q.parquet", embeddings=True, resume=True)
    assert plain.read_bytes() == pieces.read_bytes()
    assert len(pd.read_parquet(plain)) == N - 64


def test_an_exported_model_and_a_tar_go_on_without_torch_too(run, table, tmp_path):
    onnx = export(run, to=tmp_path / "model.onnx").path
    files = [(p.name, p.read_bytes()) for p in sorted(table.root.glob("*.png"))]
    tar = read_faces(write_tar(tmp_path / "faces.tar", files))
    plain = predict(onnx, tar, out=tmp_path / "p.parquet")
    out = some_pieces(onnx, tar, tmp_path)
    predict(onnx, tar, out=out, resume=True)
    assert out.read_bytes() == plain.read_bytes()


def test_a_network_s_numbers_do_not_depend_on_where_a_piece_ends(run, table, tmp_path, monkeypatch):
    """Batches, not pieces, are what a network sees: larger pieces give the same table."""
    small = predict(run, table, out=tmp_path / "small.parquet")
    monkeypatch.undo()
    large = predict(run, table, out=tmp_path / "large.parquet")
    assert small.read_bytes() == large.read_bytes()


def test_pieces_that_another_machine_keeps_to_itself_are_named(run, table, tmp_path):
    """Two machines that do not share the folder: the first one says what is missing."""
    out = tmp_path / "predictions.parquet"
    first = Place(0, 2, lambda mine: [mine, mine], lambda value: value)
    with pytest.raises(InputError, match=r"piece-000001\.parquet is missing: all processes must"):
        predict(run, table, out=out, resume=True, place=first)


@pytest.mark.parametrize("kept", [True, False])
def test_stopped_in_the_midst_it_says_whether_it_goes_on(kept, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        if kept:
            parts_folder(tmp_path / "p.csv").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("model.predict.predict", stopped)
    faces = write_tiny_faces(tmp_path / "faces", 4)
    command = ["predict", "run", str(faces), "--out", str(tmp_path / "p.csv"), "--no-recalibration"]
    assert cli.main(command) == 130
    assert ("--resume goes on" in capsys.readouterr().err) == kept
