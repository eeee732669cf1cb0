"""Everything a training changes as it goes: what a checkpoint holds and a resume brings back."""

import copy
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from model.muon import Muon
from model.schedule import Plateau, notebook_plateaus
from model.settings import TrainSettings
from model.transfer import parameter_groups

SUMS = ("loss", "age_error", "gender_hits", "faces")  # added up over the steps of an epoch


@dataclass
class State:
    """Where a training stands. Random numbers need no state: they follow from seed, epoch, step."""

    network: nn.Module
    average: nn.Module | None  # running average of the weights (None for the notebook's recipe)
    optimizer: torch.optim.Optimizer
    plateaus: list[Plateau]
    precision: str
    threads: int
    epoch: int = 0  # epochs finished
    step: int = 0  # steps taken in the epoch that is not
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    best_epoch: int = 0
    best_score: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # of finished epochs
    group_shares: list[float] = field(default_factory=list)  # the groups' pull in a group DRO

    @property
    def judged(self) -> nn.Module:
        """The weights that are validated and kept: the running average where there is one."""
        return self.network if self.average is None else self.average

    def keep_best(self, score: float) -> None:
        """Remember the judged weights when `score` (lower is better) is the best so far."""
        if score < self.best_score:
            self.best_epoch, self.best_score = self.epoch + 1, score
            weights = self.judged.state_dict()
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def dump(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "plateaus": [asdict(plateau) for plateau in self.plateaus],
            **{name: getattr(self, name) for name in (*_PLAIN, "group_shares")},
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Go back to what `dump` returned."""
        self.network.load_state_dict(dumped["network"])
        if self.average is not None:
            self.average.load_state_dict(dumped["average"])
        self.optimizer.load_state_dict(dumped["optimizer"])
        self.plateaus = [Plateau(**plateau) for plateau in dumped["plateaus"]]
        for name in _PLAIN:
            setattr(self, name, dumped[name])
        self.group_shares = dumped.get("group_shares", [])  # older checkpoints have none


_PLAIN = (
    "precision", "threads", "epoch", "step", "sums", "best_epoch", "best_score", "best", "history",
    "seconds",
)  # fmt: skip


def fresh_state(
    network: nn.Module, *, settings: TrainSettings, precision: str, threads: int
) -> State:
    """The state before the first step: the recipe's optimiser, average and schedules."""
    notebook = settings.network == "notebook"
    optimizer: torch.optim.Optimizer
    if notebook:  # Keras' Adam: ε 1e-7
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, eps=1e-7)
    else:
        groups = parameter_groups(
            network,
            weight_decay=settings.weight_decay,
            body_rate=settings.body_rate,
            kernel_rate=settings.kernel_rate,
        )
        optimizer = Muon(groups, lr=settings.learning_rate, fused=True)
    return State(
        network=network,
        average=copy.deepcopy(network) if settings.average else None,
        optimizer=optimizer,
        plateaus=notebook_plateaus() if notebook else [],
        precision=precision,
        threads=threads,
    )


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, steps: int) -> None:
    """Move `average` towards `network` after `steps` steps (1-based).

    The decay grows as (1 + t)/(10 + t) up to `decay`: early averages are not biased towards the
    random start. Norm statistics are averaged alike, counters copied.
    """
    weight = 1 - min(decay, (1 + steps) / (10 + steps))
    ours, theirs = average.state_dict(), network.state_dict()
    moved = [name for name, tensor in ours.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in moved], [theirs[name] for name in moved], weight)
    for name in ours.keys() - set(moved):
        ours[name].copy_(theirs[name])
