"""What was counted: confusion tables, distributions, and the share read within k years."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.config import OLDEST
from audit.fairness import effective_errors
from audit.groups import OVERALL, Groups, enough_people
from audit.intervals import around, wilson
from audit.metrics import Floats
from audit.tally import Tally

GENDERS = ("female", "male")
SCORE_BINS = 20
YEARS = range(31)  # the years k of the cumulative score


def gender_confusion(groups: Groups) -> list[dict[str, Any]]:
    """True against called gender in every group of ten people or more: four records each."""
    counted: Mapping[tuple[str, str], Floats] = {
        ("female", "female"): groups.totals("female_called"),
        ("female", "male"): groups.totals("female_n") - groups.totals("female_called"),
        ("male", "female"): groups.totals("male_called"),
        ("male", "male"): groups.totals("male_n") - groups.totals("male_called"),
    }
    people = groups.people("gender_n")
    return [
        {
            "head": "gender",
            "feature": groups.feature,
            "group": name,
            "true": true,
            "predicted": predicted,
            "n": n[g],
        }
        for g, name in enumerate(groups.names)
        if enough_people(people[g])
        for (true, predicted), n in counted.items()
    ]


def age_confusion(tally: Tally, *, edges: Sequence[int]) -> list[dict[str, Any]]:
    """True against predicted age group over the whole table; nothing where ages are not split.

    edges: the left edges of the age groups, whole years.
    """
    if "age_group" not in {f.name for f in tally.features}:
        return []
    read = tally.years[tally.years["of_pred"] == 1]
    size = len(tally.age_groups)
    key = read["age_group"].to_numpy(np.int64) * size + _group_of(read["age_year"], edges)
    labels = next(f.levels for f in tally.features if f.name == "age_group")
    n = np.bincount(key, weights=read["n"].to_numpy(np.float64), minlength=len(labels) * size)
    return [
        {"head": "age", "feature": OVERALL, "group": OVERALL, "true": true, "predicted": pred}
        | {"n": n[i * size + j]}
        for i, true in enumerate(labels)
        for j, pred in enumerate(tally.age_groups)
        if n.sum() > 0
    ]


def age_counts(tally: Tally, *, edges: Sequence[int]) -> list[dict[str, Any]]:
    """Faces per true and per predicted age group: kinds `age_true` and `age_pred`, in years."""
    records = []
    for of_pred, kind in enumerate(("age_true", "age_pred")):
        years = tally.years[tally.years["of_pred"] == of_pred]
        if years.empty or (kind == "age_true" and "age_group" not in tally.years):
            continue
        group, faces = _group_of(years["age_year"], edges), years["n"].to_numpy(np.float64)
        n = np.bincount(group, weights=faces, minlength=len(edges))
        records += [
            _bin(kind, OVERALL, OVERALL, low, high) | {"n": n[i]}
            for i, (low, high) in enumerate(pairwise((*edges, OLDEST)))
        ]
    return records


def error_counts(groups: Groups) -> list[dict[str, Any]]:
    """Faces per whole year of absolute age error, kind `age_error`: low < |error| <= high.

    The first bin holds 0 too; the last one has no upper end.
    """
    if not len(groups.error_bins):
        return []
    place = np.clip(np.ceil(groups.error_bins / 10) - 1, 0, len(YEARS) - 1).astype(np.int64)
    return [
        _bin("age_error", groups.feature, name, year, year + 1 if year + 1 < len(YEARS) else None)
        | {"n": groups.errors[g][place == year].sum()}
        for g, name in enumerate(groups.names)
        for year in YEARS
    ]


def within_years(groups: Groups) -> list[dict[str, Any]]:
    """Cumulative score, kind `age_cs`: share of faces read at most `high` years off, Wilson's
    interval on effective rows; groups of ten people or more. `n` is the group's faces.
    """
    total, people = groups.totals("age_n"), groups.people("age_n")
    rows = effective_errors(groups)
    records = []
    for year in YEARS:
        hits = groups.errors[:, groups.error_bins <= 10 * year].sum(axis=1)
        share = hits / np.where(total > 0, total, np.nan)
        low, high = around(*wilson(share, rows), share)
        records += [
            _bin("age_cs", groups.feature, name, 0, year)
            | {"n": total[g], "value": share[g], "value_low": low[g], "value_high": high[g]}
            for g, name in enumerate(groups.names)
            if enough_people(people[g])
        ]
    order = {name: g for g, name in enumerate(groups.names)}
    return sorted(records, key=lambda r: (order[r["group"]], r["high"]))


def score_counts(groups: Groups) -> list[dict[str, Any]]:
    """Faces per twentieth of P(female), kind `gender_score`; `value` is the share of females.

    A histogram bin of the tally goes where its mean score lies.
    """
    records = []
    people = groups.people("score_n")
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    for g, name in enumerate(groups.names):
        n = groups.scores[g].sum(axis=0)
        held = n > 0
        if not enough_people(people[g]) or not held.any():
            continue
        mean = groups.score_sums[g][held] / 1e6 / n[held]
        place = np.clip(np.floor(mean * SCORE_BINS), 0, SCORE_BINS - 1).astype(np.int64)
        rows = np.bincount(place, weights=n[held], minlength=SCORE_BINS)
        females = np.bincount(place, weights=groups.scores[g][1][held], minlength=SCORE_BINS)
        records += [
            _bin("gender_score", groups.feature, name, edges[i], edges[i + 1])
            | {"n": rows[i], "value": females[i] / rows[i] if rows[i] else None}
            for i in range(SCORE_BINS)
        ]
    return records


def _group_of(years: "pd.Series[int]", edges: Sequence[int]) -> NDArray[np.int64]:
    """The age group of every whole year; edges are whole, so that no group parts a year."""
    return np.searchsorted(edges[1:], years.to_numpy(), side="right").astype(np.int64)


def _bin(kind: str, feature: str, group: str, low: float, high: float | None) -> dict[str, Any]:
    return {"kind": kind, "feature": feature, "group": group, "low": low, "high": high}
