"""Fine-tuning from weights the test makes itself: the heads first, the body later and slower."""

import json
import subprocess
import sys

import pytest
import torch
from tiny_training import tiny_faces, tiny_settings
from torchvision import models

import model.epochs
from audit.errors import InputError
from model.network import NETWORKS, build_network, head_names, load_body, read_weights
from model.run_folder import load_checkpoint
from model.schedule import warmup_cosine
from model.settings import TORCHVISION, TrainSettings, settings_for
from model.train import train
from model.transfer import hold_body, parameter_groups, train_mode

STEPS = 42 // 8  # 60 faces leave 42 to learn from
FAST = {"batch": 8, "clip": 0.0, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"), 60)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights as torchvision's own files hold them, a classifier of 1,000 classes included."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("mobilenet_v3_large", "efficientnet_b0"):
        torch.manual_seed(5)
        torch.save(models.get_model(name, weights=None).state_dict(), folder / f"{name}.pth")
    return folder


def transfer(name, files, **changed):
    return tiny_settings(network=name, weights=str(files / f"{name}.pth"), **{**FAST, **changed})


def body_of(run, name):
    """Everything but the heads after the training, buffers too."""
    weights = load_checkpoint(run)["network"]
    heads = head_names(build_network(name, size=32))
    return {n: tensor for n, tensor in weights.items() if n not in heads}


def file_of(files, name):
    return {f"body.{n}": tensor for n, tensor in read_weights(files / f"{name}.pth").items()}


@pytest.fixture(scope="module")
def tuned(table, files, tmp_path_factory):
    """Two epochs of the heads alone, one of everything."""
    settings = transfer("mobilenet_v3_large", files, epochs=3, head_epochs=2)
    return train(table, out=tmp_path_factory.mktemp("runs") / "run", settings=settings)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "efficientnet_b0"])
def test_while_the_heads_learn_alone_the_body_stays_bit_by_bit(name, table, files, tmp_path):
    settings = transfer(name, files, epochs=1, head_epochs=1)
    run = train(table, out=tmp_path / "run", settings=settings)
    given = file_of(files, name)
    body = body_of(run, name)
    assert len(body) > 100
    for key, tensor in body.items():
        assert torch.equal(tensor, given[key]), key
    moments = load_checkpoint(run)["optimizer"]["state"]
    assert len(moments) == 2, "one weight and one bias have learned"
    assert all(float(state["exp_avg"].abs().sum()) > 0 for state in moments.values())


def test_then_the_body_learns_at_its_share_of_the_rate(tuned, files):
    name = "mobilenet_v3_large"
    given, body = file_of(files, name), body_of(tuned, name)
    parameters = {n for n, _ in build_network(name, size=32).named_parameters()} & body.keys()
    gap = max(float((body[key] - given[key]).abs().max()) for key in parameters)
    checkpoint = load_checkpoint(tuned)
    head, body_group = checkpoint["optimizer"]["param_groups"][1::2]
    assert body_group["lr"] == pytest.approx(0.1 * head["lr"])
    # One step of Adam moves a weight by at most (1 - .9) / sqrt(1 - .999) = 3.2 times its rate.
    assert 0 < gap <= STEPS * 3.2 * 0.1 * settings_for(name).learning_rate
    assert any(not torch.equal(body[key], given[key]) for key in body.keys() - parameters), "norms"


def test_the_history_shows_the_rate_of_the_heads(tuned):
    settings = settings_for("mobilenet_v3_large")
    how = {"steps": 3 * STEPS, "warmup": settings.warmup, "peak": settings.learning_rate}
    for row in load_checkpoint(tuned)["history"]:
        rate = warmup_cosine(row["epoch"] * STEPS - 1, **how)
        assert row["learning_rate"] == pytest.approx(rate)


@pytest.fixture(params=[1, 2])
def stopping(request, monkeypatch):
    """A step that is interrupted in mid-epoch: while the body is held, and after."""
    plain = model.epochs._step

    def step(job, state, *rest):
        if (state.epoch, state.step) == (request.param, 2):
            monkeypatch.setattr(model.epochs, "_step", plain)
            raise KeyboardInterrupt
        return plain(job, state, *rest)

    monkeypatch.setattr(model.epochs, "_step", step)


