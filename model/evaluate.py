"""What a network says about pictures, and how good that is."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.augment import to_input
from model.decode import Floats, apply_rule

Pixels = npt.NDArray[np.uint8]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bfloat16 where `precision` says so, else nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@torch.inference_mode()
def score(
    network: nn.Module,
    pictures: Pixels,
    *,
    mean: Tensor,
    std: Tensor,
    device: torch.device,
    precision: str,
    flip: bool,
) -> tuple[Floats, Floats]:
    """Age ([N, 121] shares or [N] years) and P(female) [N], float32, of uint8 [N, S, S, 3].

    With `flip` both are averaged over each picture and its mirror image. `network` must be in
    evaluation mode.
    """
    batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    x = to_input(batch, mean=mean, std=std)
    views = (x, x.flip(3)) if flip else (x,)
    ages, genders = [], []
    with autocast(device, precision):
        for view in views:
            age, gender = network(view)
            ages.append(torch.softmax(age.float(), 1) if age.ndim == 2 else age.float())
            genders.append(torch.sigmoid(gender.float()))
    age = torch.stack(ages).mean(0)
    return age.cpu().numpy(), torch.stack(genders).mean(0).cpu().numpy()


def score_and_embed(network: nn.Module, pictures: Pixels, **how: Any) -> tuple[Floats, ...]:
    """`score`, and what the heads read in the same pass: the layer before them, float32 [N, D].

    Averaged as the readings are: over each picture and its mirror image with `flip`.
    """
    heads: Any = network.HEADS
    held: list[Tensor] = []

    def hold(_head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        held.append(inputs[0].float())

    hook = network.get_submodule(heads[0]).register_forward_pre_hook(hold)
    try:
        age, gender = score(network, pictures, **how)
    finally:
        hook.remove()
    return age, gender, torch.stack(held).mean(0).cpu().numpy()


def score_rows(
    network: nn.Module, pictures: Pixels, rows: npt.NDArray[np.int64], *, batch: int, **how: Any
) -> tuple[Floats, Floats]:
    """`score` of `pictures[rows]`, batch by batch; `how` is passed on."""
    parts = [score(network, pictures[part], **how) for part in _parts(rows, batch)]
    ages, genders = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ages, genders


def _parts(rows: npt.NDArray[np.int64], batch: int) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(rows), batch):
        yield rows[start : start + batch]


def measure(
    age: Floats, gender_score: Floats, *, rule: dict[str, Any], age_true: Floats, female: Floats
) -> dict[str, float]:
    """The figures of a part of the faces, by the keys of the contract; `n` is how many faces."""
    years, low, high = apply_rule(age, rule)
    error = np.abs(years - age_true)
    called = (gender_score >= 0.5) == (female >= 0.5)
    inside = (low <= age_true) & (age_true <= high)
    return {
        "n": len(error),
        "age_mae": float(error.mean()),
        "age_cs5": float((np.floor(error * 100 + 0.5) <= 500).mean()),
        "gender_accuracy": float(called.mean()),
        "gender_brier": float(np.mean((gender_score.astype(np.float64) - female) ** 2)),
        "interval_coverage": float(inside.mean()),
        "interval_width": float((high - low).mean()),
    }
