"""Which features a page has room for: every one while they are few, else those furthest apart."""

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from audit.result import AuditResult
from audit.words import CROSS, count
from reports import lookup

MOST = {1: 12, 2: 15, 3: 15}  # features, crossings of two and of three; six features cross 15 times
ALWAYS = ("gender_true", "age_group")


def only(result: AuditResult, names: Collection[str]) -> AuditResult:
    """The result as if it had no features and crossings but `names`, for the figures of each.

    The tables of comparisons, findings and data stay whole.
    """
    others = set(_names(result)).difference(names)

    def kept(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows.feature.isin(others)]

    return replace(result, subgroups=kept(result.subgroups), proposals=kept(result.proposals))


def foremost(result: AuditResult) -> list[str]:
    """Features and crossings that a whole page draws, in their own order: MOST of each kind.

    Where there are more, first those that a finding names, then by the largest difference between
    groups, in margins of practical importance.
    """
    told = set(result.findings.feature)
    rows = result.disparities[result.disparities.control.isna()]
    sizes = (rows.difference / rows.margin).groupby(rows.feature).max().fillna(0.0).to_dict()

    def rank(name: str) -> tuple[bool, bool, float]:
        return name not in ALWAYS, name not in told, -sizes.get(name, 0.0)

    kept: set[str] = set()
    for crossed, most in MOST.items():
        kept |= set(sorted(lookup.features(result, crossed=crossed), key=rank)[:most])
    return [name for name in _names(result) if name in kept]


def left_undrawn(result: AuditResult, names: Collection[str], *, crossed: bool) -> str:
    """What is told of features (or crossings) that are not among `names`; nothing if all are."""
    every = [name for name in _names(result) if (CROSS in name) == crossed]
    drawn = sum(name in names for name in every)
    if drawn == len(every):
        return ""
    return (
        f"{count(drawn)} of {count(len(every))} {'crossings' if crossed else 'features'} are "
        "drawn, chosen by what was found and how far their groups differ; the others stand in "
        "result.json and, one at a time, in the dashboard."
    )


def _names(result: AuditResult) -> list[str]:
    found = result.subgroups.feature.drop_duplicates()
    return [name for name in found if name != lookup.OVERALL]
