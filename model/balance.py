"""Training with groups in mind: who is drawn how often, and whose error counts how much.

Three published ways, each off unless asked for. All of them move what the network is good at from
many faces to few; what they do to each group is for the audit to say.

- balanced sampling (`--balance`): every group is drawn equally often.
- label distribution smoothing (`--age-weights`): rare ages weigh more in the age loss (Yang et al.
  2021, "Delving into deep imbalanced regression").
- group DRO (`--group-dro`): the group with the largest loss pulls hardest (Sagawa et al. 2020,
  "Distributionally robust neural networks", algorithm 1).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from audit.config import AuditSettings
from audit.errors import InputError
from audit.words import CROSS
from model.settings import TrainSettings

MOST_GROUPS = 200  # more than that, and a batch shows hardly any of them
KERNEL_SIDE, KERNEL_SIGMA = 2, 2.0  # years to either side and width of Yang et al.'s kernel
LEAST, MOST = 5, 1000  # faces of an age that `inverse` tells apart, as in their code
_OUR_NAMES = {"gender_true": "gender"}  # the audit's name -> the face table's


@dataclass(frozen=True)
class Balance:
    """What the options ask of a training; None: nothing.

    chances: of each training face, in the order of `rows["train"]`, to be a draw; their sum is 1.
    age_weights: float32 [n], of every face's age loss; their mean over the training part is 1.
    group: int64 [n], the group DRO's group of every face, an index of `names`.
    """

    chances: npt.NDArray[np.float64] | None = None
    age_weights: npt.NDArray[np.float32] | None = None
    group: npt.NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()


def balance_for(
    faces: pd.DataFrame,
    *,
    age: npt.NDArray[np.float32],
    train: npt.NDArray[np.int64],
    settings: TrainSettings,
) -> Balance:
    """What `settings` ask for, of the face table `faces` with `age` [n]; it learns from `train`.

    Raises InputError for a feature that the faces do not have, or that has too many groups.
    """
    chances = weights = group = None
    names: tuple[str, ...] = ()
    if settings.balance:
        cells, _ = groups_of(faces, settings.balance, age=age, train=train, option="--balance")
        chances = equal_chances(cells[train])
    if settings.age_weights != "equal":
        of_year = weights_of_years(age[train], how=settings.age_weights)
        weights = of_year[_years(age)].astype(np.float32)
    if settings.group_dro:
        asked = settings.group_dro
        group, names = groups_of(faces, asked, age=age, train=train, option="--group-dro")
    return Balance(chances, weights, group, names)


def groups_of(
    faces: pd.DataFrame,
    features: tuple[str, ...],
    *,
    age: npt.NDArray[np.float32],
    train: npt.NDArray[np.int64],
    option: str,
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The group [n] of every face in the crossing of `features`, and the names of the groups.

    Only groups with training faces have a name; a face of another group has −1. A missing level is
    a level of its own, `unknown`. `option` is named in errors.
    """
    columns = []
    for feature in features:
        name = _OUR_NAMES.get(feature, feature)
        if name == "age_group":
            columns.append(_age_groups(age))
        elif name in faces:
            levels = faces[name].astype(object).where(faces[name].notna(), "unknown")
            columns.append(levels.astype(str).to_numpy(object))
        else:
            raise InputError(
                f"{option} {feature}: the faces have no such column; "
                "choose race, gender_true, age_group or a column of the label file"
            )
    joined = pd.Series([CROSS.join(parts) for parts in zip(*columns, strict=True)])
    names = tuple(sorted(set(joined.to_numpy()[train])))
    if len(names) > MOST_GROUPS:
        raise InputError(
            f"{option} {' '.join(features)}: {len(names)} groups, more than {MOST_GROUPS}; "
            "name fewer features, or coarser ones"
        )
    return pd.Index(names).get_indexer(joined).astype(np.int64), names


def _age_groups(age: npt.NDArray[np.float32]) -> npt.NDArray[np.object_]:
    settings = AuditSettings()
    place = np.searchsorted(settings.age_groups, age, side="right") - 1
    return np.asarray(settings.age_labels, dtype=object)[place]


def _years(age: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    return np.floor(age).astype(np.int64)


def equal_chances(cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Chance of each face [n] to be drawn, such that every cell is drawn equally often."""
    counts = np.bincount(cells)
    chances = 1 / counts[cells]
    whole: npt.NDArray[np.float64] = chances / chances.sum()
    return whole


def weights_of_years(age: npt.NDArray[np.float32], *, how: str) -> npt.NDArray[np.float64]:
    """Weight of each year of age [121] whose mean over the faces `age` [n] is 1.

    1 over the number of faces of that age, smoothed over neighbouring ages by a Gaussian kernel:
    with `inverse` of the number itself, kept within 5 to 1,000; with `root` of its square root.
    The order (first the bounds or the root, then the kernel) is that of Yang et al.'s code.
    """
    years = _years(age)
    counts = np.bincount(years, minlength=121).astype(np.float64)
    counts = np.sqrt(counts) if how == "root" else np.clip(counts, LEAST, MOST)
    offset = np.arange(-KERNEL_SIDE, KERNEL_SIDE + 1)
    kernel = np.exp(-0.5 * (offset / KERNEL_SIGMA) ** 2)
    smoothed = np.convolve(counts, kernel / kernel.sum(), mode="same")
    present = smoothed > 0
    weights = np.divide(1.0, smoothed, out=np.zeros_like(smoothed), where=present)
    scaled: npt.NDArray[np.float64] = weights / weights[years].mean()
    return scaled


def worst_group_loss(
    losses: Tensor, group: Tensor, *, shares: list[float], rate: float
) -> tuple[Tensor, list[float]]:
    """Group DRO's loss of a batch, and the groups' next shares of it.

    `losses` [N] of the faces, `group` [N] their group, `shares` the weight of every group, which
    sum to 1. A share grows by exp(rate × mean loss of its group in the batch) and all are scaled
    back to 1; a group that the batch does not hold keeps its share but for that scaling. The loss
    is the sum of the groups' mean losses by their new shares.
    """
    ones = torch.ones_like(losses)
    zeros = torch.zeros(len(shares), dtype=losses.dtype, device=losses.device)
    held = zeros.index_add(0, group, ones)
    means = zeros.index_add(0, group, losses) / held.clamp_min(1)
    grown = np.asarray(shares) * np.exp(rate * means.detach().double().cpu().numpy())
    following: list[float] = (grown / grown.sum()).tolist()
    weight = torch.tensor(following, dtype=losses.dtype, device=losses.device)
    return (weight * means).sum(), following
