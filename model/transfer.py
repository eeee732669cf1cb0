"""Fine-tuning: first the heads learn alone, then the body with them, at a lower rate.

Fresh heads send noise through weights that were good for something: while the body is held it
neither learns nor moves the statistics of its norms, and later it learns in small steps.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from model.muon import learns_by_muon
from model.network import head_names


def parameter_groups(
    network: nn.Module, *, weight_decay: float, body_rate: float, kernel_rate: float = 0.0
) -> list[dict[str, Any]]:
    """Groups of an optimiser; `share` is the part of the learning rate that each one takes.

    Biases and norms are not decayed. The heads come first; with a `body_rate` of 1 there is no
    telling them from the body. With a `kernel_rate` the kernels of hidden layers come last, for
    Muon, at that share of the rate.
    """
    heads = head_names(network) if body_rate != 1 else set()
    named = list(network.named_parameters())
    head = [p for name, p in named if name in heads]
    kernels = [p for _, p in named if kernel_rate and learns_by_muon(p)]
    apart = {id(p) for p in (*head, *kernels)}
    groups = _groups(head, weight_decay=weight_decay, share=1.0) if head else []
    body = [p for _, p in named if id(p) not in apart]
    groups += _groups(body, weight_decay=weight_decay, share=body_rate)
    if kernels:
        share = kernel_rate * body_rate
        muon = {"params": kernels, "weight_decay": weight_decay, "share": share, "muon": True}
        groups.append(muon)
    return groups


def _groups(
    parameters: Iterable[nn.Parameter], *, weight_decay: float, share: float
) -> list[dict[str, Any]]:
    parameters = list(parameters)
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]  # biases and norms
    return [
        {"params": decayed, "weight_decay": weight_decay, "share": share},
        {"params": plain, "weight_decay": 0.0, "share": share},
    ]


def hold_body(network: nn.Module, *, held: bool) -> None:
    """Let the heads alone learn, or (not `held`) everything."""
    heads = head_names(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not held or name in heads)


def train_mode(network: nn.Module) -> None:
    """Training mode, but batch norms of a held body keep their statistics."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.train(module.weight.requires_grad)
