"""How each group is served and how far groups lie apart, by fairlearn over the tally.

fairlearn's MetricFrame disaggregates: one row per group of the tally stands for its faces, and
the metric functions receive row positions and read the sums. So a frame of 2 M faces costs as much
as one of ninety rows, and every value, difference and ratio is fairlearn's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

from audit.calibration import calibration_error, calibration_error_interval, score_design
from audit.groups import Groups, status
from audit.intervals import (
    around,
    clustered_se,
    delong,
    effective,
    quantile,
    quantile_interval,
    shrunken,
    student,
    student_above_zero,
    wilson,
)
from audit.metrics import CALIBRATION_KEYS, METRICS, Floats, Metric

P90 = 0.9
BY_TRUE_GENDER = ("gender_tpr", "gender_fpr", "gender_selection")
PER_GROUP_OF_SCORES = (*CALIBRATION_KEYS, "gender_auc")


def audited_metrics(overall: Groups) -> tuple[str, ...]:
    """Keys of the metrics whose head the table has, in the order of METRICS."""
    return tuple(key for key, m in METRICS.items() if overall.totals(m.bottom).sum() > 0)


def metrics_of(parts: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    """`keys` without the score's where true gender is among the features that split the faces.

    A perfect score looks miscalibrated within true women, and a ROC curve needs both genders.
    """
    split = "gender_true" in parts
    return tuple(k for k in keys if not (split and k in PER_GROUP_OF_SCORES))


@dataclass(frozen=True)
class Disaggregated:
    """fairlearn's answer for one feature: rows are groups in our order, columns metric keys.

    by_group: values, NaN where suppressed or undefined. state: the status of each. difference
    and ratio: over groups of status `ok` only, NaN where there is none.
    """

    by_group: pd.DataFrame
    state: pd.DataFrame
    difference: pd.Series
    ratio: pd.Series


def is_tested(parts: Sequence[str], key: str) -> bool:
    """Whether a difference of metric `key` over these features may become a claim at all.

    Not the mean signed error by true age (regression to the mean shows it for a perfect model), nor
    calls by gender where true gender is part of the feature, nor the calibration error, whose
    expectation depends on n.
    """
    if key == "age_me" and "age_group" in parts:
        return False
    if key in BY_TRUE_GENDER and "gender_true" in parts:
        return False
    return key != "gender_ece"


def disaggregate(groups: Groups, keys: Sequence[str]) -> Disaggregated:
    """Values by group, difference and ratio by fairlearn, over the groups that each may use.

    Two frames: one of the compared groups, which gives differences and ratios (fairlearn's minimum
    and maximum pass over the NaN of a metric that leaves a group out), one of groups with few.
    """
    state = pd.DataFrame(
        {key: status(people_of(groups, key), rows_of(groups, key)) for key in keys}
    )
    values = pd.DataFrame(np.nan, index=state.index, columns=list(keys))
    gaps = [pd.Series(np.nan, index=list(keys))] * 2
    for wanted in ("ok", "few"):
        mask = state == wanted
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            continue
        functions = {key: _masked(_of_rows(groups, key), mask[key].to_numpy()) for key in keys}
        # fairlearn sorts groups by their name: positions keep the feature's own order
        frame = MetricFrame(
            metrics=functions, y_true=rows, y_pred=rows, sensitive_features={"group": rows}
        )
        by_group = frame.by_group.astype("float64")
        values = values.fillna(by_group.reindex(index=values.index, columns=values.columns))
        if wanted == "ok":
            gaps = [frame.difference(), frame.ratio()]
    return Disaggregated(values, state, *(gap.astype("float64") for gap in gaps))


def _of_rows(groups: Groups, key: str) -> Callable[..., float]:
    """Metric `key` of the faces behind some tally rows (their positions, given twice)."""
    metric = METRICS[key]
    if metric.top:
        sums = {name: groups.totals(name) for name in (metric.top, metric.bottom)}
        return lambda rows, _: float(metric.value({k: v[rows].sum() for k, v in sums.items()}))
    if key == "age_p90":
        return lambda rows, _: float(
            quantile(groups.errors[rows].sum(axis=0)[None], groups.error_bins / 10, P90)[0]
        )
    scores, sums_of_scores = groups.scores, groups.score_sums
    if key == "gender_ece":
        return lambda rows, _: calibration_error(
            scores[rows].sum(axis=0), sums_of_scores[rows].sum(axis=0)
        )
    male, female = scores[:, 0], scores[:, 1]
    return lambda rows, _: float(
        delong(female[rows].sum(axis=0)[None], male[rows].sum(axis=0)[None])[0][0]
    )


def _masked(function: Callable[..., float], keep: NDArray[np.bool_]) -> Callable[..., float]:
    """NaN, which fairlearn's minimum and maximum pass over, for groups out of comparison."""
    return lambda rows, _: function(rows, _) if keep[rows].all() else float("nan")


