"""Age as it is used at a door: who is let through under a limit, who is turned away above it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from audit.fairness import effective_errors
from audit.features import Feature
from audit.groups import Groups, enough_people, spread_out
from audit.histograms import YEARS
from audit.intervals import around, wilson
from audit.metrics import Floats
from audit.tally import Tally

LIMITS = np.arange(5, 81)  # years


def across(years: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Faces under each limit, those of them read at or above it; the same the other way round.

    Exact for whole limits: who is read older and stands under the limit by true age, but not by
    predicted age, is read across it; likewise for those read younger.

    years: faces [group, by true/by predicted age, read older 0/1, whole year]; results [group,
    limit] for LIMITS.
    """
    under = np.cumsum(years, axis=3)[..., LIMITS - 1]
    below = under[:, 0].sum(axis=1)
    above = years[:, 0].sum(axis=(1, 2))[:, None] - below
    accepted = under[:, 0, 1] - under[:, 1, 1]
    rejected = under[:, 1, 0] - under[:, 0, 0]
    return below, accepted, above, rejected


def age_limit_table(groups: Groups, tally: Tally, parts: Sequence[Feature]) -> list[dict[str, Any]]:
    """One record per group and limit of 5 to 80 years.

    accepted: share of people under the limit who are read as at it or older (false acceptance);
    rejected: share of those at it or older who are read as under it (false rejection). Wilson's
    intervals on effective rows, by the design effect of the mean error. A share of fewer than 10
    people is null; groups of fewer are left out.
    """
    keys = {"of_pred": 2, "read_older": 2, "age_year": YEARS}
    below, accepted, above, rejected = across(spread_out(groups, tally.years, parts, keys=keys))
    n, people = groups.totals("age_n"), groups.people("age_n")
    with np.errstate(divide="ignore", invalid="ignore"):
        worth, persons = effective_errors(groups) / n, people / n
    found = {
        "accepted": (*_share(accepted, below, worth, persons), below),
        "rejected": (*_share(rejected, above, worth, persons), above),
    }
    counted = {"accepted": "below_n", "rejected": "above_n"}
    return [
        {"feature": groups.feature, "group": name, "threshold": float(limit)}
        | {
            key: values[g, t]
            for rate, columns in found.items()
            for key, values in zip(
                (rate, f"{rate}_low", f"{rate}_high", counted[rate]), columns, strict=True
            )
        }
        for g, name in enumerate(groups.names)
        if enough_people(people[g])
        for t, limit in enumerate(LIMITS)
    ]


def _share(
    hits: Floats, n: Floats, worth: Floats, persons: Floats
) -> tuple[Floats, Floats, Floats]:
    """A share with its interval [group, limit]; NaN for fewer than 10 people."""
    held = enough_people(n * persons[:, None])
    share = hits / np.where(held, n, np.nan)
    low, high = around(*wilson(share, n * worth[:, None]), share)
    return share, low, high
