import json

import pytest
import torch
from tiny_training import tiny_faces, tiny_settings

import model.train
from model.pace import busy_words, choose_pace, computes_bfloat16
from model.run_folder import load_checkpoint
from model.settings import NETWORKS, settings_for
from model.train import train

CPU = torch.device("cpu")


def pace(settings, **facts):
    given = {"bfloat16": True, "device": CPU, "cores": 4, "processes": 1, **facts}
    return choose_pace(settings, **given)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_settings_fix_is_taken(network):
    for precision in ("float32", "bfloat16"):
        fixed = settings_for(network, precision=precision, threads=3)
        assert pace(fixed) == pace(fixed, bfloat16=False) == (precision, 3)


def test_bfloat16_is_taken_only_where_the_machine_computes_it():
    assert pace(settings_for())[0] == "bfloat16"
    assert pace(settings_for(), bfloat16=False)[0] == "float32"


def test_depthwise_networks_stay_in_float32_on_a_processor_but_not_on_a_gpu():
    settings = settings_for("mobilenet_v3_large")
    assert pace(settings)[0] == "float32"
    assert pace(settings, device=torch.device("cuda"))[0] == "bfloat16"


@pytest.mark.parametrize(
    ("cores", "processes", "threads"), [(4, 1, 4), (4, 2, 2), (5, 2, 2), (1, 2, 1)]
)
def test_processes_share_the_cores(cores, processes, threads):
    assert pace(settings_for(), cores=cores, processes=processes)[1] == threads


def test_what_the_machine_computes_does_not_change_from_one_look_to_the_next():
    assert computes_bfloat16(CPU) == computes_bfloat16(CPU)


def test_only_several_threads_on_a_busy_machine_are_warned_of_each_other():
    words = busy_words(3.0, threads=2, cores=2)
    assert words is not None
    assert "load 3.0 on 2 cores" in words
    assert "--threads 1" in words
    assert busy_words(3.0, threads=1, cores=2) is None
    assert busy_words(0.2, threads=2, cores=2) is None


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"), 60)


def test_two_trainings_left_to_choose_end_with_the_same_weights(table, tmp_path):
    free = tiny_settings(epochs=1, precision="auto", threads=None)
    runs = [train(table, out=tmp_path / name, settings=free) for name in ("one", "two")]
    one, two = ((run / "model.safetensors").read_bytes() for run in runs)
    assert one == two


def test_a_resumed_training_keeps_the_precision_and_threads_it_was_begun_with(
    table, tmp_path, monkeypatch
):
    def begun(settings, **_):
        return "bfloat16", 2

    def other(settings, **_):
        return "float32", 1

    free = tiny_settings(epochs=1, precision="auto", threads=None)
    monkeypatch.setattr(model.train, "choose_pace", begun)
    out = train(table, out=tmp_path / "run", settings=free)
    monkeypatch.setattr(model.train, "choose_pace", other)
    train(table, out=out, settings=free, resume=True)
    kept, config = load_checkpoint(out), json.loads((out / "config.json").read_text())
    assert (kept["precision"], kept["threads"]) == ("bfloat16", 2)
    assert (config["precision"], config["threads"]) == ("bfloat16", 2)
