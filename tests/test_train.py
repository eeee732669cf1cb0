import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import tiny_faces, tiny_settings, write_tiny_faces

import model.epochs
import model.train
from audit import cli
from audit.errors import InputError, MachineError
from model.decode import LEVEL
from model.progress import Progress
from model.run_folder import (
    load_checkpoint,
    load_run,
    locked,
    read_config,
    refuse_used,
    save_checkpoint,
    save_model,
)
from model.settings import TrainSettings
from model.train import main, train

CLOCK = ["seconds", "images_per_second"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    """An uninterrupted training of three epochs: what every interrupted one must end as."""
    return train(table, out=tmp_path_factory.mktemp("runs") / "whole", settings=tiny_settings())


def weights(run):
    return (run / "model.safetensors").read_bytes()


def history(run):
    return pd.read_csv(run / "history.csv").drop(columns=CLOCK)


def at_step(monkeypatch, number, act):
    """Call `act` after the step `number` of the training."""
    steps = {"done": 0}
    plain = model.epochs._step

    def step(*args):
        found = plain(*args)
        steps["done"] += 1
        if steps["done"] == number:
            act()
        return found

    monkeypatch.setattr(model.epochs, "_step", step)


def test_a_training_learns_what_the_pictures_show(tmp_path):
    table = tiny_faces(tmp_path / "faces", 240)
    out = train(table, out=tmp_path / "run", settings=tiny_settings(epochs=14, average=0.9))
    test = json.loads((out / "config.json").read_text())["metrics"]["test"]
    ages = table.faces["age"]
    assert test["age_mae"] < 0.6 * (ages - ages.median()).abs().mean()
    assert test["gender_accuracy"] > 0.9


def test_a_run_folder_holds_everything_its_use_needs(finished, table):
    names = {path.name for path in finished.iterdir()}
    assert {
        "model.safetensors", "config.json", "history.csv", "checkpoint.pt", "split.csv",
        "settings.json", "tensorboard",
    } <= names  # fmt: skip
    assert "cache" not in names, "decoded pictures are not left behind"
    config = json.loads((finished / "config.json").read_text())
    assert config["network"] == "compact"
    assert config["size"] == 32
    assert config["decode"]["interval"]["level"] == LEVEL
    assert config["packages"]["torch"] == torch.__version__.split("+")[0]
    assert set(config["metrics"]) == {"valid", "test"}
    split = pd.read_csv(finished / "split.csv")
    assert list(split["image"]) == list(table.faces["image"])
    assert split["split"].value_counts().to_dict() == {
        name: config["split"][name] for name in ("train", "valid", "test")
    }


def test_the_history_has_a_row_per_epoch_and_says_nothing_of_the_test_part(finished):
    rows = pd.read_csv(finished / "history.csv")
    assert list(rows["epoch"]) == [1, 2, 3]
    assert {"loss_train", "loss_valid", "age_mae_valid", "gender_accuracy_valid"} <= set(rows)
    assert not [name for name in rows if "test" in name]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, table, tmp_path):
    same = train(table, out=tmp_path / "same", settings=tiny_settings())
    other = train(table, out=tmp_path / "other", settings=tiny_settings(seed=1))
    assert weights(same) == weights(finished)
    assert weights(other) != weights(finished)
    pd.testing.assert_frame_equal(history(same), history(finished))


KILL_ITSELF = """
import os, signal, sys
from pathlib import Path
import model.epochs
from model.faces import read_faces
from model.settings import TrainSettings
from model.train import train
import json
plain, steps = model.epochs._step, []
def step(*args):
    found = plain(*args)
    steps.append(1)
    if len(steps) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return found
model.epochs._step = step
settings = TrainSettings.from_dict(json.loads(sys.argv[3]))
train(read_faces(Path(sys.argv[1])), out=Path(sys.argv[2]), settings=settings)
"""


