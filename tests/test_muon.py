import pytest
import torch
from torch import nn

from model.muon import Muon, learns_by_muon, orthogonal
from model.network import build_network
from model.transfer import parameter_groups


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (32, 32), (8, 288)])
def test_singular_vectors_stay_and_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    left, values, right = torch.linalg.svd(torch.randn(shape) ** 3, full_matrices=False)
    left, _, right = torch.linalg.svd((left * values) @ right, full_matrices=False)
    turned = left.T @ orthogonal((left * values) @ right) @ right.T
    on, off = turned.diagonal(), turned - torch.diag(turned.diagonal())
    assert off.abs().max() < 1e-3
    assert (on > 0.5).all(), "no direction is left behind"
    assert (on < 1.3).all()


@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_the_steps_are_those_of_pytorch_s_muon_but_for_its_bfloat16(shape):
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([{"params": [ours], "muon": True, "weight_decay": 0.1}], lr=0.02)
    judge = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(5):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        judge.step()
    moved = (theirs - start).norm()
    assert moved > 0.1
    assert (ours - theirs).norm() < 0.03 * moved


def test_everything_but_the_kernels_of_hidden_layers_learns_by_adamw_bit_for_bit():
    torch.manual_seed(0)
    start = torch.randn(5)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    kernel = nn.Parameter(start.clone().view(5, 1))
    groups = [{"params": [ours], "weight_decay": 0.0}, {"params": [kernel], "muon": True}]
    muon, judge = (
        Muon(groups, lr=0.01, fused=True),
        torch.optim.AdamW([theirs], lr=0.01, fused=True),
    )
    judge.param_groups[0]["weight_decay"] = 0.0
    for _ in range(3):
        gradient = torch.randn(5)
        ours.grad, theirs.grad, kernel.grad = (
            gradient.clone(),
            gradient.clone(),
            gradient.view(5, 1),
        )
        muon.step()
        judge.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(kernel.flatten(), start)


def test_first_layer_places_norms_and_heads_are_no_kernels_of_hidden_layers():
    network = build_network("compact", size=64)
    named = {name for name, p in network.named_parameters() if learns_by_muon(p)}
    assert "body.0.conv1.weight" in named
    # the second layer of the stem is a hidden one, the first is not
    assert {name for name in named if not name.startswith("body.")} == {"stem.3.weight"}
    share = sum(p.numel() for p in network.parameters() if learns_by_muon(p))
    assert share > 0.9 * sum(p.numel() for p in network.parameters())


def test_a_state_that_is_saved_and_loaded_goes_on_with_the_same_steps():
    def fresh():
        torch.manual_seed(0)
        kernel, bias = nn.Parameter(torch.randn(4, 4, 3, 3)), nn.Parameter(torch.randn(4))
        groups = [{"params": [kernel], "muon": True}, {"params": [bias]}]
        return kernel, bias, Muon(groups, lr=0.01, fused=True)

    def go(kernel, bias, muon, steps):
        for step in steps:
            torch.manual_seed(step)
            kernel.grad, bias.grad = torch.randn(4, 4, 3, 3), torch.randn(4)
            muon.step()

    whole, stopped, resumed = fresh(), fresh(), fresh()
    go(*whole, range(6))
    go(*stopped, range(3))
    for mine, theirs in zip(resumed[:2], stopped[:2], strict=True):
        mine.data.copy_(theirs.data)
    resumed[2].load_state_dict(stopped[2].state_dict())
    go(*resumed, range(3, 6))
    assert torch.equal(whole[0], resumed[0])
    assert torch.equal(whole[1], resumed[1])


def test_kernels_learn_at_their_own_share_of_the_body_s_rate():
    network = build_network("compact", size=64)
    groups = parameter_groups(network, weight_decay=0.1, body_rate=0.5, kernel_rate=10.0)
    assert [g["share"] for g in groups] == [1.0, 1.0, 0.5, 0.5, 5.0]
    listed = [id(p) for g in groups for p in g["params"]]
    assert sorted(listed) == sorted(id(p) for p in network.parameters()), "each once"
    assert all(learns_by_muon(p) for p in groups[-1]["params"])
    assert groups[-1]["muon"]
    assert len(parameter_groups(network, weight_decay=0.1, body_rate=1.0)) == 2
