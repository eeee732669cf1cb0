"""Which proposal is taken, and why, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.config import BEST, NONE, RECALIBRATIONS
from audit.conformal import FEWEST, PREDICTED
from audit.errors import InputError
from audit.groups import OVERALL
from audit.heads import FEWEST_OF_A_GENDER
from audit.proposals import Proposal
from audit.words import MINUS, nearest

# What `best` looks at: the less, the better.
LOSS = {"gender": "gender_brier", "age": "age_mae", "interval": "interval_gap"}
LABELS: Mapping[str, str] = {
    "gender_brier": "Brier score",
    "gender_ece": "calibration error",
    "gender_me": "mean score − share of females",
    "gender_accuracy": "accuracy",
    "age_mae": "mean absolute error, years",
    "age_me": "mean signed error, years",
    "age_rmse": "root mean square error, years",
    "interval_coverage": "coverage",
    "interval_width": "width, years",
    "interval_gap": "coverage's distance from .9",
}


@dataclass(frozen=True)
class Choice:
    """The proposal taken for a head, or None, and why."""

    proposal: Proposal | None
    why: str


def choose(
    head: str,
    asked: str,
    proposals: Sequence[Proposal],
    records: Sequence[Mapping[str, Any]],
    *,
    per: str | None,
    heads: Sequence[str],
) -> Choice:
    """The method asked for, or the best of those offered: for everyone, or per group of `per`.

    heads: what the table holds (`age`, `score`, ...). Raises InputError for an unknown method, and
    for one that the table or its people cannot bear.
    """
    if asked not in RECALIBRATIONS[head]:
        raise InputError(
            f"--{head} {asked!r}: no such method; {nearest(asked, RECALIBRATIONS[head])}"
        )
    if asked == NONE:
        return Choice(None, "as asked")
    offered = [p for p in proposals if p.head == head and p.scope == scope_of(p.method, head, per)]
    if offered and asked == BEST:
        return _best(head, offered, records, per=per)
    if offered:
        return Choice(next(p for p in offered if p.method == asked), "as asked")
    why = _why_not(head, heads)
    if asked != BEST:
        raise InputError(f"--{head} {asked}: {why}")
    return Choice(None, why)


def scope_of(method: str, head: str, per: str | None) -> str:
    """For whom a method makes maps: the conformal widening is one, Mondrian's are by group."""
    if head == "interval":
        return OVERALL if method == "conformal" else per or PREDICTED
    return per or OVERALL


def _why_not(head: str, heads: Sequence[str]) -> str:
    if head == "gender" and "score" not in heads:
        return "the table has no gender_score with a gender_true"
    if head != "gender" and "age" not in heads:
        return "the table has no age_pred with an age_true"
    either = f", {FEWEST_OF_A_GENDER} of either gender" if head == "gender" else ""
    return f"too few people: half of them must be {FEWEST} or more{either}"


def _best(
    head: str,
    offered: Sequence[Proposal],
    records: Sequence[Mapping[str, Any]],
    *,
    per: str | None,
) -> Choice:
    """Of the least loss on the judging half, where its paired interval lies below 0; else none."""
    metric = LOSS[head]
    feature = (per or PREDICTED) if head == "interval" else OVERALL
    sought = (head, metric, feature, OVERALL)
    rows = {
        (r["method"], r["scope"]): r
        for r in records
        if (r["head"], r["metric"], r["feature"], r["group"]) == sought
    }
    found = [(p, rows[p.method, p.scope]) for p in offered if (p.method, p.scope) in rows]
    if not found:
        return Choice(None, "too few people in the judging half")
    names, label = ", ".join(p.method for p, _ in found), LABELS[metric]
    best, row = min(found, key=_after)
    if row["before"] is None:
        return Choice(best, f"least {label} of {names}; the table states no intervals")
    better = [pair for pair in found if pair[1]["high"] < 0]
    if not better:
        near = f"{best.method}, {change_words(metric, row)}"
        return Choice(None, f"no change of the {label} has its interval below 0; nearest: {near}")
    best, row = min(better, key=_after)
    return Choice(best, f"least {label} of {names}: {change_words(metric, row)}")


def _after(pair: tuple[Proposal, Mapping[str, Any]]) -> float:
    return float(pair[1]["after"])


def change_words(metric: str, row: Mapping[str, Any]) -> str:
    """`.0871 → .0812, −.0059 [−.0070, −.0048]`; where nothing was before, `→ .9012`."""
    digits = 2 if "years" in LABELS[metric] else 4
    after = _shown(row["after"], digits)
    if row["before"] is None:
        return f"→ {after}"
    text = f"{_shown(row['before'], digits)} → {after}"
    change, low, high = (
        None if row[c] is None else _shown(row[c], digits, sign="+")
        for c in ("change", "low", "high")
    )
    return f"{text}, {change}" if low is None else f"{text}, {change} [{low}, {high}]"


def _shown(x: float, digits: int, *, sign: str = "") -> str:
    rounded = round(float(x), digits) + 0.0  # -0.00 reads as a claim
    return f"{rounded:{sign}.{digits}f}".replace("-", MINUS)