@pytest.mark.parametrize("step", [3, 10])
def test_a_training_killed_in_mid_epoch_resumes_to_the_same_weights(
    step, finished, table, tmp_path
):
    settings, out = tiny_settings(), tmp_path / "run"
    arguments = [str(table.root), str(out), json.dumps(settings.to_dict()), str(step)]
    killed = subprocess.run([sys.executable, "-c", KILL_ITSELF, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    per_epoch = 112 // 16
    assert load_checkpoint(out)["epoch"] == step // per_epoch, "all finished epochs are kept"
    assert not (out / "config.json").exists()
    train(table, out=out, settings=settings, resume=True)
    assert weights(out) == weights(finished)
    pd.testing.assert_frame_equal(history(out), history(finished))


def test_ctrl_c_saves_within_the_epoch_and_says_how_to_go_on(
    finished, table, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        at_step(patched, 10, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match=r"after epoch 1, step 3 of 7.*--resume"):
            train(table, out=out, settings=tiny_settings())
    assert load_checkpoint(out)["step"] == 3
    train(table, out=out, settings=tiny_settings(), resume=True)
    assert weights(out) == weights(finished)
    pd.testing.assert_frame_equal(history(out), history(finished))


def test_ctrl_c_after_the_last_step_is_not_passed_over(finished, table, tmp_path, monkeypatch):
    out, plain = tmp_path / "run", model.epochs._validate

    def validate(job, state, **how):
        if state.epoch + 1 == job.settings.epochs:
            signal.raise_signal(signal.SIGINT)
        return plain(job, state, **how)

    with monkeypatch.context() as patched:
        patched.setattr(model.epochs, "_validate", validate)
        with pytest.raises(KeyboardInterrupt, match=r"all epochs are saved.*--resume"):
            train(table, out=out, settings=tiny_settings())
    assert not (out / "config.json").exists()
    train(table, out=out, settings=tiny_settings(), resume=True)
    assert weights(out) == weights(finished)


def test_ctrl_c_outside_the_epochs_says_how_to_go_on_too(table, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(model.train, "run_epochs", stopped)
    with pytest.raises(KeyboardInterrupt, match="is kept: the same command with --resume"):
        train(table, out=tmp_path / "run", settings=tiny_settings())


def test_sigterm_saves_and_leaves_with_143(table, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    at_step(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as leaving:
        train(table, out=tmp_path / "run", settings=tiny_settings())
    assert leaving.value.code == 143
    assert load_checkpoint(tmp_path / "run")["step"] == 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_finished_training_resumed_changes_nothing(finished, table):
    before = weights(finished)
    train(table, out=finished, settings=tiny_settings(), resume=True)
    assert weights(finished) == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"batch": 8}, r"--batch 8 \(was 16\)"),
        ({"epochs": 9}, r"--epochs 9 \(was 3\)"),
        ({"learning_rate": 0.5}, r"--learning-rate 0.5"),
        ({"seed": 4}, r"--seed 4 \(was 0\)"),
    ],
)
def test_changed_settings_on_resume_are_refused_by_name(changed, words, finished, table):
    with pytest.raises(InputError, match=words):
        train(table, out=finished, settings=tiny_settings(**changed), resume=True)


def test_other_faces_on_resume_are_refused(finished, tmp_path):
    other = tiny_faces(tmp_path / "faces", 120, seed=3)
    before = (finished / "split.csv").read_bytes()
    with pytest.raises(InputError, match="faces, their labels or their split"):
        train(other, out=finished, settings=tiny_settings(), resume=True)
    # else faces that the network learned from would count as test faces from now on
    assert (finished / "split.csv").read_bytes() == before


def test_resume_writes_history_and_split_again_where_they_are_damaged(finished, table, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "history.csv").write_text("epoch,loss_train\n1,2.\n2,")
    (folder / "split.csv").write_bytes(bytes(range(256)))
    train(table, out=folder, settings=tiny_settings(), resume=True)
    for name in ("history.csv", "split.csv"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize("command", [main, lambda argv: cli.main(["train", *argv])])
def test_a_file_in_the_place_of_a_run_folder_is_one_line(command, table, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert command([str(table.root), "--out", str(tmp_path / "file"), "--epochs", "1"]) == 2
    assert "a file stands where a folder is needed" in capsys.readouterr().err


def test_a_run_refuses_what_it_cannot_do_before_it_writes_or_trains(
    finished, table, tmp_path, capsys
):
    folder = tmp_path / "job"
    shutil.copytree(finished, folder / "run")
    (folder / "check").mkdir()
    for options, words in (
        ([], "holds a training"),
        (["--by", "rcae"], "did you mean 'race'"),
        (["--by", "gender"], "--by gender: the faces have no such column"),
        (["--column", "camera=nope", "--by", "camera"], "--column camera=nope"),
        (["--cuts", "age_group=3"], "--cuts age_group"),
    ):
        out = folder if not options else tmp_path / "new"
        assert cli.main(["run", str(table.root), "--out", str(out), *options]) == 2
        assert words in capsys.readouterr().err
    assert not any((folder / "check").iterdir())
    (folder / "check" / "check.json").write_text("of the faces it was begun with")
    other = tiny_faces(tmp_path / "others", 120, seed=3)
    assert cli.main(["run", str(other.root), "--out", str(folder), "--resume"]) == 2
    assert "faces, their labels or their split" in capsys.readouterr().err
    assert (folder / "check" / "check.json").read_text() == "of the faces it was begun with"
    assert not (tmp_path / "new" / "run").exists()


def test_a_used_folder_is_not_trained_over(finished, table, tmp_path):
    with pytest.raises(InputError, match="--resume, or choose another --out"):
        train(table, out=finished, settings=tiny_settings())
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match=r"not empty.*thesis\.doc"):
        train(table, out=tmp_path, settings=tiny_settings())


def test_resume_without_a_training_is_refused(table, tmp_path):
    with pytest.raises(InputError, match="no training was started"):
        train(table, out=tmp_path / "nothing", settings=tiny_settings(), resume=True)


def test_a_training_without_its_settings_is_not_sent_in_a_circle(finished, table, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "settings.json").unlink()
    with pytest.raises(InputError, match=r"lacks its settings\.json; train anew in another --out"):
        train(table, out=tmp_path / "run", settings=tiny_settings(), resume=True)


@pytest.mark.parametrize("theirs", ["settings.json", "checkpoint.pt"])
def test_files_of_two_trainings_are_not_gone_on_with(finished, table, tmp_path, theirs):
    shutil.copytree(finished, tmp_path / "run")
    other, settings = tmp_path / "other", tiny_settings(epochs=1, average=0.0)
    train(table, out=other, settings=settings)
    shutil.copy(other / theirs, tmp_path / "run" / theirs)
    begun = settings if theirs == "settings.json" else tiny_settings()
    with pytest.raises(InputError, match=r"settings\.json and checkpoint\.pt are of two trainings"):
        train(table, out=tmp_path / "run", settings=begun, resume=True)


def test_a_second_training_in_the_same_folder_names_the_first(table, tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match=f"pid {os.getpid()}"):
        train(table, out=tmp_path, settings=tiny_settings())


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    (tmp_path / "train.lock").write_text("999999\n")
    with locked(tmp_path):
        assert (tmp_path / "train.lock").read_text() == f"{os.getpid()}\n"


def test_a_loss_that_is_no_number_stops_with_its_step_and_keeps_the_last_good_epoch(
    table, tmp_path, monkeypatch
):
    plain, calls = model.epochs.two_headed_loss, []

    def broken(*args):
        loss, years = plain(*args)
        calls.append(1)
        return (loss * float("nan") if len(calls) == 12 else loss), years

    monkeypatch.setattr(model.epochs, "two_headed_loss", broken)
    with pytest.raises(InputError, match=r"not a number at epoch 2, step 4.*--learning-rate"):
        train(table, out=tmp_path, settings=tiny_settings())
    kept = load_checkpoint(tmp_path)
    assert kept["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in kept["network"].values())


def test_running_out_of_memory_names_the_batch(table, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
        )

    monkeypatch.setattr(model.epochs, "_step", full)
    with pytest.raises(MachineError, match=r"--batch 16 --size 32; try --batch 8"):
        train(table, out=tmp_path, settings=tiny_settings())


def test_what_a_kill_left_of_a_checkpoint_is_in_nobodys_way_and_goes(tmp_path):
    half, theirs = tmp_path / ".checkpoint.pt.0123abcd.part", tmp_path / ".notes.0123abcd.part"
    half.write_bytes(b"half a")
    refuse_used(tmp_path)
    theirs.write_bytes(b"")
    with pytest.raises(InputError, match=r"1 entries, first '\.notes"):
        refuse_used(tmp_path)
    with locked(tmp_path):
        assert not half.exists()
        assert theirs.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_checkpoint_on_a_full_disk_is_told_in_a_line(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, {"epoch": 3})
    monkeypatch.setattr("secrets.token_hex", lambda _n: "x")
    (tmp_path / ".checkpoint.pt.x.part").symlink_to("/dev/full")
    with pytest.raises(MachineError, match=r"no space left while writing .*checkpoint\.pt"):
        save_checkpoint(tmp_path, {"epoch": 4, "network": {"w": torch.arange(1e6)}})
    assert load_checkpoint(tmp_path)["epoch"] == 3


def test_an_altered_or_cut_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path, {"epoch": 3, "network": {"w": torch.arange(1000.0)}})
    assert load_checkpoint(tmp_path)["epoch"] == 3
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    place = whole.index(np.float32(500.0).tobytes())
    path.write_bytes(whole[:place] + b"\x01" + whole[place + 1 :])
    with pytest.raises(InputError, match=r"altered|cut"):
        load_checkpoint(tmp_path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut"):
        load_checkpoint(tmp_path)


def test_a_flipped_bit_in_the_weights_is_found_before_use(finished, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    load_run(tmp_path)
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-7] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="SHA-256 differs"):
        load_run(tmp_path)


def test_weights_of_another_network_are_refused_by_name(finished, tmp_path):
    config = json.loads((finished / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(weights(finished))
    (tmp_path / "config.json").write_text(json.dumps({**config, "network": "resnet18"}))
    with pytest.raises(InputError, match=r"another network.*body\.conv1\.weight"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decode", {}),
        ("decode", {"age": "mode", "interval": {"correction": [0.1]}}),
        ("mean", "x"),
        ("std", [0.2, 0.2]),
        ("size", "128"),
        ("network", "resnet19"),
        ("precision", "float8"),
    ],
)
def test_a_config_that_a_hand_has_bent_is_refused_by_its_key(key, value, finished, tmp_path):
    config = json.loads((finished / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(InputError, match=f"{key}: not what a training writes"):
        read_config(tmp_path)


def test_a_run_is_read_back_as_wide_as_it_was_trained(table, tmp_path):
    out = train(table, out=tmp_path / "run", settings=tiny_settings(width=0.5, epochs=1))
    assert load_run(out).network.head.in_features == 128


def test_a_run_and_a_checkpoint_of_the_network_before_this_one_are_refused_in_one_line(
    finished, table, tmp_path
):
    before = shutil.copytree(finished, tmp_path / "before")
    config = json.loads((before / "config.json").read_text())
    older = {k: v for k, v in load_file(before / "model.safetensors").items() if "pool" not in k}
    save_model(before, older, {k: v for k, v in config.items() if k != "weights_sha256"})
    with pytest.raises(InputError, match=r"missing: pool\.0\.weight.*another version.*train anew"):
        load_run(before)
    state = load_checkpoint(before)
    state["network"] = {k: v for k, v in state["network"].items() if "pool" not in k}
    save_checkpoint(before, state)
    with pytest.raises(InputError, match=r"checkpoint\.pt holds weights of another network"):
        train(table, out=before, settings=tiny_settings(), resume=True)


def test_a_training_cut_off_is_not_taken_for_a_run(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        load_run(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(InputError, match="not finished: go on with --resume"):
        load_run(tmp_path)


def test_too_few_faces_are_refused_with_their_number(tmp_path):
    table = tiny_faces(tmp_path / "faces", 4)
    with pytest.raises(InputError, match=r"4 faces leave 1 for valid, .* a larger --valid"):
        train(table, out=tmp_path / "run", settings=tiny_settings())


def test_the_notebook_recipe_runs_and_follows_its_plateaus(table, tmp_path):
    out = train(table, out=tmp_path / "run", settings=tiny_settings(network="notebook", epochs=4))
    rows = pd.read_csv(out / "history.csv")
    assert rows["learning_rate"].iloc[0] == 0.01
    assert set(rows["learning_rate"].diff().dropna() <= 0) == {True}
    config = json.loads((out / "config.json").read_text())
    assert config["decode"]["age"] == "value"
    assert config["best_epoch"] == rows["loss_valid"].idxmin() + 1


def test_the_notebook_recipe_stops_after_fifty_epochs_without_progress(finished, monkeypatch):
    job = dataclasses.make_dataclass("Job", ["settings"])(TrainSettings(network="notebook"))
    at = dataclasses.make_dataclass("State", ["epoch", "best_epoch"])
    assert not model.epochs._stale(job, at(epoch=69, best_epoch=20))
    assert model.epochs._stale(job, at(epoch=70, best_epoch=20))


def test_the_progress_line_is_silent_where_stderr_is_no_terminal(capsys, table, tmp_path):
    train(table, out=tmp_path, settings=tiny_settings(epochs=1), progress=True)
    assert capsys.readouterr().err == ""


def test_the_progress_line_shows_epoch_speed_losses_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(5, 7, show=True)
    progress._last -= 1
    progress.epoch({"loss_valid": 2.5, "age_mae_valid": 4.321, "gender_accuracy_valid": 0.912})
    sums = {"loss": 96.0, "faces": 48.0}
    progress.step(dataclasses.make_dataclass("S", ["epoch", "step", "sums"])(1, 3, sums))
    line = capsys.readouterr().err
    for words in ("epoch 2/5", "step 3/7", "images/s", "loss 2.00", "MAE 4.32", "91.2 %", "left"):
        assert words in line


def test_the_module_trains_from_the_command_line(tmp_path, capsys, monkeypatch):
    faces, run = write_tiny_faces(tmp_path / "faces", 60), tmp_path / "run"
    (faces / "33_1_0_broken.jpg").write_bytes(b"no picture")
    options = ["--size", "32", "--epochs", "1", "--batch", "16", "--precision", "float32"]
    assert main([str(faces), "--out", str(run), *options]) == 0
    said = capsys.readouterr()
    assert said.out == f"{run}\n"
    assert said.err.startswith("1 left out (1 decode_error)")
    assert f"listed in {run / 'left_out.csv'}\n" in said.err
    monkeypatch.setenv("RANK", "1")  # of several processes the first tells of them
    assert main([str(faces), "--out", str(run), *options]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--resume" in line


def test_two_processes_train_as_one_does(finished, table, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "model.train", str(table.root), "--out", str(out), "--size", "32", "--epochs", "3",
        "--batch", "16", "--precision", "float32",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n", "one process prints"
    alone, shared = history(finished), history(out)
    assert list(shared["epoch"]) == list(alone["epoch"])
    # Batch norm sees half a batch in each process, so the numbers are alike, not equal.
    assert shared["loss_train"].iloc[-1] == pytest.approx(alone["loss_train"].iloc[-1], rel=0.25)
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt", "config.json", "history.csv", "model.safetensors", "settings.json",
        "split.csv", "tensorboard", "train.lock",
    }  # fmt: skip
    assert load_run(out).config["network"] == "compact"
