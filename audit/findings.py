"""What was found, as ranked sentences, each with its numbers in the same record.

A sentence compares a group with everyone else and carries that difference with its simultaneous
interval; the record's value, low, high and n are the group's own. Nothing is called more than the
test allows: a difference that was not tested says so.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from audit.difference_words import (
    Names,
    amount,
    difference_sentence,
    group_words,
    is_open,
    names_of,
)
from audit.evidence import alphas
from audit.groups import OVERALL
from audit.metrics import METRICS
from audit.result import COLUMNS
from audit.words import CROSS, agreed, count, counted, gap_interval, gap_words, percent, score

MOST = 24  # disparities that are told; all of them stand in their table
MOST_SLICES = 8
STRONG, PLAIN, NOTE = 3, 2, 1  # severity
DISPARITY, NONE, OPEN = "disparity", "no disparity found", "insufficient evidence"

# What a head is for comes first, then which way it errs; the others tell the same another way.
ORDER = {"age_mae": 0, "gender_accuracy": 0}
ORDER |= dict.fromkeys(("age_me", "gender_tpr", "gender_fpr", "interval_coverage"), 1)
HEADS = {"age_mae": "age error", "gender_accuracy": "gender accuracy"}  # told of in the headline
ECHO = 1.25  # a crossing that shows less than this many times its parts' difference repeats them


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
        return is_open(row), echo, ORDER.get(row["metric"], 2), -_margins(row)

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
    seen = [_would_have_been_seen(tested, key) for key in HEADS]
    sure, unsure = ([words for words in part if words] for part in zip(*seen, strict=True))
    sentence += f"; {' and '.join(sure)} would have been seen" if sure else ""
    sentence = "; ".join([sentence, *unsure])
    return {"kind": "verdict", "severity": STRONG, "sentence": f"{sentence}."}


def _would_have_been_seen(tested: list[dict[str, Any]], key: str) -> tuple[str, str]:
    """What was sure to be seen by the single features, and by which of them nothing was."""
    rows = [
        r
        for r in tested
        if r["metric"] == key and CROSS not in r["feature"] and pd.notna(r["p_adjusted"])
    ]
    least = [r["detectable"] for r in rows if pd.notna(r["detectable"])]
    open_ = [r for r in rows if pd.isna(r["detectable"])]
    above = f"above {gap_words(max(least), METRICS[key].unit)}" if least else ""
    names = dict.fromkeys(
        f"{r['feature']} within {r['control']}" if r["control"] else r["feature"] for r in open_
    )
    by = f"by {' or '.join(names)}, " if least else ""
    return (
        f"differences in {HEADS[key]} {above}" if least else "",
        f"{by}no difference in {HEADS[key]}, however large, is sure to be seen" if open_ else "",
    )


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
            f"{metric.label} by {row['feature']} ranges from {amount(low['value'], metric.key)} "
            f"({low['group']}) to {amount(high['value'], metric.key)} ({high['group']}); "
            "whether that is more than chance has not been tested."
        )
        worse = low if metric.better == "higher" else high
        if metric.better == "zero":
            worse = max(low, high, key=lambda r: abs(r["value"]))
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
        difference = gap_words(row["difference"], metric.unit, signed=True)
        ends = gap_interval(row["low"], row["high"], metric.unit, signed=True)
        sentence = (
            "Weak subgroup, found on one half of the people and confirmed on the other: "
            f"{metric.label.lower()} is {amount(row['value'], metric.key)} for "
            f"{group_words(row['feature'], row['group'], names.shared)}, "
            f"{amount(row['complement_value'], metric.key)} for everyone else, "
            f"a difference of {difference} {ends}."
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


def _record(given: Mapping[str, Any]) -> dict[str, Any]:
    return {column: given.get(column) for column in COLUMNS["findings"]}
