"""Which of several processes this is, and how they hand things over; no torch is needed for one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from model.threads import processes

T = TypeVar("T")
_PATIENCE = timedelta(days=7)  # a process may be done long before the slowest


def _alone_to_first(mine: Any) -> list[Any] | None:
    return [mine]


def _alone_from_first(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Place:
    """Process `rank` of `size`.

    to_first: what every process has, in the order of ranks, on the first; None on the others.
    from_first: the first one's value, on every process.
    """

    rank: int = 0
    size: int = 1
    to_first: Callable[[Any], list[Any] | None] = _alone_to_first
    from_first: Callable[[Any], Any] = _alone_from_first

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process has come here."""
        self.to_first(None)
        self.from_first(None)

    def share(self, things: Sequence[T], *, step: int) -> list[T]:
        """This process's part: of every `size` steps of `step` neighbours, one."""
        starts = range(self.rank * step, len(things), self.size * step)
        return [thing for start in starts for thing in things[start : start + step]]

    def interleaved(self, parts: Sequence[Sequence[T]], *, step: int) -> list[T]:
        """What all processes made of their `share`s, in the order of the things."""
        rounds = range(0, max(len(part) for part in parts), step)
        return [thing for at in rounds for part in parts for thing in part[at : at + step]]


ALONE = Place()


@contextmanager
def shared_place() -> Iterator[Place]:
    """The place that `torchrun` gave this process (gloo, whatever the device), or the only one."""
    if processes() == 1:
        yield ALONE
        return
    import torch.distributed as dist  # noqa: PLC0415 - one process reads an .onnx without torch

    from model.parallel import world  # noqa: PLC0415

    def to_first(mine: Any) -> list[Any] | None:
        parts = [None] * place.size if place.first else None
        dist.gather_object(mine, parts)
        return parts

    with world("cpu", patience=_PATIENCE) as at:
        place = Place(at.rank, at.size, to_first, at.from_first)
        yield place
