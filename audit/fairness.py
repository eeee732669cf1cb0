"""How each group is served and how far groups lie apart, by fairlearn over the tally.

fairlearn's MetricFrame disaggregates: one row per group of the tally stands for its faces, and
the metric functions receive row positions and read the sums. So a frame of 2 M faces costs as much
as one of ninety rows, and every value, difference and ratio is fairlearn's own.
"""

from collections.abc import Callable, Mapping, Sequence
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
    wilson,
)
from audit.metrics import CALIBRATION_KEYS, METRICS, Floats, Metric

P90 = 0.9
PER_GROUP_OF_SCORES = (*CALIBRATION_KEYS, "gender_auc")


def audited_metrics(overall: Groups) -> tuple[str, ...]:
    """Keys of the metrics whose head the table has, in the order of METRICS."""
    return tuple(key for key, m in METRICS.items() if overall.totals(m.bottom).sum() > 0)


def metrics_of(groups: Groups, keys: Sequence[str]) -> tuple[str, ...]:
    """`keys` without the score's where true gender is part of the feature.

    A perfect score looks miscalibrated within true women, and a ROC curve needs both genders.
    """
    split = "gender_true" in groups.parts
    return tuple(k for k in keys if not (split and k in PER_GROUP_OF_SCORES))


def group_values(groups: Groups, keys: Sequence[str]) -> pd.DataFrame:
    """MetricFrame's `by_group`: a row per group in our order, a column per metric."""
    frame = _metric_frame(groups, {key: _of_rows(groups, key) for key in keys})
    values: pd.DataFrame = frame.by_group.reindex(range(len(groups.names))).astype("float64")
    return values


def group_gaps(
    groups: Groups, compared: Mapping[str, NDArray[np.bool_]]
) -> tuple[pd.Series, pd.Series]:
    """MetricFrame's `difference()` and `ratio()` per metric, over the compared groups only."""
    functions = {key: _masked(_of_rows(groups, key), mask) for key, mask in compared.items()}
    frame = _metric_frame(groups, functions)
    return frame.difference(), frame.ratio()


def _metric_frame(groups: Groups, functions: Mapping[str, Callable[..., float]]) -> Any:
    rows = np.arange(len(groups.names))
    # fairlearn sorts groups by their name: positions keep the feature's own order
    return MetricFrame(
        metrics=dict(functions), y_true=rows, y_pred=rows, sensitive_features={"group": rows}
    )


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


def subgroup_table(groups: Groups, keys: Sequence[str]) -> list[dict[str, Any]]:
    """One record per metric and group: value, 95 % interval, rows, people, shrunken, status.

    The people of gender_auc are those of the rarer gender: they limit what it can say.
    """
    values = group_values(groups, keys)
    records = []
    for key in keys:
        metric = METRICS[key]
        value = values[key].to_numpy()
        n, people = groups.totals(metric.bottom), people_of(groups, key)
        low, high, se = _interval(groups, metric, value, people)
        low, high = around(low, high, value)
        state = status(people, np.where(np.isnan(value), 0, n))
        lean = shrunken(_shown(value, state), se, n) if metric.top and not metric.root else None
        records += [
            {
                "feature": groups.feature,
                "group": name,
                "metric": key,
                "value": _kept(value[g], state[g]),
                "low": _kept(low[g], state[g]),
                "high": _kept(high[g], state[g]),
                "n": n[g],
                "n_subjects": min(np.floor(people[g] + 0.5), n[g]),
                "shrunken": lean[g] if lean is not None and groups.parts else None,
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


def disparity_table(
    groups: Groups, subgroups: pd.DataFrame, *, margins: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One record per metric with two groups or more: difference and ratio of compared groups.

    `subgroups` are this feature's records. A signed metric has no ratio. Where groups of few
    people leave fewer than two to compare, the record says `insufficient evidence`.
    """
    mine = subgroups[subgroups["feature"] == groups.feature]
    per_metric = {str(key): rows for key, rows in mine.groupby("metric", sort=False)}
    compared = {key: (rows["status"] == "ok").to_numpy() for key, rows in per_metric.items()}
    difference, ratio = group_gaps(groups, compared)
    records = []
    for key, rows in per_metric.items():
        if rows["status"].isin(["ok", "few"]).sum() < 2:
            continue
        enough = compared[key].sum() >= 2
        signed = METRICS[key].better == "zero"
        seen = rows.loc[compared[key]].set_index("group")["value"]
        records.append(
            {
                "feature": groups.feature,
                "metric": key,
                "difference": difference[key] if enough else None,
                "ratio": ratio[key] if enough and not signed else None,
                "lowest_group": seen.idxmin() if enough else None,
                "highest_group": seen.idxmax() if enough else None,
                "margin": margins[key],
                "verdict": None if enough else "insufficient evidence",
                "groups_compared": int(compared[key].sum()),
            }
        )
    return records


def _shown(value: Floats, state: NDArray[np.str_]) -> Floats:
    return np.where(np.isin(state, ["ok", "few"]), value, np.nan)


def _kept(value: float, state: str) -> float | None:
    return float(value) if state in ("ok", "few") else None


def _interval(
    groups: Groups, metric: Metric, value: Floats, people: Floats
) -> tuple[Floats, Floats, Floats]:
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
    return _interval_of_mean(groups, metric, value, people)


def _interval_of_mean(
    groups: Groups, metric: Metric, value: Floats, people: Floats
) -> tuple[Floats, Floats, Floats]:
    assert metric.top
    top, bottom = groups.sums[metric.top], groups.sums[metric.bottom]
    se = clustered_se(top, bottom) / (1 if metric.root else metric.scale)
    if metric.unit == "share":
        if groups.subjects_are_rows:
            n = bottom.sum(axis=1)
            se = np.sqrt(np.clip(value * (1 - value), 0, None) / np.where(n > 0, n, np.nan))
        else:
            n = effective(se, np.clip(value * (1 - value), 0, None), people)
        return (*wilson(value, n), se)
    if metric.root:
        # delta method on the logarithm: the mean square is skewed, its logarithm hardly
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = se / (top.sum(axis=1) / bottom.sum(axis=1)) / 2
        low, high = student(np.zeros(len(value)), np.nan_to_num(relative), people)
        return value * np.exp(low), value * np.exp(high), relative * value
    low, high = student(value, se, people)
    if metric.better != "zero":
        low = np.maximum(low, 0)
    if metric.unit == "score":
        high = np.minimum(high, 1)
    return low, high, se


def effective_errors(groups: Groups) -> Floats:
    """Effective rows behind the distribution of |e|, by the design effect of its mean."""
    n, people = groups.totals("age_n"), groups.people("age_n")
    if groups.subjects_are_rows:
        return n
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = groups.totals("age_sq") / n - (groups.totals("age_abs") / n) ** 2
    return effective(clustered_se(groups.sums["age_abs"], groups.sums["age_n"]), variance, people)


def _area_interval(groups: Groups, area: Floats) -> tuple[Floats, Floats]:
    """Wilson's interval on the rows that DeLong's variance is worth.

    Stays inside 0..1 and holds at 1, where the variance is 0 and the rarer gender's faces count.
    """
    female, male = groups.scores[:, 1], groups.scores[:, 0]
    _, variance = delong(female, male)
    rarer = np.minimum(female.sum(axis=1), male.sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = area * (1 - area) / variance
    worth = np.where(np.isfinite(worth) & (worth > 0), worth, rarer)
    return wilson(area, worth * score_design(groups))
