"""Do the stated age intervals hold what they state, for everyone, and what do they cost?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from audit.config import NOMINAL
from audit.groups import Groups, enough_people
from audit.intervals import clustered_se, student
from audit.metrics import Floats


def coverage_table(
    subgroups: Sequence[dict[str, Any]], groups: Groups, crps: Floats
) -> list[dict[str, Any]]:
    """One record per group: share of true ages inside, mean width and interval score, squared z.

    Coverage (Wilson's interval) and width are read off the subgroup records. below and above are
    the shares missed on either side; winkler is the interval score (Winkler 1972), width + 2/.1 for
    every year outside; z2 the mean of ((age_true - age_pred) / age_std)^2, 1 where the stated
    deviation is that of the errors: both with Student's intervals.

    Groups of fewer than 10 people carry n alone. By true age even right intervals hold the oldest
    less often, for they cannot be conditioned on what the model does not know. Empty where the
    table has neither intervals nor standard deviations.

    groups: those of `subgroups`. crps: mean CRPS of each, years [group].
    """
    known = {(r["metric"], r["group"]): r for r in subgroups if r["feature"] == groups.feature}
    columns = _sides(groups) | _spread(groups, crps)
    n, std_n = groups.totals("iv_n"), groups.totals("std_n")
    none = dict.fromkeys(("value", "low", "high"))
    records = []
    for g, name in enumerate(groups.names):
        if not (n[g] or std_n[g]):
            continue
        inside = known.get(("interval_coverage", name), none)
        records.append(
            {
                "feature": groups.feature,
                "group": name,
                "level": NOMINAL,
                "coverage": inside["value"],
                "low": inside["low"],
                "high": inside["high"],
                "width": known.get(("interval_width", name), none)["value"],
                "n": n[g],
                **{key: values[g] for key, values in columns.items()},
            }
        )
    return records


def _sides(groups: Groups) -> dict[str, Floats]:
    n = _enough(groups, "iv_n")
    below = groups.totals("iv_below") / n
    score = _mean(groups, "iv_winkler", "iv_n", 100)
    return {
        "below": below,
        "above": (n - groups.totals("iv_hit")) / n - below,
        **dict(zip(("winkler", "winkler_low", "winkler_high"), score, strict=True)),
    }


def _spread(groups: Groups, crps: Floats) -> dict[str, Floats]:
    z2 = _mean(groups, "std_z2", "std_n", 1e4)
    return {
        **dict(zip(("z2", "z2_low", "z2_high"), z2, strict=True)),
        "crps": np.where(np.isnan(_enough(groups, "std_n")), np.nan, crps),
        "std_n": groups.totals("std_n"),
    }


def _enough(groups: Groups, key: str) -> Floats:
    """Rows counted by `key`, NaN for fewer than 10 people [group]."""
    return np.where(enough_people(groups.people(key)), groups.totals(key), np.nan)


def _mean(groups: Groups, top: str, bottom: str, scale: float) -> tuple[Floats, Floats, Floats]:
    """A mean of figures that are never negative, with Student's interval [group]."""
    mean = groups.totals(top) / _enough(groups, bottom) / scale
    se = clustered_se(groups.sums[top], groups.sums[bottom]) / scale
    low, high = student(mean, se, groups.freedom(bottom))
    return mean, np.maximum(low, 0), high
