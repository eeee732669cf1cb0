"""Ages of a classifier over age bins: what it expects, and the interval that it means."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from audit.errors import InputError

END_OF_OPEN = 100  # last year of an open bin such as `70+`


def bin_years(labels: Sequence[str], *, oldest: int = END_OF_OPEN) -> list[tuple[int, int]]:
    """First and last whole year of each bin named by `labels`, in their order.

    `0-2`, `(25, 32)`, `25 to 32` name both; `7` one year; `70+`, `more than 70`, `over 70` an open
    bin, up to `oldest`. Bins may leave gaps, as Adience's do. Raises InputError for other words
    (`under 18` may hold 18 or not), an open bin that begins above `oldest` and bins that overlap.
    """
    years = [_years(label, oldest) for label in labels]
    for (_, last), (first, _) in pairwise(sorted(years)):
        if first <= last:
            raise InputError(
                f"age bins overlap: one ends at {last} years, the next starts at {first}"
            )
    return years


def ages_of_bins(
    probabilities: pd.DataFrame, *, coverage: float = 0.9, oldest: int = END_OF_OPEN
) -> pd.DataFrame:
    """`age_pred`, `age_low`, `age_high` (years) from the probability of each age bin.

    probabilities: one column a bin, named as `bin_years` reads; rows add up to 1. The mass of a bin
    is spread evenly over its whole years, as labels of age are whole: `age_pred` is the expected
    year; `age_low` and `age_high` are its quantiles at (1 - coverage) / 2 and 1 minus that, so that
    at least `coverage` of the mass lies between them, ends included. Rows with a gap become NaN.

    Raises InputError for what `bin_years` refuses, columns or rows that are no probabilities, and
    another coverage than between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise InputError(f"coverage {coverage}: must lie between 0 and 1")
    labels = [str(c) for c in probabilities.columns]
    if not labels:
        raise InputError("there is no column of an age bin in the table")
    words = [c for c in probabilities if not pd.api.types.is_numeric_dtype(probabilities[c])]
    if words:
        raise InputError(f"column {words[0]!r} of an age bin holds no numbers")
    order = np.argsort([first for first, _ in bin_years(labels, oldest=oldest)])
    years = np.array(bin_years(labels, oldest=oldest))[order]
    p = probabilities.to_numpy(dtype=np.float64)[:, order]
    known = np.isfinite(p).all(axis=1)
    odd = known & ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 0.01))
    if odd.any():
        raise InputError(
            f"{odd.sum():,} rows are no probabilities of age bins (first: row {odd.argmax() + 1}): "
            "none below 0, together 1; take the softmax of logits first"
        )
    p /= p.sum(axis=1, keepdims=True)
    tail = (1 - coverage) / 2
    found = {
        "age_pred": p @ years.mean(axis=1),
        "age_low": _quantile(p, years, tail),
        "age_high": _quantile(p, years, 1 - tail),
    }
    frame = pd.DataFrame(found, index=probabilities.index)
    return frame.where(pd.Series(known, index=frame.index), np.nan)


def _years(label: str, oldest: int) -> tuple[int, int]:
    named = [int(word) for word in re.findall(r"\d+", label)]
    more = re.search(r"\+|more|over|older|above|≥|>", label.lower())
    if len(named) == 1 and re.search(r"under|less|below|younger|up to|≤|<", label.lower()):
        raise InputError(f"age bin {label!r} says how it ends alone: name both years, as in 0-17")
    if len(named) == 1 and more:
        if named[0] > oldest:
            raise InputError(f"age bin {label!r} begins above {oldest} years, where open bins end")
        return named[0], oldest
    if len(named) not in {1, 2} or named[-1] < named[0] or more:
        raise InputError(f"age bin {label!r} is not of the form 20-29, 7 or 70+")
    return named[0], named[-1]


def _quantile(
    p: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    years: "np.ndarray[tuple[int, int], np.dtype[np.int64]]",
    share: float,
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The first whole year up to which at least `share` of each row's mass lies."""
    near = 1e-9  # what sums of probabilities miss their sum by
    reached = np.cumsum(p, axis=1)
    place = (reached >= share - near).argmax(axis=1)
    rows = np.arange(len(p))
    inside = np.maximum(p[rows, place], near)
    first, last = years[place].T
    part = (share - (reached[rows, place] - p[rows, place])) / inside
    steps = np.ceil(part * (last - first + 1) - near)
    return np.asarray(first + np.clip(steps, 1, last - first + 1) - 1, dtype=np.float64)