def subgroup_table(groups: Groups, found: Disaggregated) -> list[dict[str, Any]]:
    """One record per metric and group: value, 95 % interval, rows, people, shrunken, status.

    The people of gender_auc are those of the rarer gender: they limit what it can say.
    """
    records = []
    for key in found.by_group:
        metric = METRICS[str(key)]
        value, state = found.by_group[key].to_numpy(), found.state[key].to_numpy()
        n, people = groups.totals(metric.bottom), people_of(groups, metric.key)
        low, high, se = _interval(groups, metric, value)
        low, high = around(low, high, value)
        lean = np.full(len(value), np.nan)
        if metric.top and not metric.root and groups.parts:
            lean = shrunken(value, se, n)
        hidden = np.isnan(value)
        records += [
            {
                "feature": groups.feature,
                "group": name,
                "metric": metric.key,
                "value": value[g],
                "low": None if hidden[g] else low[g],
                "high": None if hidden[g] else high[g],
                "n": n[g],
                "n_subjects": min(np.floor(people[g] + 0.5), n[g]),
                "shrunken": lean[g],
                "status": str(state[g]),
            }
            for g, name in enumerate(groups.names)
        ]
    return records


def people_of(groups: Groups, key: str) -> Floats:
    """Subjects that decide a metric's status: its denominator's; for AUC the rarer gender's."""
    if key == "gender_auc":
        return np.minimum(groups.people("female_n"), groups.people("male_n"))
    return groups.people(METRICS[key].bottom)


def rows_of(groups: Groups, key: str) -> Floats:
    """Rows without which a metric is undefined: its denominator's; for AUC the rarer gender's."""
    if key == "gender_auc":
        return np.asarray(groups.scores.sum(axis=2).min(axis=1))
    return groups.totals(METRICS[key].bottom)


def disparity_table(
    groups: Groups, found: Disaggregated, *, margins: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One record per metric with two groups or more: difference and ratio of compared groups.

    A signed metric has no ratio. Where groups of few people leave fewer than two to compare, the
    record says `insufficient evidence`.
    """
    records = []
    for key in map(str, found.by_group):
        state = found.state[key]
        if state.isin(["ok", "few"]).sum() < 2:
            continue
        seen = found.by_group[key].where(state == "ok")
        enough = int(seen.count()) >= 2
        signed = METRICS[key].better == "zero"
        claim = is_tested(groups.parts, key)
        records.append(
            {
                "feature": groups.feature,
                "metric": key,
                "difference": found.difference[key] if enough else None,
                "ratio": found.ratio[key] if enough and not signed else None,
                "lowest_group": groups.names[int(seen.argmin())] if enough else None,
                "highest_group": groups.names[int(seen.argmax())] if enough else None,
                "margin": margins[key],
                "verdict": "insufficient evidence" if claim and not enough else None,
                "groups_compared": int(seen.count()),
            }
        )
    return records


def _interval(groups: Groups, metric: Metric, value: Floats) -> tuple[Floats, Floats, Floats]:
    """Low, high and standard error of one metric in every group; the error is NaN off sums."""
    unknown = np.full(len(value), np.nan)
    if metric.key == "age_p90":
        n = effective_errors(groups)
        return (*quantile_interval(groups.errors, groups.error_bins / 10, P90, n), unknown)
    if metric.key == "gender_ece":
        shrink = score_design(groups)
        ends = [
            calibration_error_interval(groups.scores[g], groups.score_sums[g], shrink[g])[:2]
            for g in range(len(value))
        ]
        return np.array([e[0] for e in ends]), np.array([e[1] for e in ends]), unknown
    if metric.key == "gender_auc":
        return (*_area_interval(groups, value), unknown)
    return _interval_of_mean(groups, metric, value)


def _interval_of_mean(
    groups: Groups, metric: Metric, value: Floats
) -> tuple[Floats, Floats, Floats]:
    assert metric.top
    top, bottom = groups.sums[metric.top], groups.sums[metric.bottom]
    freedom = groups.freedom(metric.bottom)
    se = clustered_se(top, bottom) / (1 if metric.root else metric.scale)
    if metric.unit == "share":
        n = bottom.sum(axis=1)
        variance = np.clip(value * (1 - value), 0, None)
        if groups.people_given:
            n = effective(top, bottom, variance, groups.counted(metric.bottom))
        return (*wilson(value, n), np.sqrt(variance / np.where(n > 0, n, np.nan)))
    if metric.root:
        # the root of a mean square has half its relative error
        with np.errstate(divide="ignore", invalid="ignore"):
            se = value * se / (top.sum(axis=1) / bottom.sum(axis=1)) / 2
        return (*student_above_zero(value, se, freedom), se)
    of_mean = student if metric.better == "zero" else student_above_zero
    low, high = of_mean(value, se, freedom)
    if metric.unit == "score":
        high = np.minimum(high, 1)
    return low, high, se


def effective_errors(groups: Groups) -> Floats:
    """Effective rows behind the distribution of |e|, by the design effect of its mean."""
    n = groups.totals("age_n")
    if not groups.people_given:
        return n
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = groups.totals("age_sq") / n - (groups.totals("age_abs") / n) ** 2
    return effective(
        groups.sums["age_abs"], groups.sums["age_n"], variance, groups.counted("age_n")
    )


def _area_interval(groups: Groups, area: Floats) -> tuple[Floats, Floats]:
    """Wilson's interval on the rows that DeLong's variance is worth.

    Stays inside 0..1 and holds at 1, where the variance is 0 and the rarer gender's faces count.
    """
    female, male = groups.scores[:, 1], groups.scores[:, 0]
    _, variance = delong(female, male)
    rarer = np.minimum(female.sum(axis=1), male.sum(axis=1))
    people = np.minimum(groups.independent("female_n"), groups.independent("male_n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = area * (1 - area) / variance * (people - 1) / people
    worth = np.where(np.isfinite(worth) & (worth > 0), worth, rarer)
    return wilson(area, worth * score_design(groups))
