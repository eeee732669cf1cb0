"""Ages that people prefer: heaps in the age labels."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

NEIGHBOURS = 2  # ages on each side that an age is compared with
HEAP_RATIO = 1.5
HEAP_Z = 4.0


def age_heaping(ages: "pd.Series[float]") -> dict[str, Any]:
    """Faces per year of age, and where labels heap.

    `whipple` is Whipple's index: 100 · 5 · (ages 23–62 ending in 0 or 5) / (all of 23–62); 100
    without preference, 500 when every age ends so (United Nations, Demographic Yearbook). A *heap*
    is an age with at least 1.5 times the mean of its two neighbours on either side, and more than
    chance allows: (n − expected) / √(expected · (1 + 1/neighbours)) ≥ 4, counts taken as Poisson.
    `heaped_share` is the part of all faces that heaps hold beyond what is expected of them.
    """
    counts = np.bincount(ages.to_numpy(dtype=float).astype(int))
    heaps = [heap for heap in (_heap(counts, age) for age in range(len(counts))) if heap]
    heaps.sort(key=lambda heap: (-(heap["n"] - heap["expected"]), heap["age"]))
    middle = counts[23:63]
    rounded = sum(int(n) for age, n in enumerate(middle, start=23) if age % 5 == 0)
    total = int(middle.sum())
    excess = sum(heap["n"] - heap["expected"] for heap in heaps)
    return {
        "counts": [int(n) for n in counts],
        "whipple": 500 * rounded / total if total else None,
        "heaps": heaps,
        "heaped_share": excess / len(ages),
    }


def _heap(counts: npt.NDArray[np.int64], age: int) -> dict[str, Any] | None:
    low = max(age - NEIGHBOURS, 0)
    near = [int(counts[a]) for a in range(low, min(age + NEIGHBOURS + 1, len(counts))) if a != age]
    if not near or counts[age] == 0:
        return None
    expected, n = sum(near) / len(near), int(counts[age])
    noise = math.sqrt(max(expected, 1.0) * (1 + 1 / len(near)))
    if n < HEAP_RATIO * expected or n - expected < HEAP_Z * noise:
        return None
    return {"age": age, "n": n, "expected": expected, "share": n / int(counts.sum())}
