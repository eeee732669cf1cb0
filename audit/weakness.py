"""The slices table: weak subgroups of a tally, per metric that can be worse."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from audit.config import AuditSettings
from audit.evidence import alphas
from audit.metrics import METRICS
from audit.shards import SHARDS
from audit.slices import LEVELS, Cells, Slice, weak_slices
from audit.tally import Tally
from audit.words import CROSS

# metric -> the sums of its rows, of its numerator, and of the numerator squared
SEARCHED: Mapping[str, tuple[str, str, str]] = {
    "age_mae": ("age_n", "age_abs", "age_sq"),
    "gender_accuracy": ("gender_n", "gender_hit", "gender_hit"),
}


def slice_table(tally: Tally, *, settings: AuditSettings) -> list[dict[str, Any]]:
    """Records of table `slices`: nominated slices of every searched metric, worst first.

    value, complement_value, difference, low and high are of the half of people that nominated
    nothing. A slice is `confirmed` where its adjusted p is below the slices' part of alpha.
    """
    if len(tally.features) == 0:
        return []
    keys = [k for k, (n, _, _) in SEARCHED.items() if (tally.cells[n] > 0).any()]
    alpha = alphas(settings.alpha)[1]
    found = weak_slices([_cells(tally, key) for key in keys], levels=LEVELS)
    return [
        _record(tally, key, one, adjusted, alpha=alpha)
        for key, slices in zip(keys, found, strict=True)
        for one, adjusted in sorted(slices, key=lambda s: (s[1], -s[0].difference, s[0].levels))
    ]


def _cells(tally: Tally, key: str) -> Cells:
    n, x, xx = (tally.cells[c].to_numpy(np.float64) for c in SEARCHED[key])
    if METRICS[key].better == "higher":  # search what went wrong
        x, xx = n - x, n - xx
    return Cells(
        codes=tally.cells[[f.name for f in tally.features]].to_numpy(np.int64),
        sizes=tuple(len(f.levels) for f in tally.features),
        shard=tally.cells["shard"].to_numpy(np.int64),
        shards=SHARDS,
        n=n,
        x=x,
        xx=xx,
        people_given=not tally.subjects_assumed,
    )


def _record(tally: Tally, key: str, one: Slice, adjusted: float, *, alpha: float) -> dict[str, Any]:
    parts = [tally.features[part] for part, _ in one.levels]
    words = [tally.features[part].levels[level] for part, level in one.levels]
    flip = METRICS[key].better == "higher"
    scale = METRICS[key].scale
    ends = (-one.high, -one.low) if flip else (one.low, one.high)

    def shown(x: float) -> float:
        return (1 - x if flip else x) / scale

    return {
        "feature": CROSS.join(f.name for f in parts),
        "group": CROSS.join(words),
        "metric": key,
        "value": shown(one.value),
        "complement_value": shown(one.complement_value),
        "difference": (-one.difference if flip else one.difference) / scale,
        "low": ends[0] / scale,
        "high": ends[1] / scale,
        "n": one.n,
        "n_confirm": one.n_confirm,
        "p_adjusted": adjusted,
        "confirmed": bool(adjusted < alpha),
    }
