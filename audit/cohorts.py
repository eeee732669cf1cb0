"""Cohorts: two named sets of faces of one audit, side by side, on as many metrics as it has.

Each cohort's figures are made as a group's of the report. What is compared is the difference of
the two: by a bootstrap-t over shards (`audit.apart`), in which all photos of a person, and faces
that stand in both cohorts, move both sides together; P90 by a percentile bootstrap; shares with
fewer than ten events by Newcombe's interval. P-values are corrected (Holm) over the metrics of one
comparison, not over the cohorts that a reader tries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.apart import Apart, means_apart, quantiles_apart, rare_shares_apart
from audit.errors import InputError
from audit.evidence import holm, rare, verdict
from audit.exact_sums import Singles
from audit.fairness import (
    P90,
    disaggregate,
    is_tested,
    metrics_of,
    people_of,
    rows_of,
    subgroup_table,
)
from audit.groups import FEW_BELOW, Groups, status
from audit.histograms import ERROR_BIN
from audit.metrics import METRICS, Floats
from audit.rows import Cohort, FaceRows, ask
from audit.shards import SHARDS, key_sql, sharded
from audit.tally import SUM_OF, VALUE_SQL
from audit.where import DERIVED, columns_of

KEYS = (
    *("age_mae", "age_me", "age_cs5", "age_p90"),
    *("gender_accuracy", "gender_tpr", "gender_fpr", "gender_brier"),
    *("interval_coverage", "interval_width"),
)
# Chosen by these, a cohort is chosen by what the model did: its figures follow from the choice.
OUTCOMES = frozenset(
    {*DERIVED, "age_group_pred", "age_pred", "error", "gender_pred", "gender_score", "lookalikes"}
)
ALPHA = 0.05
FOUND = "difference found"
_WORDS = {"disparity": FOUND, "no disparity found": "no difference found within margin"}
_PARTS = 3  # faces of the first cohort only, of both, of the second only
_SIDES = np.array([[1, 1, 0], [0, 1, 1]], dtype=np.float64)
_APART = np.array([[1, 0, 1]], dtype=np.float64)


@dataclass(frozen=True)
class Compared:
    """Two cohorts side by side.

    table: one row a metric that the audit has: metric; value, low, high, n (faces in its own
    denominator), people and status of each (`first_value`, `second_value` ...); difference (first
    minus second), difference_low and _high (95 %), p_value, p_adjusted, margin, verdict (None: not
    tested). Values are NaN where they are suppressed, differences where one cohort, or what they do
    not share, has fewer than 30 people.
    faces, people: of each cohort. shared: faces in both. unshared: people with a face in just one.
    chosen_by: the columns of what the model did that chose the faces; with any, nothing is tested.
    """

    table: pd.DataFrame
    faces: tuple[int, int]
    people: tuple[int, int]
    shared: int
    unshared: int
    chosen_by: tuple[str, ...]


def compare(rows: FaceRows, first: Cohort, second: Cohort, *, info: Mapping[str, Any]) -> Compared:
    """Lay two cohorts of an audit side by side. info: that of its result.

    Raises InputError where the folder holds a part of the faces only (their figures would be those
    of the faces read worst), and where a cohort names a column that the audit lacks.
    """
    if rows.total < info["rows_audited"]:
        raise InputError(
            f"{rows.path} holds {rows.total:,} of {info['rows_audited']:,} faces, the worst read "
            "among them: cohorts can be listed, but their figures would not be true of all"
        )
    sums, counts, edges = _read(rows, first, second)
    people = _people(info)
    parts = _groups([str(i) for i in range(_PARTS)], sums, counts, edges, people)
    sides = _groups(
        [first.name, second.name], _mixed(_SIDES, sums), _mix(_SIDES, counts), edges, people
    )
    apart = _groups(["apart"], _mixed(_APART, sums), _mix(_APART, counts), edges, people)
    named = columns_of(first.where) | columns_of(second.where)
    differing = [c for c in sorted(named) if _asked(first, c) != _asked(second, c)]
    chosen_by = tuple(sorted(named & OUTCOMES))
    keys = metrics_of(sorted(named), [k for k in KEYS if sides.totals(METRICS[k].bottom).any()])
    found = {
        key: _difference(key, sides, parts, counts, edges)
        for key in keys
        if _comparable(key, sides, apart)
    }
    claims = [key for key in keys if not chosen_by and is_tested(differing, key)]
    told = _told(keys, found, claims, info["margins"])
    n, who = sides.totals("faces"), sides.people("faces")
    return Compared(
        table=pd.concat([_figures(sides, keys), told], axis=1),
        faces=(int(n[0]), int(n[1])),
        people=(round(who[0]), round(who[1])),
        shared=int(parts.totals("faces")[1]),
        unshared=round(float(apart.people("faces")[0])),
        chosen_by=chosen_by,
    )


def _asked(cohort: Cohort, column: str) -> tuple[bool, frozenset[object]]:
    """What a cohort asks of a column, to be held against what another asks."""
    asked = [
        one if not isinstance(one, tuple) else frozenset(one)
        for name, one in cohort.where.items()
        if column in columns_of({name: one}) and one
    ]
    return cohort.inverted and bool(asked), frozenset(asked)


def _people(info: Mapping[str, Any]) -> tuple[bool, float]:
    """(people are named, people per face) of the whole audit."""
    return not info["subjects_assumed"], info["subjects"] / max(info["rows_audited"], 1)


# From rows to sums ---------------------------------------------------------------------------

_ADDED = (  # of audit.tally, in its own SQL; two more follow from them
    *("age_n", "age_abs", "age_err", "age_sq", "age_hit5", "iv_n", "iv_hit", "iv_width"),
    *("female_n", "female_called", "male_n", "male_called", "score_n", "score_brier"),
)
_FOLLOW = ("gender_n", "gender_hit")
_NEEDED = (
    *("subject_id", "sample_id", "error", "age_true", "age_low", "age_high"),
    *("gender_true", "gender_pred", "gender_score"),
)


def _read(
    rows: FaceRows, first: Cohort, second: Cohort
) -> tuple[dict[str, Floats], Singles, Floats]:
    """Sums [part, shard] by name; counts of |error| [part, shard, bin] with the bins' edges."""
    faces = _faces(rows, first, second)
    added = {"faces": "1"} | {name: VALUE_SQL[name] for name in _ADDED}
    cells = ", ".join(f"coalesce(sum({sql}), 0)::DOUBLE AS {name}" for name, sql in added.items())
    wheres = (first.where, second.where)
    got = ask(rows, f"SELECT part, shard, {cells} FROM {faces} GROUP BY ALL", *wheres)
    got = got.assign(**{name: SUM_OF[name](got) for name in _FOLLOW})
    place = got["part"].to_numpy(np.int64), got["shard"].to_numpy(np.int64)
    sums = {name: np.zeros((_PARTS, SHARDS)) for name in (*added, *_FOLLOW)}
    for name, array in sums.items():
        array[place] = got[name]
    got = ask(
        rows,
        f"SELECT part, shard, {ERROR_BIN} AS bin, count(*) AS n FROM {faces} "
        "WHERE error IS NOT NULL GROUP BY ALL",
        *wheres,
    )
    bins, column = np.unique(got["bin"].to_numpy(np.int64), return_inverse=True)
    counts = np.zeros((_PARTS, SHARDS, len(bins)), np.float32)
    counts[got["part"].to_numpy(np.int64), got["shard"].to_numpy(np.int64), column] = got["n"]
    return sums, counts, bins / 10