def test_stopped_in_either_phase_a_training_resumes_to_the_same_weights(
    stopping, tuned, table, files, tmp_path
):
    settings = transfer("mobilenet_v3_large", files, epochs=3, head_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(table, out=tmp_path / "run", settings=settings)
    train(table, out=tmp_path / "run", settings=settings, resume=True)
    weights = [(run / "model.safetensors").read_bytes() for run in (tmp_path / "run", tuned)]
    assert weights[0] == weights[1]


TWO_PROCESSES = """
import json, sys
from pathlib import Path
import model.epochs
from model.faces import read_faces
from model.settings import TrainSettings
from model.train import train
plain = model.epochs._end_epoch
def end_epoch(job, state, row):
    sums = [float(p.detach().double().sum()) for p in state.network.parameters()]
    everywhere = job.place.gather(sums)
    assert everywhere[0] == everywhere[1], f"epoch {state.epoch}: the processes drifted apart"
    plain(job, state, row)
model.epochs._end_epoch = end_epoch
settings = TrainSettings.from_dict(json.loads(sys.argv[3]))
train(read_faces(Path(sys.argv[1])), out=Path(sys.argv[2]), settings=settings)
threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in name for name in threads), f"not ended: {threads}"
"""


def test_two_processes_stay_together_when_the_body_joins_in(table, files, tmp_path):
    settings = transfer("mobilenet_v3_large", files, epochs=3, head_epochs=1)
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(tmp_path / "two.py"), str(table.root), str(tmp_path / "run"),
        json.dumps(settings.to_dict()),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    given, body = file_of(files, settings.network), body_of(tmp_path / "run", settings.network)
    assert any(not torch.equal(body[key], given[key]) for key in body)


# The parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_heads_of_every_network_are_where_age_and_gender_come_out(name):
    network = build_network(name, size=32)
    weights = dict(network.named_parameters())
    shapes = sorted(len(weights[key]) for key in head_names(network))
    assert shapes == ([1, 1, 1, 1] if name == "notebook" else [122, 122])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_group_and_only_matrices_are_decayed(name):
    network = build_network(name, size=32)
    for body_rate in (1.0, 0.1):
        groups = parameter_groups(network, weight_decay=0.05, body_rate=body_rate)
        grouped = [id(p) for group in groups for p in group["params"]]
        assert sorted(grouped) == sorted(id(p) for p in network.parameters())
        for group in groups:
            assert {p.ndim > 1 for p in group["params"]} <= {group["weight_decay"] > 0}


def test_a_held_body_learns_nothing_and_a_free_one_everything():
    network = build_network("mobilenet_v3_large", size=32)
    hold_body(network, held=True)
    train_mode(network)
    learning = {n for n, p in network.named_parameters() if p.requires_grad}
    assert learning == head_names(network)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    hold_body(network, held=False)
    train_mode(network)
    assert all(p.requires_grad for p in network.parameters())
    assert all(m.training for m in network.modules())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_s_own_files_start_the_body_of_every_network(name):
    theirs = models.get_model(name, weights=None).state_dict()
    network = build_network(name, size=32)
    before = {key: network.state_dict()[key].clone() for key in head_names(network)}
    load_body(network, theirs, source="file")
    for key, tensor in network.state_dict().items():
        expected = before[key] if key in before else theirs[key.removeprefix("body.")]
        assert torch.equal(tensor, expected), key


@pytest.mark.parametrize("start", [{"weights": "a.pth"}, {"pretrained": True}])
def test_a_torchvision_network_that_starts_from_weights_is_fine_tuned(start):
    for name in TORCHVISION:
        settings = settings_for(name, **start)
        assert (settings.head_epochs, settings.body_rate) == (2, 0.1)
        assert settings_for(name, epochs=4, **start).head_epochs == 1
        assert settings_for(name, epochs=1, **start).head_epochs == 0
        own = settings_for(name, head_epochs=5, body_rate=0.5, **start)
        assert (own.head_epochs, own.body_rate) == (5, 0.5)


def test_from_scratch_and_for_our_own_networks_everything_learns_at_once():
    for settings in [*map(settings_for, NETWORKS), settings_for("compact", weights="a.pth")]:
        assert (settings.head_epochs, settings.body_rate) == (0, 1.0)


def test_settings_of_an_earlier_version_mean_what_they_meant():
    stored = settings_for("resnet18").to_dict()
    del stored["head_epochs"], stored["body_rate"]
    assert TrainSettings.from_dict(stored) == settings_for("resnet18")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"head_epochs": -1}, "--head-epochs -1"),
        ({"head_epochs": 25}, r"--head-epochs 25: must be 0 to --epochs \(24\)"),
        ({"body_rate": 0.0}, r"--body-rate 0\.0"),
        ({"body_rate": 2.0}, r"--body-rate 2\.0"),
        ({"network": "notebook", "body_rate": 0.5}, "notebook: must be without"),
        ({"network": "notebook", "head_epochs": 1}, "notebook: must be without"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(wrong, words):
    with pytest.raises(InputError, match=words):
        TrainSettings(**wrong)
