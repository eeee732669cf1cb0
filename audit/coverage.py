"""Do the stated age intervals hold what they state, for everyone, and how wide are they?"""

from collections.abc import Sequence
from typing import Any

NOMINAL = 0.9  # what the contract's age_low..age_high is taken to mean


def coverage_table(subgroups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record per group: share of true ages inside (Wilson's interval) and mean width, years.

    Read off the subgroup records of `interval_coverage` and `interval_width`; groups of fewer than
    10 people carry n alone. By true age coverage is described, not judged: an interval cannot be
    conditioned on what the model does not know. Empty where the table has no intervals.
    """
    width = {
        (r["feature"], r["group"]): r["value"] for r in subgroups if r["metric"] == "interval_width"
    }
    return [
        {
            "feature": r["feature"],
            "group": r["group"],
            "level": NOMINAL,
            "coverage": r["value"],
            "low": r["low"],
            "high": r["high"],
            "width": width[r["feature"], r["group"]],
            "n": r["n"],
        }
        for r in subgroups
        if r["metric"] == "interval_coverage" and r["n"]
    ]
