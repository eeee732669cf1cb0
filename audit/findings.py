"""What was found, as ranked sentences, each with its numbers in the same record.

A sentence compares a group with everyone else and carries that difference with its simultaneous
interval; the record's value, low, high and n are the group's own. Nothing is called more than the
test allows: a difference that was not tested says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audit.evidence import alphas
from audit.groups import OVERALL
from audit.metrics import METRICS
from audit.result import COLUMNS
from audit.words import CROSS, MINUS, agreed, count, counted, in_unit, percent, score, years

MOST = 24  # disparities that are told; all of them stand in their table
MOST_SLICES = 8
STRONG, PLAIN, NOTE = 3, 2, 1  # severity
DISPARITY, NONE, OPEN = "disparity", "no disparity found", "insufficient evidence"

# What a head is for comes first, then which way it errs; the others tell the same another way.
ORDER = {"age_mae": 0, "gender_accuracy": 0}
ORDER |= dict.fromkeys(("age_me", "gender_tpr", "gender_fpr", "interval_coverage"), 1)
ECHO = 1.25  # a crossing that shows less than this many times its parts' difference repeats them


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
_UNITS = {"years": " years", "share": " points", "score": ""}  # of a difference
assert set(_PHRASES) == set(METRICS)


def find(tables: Mapping[str, pd.DataFrame], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Findings, most important first: the `verdict` (the headline), disparities, slices, the rest.

    tables: the audit's tables by name. Where nothing was tested, sentences say so.
    """
    subgroups = {(r["feature"], r["group"], r["metric"]): r for r in _rows(tables["subgroups"])}
    names = names_of(tables["subgroups"])
    disparities = _rows(tables["disparities"])
    tested = [r for r in disparities if r["verdict"] is not None]
    if any(pd.notna(r["p_adjusted"]) for r in tested):
        told = told_disparities(tested, subgroups, names)
        head = verdict(told, tested)
    else:
        told = untested_gaps(disparities, subgroups)
        head = untested_verdict(told)
    slices = told_slices(_rows(tables["slices"]), told, names)[:MOST_SLICES]
    scores, alpha = _rows(tables["scores"]), alphas(info["settings"]["alpha"])[0]
    about = [
        *told_calibration(scores, subgroups, names, alpha=alpha),
        *about_scores(scores, subgroups, alpha=alpha),
        *about_coverage(_rows(tables["coverage"])),
    ]
    left_out = about_data(tables["subgroups"], info)
    return [_record(r) for r in (head, *told[:MOST], *slices, *about, *left_out)]


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


def told_disparities(
    tested: Iterable[Mapping[str, Any]],
    subgroups: Mapping[tuple[str, str, str], dict[str, Any]],
    names: Names,
) -> list[dict[str, Any]]:
    """Verdicts of disparity as sentences, largest first.

    In this order: single features, and crossings that show clearly more than their parts do; then
    crossings that repeat a part; last those where groups differ but the one furthest off need not.
    Within, metrics as in ORDER, then by the size of the difference in margins of practical
    importance.
    """
    found = [r for r in tested if r["verdict"] == DISPARITY and pd.notna(r["outlying_difference"])]
    sizes = {(r["feature"], r["metric"]): _margins(r) for r in found if not r["control"]}

    def rank(row: Mapping[str, Any]) -> tuple[bool, bool, int, float]:
        parts = row["feature"].split(CROSS)
        known = max((sizes.get((p, row["metric"]), 0.0) for p in parts), default=0.0)
        echo = len(parts) > 1 and _margins(row) < ECHO * known
        return _open(row), echo, ORDER.get(row["metric"], 2), -_margins(row)

    records = []
    for row in sorted(found, key=rank):
        own = subgroups[row["feature"], row["outlying_group"], row["metric"]]
        keys = ("value", "low", "high", "n") if not row["control"] else ()  # `own` is of all faces
        records.append(
            {key: own[key] for key in ("feature", "group", "metric", *keys)}
            | {
                "kind": "disparity",
                "severity": STRONG if _margins(row) >= 1 else PLAIN,
                "sentence": difference_sentence(row, names),
                "p_adjusted": row["p_adjusted"],
            }
        )
    return records


