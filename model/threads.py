"""Work spread over threads in input order, with one quiet progress line on stderr.

Threads, not processes: Pillow decodes and resizes outside Python's lock, nothing has to be pickled,
a spawned or forked child cannot hang, and Ctrl-C stops the work at once.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Number of processor cores this process may use (a container's share, not the machine)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processes() -> int:
    """How many processes `torchrun` started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one process, or the first of those that `torchrun` started together."""
    return os.environ.get("RANK", "0") == "0"


def cores_each() -> int:
    """Cores for this process where several of `torchrun` share the machine; at least one."""
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def in_threads(work: Callable[[Sequence[T]], R], items: Sequence[T], *, batch: int) -> Iterator[R]:
    """Results of `work` on consecutive batches of `items`, in order, whatever finishes first."""
    batches = [items[start : start + batch] for start in range(0, len(items), batch)]
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        yield from pool.map(work, batches)


def ahead(calls: Iterable[Callable[[], R]], *, most: int) -> Iterator[R]:
    """Results of `calls` in order, made in threads, at most `most` ahead of what is taken.

    So the memory that results wait in is bounded, however slowly they are taken.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(cores()) as pool:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def tracked(
    items: Iterable[T], *, total: int, label: str, show: bool, step: int = 1
) -> Iterator[T]:
    """Pass `items` through, each worth `step` of `total`, and say on stderr how far we are.

    Silent unless `show` is true and stderr is a terminal; at most ten updates a second.
    """
    if not (show and sys.stderr.isatty()):
        yield from items
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done = min(total, done + step)
        now = time.monotonic()
        if now - last > 0.1 or done == total:
            last = now
            left = (now - start) / done * (total - done)
            sys.stderr.write(f"\r{label} {done:,} of {total:,}, {left:.0f} s left\x1b[K")
            sys.stderr.flush()
    sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
