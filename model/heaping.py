"""Ages that people prefer: heaps in the age labels."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtrc

NEIGHBOURS = 2  # ages on each side that an age is compared with
HEAP_RATIO = 1.5
HEAP_P = 1e-5  # a hundred ages are looked at


def age_heaping(ages: "pd.Series[float]") -> dict[str, Any]:
    """Faces per year of age, and where labels heap.

    `whipple` is Whipple's index: 100 · 5 · (ages 23–62 ending in 0 or 5) / (all of 23–62); 100
    without preference, 500 when every age ends so (United Nations, Demographic Yearbook). A *heap*
    is an age with at least 1.5 times the mean of its two neighbours on either side, and more than
    chance allows: P(Binomial(n + neighbours' faces, 1 / (1 + neighbours)) ≥ n) < 1e-5, the exact
    comparison of Poisson counts (Przyborowski & Wilenski 1940).
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
    by_chance = float(bdtrc(n - 1, n + sum(near), 1 / (1 + len(near))))
    if n < HEAP_RATIO * expected or by_chance >= HEAP_P:
        return None
    return {"age": age, "n": n, "expected": expected, "share": n / int(counts.sum())}
