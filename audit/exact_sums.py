"""Sums that come out the same on any number of threads: whole numbers in single precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.metrics import Floats

Singles = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]  # singles or doubles

_EXACT = 2**24  # whole numbers up to here are exact in float32, whatever order they are added in


class ExactColumns:
    """Columns of one matrix product, each scaled to whole numbers that float32 adds exactly.

    With limit L = 2^24 / shards a column is right to 1 part in 2 L of its largest entry, and the
    sum over shards (weights add up to their number) stays below 2^24.
    """

    def __init__(self) -> None:
        self._parts: list[Singles] = []
        self._scales: list[Floats] = []
        self._known: dict[tuple[int, bytes], slice] = {}
        self._size = 0

    def add(self, values: Floats) -> slice:
        """Put columns [column, shard] in; the place of their sums in the product."""
        limit = (_EXACT - 1) // values.shape[1]
        peak = np.abs(values).max(axis=1, initial=0.0)
        whole = (peak <= limit) & (np.rint(values) == values).all(axis=1)
        scale = np.where(whole | (peak == 0), 1.0, np.where(peak > 0, peak, 1.0) / limit)
        rounded = np.rint(values / scale[:, None])
        self._parts.append(rounded.astype(np.float32))
        self._scales.append(scale)
        place = slice(self._size, self._size + len(values))
        self._size = place.stop
        return place

    def add_once(self, values: Floats, *, of: Floats, kind: bytes) -> slice:
        """As `add`, but the columns made from the array `of` in one way only once."""
        key = (id(of), kind)
        if key not in self._known:
            self._known[key] = self.add(values)
        return self._known[key]

    def matrix(self) -> Singles:
        """All columns [shard, column]."""
        return np.ascontiguousarray(np.concatenate(self._parts).T)

    def sums(self, product: Singles) -> Singles:
        """The product in the columns' own units."""
        product *= np.concatenate(self._scales).astype(np.float32)
        return product
