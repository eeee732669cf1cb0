"""A difference between a group and everyone else in words: the sentence, the group, the amount."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audit.metrics import METRICS
from audit.words import CROSS, gap, gap_interval, gap_words, in_unit


@dataclass(frozen=True)
class _Phrase:
    """How a difference is told: `{what} {by} {more or less} for {group} than for everyone else`."""

    what: str
    more: str
    less: str


_PHRASES: Mapping[str, _Phrase] = {
    "age_mae": _Phrase("Age is read", "worse", "better"),
    "age_me": _Phrase("Age is read", "older", "younger"),
    "age_rmse": _Phrase("Root mean squared age error is", "higher", "lower"),
    "age_cs5": _Phrase("Age is read within 5 years", "more often", "less often"),
    "age_p90": _Phrase("The 90th percentile of age error is", "higher", "lower"),
    "gender_accuracy": _Phrase("Gender is called as labelled", "more often", "less often"),
    "gender_tpr": _Phrase("Females are called female", "more often", "less often"),
    "gender_fpr": _Phrase("Males are called female", "more often", "less often"),
    "gender_selection": _Phrase("Faces are called female", "more often", "less often"),
    "gender_brier": _Phrase("The Brier score of gender is", "higher", "lower"),
    "gender_ece": _Phrase("Calibration error of gender is", "higher", "lower"),
    "gender_auc": _Phrase("The area under the ROC curve is", "higher", "lower"),
    "interval_coverage": _Phrase("Age intervals hold the true age", "more often", "less often"),
    "interval_width": _Phrase("Age intervals are", "wider", "narrower"),
}
assert set(_PHRASES) == set(METRICS)


@dataclass(frozen=True)
class Names:
    """What sentences need of all groups to name one: `shared` levels of several features, `ages`.

    A group of such a level is nothing without its feature's name. ages: the true age groups that
    occur, in their order.
    """

    shared: frozenset[str] = frozenset()
    ages: tuple[str, ...] = ()


def names_of(subgroups: pd.DataFrame) -> Names:
    """The names in the table `subgroups`."""
    crossed = subgroups["feature"].astype(str).str.contains(CROSS, regex=False)
    single = subgroups[~crossed.astype(bool)]
    pairs = single.drop_duplicates(["feature", "group"])
    twice = pairs["group"][pairs["group"].duplicated()]
    ages = pairs["group"][pairs["feature"] == "age_group"]
    return Names(frozenset(twice), tuple(ages))


_PLAIN_NAMES = Names()


def difference_sentence(row: Mapping[str, Any], names: Names = _PLAIN_NAMES) -> str:
    """`Age is read 4.1 years worse for 70+ than for everyone else [3.4, 4.8].`"""
    metric, phrase = METRICS[row["metric"]], _PHRASES[row["metric"]]
    d, low, high = (row[f"outlying_{end}"] for end in ("difference", "low", "high"))
    way = phrase.more
    if d < 0:
        d, low, high, way = -d, -high, -low, phrase.less
    ends = gap_interval(low, high, metric.unit)
    margin = gap_words(row["margin"], metric.unit)
    small = "" if d >= row["margin"] else f", within the margin of {margin}"
    group = group_words(row["feature"], row["outlying_group"], names.shared)
    told = f"{phrase.what} {gap_words(d, metric.unit)} {way} for {group} than for everyone else"
    if row["control"]:
        among = group_words(row["control"], row["control_group"], names.shared)
        told = f"Among {among}: {told}"
    whose = ""
    if is_open(row):
        whose = f"; groups of {row['feature']} differ, whether this one does is open"
    standardised = _standardised(row, metric.unit, names.ages)
    return f"{told} {ends}{small}{whose}{standardised}.{_age_mix(row, names.shared)}"


def is_open(row: Mapping[str, Any]) -> bool:
    """Whether the interval of the group furthest off holds 0, though groups are found to differ.

    The test weighs all groups together; the interval is that one's, widened for all of them.
    """
    return bool(row["outlying_low"] <= 0 <= row["outlying_high"])


def _standardised(row: Mapping[str, Any], unit: str, ages: Sequence[str]) -> str:
    """The same difference at one age mix, the same way round as it was told."""
    keys = ("outlying_standardised", "outlying_standardised_low", "outlying_standardised_high")
    d, low, high = (row.get(key) for key in keys)
    if d is None or low is None or high is None or pd.isna([d, low, high]).any():
        return ""
    if row["outlying_difference"] < 0:
        d, low, high = -d, -high, -low
    ends = gap_interval(low, high, unit)
    which = _ages_used(row.get("ages_left_out") or "", ages)
    return f"; standardised for age{which} {gap(d, unit)} {ends}"


def _ages_used(left_out: str, ages: Sequence[str]) -> str:
    """Of which ages a figure at one age mix is, where some are left out: the shorter list."""
    if not left_out:
        return ""
    kept = [age for age in ages if age not in left_out.split(", ")]
    if kept and len(kept) < len(ages) - len(kept):
        return f" (only {', '.join(kept)})"
    return f" (without {left_out})"


def _age_mix(row: Mapping[str, Any], shared: frozenset[str]) -> str:
    """What unequal ages add to the raw gap, where they make half of it or more."""
    part, whole = row.get("composition"), row.get("difference")
    if pd.isna(part) or pd.isna(whole) or part < whole / 2:
        return ""
    unit = METRICS[row["metric"]].unit
    ends = (
        group_words(row["feature"], row[f"{end}_group"], shared) for end in ("lowest", "highest")
    )
    return (
        f" Between {' and '.join(ends)} unequal ages alone make {gap_words(part, unit)} of the "
        f"{gap_words(whole, unit)} of difference."
    )


def group_words(feature: str, group: str, shared: frozenset[str] = frozenset()) -> str:
    """A group as a reader meets it: a number or `unknown` is nothing without its feature's name.

    shared: levels that several features have; these need the name too.
    """
    bare = {"unknown", "other", "yes", "no", "true", "false"}
    words = [
        f"{part} {level}"
        if level in shared or level.lower() in bare or _is_number(level)
        else level
        for part, level in zip(feature.split(CROSS), group.split(CROSS), strict=False)
    ]
    return CROSS.join(words)


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def amount(value: float, key: str) -> str:
    """A value with its unit in words: `4.1 years`, `91.2 %`, `.058`."""
    metric = METRICS[key]
    shown = in_unit(value, metric.unit, signed=metric.better == "zero")
    return f"{shown} years" if metric.unit == "years" else shown
