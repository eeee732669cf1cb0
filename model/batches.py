"""What a step works on: which faces, how they are changed, all from (seed, epoch, step)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.augment import augment
from model.balance import Balance
from model.material import Material
from model.parallel import World
from model.settings import TrainSettings


@dataclass(frozen=True)
class Job:
    """What stays the same throughout a training."""

    material: Material
    settings: TrainSettings
    place: World
    out: Path
    mean: Tensor  # [3], in units of the full pixel range
    std: Tensor
    balance: Balance = field(default_factory=Balance)

    @property
    def steps(self) -> int:
        """Steps per epoch: whole batches only; one when there are fewer faces than a batch."""
        return max(1, len(self.material.rows["train"]) // self.settings.batch)


def normalisation(settings: TrainSettings, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3] by which pixels (0..1) are normalised."""
    if settings.network == "notebook":  # it divides by 255 and does no more
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif settings.network == "compact":
        mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    else:  # ImageNet's, which torchvision's weights expect
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)


@dataclass(frozen=True)
class Batch:
    """Changed pictures [N, 3, S, S], ages and genders [N], on the device, and their rows [N]."""

    x: Tensor
    age: Tensor
    female: Tensor
    rows: npt.NDArray[np.int64]


def faces_in_order(job: Job, epoch: int) -> npt.NDArray[np.int64]:
    """Rows of the training faces in the order of `epoch`.

    Each once; or, where groups are balanced, as many draws with replacement.
    """
    train, rng = job.material.rows["train"], np.random.default_rng([job.settings.seed, epoch])
    if job.balance.chances is None:
        return rng.permutation(train)
    return rng.choice(train, size=len(train), p=job.balance.chances)


def batches(job: Job, epoch: int, *, first: int) -> Iterator[Batch]:
    """Batches of this process from step `first` on.

    The pictures of the next one are read from the disk while a batch is used. They are changed
    between two steps, not beside one: a second team of threads on the same cores costs the step
    more than the work takes.
    """
    settings, place = job.settings, job.place
    order = faces_in_order(job, epoch)

    def read(step: int) -> tuple[Tensor, npt.NDArray[np.int64]]:
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        rows = rows[place.share(len(rows))]
        return torch.from_numpy(job.material.pictures[rows]).to(place.device), rows

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, first) if first < job.steps else None
        for step in range(first, job.steps):
            assert coming is not None
            pictures, rows = coming.result()
            coming = pool.submit(read, step + 1) if step + 1 < job.steps else None
            yield make_batch(job, pictures, rows, epoch=epoch, step=step)


def make_batch(
    job: Job, pictures: Tensor, rows: npt.NDArray[np.int64], *, epoch: int, step: int
) -> Batch:
    """The batch of `pictures`, uint8 [N, H, W, 3], which are those of `rows`."""
    device = job.place.device
    generator = torch.Generator().manual_seed(
        mix(job.settings.seed, epoch, step, 1001 + job.place.rank)
    )
    x = augment(
        pictures,
        size=job.settings.size,
        how=job.settings.augment_at(epoch),
        mean=job.mean,
        std=job.std,
        generator=generator,
    )
    age = torch.from_numpy(job.material.age[rows]).to(device)
    return Batch(x, age, torch.from_numpy(job.material.female[rows]).to(device), rows)


def mix(*numbers: int) -> int:
    """A seed that follows from `numbers` and is unlike that of their neighbours."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
