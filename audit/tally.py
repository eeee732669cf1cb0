"""One scan from rows to mergeable integer sums, on which every figure rests."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

SHARDS = 1000


@dataclass(frozen=True)
class Feature:
    """A column whose levels split the faces. `levels` stand in the feature's own order.

    `ordered` is True for ages and cut numbers; `cuts` are the inner edges of a cut number.
    `unknown`, where rows lack a level, is the last level.
    """

    name: str
    levels: tuple[str, ...]
    ordered: bool = False
    cuts: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Tally:
    """Integer sums per cell; the tally of a whole is the sum of the tallies of its parts.

    A cell is one level of every feature. In each table a feature is a column of codes (int16,
    positions in its `levels`), named as the feature; `age_group_pred` (codes into `age_groups`,
    -1 where no age was predicted) stands beside them in `cells`.

    cells: feature codes, age_group_pred, shard (0..SHARDS-1), then the columns of metrics.SUMS.
    errors: feature codes, bin (|e| in 1/10 year, floor(|e in 1/100| / 10)), n: absolute errors.
    scores: feature codes, bin (logit bin of P(female)), female (0/1), n, score (sum of f, micro).
    """

    features: tuple[Feature, ...]
    age_groups: tuple[str, ...]
    cells: pd.DataFrame
    errors: pd.DataFrame
    scores: pd.DataFrame
    rows_read: int
    rows_left_out: Mapping[str, int]
    subjects: int
    subjects_are_rows: bool