def difference_sentence(row: Mapping[str, Any], names: Names = _PLAIN_NAMES) -> str:
    """`Age is read 4.1 years worse for 70+ than for everyone else [3.4, 4.8].`"""
    metric, phrase = METRICS[row["metric"]], _PHRASES[row["metric"]]
    d, low, high = (row[f"outlying_{end}"] for end in ("difference", "low", "high"))
    way = phrase.more
    if d < 0:
        d, low, high, way = -d, -high, -low, phrase.less
    ends = f"[{_plain(low, metric.unit)}, {_plain(high, metric.unit)}]"
    small = (
        "" if d >= row["margin"] else f", within the margin of {_by(row['margin'], metric.unit)}"
    )
    group = group_words(row["feature"], row["outlying_group"], names.shared)
    told = f"{phrase.what} {_by(d, metric.unit)} {way} for {group} than for everyone else"
    if row["control"]:
        among = group_words(row["control"], row["control_group"], names.shared)
        told = f"Among {among}: {told}"
    whose = (
        f"; groups of {row['feature']} differ, whether this one does is open" if _open(row) else ""
    )
    standardised = _standardised(row, metric.unit, names.ages)
    return f"{told} {ends}{small}{whose}{standardised}.{_age_mix(row, names.shared)}"


def _open(row: Mapping[str, Any]) -> bool:
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
    ends = f"[{_plain(low, unit)}, {_plain(high, unit)}]"
    which = _ages_used(row.get("ages_left_out") or "", ages)
    return f"; standardised for age{which} {_plain(d, unit)} {ends}"


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
    part, gap = row.get("composition"), row.get("difference")
    if pd.isna(part) or pd.isna(gap) or part < gap / 2:
        return ""
    unit = METRICS[row["metric"]].unit
    ends = (
        group_words(row["feature"], row[f"{end}_group"], shared) for end in ("lowest", "highest")
    )
    return (
        f" Between {' and '.join(ends)} unequal ages alone make {_by(part, unit)} of the "
        f"{_by(gap, unit)} of difference."
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


def verdict(told: list[dict[str, Any]], tested: list[dict[str, Any]]) -> dict[str, Any]:
    """The one sentence for the first screen: the first disparity, or what would have been seen."""
    n = {word: sum(r["verdict"] == word for r in tested) for word in (DISPARITY, NONE, OPEN)}
    total = len(tested)
    made = counted(total, "comparison", "comparisons")
    if told:
        first = told[0]
        shows = agreed(n[DISPARITY], "shows", "show")
        tally = (
            f"{count(n[DISPARITY])} of {made} {shows} a disparity, "
            f"{count(n[NONE])} none, {count(n[OPEN])} cannot be decided with this table."
        )
        sentence = f"{first['sentence'].removesuffix('.')}; {tally}"
        return first | {"kind": "verdict", "severity": STRONG, "sentence": sentence}
    sentence = f"No disparity found in {made}"
    if n[OPEN] == total:
        none = f"None of {made} can" if total > 1 else "The one comparison cannot"
        sentence = f"{none} be decided with this table"
    elif n[OPEN]:
        sentence += f", {count(n[OPEN])} of which cannot be decided with this table"
    seen = [w for key in ("age_mae", "gender_accuracy") for w in _would_have_been_seen(tested, key)]
    sentence += f"; {' and '.join(seen)} would have been seen" if seen else ""
    return {"kind": "verdict", "severity": STRONG, "sentence": f"{sentence}."}


def _would_have_been_seen(tested: list[dict[str, Any]], key: str) -> list[str]:
    least = [
        r["detectable"]
        for r in tested
        if r["metric"] == key and CROSS not in r["feature"] and pd.notna(r["detectable"])
    ]
    if not least:
        return []
    what = {"age_mae": "age error", "gender_accuracy": "gender accuracy"}[key]
    return [f"differences in {what} above {_by(max(least), METRICS[key].unit)}"]


def untested_gaps(
    disparities: Iterable[Mapping[str, Any]],
    subgroups: Mapping[tuple[str, str, str], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Largest differences where nothing was tested, single features only, one margin or more."""
    single = (r for r in disparities if CROSS not in r["feature"] and not r["control"])
    seen = [r for r in single if r["difference"] is not None and r["difference"] >= r["margin"]]
    records = []
    for row in sorted(seen, key=lambda r: -r["difference"] / r["margin"]):
        metric = METRICS[row["metric"]]
        low, high = (
            subgroups[row["feature"], row[f"{end}_group"], metric.key]
            for end in ("lowest", "highest")
        )
        sentence = (
            f"{metric.label} by {row['feature']} ranges from {_amount(low['value'], metric.key)} "
            f"({low['group']}) to {_amount(high['value'], metric.key)} ({high['group']}); "
            "whether that is more than chance has not been tested."
        )
        worse = low if metric.better == "higher" else high
        keys = ("feature", "group", "metric", "value", "low", "high", "n")
        records.append(
            {key: worse[key] for key in keys}
            | {"kind": "disparity", "severity": PLAIN, "sentence": sentence}
        )
    return records


def untested_verdict(gaps: list[dict[str, Any]]) -> dict[str, Any]:
    """The headline where nothing could be tested."""
    if gaps:
        return gaps[0] | {"kind": "verdict", "severity": STRONG}
    sentence = "No comparison could be tested: there are not two groups of 30 people or more."
    return {"kind": "verdict", "severity": STRONG, "sentence": sentence}


def told_slices(
    slices: Iterable[Mapping[str, Any]], told: Iterable[Mapping[str, Any]], names: Names
) -> list[dict[str, Any]]:
    """Confirmed weak subgroups as sentences, without those of features already told of."""
    known = {(r["feature"], r["metric"]) for r in told}
    records = []
    for row in slices:
        if not row["confirmed"] or (row["feature"], row["metric"]) in known:
            continue
        metric = METRICS[row["metric"]]
        difference, low, high = (
            _signed(row[key], metric.unit) for key in ("difference", "low", "high")
        )
        sentence = (
            "Weak subgroup, found on one half of the people and confirmed on the other: "
            f"{metric.label.lower()} is {_amount(row['value'], metric.key)} for "
            f"{group_words(row['feature'], row['group'], names.shared)}, "
            f"{_amount(row['complement_value'], metric.key)} for everyone else, "
            f"a difference of {difference}{_UNITS[metric.unit]} [{low}, {high}]."
        )
        keys = ("feature", "group", "metric", "value", "p_adjusted")
        records.append(
            {key: row[key] for key in keys}
            | {"kind": "slice", "severity": PLAIN, "sentence": sentence, "n": row["n_confirm"]}
        )
    return records


def told_calibration(
    scores: Iterable[Mapping[str, Any]],
    subgroups: Mapping[tuple[str, str, str], dict[str, Any]],
    names: Names,
    *,
    alpha: float,
) -> list[dict[str, Any]]:
    """Groups whose score is established not to be calibrated: of each feature the furthest off."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in scores:
        p = row["l2_p_adjusted"]
        if row["feature"] == OVERALL or pd.isna(p) or p >= alpha:
            continue
        known = found.setdefault(row["feature"], row)
        if row["l2"] > known["l2"]:
            found[row["feature"]] = row
    records = []
    for row in found.values():
        sentence = (
            f"Stated P(female) is off by {score(row['ece'])} on average for "
            f"{group_words(row['feature'], row['group'], names.shared)}, more than chance; with as "
            f"many faces, 95 of 100 perfect scores would show at most {score(row['ece_null'])}."
        )
        records.append(_of_score(row, subgroups) | {"severity": PLAIN, "sentence": sentence})
    return sorted(records, key=lambda r: -r["value"])


def about_scores(
    scores: Iterable[Mapping[str, Any]],
    subgroups: Mapping[tuple[str, str, str], dict[str, Any]],
    *,
    alpha: float,
) -> list[dict[str, Any]]:
    """What the score's calibration is over all faces, beside what a perfect score would show."""
    for row in scores:
        if row["feature"] == OVERALL and pd.notna(row["ece"]):
            p = row["l2_p_adjusted"]
            chance = ", within chance" if row["ece"] <= row["ece_null"] else ""
            if pd.notna(p) and p < alpha:
                chance = ", more than chance"
            sentence = (
                f"Stated P(female) is off by {score(row['ece'])} on average over all faces"
                f"{chance}; with as many faces, 95 of 100 perfect scores would show at most "
                f"{score(row['ece_null'])}."
            )
            return [_of_score(row, subgroups) | {"severity": NOTE, "sentence": sentence}]
    return []


def _of_score(
    row: Mapping[str, Any], subgroups: Mapping[tuple[str, str, str], dict[str, Any]]
) -> dict[str, Any]:
    own = subgroups.get((row["feature"], row["group"], "gender_ece"), {})
    return {
        "kind": "calibration",
        **{key: row[key] for key in ("feature", "group", "n")},
        "metric": "gender_ece",
        "value": row["ece"],
        "low": own.get("low"),
        "high": own.get("high"),
        "p_adjusted": row["l2_p_adjusted"],
    }


def about_coverage(coverage: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many true ages lie in the stated intervals, over all faces."""
    for row in coverage:
        if row["feature"] == OVERALL and pd.notna(row["coverage"]):
            sentence = (
                f"The stated age intervals, meant to hold {percent(row['level'])} of true ages, "
                f"hold {percent(row['coverage'])} [{percent(row['low'])}, {percent(row['high'])}]."
            )
            found = {"kind": "coverage", "severity": NOTE, "sentence": sentence}
            found |= {key: row[key] for key in ("feature", "group", "low", "high", "n")}
            return [found | {"metric": "interval_coverage", "value": row["coverage"]}]
    return []


def about_data(subgroups: pd.DataFrame, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was left out, and about whom nothing can be said."""
    read = count(info["rows_read"])
    sentences = [
        (n, f"{count(n)} of {read} rows {agreed(n, 'was', 'were')} left out: {reason}.")
        for reason, n in info["rows_left_out"].items()
    ]
    small = subgroups[subgroups["status"].isin(["few", "suppressed"])]
    groups = len(small.drop_duplicates(["feature", "group"]))
    total = len(subgroups.drop_duplicates(["feature", "group"]))
    if groups:
        words = (
            f"{count(groups)} of {count(total)} groups {agreed(groups, 'has', 'have')} fewer than "
            "30 people for at least one figure: shown where 10 or more, never compared."
        )
        sentences.append((groups, words))
    return [
        {"kind": "data", "severity": NOTE, "sentence": sentence, "n": n}
        for n, sentence in sentences
    ]


def _margins(row: Mapping[str, Any]) -> float:
    return float(abs(row["outlying_difference"]) / row["margin"])


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    whole = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in r.items()} for r in whole.to_dict("records")]


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _plain(x: float, unit: str) -> str:
    """A difference without its unit: years, points of a hundred, or a score's."""
    if unit == "share":
        return years(100 * x)  # one decimal and a true minus sign, as for years
    return in_unit(x, unit)


def _by(x: float, unit: str) -> str:
    """A difference with its unit: `4.1 years`, `12.3 points`, `.012`."""
    return _plain(x, unit) + _UNITS[unit]


def _signed(x: float, unit: str) -> str:
    plain = _plain(x, unit)
    return plain if plain.startswith(MINUS) else f"+{plain}"


def _amount(value: float, key: str) -> str:
    """A value with its unit in words: `4.1 years`, `91.2 %`, `.058`."""
    metric = METRICS[key]
    if metric.unit == "years":
        return f"{years(value, signed=metric.better == 'zero')} years"
    return percent(value) if metric.unit == "share" else in_unit(value, metric.unit)


def _record(given: Mapping[str, Any]) -> dict[str, Any]:
    return {column: given.get(column) for column in COLUMNS["findings"]}
