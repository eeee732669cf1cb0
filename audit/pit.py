"""Is a stated standard deviation that of the errors? CRPS, and where true ages lie (PIT)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from audit.fairness import effective_errors
from audit.features import Feature
from audit.groups import Groups, enough_people, spread_out
from audit.histograms import Z_STEP
from audit.intervals import LEVEL
from audit.metrics import Floats
from audit.tally import Tally

PIT_BINS = 20
_END = 8.0  # of z: beyond, the normal law has nothing
_HALF = round(_END / Z_STEP)


def crps(groups: Groups, tally: Tally, parts: Sequence[Feature]) -> Floats:
    """Mean continuous ranked probability score of N(age_pred, age_std^2), years [group].

    s * (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)) (Gneiting & Raftery 2007) at the middle of each
    bin of z (1/50 wide: right to 1 part in 10,000 where z takes many values; to a hundredth where
    all lie on the edges of bins, as whole years over one deviation do). NaN without deviations.
    """
    z = (tally.z["bin"].to_numpy(np.float64) + 0.5) * Z_STEP
    law = stats.norm
    unit = z * (2 * law.cdf(z) - 1) + 2 * law.pdf(z) - 1 / np.sqrt(np.pi)
    weights = unit * tally.z["sigma"].to_numpy(np.float64) / 100
    total = spread_out(groups, tally.z, parts, keys={}, weights=weights)
    n = groups.totals("std_n")
    return np.asarray(total / np.where(n > 0, n, np.nan))


def pit_counts(groups: Groups, tally: Tally, parts: Sequence[Feature]) -> list[dict[str, Any]]:
    """Faces per twentieth of the stated distribution, kind `age_pit`: Phi(z) of the true age.

    Flat for a calibrated model; a U for standard deviations that are too small, a hill for those
    too large, a slope for a bias. value: share of the faces; value_low..value_high holds it 95
    times in 100 where all twentieths are alike (binomial, effective rows). A bin of z that an edge
    cuts is shared out as a calibrated model would. Groups of ten people or more.
    """
    frame = tally.z.assign(bin=tally.z["bin"].clip(-_HALF, _HALF - 1) + _HALF)
    counts = spread_out(groups, frame, parts, keys={"bin": 2 * _HALF})
    edges = np.arange(-_HALF, _HALF + 1) * Z_STEP
    at = stats.norm.cdf(np.where(np.abs(edges) >= _END, np.copysign(np.inf, edges), edges))
    steps = np.linspace(0, 1, PIT_BINS + 1)
    inside = np.minimum(at[1:, None], steps[1:]) - np.maximum(at[:-1, None], steps[:-1])
    shared = np.clip(inside, 0, None) / np.diff(at)[:, None]
    faces = np.einsum("gb,bi->gi", counts, shared)
    n, people = groups.totals("std_n"), groups.people("std_n")
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.floor(n * effective_errors(groups) / groups.totals("age_n") + 0.5)
    tail = (1 - LEVEL) / 2
    low, high = stats.binom.ppf([[tail], [1 - tail]], rows, 1 / PIT_BINS) / rows
    return [
        {
            "kind": "age_pit",
            "feature": groups.feature,
            "group": name,
            "low": steps[i],
            "high": steps[i + 1],
            "n": np.floor(faces[g, i] + 0.5),
            "value": faces[g, i] / n[g],
            "value_low": low[g],
            "value_high": high[g],
        }
        for g, name in enumerate(groups.names)
        if enough_people(people[g])
        for i in range(PIT_BINS)
    ]