def _faces(rows: FaceRows, first: Cohort, second: Cohort) -> str:
    """What follows FROM: the faces of either cohort, named as those of a tally; part and shard."""
    has = {c: c if c in rows.columns else f"NULL AS {c}" for c in _NEEDED}
    a, b = (
        f"{'NOT ' if one.inverted else ''}coalesce({{{i}}}, false)"
        for i, one in enumerate((first, second))
    )
    read = (
        "SELECT * EXCLUDE (a, b, error), CASE WHEN NOT b THEN 0 WHEN a THEN 1 ELSE 2 END AS part, "
        "coalesce(subject_id, sample_id)::VARCHAR AS person, "
        "floor(error * 100 + 0.5)::INTEGER AS error, "
        f"{_two_way('gender_true')} AS y, {_two_way('gender_pred')} AS called, "
        "CASE WHEN gender_true IN ('female', 'male') THEN gender_score END::DOUBLE AS f "
        f"FROM (SELECT {', '.join(has.values())}, {a} AS a, {b} AS b FROM faces) WHERE a OR b"
    )
    return sharded(f"({read})", key_sql("person"))


def _two_way(column: str) -> str:
    return f"CASE {column}::VARCHAR WHEN 'female' THEN 1 WHEN 'male' THEN 0 END"


