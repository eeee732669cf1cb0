"""Large parts of files that were read last, kept while there is room for them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
BUDGET = 128 * 2**20  # bytes
_LEAST = 2  # parts kept whatever they weigh: threads stand on both sides of a border


class Recent:
    """Parts by key, least recently used first to go; together at most `budget` bytes, or two parts.

    One part is made at a time, so that two threads never make the same one side by side.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._parts: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """The part `key`, made by `make` (which also gives its bytes) where it is not kept."""
        with self._lock:
            if key not in self._parts:
                self._parts[key] = make()
            self._parts.move_to_end(key)
            part: T = self._parts[key][0]
            while len(self._parts) > _LEAST and self.weight > self.budget:
                self._parts.popitem(last=False)
        return part

    @property
    def weight(self) -> int:
        """Bytes of what is kept."""
        return sum(weight for _, weight in self._parts.values())


RECENT = Recent()  # one for all files, so that many shards need no more than one
