"""SECTIONS: what the report and the dashboard show, in order. Both walk this one list."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import CROSS, count
from reports import lookup
from reports.age_limits import age_limits
from reports.curves import error_by_age, learning_curves, within_years
from reports.forest import forest
from reports.groups import faces_by_group
from reports.heatmap import confusion, crossing
from reports.intervals import coverage_by_age, coverage_figures
from reports.pit import pit_histograms
from reports.proposals import REPORTED, group_proposals, overall_proposals
from reports.reliability import reliability, score_figures
from reports.theme import Drawn
from reports.thresholds import sweeps

FOREST_METRICS = (
    *("age_mae", "age_me", "gender_accuracy", "gender_brier", "gender_tpr", "gender_fpr"),
)
COMPARED = [
    *("feature", "metric", "difference", "lowest_group", "highest_group"),
    *("noise_gap", "detectable", "p_adjusted", "verdict"),
]
CROSSED_METRICS = ("age_mae", "age_me", "gender_accuracy")


@dataclass(frozen=True)
class Section:
    """A question, how to read its answer in a sentence, and the figures that answer it.

    `figures` draws stored numbers and may return none: the section is then left out. by_feature:
    whether it has figures of every feature, of which a page may leave some out.
    """

    key: str
    title: str
    how: str
    figures: Callable[[AuditResult], list[Drawn]]
    by_feature: bool = False


def overall(result: AuditResult) -> list[Drawn]:
    """Every metric over all faces, as a table."""
    keys = [k for k in lookup.metrics(result) if k in METRICS]
    rows = [r for r in (lookup.overall_row(result, k) for k in keys) if r is not None]
    if not rows:
        return []
    table = pd.DataFrame(rows)[["metric", "value", "low", "high", "n"]]
    table["help"] = [METRICS[k].help for k in table.metric]
    words = "; ".join(f"{METRICS[r['metric']].label} {lookup.figure_words(r)}" for r in rows)
    return [Drawn(key="overall", title="Over all audited faces", alt=words + ".", table=table)]


def ages(result: AuditResult) -> list[Drawn]:
    """Absolute and signed error over age."""
    drawn = [error_by_age(result, metric=m) for m in ("age_mae", "age_me")]
    return [d for d in drawn if d is not None]


def subgroups(result: AuditResult) -> list[Drawn]:
    """A forest plot per feature and metric; the error over age has its own section."""
    return [
        forest(result, feature=feature, metric=metric)
        for feature in lookup.features(result)
        for metric in forest_metrics(result, feature)
        if feature != "age_group" or metric not in ("age_mae", "age_me")
    ]


def forest_metrics(result: AuditResult, feature: str) -> list[str]:
    """Metrics that compare a feature's groups: called-female rates not by true gender."""
    skip = {"gender_tpr", "gender_fpr"} if "gender_true" in feature.split(CROSS) else set()
    held = lookup.metrics(result, feature)
    return [m for m in FOREST_METRICS if m in held and m not in skip]


def crossings(result: AuditResult) -> list[Drawn]:
    """A heat map per crossing of two features and metric; of three, a forest plot."""
    pairs = [
        crossing(result, feature=feature, metric=metric)
        for feature in lookup.features(result, crossed=2)
        for metric in CROSSED_METRICS
        if metric in lookup.metrics(result, feature)
        and not (metric == "age_me" and "age_group" in feature.split(CROSS))
    ]
    triples = [
        forest(result, feature=feature, metric=metric)
        for feature in lookup.features(result, crossed=3)
        for metric in ("age_mae", "gender_accuracy")
        if metric in lookup.metrics(result, feature)
    ]
    return pairs + triples


def disparities(result: AuditResult) -> list[Drawn]:
    """Every comparison as a table: tested and established first, then by size in margins.

    Those without two groups of enough people stand there too, last: none vanishes.
    """
    rows = result.disparities
    if rows.empty:
        return []
    order = rows.assign(
        rank=[{"disparity": 0, "no disparity found": 2}.get(v, 1) for v in rows.verdict],
        size=-(rows.difference / rows.margin),
    ).sort_values(["rank", "p_adjusted", "size"], kind="stable")
    table = rows.loc[order.index, COMPARED]
    words = verdict_counts(rows)
    return [
        Drawn(
            key="disparities",
            title=f"{len(rows)} comparisons: {words}",
            alt=f"{len(rows)} comparisons of groups: {words}.",
            table=table,
        )
    ]


