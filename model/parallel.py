"""One process, or several under `torchrun`: who I am, how we share work, who writes."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist

from audit.errors import InputError
from model.threads import processes


@dataclass(frozen=True)
class World:
    """Rank `rank` of `size` processes; `device` is where this one computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process's part of `n` things: every size-th from its rank on."""
        return slice(self.rank, n, self.size)

    def gather(self, mine: Any) -> list[Any]:
        """What every process has, in the order of ranks, on every process."""
        if self.size == 1:
            return [mine]
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, mine)
        return parts

    def from_first(self, value: Any) -> Any:
        """The first process's `value`, on every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the GPU if there is one. InputError without a GPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(name)


@contextmanager
def world(device: str, *, patience: timedelta | None = None) -> Iterator[World]:
    """The world `torchrun` set up (gloo on the CPU, nccl on GPUs), or just this process.

    `patience` is how long a process waits for another (PyTorch's own default without).
    """
    size = processes()
    chosen = choose_device(device)
    if size == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    import_module("torch.distributed.nn")  # see `_leave`
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=patience)
    try:
        yield World(dist.get_rank(), size, chosen)
    finally:
        _leave()


def _leave() -> None:
    """Ends the process group, its threads with it.

    They end with the last reference. A thread of gloo that outlives the interpreter aborts the
    process ("terminate called without an active exception"), now and then, after all is done. Two
    references would stay: of a wrapped network, which is part of a cycle, and of the defaults of
    functions of `torch.distributed.nn`, which hold the group that there is when that is imported;
    hence the import above, before there is any.
    """
    dist.destroy_process_group()
    gc.collect()
