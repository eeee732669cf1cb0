"""Do the stated age intervals hold what they state, for everyone, and how wide are they?"""

from typing import Any

import numpy as np
import pandas as pd

from audit.groups import Groups

NOMINAL = 0.9  # what the contract's age_low..age_high is taken to mean


def coverage_table(groups: Groups, subgroups: pd.DataFrame) -> list[dict[str, Any]]:
    """One record per group: share of true ages inside (Wilson's interval) and mean width, years.

    Read off the feature's `interval_coverage` and `interval_width` records; by true groups only
    (an interval cannot be conditioned on what it does not know, so by true age it is described,
    not judged). Empty where the table has no intervals.
    """
    mine = subgroups[subgroups["feature"] == groups.feature].set_index(["metric", "group"])
    if "interval_coverage" not in mine.index.get_level_values("metric"):
        return []
    hit, width = mine.loc["interval_coverage"], mine.loc["interval_width"]
    return [
        {
            "feature": groups.feature,
            "group": name,
            "level": NOMINAL,
            "coverage": hit["value"][name],
            "low": hit["low"][name],
            "high": hit["high"][name],
            "width": width["value"][name],
            "n": hit["n"][name],
        }
        for name in groups.names
        if not np.isnan(hit["n"][name]) and hit["n"][name] > 0
    ]
