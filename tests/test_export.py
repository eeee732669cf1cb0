"""An exported model says what its run says, needs no torch, and is refused when it is not whole."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from tiny_training import SIZE, tiny_faces, tiny_settings, write_tiny_faces

import model.export
from audit import cli
from audit.errors import InputError
from model.evaluate import score
from model.export import FACES, LIMIT, export, largest_difference
from model.faces import read_faces
from model.predict import predict
from model.ready import HASH_DIGITS, seal
from model.ready_onnx import open_onnx
from model.run_folder import Run, load_run
from model.train import train

ROOT = Path(__file__).parents[1]
YEARS = 0.0011  # tables hold 1/1000 year: two roundings may fall on either side, no more
SCORE = 2.1e-6  # and 1/1000000 of P(female)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"))


TRAININGS = {
    "compact": {"epochs": 2},
    "notebook": {"epochs": 5, "batch": 4, "learning_rate": 3e-3},  # until its ages are ages
}


@pytest.fixture(scope="module", params=list(TRAININGS))
def run(request, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / request.param
    settings = tiny_settings(network=request.param, **TRAININGS[request.param])
    return train(table, out=out, settings=settings)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export(run, to=tmp_path_factory.mktemp("exported") / "model.onnx")


@pytest.fixture(scope="module")
def predictions(run, table, tmp_path_factory):
    return predict(run, table, out=tmp_path_factory.mktemp("out") / "predictions.parquet")


def assert_same_table(ours, theirs):
    assert list(ours) == list(theirs)
    close = {"age_pred": YEARS, "age_low": YEARS, "age_high": YEARS, "gender_score": SCORE}
    for name, tolerance in close.items():
        assert (ours[name] - theirs[name]).abs().max() <= tolerance, name
    pd.testing.assert_frame_equal(ours.drop(columns=close), theirs.drop(columns=close))


def test_the_file_gives_the_table_of_its_run(exported, predictions, table, tmp_path):
    out = predict(exported.path, table, out=tmp_path / "p.parquet")
    assert_same_table(pd.read_parquet(out), pd.read_parquet(predictions))
    ours, theirs = (
        json.loads(pq.read_schema(p).metadata[b"faceaudit"]) for p in (out, predictions)
    )
    assert ours["model"] == theirs["model"]
    assert ours["decode"] == theirs["decode"]


# Not by a None in sys.modules: scipy takes what stands there for torch.
WITHOUT_TORCH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "safetensors", "onnx", "onnxscript"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from audit.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without_torch(*words):
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_predict_runs_where_there_is_no_torch(exported, predictions, table, tmp_path):
    out = tmp_path / "p.parquet"
    done = without_torch("predict", exported.path, table.root, "--out", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}\n", "")
    assert_same_table(pd.read_parquet(out), pd.read_parquet(predictions))


def test_reading_an_onnx_leaves_nothing_in_the_home(exported, tmp_path):
    """onnxruntime has a telemetry of its own, which keeps an id of the machine there."""
    own = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    code = "import sys; from pathlib import Path; from model.ready_onnx import open_onnx; "
    code += "open_onnx(Path(sys.argv[1]), threads=1)"
    subprocess.run(
        [sys.executable, "-B", "-c", code, str(exported.path)],
        check=True, cwd=ROOT, env={**env, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert not [*tmp_path.rglob("*")]


def test_a_run_folder_without_torch_is_one_line_that_names_the_extra(run, table, tmp_path):
    done = without_torch("predict", run, table.root, "--out", tmp_path / "p.parquet")
    assert done.returncode == 2
    assert done.stderr == 'faceaudit: this needs torch: pip install "faceaudit[model]"\n'


def test_the_same_faces_give_the_same_bytes_on_any_number_of_threads(exported, table, tmp_path):
    one = predict(exported.path, table, out=tmp_path / "one.parquet", threads=1)
    two = predict(exported.path, table, out=tmp_path / "two.parquet", threads=2)
    assert one.read_bytes() == two.read_bytes()


def test_pictures_are_scored_with_their_mirror_images_as_pytorch_scores_them(run, exported):
    loaded, opened = load_run(run), open_onnx(exported.path, threads=1)
    pictures = np.random.default_rng(3).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    mean, std = (torch.tensor(loaded.config[name]) for name in ("mean", "std"))
    how = {"mean": mean, "std": std, "device": torch.device("cpu"), "precision": "float32"}
    judge = score(loaded.network, pictures, flip=True, **how)
    for ours, theirs in zip(opened.score(pictures), judge, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
        assert ours.dtype == theirs.dtype == np.float32
    mirrored = opened.score(np.ascontiguousarray(pictures[:, :, ::-1]))
    assert mirrored[1] == pytest.approx(opened.score(pictures)[1], abs=1e-6)


def test_the_file_knows_the_training_by_shortened_hashes_alone(run, exported):
    split = pd.read_csv(run / "split.csv")
    about = json.loads(onnx_about(exported.path)["faceaudit"])
    assert set(about["seen"]) == {"train", "valid"}
    for part, joined in about["seen"].items():
        known = {h[:HASH_DIGITS] for h in split["content_hash"][split["split"] == part]}
        assert {joined[i : i + HASH_DIGITS] for i in range(0, len(joined), HASH_DIGITS)} == known


def test_a_face_seen_in_training_is_known_elsewhere_and_any_other_is_test(
    run, exported, table, tmp_path
):
    split = pd.read_csv(run / "split.csv").set_index("image")["split"]
    folder = write_tiny_faces(tmp_path / "elsewhere", 12, seed=77)
    expected = {path.name: "test" for path in folder.iterdir()}
    for part in ("train", "valid", "test"):
        image = split.index[split == part][0]
        copy = f"50_1_0_{part}.png"
        (folder / copy).write_bytes((table.root / image).read_bytes())
        expected[copy] = part
    rows = pd.read_parquet(predict(exported.path, read_faces(folder), out=tmp_path / "p.parquet"))
    assert rows.set_index("image")["split"].to_dict() == expected


# The file ------------------------------------------------------------------------------------


def onnx_about(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_the_metadata_carry_all_that_reading_the_outputs_takes(run, exported):
    config = json.loads((run / "config.json").read_text())
    about = json.loads(onnx_about(exported.path)["faceaudit"])
    for name in ("network", "run_id", "size", "mean", "std", "decode", "picture", "metrics"):
        assert about[name] == config[name], name
    assert about["ages"] == (None if config["network"] == "notebook" else list(range(121)))
    assert about["decode"]["interval"]["correction"] == config["decode"]["interval"]["correction"]
    assert "P(female)" in about["labels"]["gender_score"]
    assert about["flip_averaged"] is True
    assert about["recalibration"] is None


def test_the_file_is_valid_onnx_that_takes_any_number_of_faces(exported):
    onnx.checker.check_model(onnx.load(exported.path), full_check=True)
    session = onnxruntime.InferenceSession(exported.path)
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("pictures", ["faces", 3, SIZE, SIZE])
    ]
    assert [o.name for o in session.get_outputs()] == ["age", "gender"]
    assert {o.shape[0] for o in session.get_outputs()} == {"faces"}
    for n in (1, 5):
        x = np.zeros((n, 3, SIZE, SIZE), np.float32)
        assert {len(out) for out in session.run(None, {"pictures": x})} == {n}


def test_exported_twice_the_file_is_the_same(run, exported, tmp_path):
    again = export(run, to=tmp_path / "again.onnx")
    assert again.path.read_bytes() == exported.path.read_bytes()


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_no_path_of_the_machine_and_no_name_of_a_face_is_in_the_file(suffix, run, table, tmp_path):
    data = export(run, to=tmp_path / f"m{suffix}").path.read_bytes()
    if suffix == ".pt2":
        with zipfile.ZipFile(tmp_path / "m.pt2") as archive:
            data = b"\n".join(archive.read(name) for name in archive.namelist())
    for word in (str(ROOT), str(run), str(table.root), sys.prefix, table.faces["image"][0]):
        assert word.encode() not in data, word


class Says(torch.nn.Module):
    """A network that says the same of every face."""

    def __init__(self, age, gender):
        super().__init__()
        self.age, self.gender = torch.tensor(age), torch.tensor(gender)

    def forward(self, x):
        n = len(x)
        return self.age.expand(n, *self.age.shape).clone(), self.gender.expand(n).clone()


def said(age, gender):
    network = Says(age, gender)
    return lambda x: tuple(part.numpy() for part in network(torch.from_numpy(x)))


LEVEL_SHARES = [0.0] * 121
YOUNG = [0.0] + [-1e4] * 120  # all on age 0
HALF_A_YEAR = [0.0, 0.0] + [-1e4] * 119


@pytest.mark.parametrize(
    ("theirs", "ours", "difference"),
    [
        ((30.0, 0.0), (30.0, 0.0), 0.0),
        ((30.0, 0.0), (30.25, 0.0), 0.25),
        ((3000.0, 0.0), (3006.25, 0.0), 0.25),
        ((30.0, 0.0), (30.0, float(np.log(3))), 0.25),
        ((30.0, 90.0), (30.0, 70.0), 0.0),
        ((YOUNG, 0.0), (HALF_A_YEAR, 0.0), 0.5),
        ((LEVEL_SHARES, 0.0), ([7.0] * 121, 0.0), 0.0),
        ((30.0, 0.0), (float("inf"), 0.0), float("inf")),
        ((30.0, 0.0), (30.0, float("nan")), float("nan")),
        ((YOUNG, 0.0), ([float("inf")] * 121, 0.0), float("nan")),
        ((YOUNG, 0.0), (30.0, 0.0), float("inf")),
    ],
)
def test_the_difference_is_that_of_what_a_reader_reads(theirs, ours, difference):
    config = {"size": SIZE, "mean": [0.5] * 3, "std": [0.25] * 3}
    found = largest_difference(Run(Path(), config, Says(*theirs)), said(*ours))
    assert found == pytest.approx(difference, abs=1e-6, nan_ok=True)


def test_the_difference_of_the_file_is_within_the_limit(exported):
    assert exported.faces == sum(FACES)
    assert 0 <= exported.difference <= LIMIT


@pytest.mark.parametrize("wrong", [lambda age: age[::-1], lambda age: age * np.float32("nan")])
def test_a_file_that_differs_from_pytorch_is_not_written(wrong, run, tmp_path, monkeypatch):
    plain = model.export._onnx_outputs

    def outputs(data, *, source):
        honest = plain(data, source=source)
        return lambda x: (wrong(honest(x)[0]), honest(x)[1])

    monkeypatch.setattr(model.export, "_onnx_outputs", outputs)
    (tmp_path / "m.onnx").write_bytes(b"the old file")
    with pytest.raises(InputError, match=r"m\.onnx is not written: it differs from PyTorch by"):
        export(run, to=tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == b"the old file"


def test_a_graph_that_kept_the_number_of_faces_it_was_traced_with_is_found(run):
    loaded = load_run(run)

    def two_only(x):
        with torch.inference_mode():
            age, gender = loaded.network(torch.from_numpy(x[:2]))
        return age.numpy(), gender.numpy()

    assert largest_difference(loaded, two_only) == np.inf


def test_a_pt2_gives_what_pytorch_gives_and_carries_the_same_words(run, exported, tmp_path):
    done = export(run, to=tmp_path / "m.pt2")
    assert done.difference <= LIMIT
    extra = {"faceaudit.json": ""}
    network = torch.export.load(done.path, extra_files=extra).module()
    x = torch.rand(3, 3, SIZE, SIZE)
    with torch.inference_mode():
        for ours, theirs in zip(network(x), load_run(run).network(x), strict=True):
            assert torch.allclose(ours, theirs, atol=LIMIT)
    about = json.loads(onnx_about(exported.path)["faceaudit"])
    assert json.loads(extra["faceaudit.json"]) == {
        key: value for key, value in about.items() if not key.startswith("graph_")
    }


# What is refused -----------------------------------------------------------------------------


def refused(capsys, *words):
    assert cli.main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_the_command_prints_the_path_last(run, tmp_path, capsys):
    to = tmp_path / "new" / "model.pt2"
    assert cli.main(["export", str(run), "--to", str(to)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(to)
    assert to.is_file()


@pytest.mark.parametrize("name", ["model.pb", "model", "model.onnx.zip"])
def test_another_suffix_is_refused_before_any_work(name, run, tmp_path, capsys):
    assert "must end in .onnx or .pt2" in refused(capsys, "export", run, "--to", tmp_path / name)


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert "no run folder" in refused(capsys, "export", tmp_path, "--to", tmp_path / "m.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(package, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    err = refused(capsys, "export", run, "--to", tmp_path / "m.onnx")
    assert package in err
    assert 'pip install "faceaudit[onnx]"' in err


def test_predict_without_onnxruntime_names_the_extra(
    exported, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    err = refused(capsys, "predict", exported.path, table.root, "--out", tmp_path / "p.csv")
    assert 'pip install "faceaudit[onnx]"' in err


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a" * 50])
def test_a_corrupt_onnx_is_one_line(content, table, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "m.onnx" in refused(capsys, "predict", path, table.root, "--out", tmp_path / "p.csv")


def test_a_cut_or_missing_onnx_is_one_line(exported, table, tmp_path, capsys):
    path, out = tmp_path / "m.onnx", tmp_path / "p.csv"
    assert "no such file" in refused(capsys, "predict", path, table.root, "--out", out)
    path.write_bytes(exported.path.read_bytes()[:-1000])
    assert "m.onnx" in refused(capsys, "predict", path, table.root, "--out", out)


def test_an_onnx_of_someone_else_is_refused_for_want_of_metadata(exported, table, tmp_path, capsys):
    theirs = onnx.load(exported.path)
    theirs.ClearField("metadata_props")
    onnx.save(theirs, tmp_path / "theirs.onnx")
    err = refused(
        capsys, "predict", tmp_path / "theirs.onnx", table.root, "--out", tmp_path / "p.csv"
    )
    assert "lacks the metadata of `faceaudit export`" in err


def test_a_flipped_bit_anywhere_is_found_before_use(exported, tmp_path):
    data = exported.path.read_bytes()
    path = tmp_path / "m.onnx"
    seal = data.rindex(b"faceaudit.sha256")
    places = np.random.default_rng(0).integers(0, len(data), 30).tolist()
    for place in [*places, data.rindex(b'"mean"') + 9, seal + 30, len(data) - 1]:
        flipped = bytearray(data)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"m\.onnx"):
            open_onnx(path, threads=1)


def resealed(path, to, **changed):
    """The file with other words about itself, sealed again: another version's, say."""
    about = json.loads(onnx_about(path)["faceaudit"])
    graph = path.read_bytes()[: about["graph_bytes"]]
    about = {k: v for k, v in {**about, **changed}.items() if v is not ...}
    entries = seal(about, graph)
    tail = onnx.ModelProto(
        metadata_props=[onnx.StringStringEntryProto(key=k, value=v) for k, v in entries.items()]
    )
    to.write_bytes(graph + tail.SerializeToString())
    return to


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": 99}, "another version"),
        ({"decode": ...}, "another version"),
        ({"recalibration": {"kind": "isotonic"}}, "recalibration"),
    ],
)
def test_what_this_version_cannot_apply_is_never_passed_over(changed, words, exported, tmp_path):
    open_onnx(resealed(exported.path, tmp_path / "same.onnx"), threads=1)
    with pytest.raises(InputError, match=words):
        open_onnx(resealed(exported.path, tmp_path / "m.onnx", **changed), threads=1)


def test_a_pt2_is_not_read_and_says_why(run, table, tmp_path, capsys):
    path = export(run, to=tmp_path / "m.pt2").path
    err = refused(capsys, "predict", path, table.root, "--out", tmp_path / "p.csv")
    assert "runs code" in err
    assert ".onnx" in err


def test_a_file_that_is_no_model_is_refused(table, tmp_path, capsys):
    (tmp_path / "m.h5").write_bytes(b"x")
    err = refused(capsys, "predict", tmp_path / "m.h5", table.root, "--out", tmp_path / "p.csv")
    assert "a run folder or an exported .onnx" in err
