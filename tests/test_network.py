import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from audit.errors import InputError
from model.network import (
    NETWORKS,
    Compact,
    Notebook,
    Residual,
    build_network,
    count_parameters,
    load_body,
    load_weights,
    read_weights,
)
from model.settings import settings_for


def layer_words(layers):
    """Each layer as its name and what defines it."""
    words = []
    for layer in layers:
        word = type(layer).__name__
        if isinstance(layer, nn.Conv2d):
            word += f" {layer.kernel_size[0]}x{layer.kernel_size[1]} {layer.out_channels} "
            word += "same" if layer.padding in ("same", (0, 0)) else "other"
        elif isinstance(layer, nn.Linear):
            word += f" {layer.out_features}"
        elif isinstance(layer, nn.Dropout):
            word += f" {layer.p}"
        elif isinstance(layer, nn.MaxPool2d):
            word += f" {layer.kernel_size}"
        elif isinstance(layer, nn.LeakyReLU):
            word += f" {layer.negative_slope}"
        words.append(word)
    return words


def test_the_notebook_network_is_the_notebook_s_layer_by_layer():
    network = Notebook()
    convolutions = []
    for width, dropout in ((64, 0.1), (128, 0.15), (256, 0.2), (512, 0.25)):
        convolutions += [f"Conv2d 3x3 {width} same", "BatchNorm2d", "ReLU", "MaxPool2d 2"]
        convolutions += [f"Dropout {dropout}"]
    dense = []
    for width, name, dropout in (
        (512, "LeakyReLU 0.1", 0.3), (256, "PReLU", 0.2), (128, "SELU", 0.1),
    ):  # fmt: skip
        dense += [f"Linear {width}", "BatchNorm1d", name, f"Dropout {dropout}"]
    assert layer_words(network.layers) == [
        "Conv2d 1x1 1 same", "BatchNorm2d", *convolutions, "Flatten", *dense,
    ]  # fmt: skip
    assert network.gender.out_features == network.age.out_features == 1


def test_the_notebook_network_has_its_eighteen_and_a_half_million_parameters():
    assert round(count_parameters(Notebook()) / 1e6, 1) == 18.5


def test_keras_defaults_are_kept_where_they_differ_from_pytorch_s():
    network = Notebook(size=32)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}
    dense = next(m for m in network.layers if isinstance(m, nn.Linear))
    limit = (6 / (dense.in_features + dense.out_features)) ** 0.5  # Glorot uniform
    assert limit * 0.99 < dense.weight.abs().max() <= limit
    assert dense.bias.abs().max() == 0


def test_the_compact_network_has_between_one_and_six_million_parameters():
    for quick in (False, True):
        width = settings_for("compact", quick=quick).width
        assert 1e6 < count_parameters(build_network("compact", width=width)) < 6e6


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [32, 64])
def test_every_network_gives_an_age_and_a_gender_for_every_face(name, size):
    network = build_network(name, size=size).eval()
    age, gender = network(torch.zeros(3, 3, size, size))
    assert age.shape == ((3,) if name == "notebook" else (3, 121))
    assert gender.shape == (3,)


@pytest.mark.parametrize("size", [32, 48, 80, 96, 128])
def test_the_compact_network_is_built_for_a_size_and_reads_every_place_of_its_last_map(size):
    network = Compact(size=size).eval()
    for parameter in network.pool[0].parameters():
        assert torch.allclose(parameter.sum((1, 2, 3)), torch.ones(256)), "starts as the plain mean"
    last_map = network.body(network.stem(torch.randn(2, 3, size, size)))
    assert torch.allclose(
        network.pool(last_map) * (1 + 1e-5) ** 0.5, last_map.mean((2, 3)), atol=1e-5
    )


def test_a_share_of_faces_takes_the_shortcut_alone_in_training_and_none_later():
    block = Residual(8, 8, stride=1, drop=0.3)
    nn.init.ones_(block.norm2.weight)
    faces = torch.rand(400, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    taken = (block(faces) == torch.relu(faces)).flatten(1).all(1)
    assert 0.2 < taken.float().mean() < 0.4
    block.eval()
    assert not (block(faces) == torch.relu(faces)).flatten(1).all(1).any()


def test_deeper_blocks_are_left_out_more_often_and_the_first_never():
    network = build_network("compact", size=64, dropout=0.5, drop_block=0.12)
    drops = [block.drop for block in network.body]
    assert drops == pytest.approx([0.02 * i for i in range(7)])
    assert network.pool[-1].p == 0.5


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "alexnet"}, "choose one of compact, notebook"),
        ({"name": "compact", "size": 100}, "multiple of 16"),
        ({"name": "compact", "pretrained": True}, "compact has none"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(asked, words):
    with pytest.raises(InputError, match=words):
        build_network(asked.pop("name"), **asked)


def test_pretrained_weights_that_cannot_be_fetched_point_to_a_file(monkeypatch):
    def offline(*_, **how):
        assert how["weights"] == "DEFAULT"
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(InputError, match=r"resnet18 could not be fetched.*--weights FILE"):
        build_network("resnet18", pretrained=True)


def test_weights_come_back_from_safetensors_and_from_plain_pytorch_files(tmp_path):
    network = build_network("compact", size=32)
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        other = build_network("compact", size=32)
        load_body(other, read_weights(tmp_path / name), source=name)
        for key, tensor in other.state_dict().items():
            assert torch.equal(tensor, network.state_dict()[key])


class Evil:
    def __reduce__(self):
        return (print, ("a pickle ran code",))


def test_a_pickle_is_refused_and_never_run(tmp_path, capsys):
    torch.save({"conv": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="refused"):
        read_weights(tmp_path / "evil.pth")
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_cut_or_missing_file_of_weights_is_named(name, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(InputError, match=name):
        read_weights(tmp_path / name)


def test_missing_unknown_and_misshapen_weights_are_named():
    network = build_network("compact", size=32)
    weights = dict(network.state_dict())
    del weights["head.bias"]
    weights["tail.bias"] = torch.zeros(3)
    weights["head.weight"] = torch.zeros(2, 2)
    with pytest.raises(InputError) as refused:
        load_weights(network, weights, source="their.pth")
    for words in ("their.pth", "head.bias", "tail.bias", "head.weight is (2, 2), needs (122, 256)"):
        assert words in str(refused.value)


def test_torchvision_s_own_weights_start_everything_but_the_heads():
    theirs = models.resnet18(weights=None)
    network = build_network("resnet18", size=32)
    head = network.body.fc.weight.clone()
    load_body(network, theirs.state_dict(), source="resnet18.pth")
    assert torch.equal(network.body.conv1.weight, theirs.conv1.weight)
    assert torch.equal(network.body.fc.weight, head), "1,000 classes are not ages"