def slices(result: AuditResult) -> list[Drawn]:
    """Weak subgroups found on one half of the people and confirmed on the other."""
    rows = result.slices
    if rows.empty:
        return []
    confirmed = rows[[bool(c) for c in rows.confirmed]]
    columns = ["group", "metric", "value", "complement_value", "difference", "n_confirm"]
    title = f"{count(len(confirmed))} of {count(len(rows))} nominated subgroups are confirmed"
    words = "; ".join(
        f"{r['group']}, {METRICS[r['metric']].label.lower()} {lookup.value_words(r)}"
        for r in lookup.records(confirmed)
    )
    table = confirmed[[*columns, "p_adjusted"]]
    return [Drawn(key="slices", title=title, alt=f"{title}. {words}.", table=table)]


def verdict_counts(rows: pd.DataFrame) -> str:
    """`3 disparity, 61 no disparity found, ...`, a missing verdict as not tested."""
    kinds = ("disparity", "no disparity found", "insufficient evidence")
    found = [(int((rows.verdict == kind).sum()), kind) for kind in kinds]
    found.append((int(rows.verdict.isna().sum()), "not tested"))
    return ", ".join(f"{count(n)} {kind}" for n, kind in found if n)


def calibration(result: AuditResult) -> list[Drawn]:
    """Reliability of P(female): all faces, then per group of every feature but true gender."""
    drawn: list[Drawn] = []
    whole = reliability(result, feature=lookup.OVERALL, groups=[lookup.OVERALL])
    for feature in lookup.features(result):
        multiples = reliability(result, feature=feature)
        if not multiples:
            continue
        first = [] if drawn else [replace(d, heading=lookup.heading(feature)) for d in whole]
        drawn += first + multiples + score_figures(result, feature=feature)
    return drawn or whole + score_figures(result, feature=lookup.OVERALL)


def calls(result: AuditResult) -> list[Drawn]:
    """Rates of calls over every threshold and ROC, per feature."""
    held = [f for f in lookup.features(result) if (result.thresholds.feature == f).any()]
    return [d for f in held or [lookup.OVERALL] for d in sweeps(result, feature=f)]


def coverage(result: AuditResult) -> list[Drawn]:
    """Coverage of the age intervals by age, per feature, and where true ages fall in them."""
    by_age = coverage_by_age(result)
    drawn = [] if by_age is None else [by_age]
    whole = pit_histograms(result, feature=lookup.OVERALL)
    for feature in lookup.features(result):
        if by_age is None or feature != "age_group":  # true ages stand in the first figure
            drawn += coverage_figures(result, feature=feature)
        if feature == "age_group":  # of one true age, true ages never fall evenly
            continue
        if parts := pit_histograms(result, feature=feature):
            drawn += [replace(d, heading=lookup.heading(feature)) for d in whole] + parts
            whole = []
    return drawn + whole


def limits(result: AuditResult) -> list[Drawn]:
    """False acceptance and false rejection at an age limit, per feature."""
    return [d for f in lookup.features(result) for d in age_limits(result, feature=f)]


def proposals(result: AuditResult) -> list[Drawn]:
    """Corrections before and after: over all faces by every metric, then per feature."""
    wanted = [f"proposal-{lookup.OVERALL}-{metric}" for metric in REPORTED]
    drawn = [d for d in overall_proposals(result) if d.key in wanted]
    for feature in dict.fromkeys(result.proposals.feature):
        drawn += group_proposals(result, feature=str(feature))
    return drawn


def spread(result: AuditResult) -> list[Drawn]:
    """CS@k per group of every feature."""
    return [d for f in lookup.features(result) for d in within_years(result, feature=f)]


def confusions(result: AuditResult) -> list[Drawn]:
    """Gender, then age groups."""
    drawn = [confusion(result, head=head) for head in ("gender", "age")]
    return [d for d in drawn if d is not None]


def training(result: AuditResult) -> list[Drawn]:
    """Learning curves, where the model was trained here."""
    return learning_curves(result.history)