# From sums to figures ------------------------------------------------------------------------


def _mix(which: Floats, parts: NDArray[Any]) -> NDArray[Any]:
    """Sums over parts: [group, part] on [part, ...]."""
    return np.tensordot(which.astype(parts.dtype), parts, axes=1)


def _mixed(which: Floats, sums: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: _mix(which, array) for name, array in sums.items()}


def _groups(
    names: Sequence[str],
    sums: Mapping[str, Floats],
    counts: Singles,
    edges: Floats,
    people: tuple[bool, float],
) -> Groups:
    """Cohorts as the groups of a feature, so that `audit.fairness` makes their figures."""
    none = np.zeros((len(names), 0))
    return Groups(
        feature="cohort",
        parts=("cohort",),
        names=tuple(names),
        levels=tuple((name,) for name in names),
        sums=sums,
        error_bins=edges * 10,
        errors=counts.sum(axis=1, dtype=np.float64),
        score_bins=np.zeros(0),
        scores=np.zeros((len(names), 2, 0)),
        score_sums=none,
        people_given=people[0],
        people_per_row=people[1],
        codes=np.arange(len(names)),
    )


def _figures(sides: Groups, keys: Sequence[str]) -> pd.DataFrame:
    """One row a metric: value, interval, n, people and status of both cohorts."""
    records = subgroup_table(sides, disaggregate(sides, tuple(keys))) if keys else []
    named = {"value": "value", "low": "low", "high": "high", "n": "n", "n_subjects": "people"}
    table = []
    for first, second in zip(records[::2], records[1::2], strict=True):
        row: dict[str, Any] = {"metric": first["metric"]}
        for side, record in (("first", first), ("second", second)):
            row |= {f"{side}_{name}": _number(record[key]) for key, name in named.items()}
            row[f"{side}_status"] = record["status"]
        table.append(row)
    return pd.DataFrame(table)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _comparable(key: str, sides: Groups, apart: Groups) -> bool:
    """Whether both cohorts, and the faces they do not share, have people enough."""
    both = status(people_of(sides, key), rows_of(sides, key))
    return bool((both == "ok").all()) and people_of(apart, key)[0] >= FEW_BELOW


def _difference(key: str, sides: Groups, parts: Groups, counts: Singles, edges: Floats) -> Apart:
    metric = METRICS[key]
    if metric.top is None:
        return quantiles_apart(_mix(_SIDES, counts), edges, P90)
    top, bottom = sides.sums[metric.top], sides.sums[metric.bottom]
    if metric.unit == "share":
        worth = sides.worth(metric.top, metric.bottom)
        if rare(top.sum(axis=1) * worth / bottom.sum(axis=1), worth).any():
            hits, n = parts.totals(metric.top), parts.totals(metric.bottom)
            return rare_shares_apart(hits, n, parts.worth(metric.top, metric.bottom))
    return means_apart(top, bottom, scale=metric.scale)


def _told(
    keys: Sequence[str],
    found: Mapping[str, Apart],
    claims: Sequence[str],
    margins: Mapping[str, float],
) -> pd.DataFrame:
    """Differences and verdicts, one row a metric; p-values are corrected over those claimed."""
    tested = [key for key in claims if key in found]
    adjusted = dict(zip(tested, holm(np.array([found[k].p_value for k in tested])), strict=True))
    rows: list[dict[str, Any]] = []
    for key in keys:
        one, margin = found.get(key), float(margins.get(key, METRICS[key].margin))
        row: dict[str, Any] = {
            "difference": one.difference if one else np.nan,
            "difference_low": one.low if one else np.nan,
            "difference_high": one.high if one else np.nan,
            "p_value": one.p_value if one and key in tested else np.nan,
            "p_adjusted": adjusted.get(key, np.nan),
            "margin": margin,
            "verdict": "insufficient evidence" if key in claims else None,
        }
        if one and key in tested:
            ends = np.array([one.low]), np.array([one.high])
            said = verdict(adjusted[key], *ends, margin=margin, alpha=ALPHA)
            row["verdict"] = _WORDS.get(said, said)
        rows.append(row)
    return pd.DataFrame(rows)