SECTIONS = (
    Section(
        "groups",
        "Who was audited",
        "Faces of each group, before any figure about them. A hollow bar has fewer than 30 people: "
        "nothing of it is compared.",
        faces_by_group,
    ),
    Section(
        "overall",
        "Overall figures",
        "Each value stands with the 95 % interval that the sampling of faces alone leaves open.",
        overall,
    ),
    Section(
        "age",
        "Error by age",
        "Bars are 95 % intervals. By true age even the best possible reader shows the young too "
        "old and the old too young, because it leans towards common ages; only the line by "
        "predicted age says whether a reading can be taken at its word.",
        ages,
    ),
    Section(
        "subgroups",
        "Subgroups",
        "One dot per group with its 95 % interval, the dotted line is all faces; the diamond is "
        "the compared group furthest on the worse side; a hollow dot has fewer than 30 people and "
        "is out of every comparison; under 10, only the number of faces is given.",
        subgroups,
        by_feature=True,
    ),
    Section(
        "crossings",
        "Crossings of two features",
        "The stronger the colour, the worse; a signed error is blue where read too old and orange "
        "where too young. Hatched: fewer than 30 people, not compared (fewer than 10: not shown). "
        "A dot marks a difference from the rest that is established.",
        crossings,
        by_feature=True,
    ),
    Section(
        "disparities",
        "Disparities",
        "The largest difference between compared groups is above zero by construction: read it "
        "beside the difference expected from noise alone.",
        disparities,
    ),
    Section(
        "slices",
        "Weak subgroups",
        "Every crossing of up to three features was searched. The weakest were named on one half "
        "of the people and tested on the other, whose figures stand here.",
        slices,
    ),
    Section(
        "calibration",
        "Calibration of the gender score",
        "The step is the share of females where P(female) was stated; inside the grey band a "
        "calibrated score would lie 95 times in 100. Grey dots are fifteen bins of equal size with "
        "their 95 % intervals; beneath, how many faces got each score. MCB is what the best "
        "recalibration would save of the Brier score, ECE the expected calibration error; by "
        "chance alone a calibrated score shows up to the figure in brackets. Never split by "
        "labelled gender: a perfect score would look wrong.",
        calibration,
        by_feature=True,
    ),
    Section(
        "thresholds",
        "Calls at any threshold",
        "Who is called female when the threshold on P(female) moves: the upper lines are faces "
        "labelled female, the lower ones faces labelled male, shaded with their 95 % intervals. "
        "The dotted upright, and the dot on the ROC curve, is the threshold in force.",
        calls,
        by_feature=True,
    ),
    Section(
        "coverage",
        "Coverage of the age intervals",
        "Left of the dotted line the intervals hold fewer true ages than they state; at the right "
        "their mean half-width in years. The Winkler score adds to the width twenty times the "
        "years by which an interval misses. Where a deviation is stated, true ages fall evenly "
        "over it, inside the grey band, and squared z is 1 on average, if it is right. A hollow "
        "mark stands for fewer than 30 faces.",
        coverage,
        by_feature=True,
    ),
    Section(
        "age_limits",
        "At an age limit",
        "Where a reading decides who is old enough: people under the limit who pass, and people "
        "of the limit or older who are turned away, with 95 % intervals.",
        limits,
        by_feature=True,
    ),
    Section(
        "proposals",
        "What would mend it",
        "Corrections fitted on one half of the people and judged on the other: hollow before, "
        "filled after, at the right the change with its paired 95 % interval. A star: the group is "
        "too small for a map of its own and fell back to that of all people.",
        proposals,
        by_feature=True,
    ),
    Section(
        "spread",
        "How far off, for how many",
        "The solid line is the share of the group's faces read at most k years off, in its 95 % "
        "band; the dotted line is all faces. Higher is better.",
        spread,
        by_feature=True,
    ),
    Section(
        "confusion",
        "Labelled against called",
        "Rows are the labels, columns what the model called; the shade is the share of the row.",
        confusions,
    ),
    Section(
        "training",
        "Learning curves",
        "Solid: faces trained on; dashed: validation faces, by which the epoch was chosen. "
        "Neither is the audited figure.",
        training,
    ),
)
