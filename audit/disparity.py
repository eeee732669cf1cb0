"""Every comparison of an audit put to the test: p-values, intervals, spread, verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.config import AuditSettings
from audit.evidence import (
    INTERVAL_ALPHA,
    Comparison,
    alphas,
    beyond,
    cochran,
    detectable,
    detectable_share,
    exact_p,
    holm,
    joined_p,
    newcombe,
    outlying,
    rare,
    rare_in_rest,
    spread,
    verdict,
)
from audit.fairness import Disaggregated, disparity_table, is_tested, people_of
from audit.groups import Groups
from audit.histogram_tests import area_record, areas_compared, in_years, woodruff
from audit.intervals import Z, share_variance
from audit.metrics import METRICS, Floats, Metric
from audit.resample import UNEVEN, Kind, Linear, Ratios, Record, Replicates, replicate
from audit.standardise import Standardised, standardise

LARGE = 100  # people per group from which Cochran's Q follows chi-squared
DRAWS = 1000


@dataclass(frozen=True)
class Asked:
    """A feature to be tested: its groups, fairlearn's answer, and its crossing with age groups.

    by_age: gathers the groups of the feature crossed with `age_group` as its last part, which are
    large and needed once; None where ages are part of the feature or unknown. control,
    control_group: the faces all these are within.
    """

    groups: Groups
    found: Disaggregated
    by_age: Callable[[], Groups | None]
    control: str | None = None
    control_group: str | None = None


@dataclass(frozen=True)
class _Question:
    """One disparity record on its way to a verdict; arrays are over all groups of the feature.

    counts: whether it is a test (else its spread and noise alone are told). rare: compared groups
    with too few events to resample. design: variance over that of independent faces. ages: names
    of the ages in `by_age`, used or not.
    """

    groups: Groups
    metric: Metric
    record: Mapping[str, Any]
    values: Floats
    compared: NDArray[np.bool_]
    counts: bool
    rare: NDArray[np.bool_]
    design: Floats
    ratios: Ratios | None
    by_age: Standardised | None
    ages: tuple[str, ...]

    @property
    def enough(self) -> bool:
        return int(self.compared.sum()) >= 2

    @property
    def names(self) -> list[str]:
        return [n for n, ok in zip(self.groups.names, self.compared, strict=True) if ok]


def weigh_disparities(
    asked: Sequence[Asked], *, settings: AuditSettings, beside: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """The disparity records of all features: fairlearn's gaps with the evidence beside them.

    All records of the audit are tested together: one set of replicates, one correction. `beside`:
    p-values of other claims that the correction counts.
    """
    margins = {key: settings.margin(key) for key in METRICS}
    questions = [question for one in asked for question in _questions(one, margins)]
    jobs = [(i, name, r) for i, q in enumerate(questions) for name, r in _jobs(q).items()]
    answers: list[dict[str, Replicates]] = [{} for _ in questions]
    resampled = replicate([record for _, _, record in jobs], seed=settings.seed)
    for (i, name, _), answer in zip(jobs, resampled, strict=True):
        answers[i][name] = answer
    return _judged(questions, answers, beside, alpha=alphas(settings.alpha)[0])


def family(records: Sequence[Mapping[str, Any]], beside: Sequence[float] = ()) -> list[float]:
    """Every p-value that one correction covers: of differences, at one age mix, and beside them."""
    tested = [r.get(key) for key in ("p_value", "standardised_p") for r in records]
    return [np.nan if p is None else float(p) for p in tested] + list(beside)


def _judged(
    questions: Sequence[_Question],
    answers: Sequence[Mapping[str, Replicates]],
    beside: Sequence[float],
    *,
    alpha: float,
) -> list[dict[str, Any]]:
    """Records with verdicts, p-values corrected over all of them."""
    compared = [_comparison(q, a.get("raw")) for q, a in zip(questions, answers, strict=True)]
    records = []
    for q, c, answer in zip(questions, compared, answers, strict=True):
        record = dict(q.record)
        if c is not None:
            record |= dict(zip(("spread", "spread_low", "spread_high"), c.spread, strict=True))
            record |= dict(zip(("cochran_q", "cochran_p"), c.cochran, strict=True))
            record["noise_gap"] = c.noise_gap
        if c is not None and q.counts:
            with np.errstate(divide="ignore", invalid="ignore"):
                t = c.difference / c.se
            g = outlying(c.difference, c.low, c.high, t, better=q.metric.better)
            record |= _told(c, q, g) | _at_one_age_mix(q, answer.get("age"), g)
            record["p_value"] = c.p_value
        records.append(record)
    p = np.array(family(records, beside))
    adjusted, tests = holm(p), max(int(np.isfinite(p).sum()), 1)
    for i, (q, c, record) in enumerate(zip(questions, compared, records, strict=True)):
        if "standardised_p" in record:
            record["standardised_p_adjusted"] = adjusted[len(records) + i]
        if c is not None and q.counts:
            record["p_adjusted"] = adjusted[i]
            record["detectable"] = _detectable(q, c, share=alpha / tests)
            record["verdict"] = verdict(
                adjusted[i], c.low, c.high, margin=record["margin"], alpha=alpha
            )
    return records


def _questions(asked: Asked, margins: Mapping[str, float]) -> list[_Question]:
    records = disparity_table(asked.groups, asked.found, margins=margins)
    by_age = asked.by_age() if records else None
    return [_question(asked, record, by_age) for record in records]


def _question(asked: Asked, record: Mapping[str, Any], by_age: Groups | None) -> _Question:
    groups, metric = asked.groups, METRICS[record["metric"]]
    compared = asked.found.state[metric.key].to_numpy() == "ok"
    enough = int(compared.sum()) >= 2
    counts = enough and is_tested(groups.parts, metric.key)
    design = _design(groups, metric)
    ratios = _ratios(groups, metric, compared, design) if enough else None
    few = np.zeros(len(compared), dtype=bool)
    if ratios is not None and ratios.kind == "share":
        hits, rows = (a.sum(axis=1) / design for a in (ratios.top, ratios.bottom))
        few = compared & (rare(hits, rows) | rare_in_rest(hits, rows))
    by_age = by_age if counts else None
    return _Question(
        groups=groups,
        metric=metric,
        record=dict(record) | {"control": asked.control, "control_group": asked.control_group},
        values=asked.found.by_group[metric.key].to_numpy(np.float64),
        compared=compared,
        counts=counts,
        rare=few,
        design=design,
        ratios=ratios,
        by_age=_standardised(groups, by_age, metric, compared) if by_age else None,
        ages=_ages(by_age) if by_age else (),
    )


def _jobs(q: _Question) -> dict[str, Record]:
    """What is to be resampled for a question, by name."""
    jobs: dict[str, Record] = {}
    if q.ratios is not None and (q.compared & ~q.rare).any():
        jobs["raw"] = replace(q.ratios, compared=q.compared & ~q.rare)
    if q.metric.key == "gender_auc" and q.enough:
        jobs["raw"] = area_record(q.groups, q.compared)
    if q.by_age is not None:
        jobs["age"] = Linear(q.by_age.difference, q.by_age.influence, q.by_age.least_se)
    return jobs


def _comparison(q: _Question, raw: Replicates | None) -> Comparison | None:
    """The evidence on one question; None where nothing can be compared or tested."""
    if not q.enough:
        return None
    if q.metric.key == "gender_auc" and raw is not None:
        return areas_compared(raw, q.groups, q.compared, alpha=INTERVAL_ALPHA)
    if q.ratios is None:
        return None
    few = q.rare[q.compared]
    K = len(few)
    difference, se, low, high = (np.full(K, np.nan) for _ in range(4))
    together, critical, gap = np.nan, np.nan, np.nan
    if raw is not None:
        alpha = INTERVAL_ALPHA * int((~few).sum()) / K
        together, critical, gap = raw.p_value, raw.critical(alpha), raw.noise_gap
        difference[~few], se[~few] = raw.difference, raw.se
        low[~few], high[~few] = raw.interval(alpha)
    exact = np.zeros(0)
    if few.any():
        exact, difference[few], se[few], low[few], high[few] = _exactly(q)
        critical = np.fmax(
            critical, beyond(Z, groups=1, alpha=INTERVAL_ALPHA, share=INTERVAL_ALPHA / K)
        )
        gap = _noise_of_shares(q)
    tau, q_of_groups = _spread(q, None if few.any() else raw)
    c = Comparison(
        difference=difference,
        low=low,
        high=high,
        se=se,
        p_value=joined_p(together, exact, groups=K),
        critical=float(critical),
        noise_gap=gap,
        spread=tau,
        cochran=q_of_groups,
    )
    return in_years(c, q.groups, q.compared) if q.metric.key == "age_p90" else c


def _detectable(q: _Question, c: Comparison, *, share: float) -> float:
    """The difference that would have been found 80 times in 100, in the metric's unit."""
    critical = beyond(c.critical, groups=len(c.se), alpha=INTERVAL_ALPHA, share=share)
    if q.ratios is not None and q.metric.unit == "share":
        x, n = _effective_counts(q)
        y, m = _effective_rest(q)
        counts = (a[q.compared] for a in (x, n, y, m))
        return detectable_share(*counts, critical=critical)
    grows = q.metric.key in ("age_mae", "age_rmse")
    return detectable(c.se, q.values[q.compared], critical=critical, grows=grows)


def _told(c: Comparison, q: _Question, g: int) -> dict[str, Any]:
    return {
        "outlying_group": q.names[g],
        "outlying_difference": c.difference[g],
        "outlying_low": c.low[g],
        "outlying_high": c.high[g],
    }


def _at_one_age_mix(q: _Question, age: Replicates | None, g: int) -> dict[str, Any]:
    """Differences and p at one age mix, and what unequal ages add to the raw difference.

    `outlying_standardised` is of compared group `g`, with its simultaneous interval.
    """
    if q.by_age is None or age is None:
        return {}
    low, high = (q.names.index(q.record[f"{end}_group"]) for end in ("lowest", "highest"))
    ends = age.interval(INTERVAL_ALPHA)
    return {
        "standardised_difference": q.by_age.value[high] - q.by_age.value[low],
        "standardised_p": age.p_value,
        "composition": q.by_age.composition[high, low],
        "ages_left_out": ", ".join(
            name for name, used in zip(q.ages, q.by_age.ages, strict=True) if not used
        ),
        "outlying_standardised": age.difference[g],
        "outlying_standardised_low": ends[0][g],
        "outlying_standardised_high": ends[1][g],
    }


def _standardised(
    groups: Groups, by_age: Groups, metric: Metric, compared: NDArray[np.bool_]
) -> Standardised | None:
    if metric.top is None:
        return None
    own, ages = {levels: g for g, levels in enumerate(groups.levels)}, _ages(by_age)
    shape = (len(own), len(ages), groups.sums[metric.bottom].shape[1])
    top, bottom = np.zeros(shape), np.zeros(shape)
    for i, levels in enumerate(by_age.levels):
        at = own[levels[:-1]], ages.index(levels[-1])
        top[at], bottom[at] = by_age.sums[metric.top][i], by_age.sums[metric.bottom][i]
    return standardise(
        top,
        bottom,
        compared,
        scale=metric.scale,
        root=metric.root,
        share=metric.unit == "share",
        uneven=_kind(metric) in UNEVEN,
    )


def _ages(by_age: Groups) -> tuple[str, ...]:
    """Names of the ages, youngest first: as arrays over ages stand."""
    return tuple(sorted({levels[-1] for levels in by_age.levels}, key=_first_year))


def _first_year(age: str) -> int:
    """The first year of an age group: 3 of `3-9`, 70 of `70+`."""
    return int(age.partition("-")[0].removesuffix("+"))


def _top(metric: Metric) -> str | None:
    """The sum that a metric's test is of: P90 is tested as the share beyond it."""
    return "age_far" if metric.key == "age_p90" else metric.top


def _ratios(
    groups: Groups, metric: Metric, compared: NDArray[np.bool_], design: Floats
) -> Ratios | None:
    """The record as sums over shards; None for metrics of histograms other than P90."""
    name = _top(metric)
    if name is None:
        return None
    top, bottom = groups.sums[name], groups.sums[metric.bottom]
    if _is_share(metric):
        return Ratios(top, bottom, compared, "share", metric.scale, design)
    return Ratios(top, bottom, compared, _kind(metric), metric.scale)


def _kind(metric: Metric) -> Kind:
    return "root" if metric.root else "score" if metric.unit == "score" else "mean"


def _is_share(metric: Metric) -> bool:
    return metric.unit == "share" or metric.key == "age_p90"


def _design(groups: Groups, metric: Metric) -> Floats:
    """How many times the variance exceeds that of independent faces [group]; 1 at least."""
    n, name = groups.totals(metric.bottom), _top(metric)
    if not groups.people_given or name is None or not _is_share(metric):
        return np.ones(len(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        design = n / groups.worth(name, metric.bottom)
    return np.where(np.isfinite(design), np.maximum(design, 1), 1.0)


def _effective_counts(q: _Question) -> tuple[Floats, Floats]:
    assert q.ratios is not None
    return q.ratios.top.sum(axis=1) / q.design, q.ratios.bottom.sum(axis=1) / q.design


def _effective_rest(q: _Question) -> tuple[Floats, Floats]:
    """Events and effective rows of every group's rest, whose share is that of its faces."""
    assert q.ratios is not None
    _, n = _effective_counts(q)
    hits, rows = (a.sum(axis=1) for a in (q.ratios.top, q.ratios.bottom))
    m = n.sum() - n
    return m * (hits.sum() - hits) / (rows.sum() - rows), m


def _exactly(q: _Question) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(p, difference, se, low, high) of the groups with rare events, each on its own.

    Shares are those of all faces, the rest's too; only how sure they are rests on effective rows.
    """
    assert q.ratios is not None
    x, n = _effective_counts(q)
    y, m = _effective_rest(q)
    x, n, y, m = (a[q.rare] for a in (x, n, y, m))
    low, high = newcombe(x / n, n, y / m, m, alpha=INTERVAL_ALPHA / int(q.compared.sum()))
    se = np.sqrt(share_variance(x, n) + share_variance(y, m))
    return exact_p(x, n, y, m), x / n - y / m, se, low, high


def _noise_of_shares(q: _Question) -> float:
    """Range of shares that chance alone makes: binomial draws at the share of all."""
    x, n = _effective_counts(q)
    rows = np.maximum(np.rint(n[q.compared]), 1).astype(np.int64)
    p = min(float(x.sum() / n.sum()), 1.0)
    drawn = np.random.default_rng(2).binomial(rows, p, size=(DRAWS, len(rows))) / rows
    return float(np.ptp(drawn, axis=1).mean())


def _spread(
    q: _Question, raw: Replicates | None
) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """tau of the groups' values with its interval, in the metric's unit; Cochran's Q with its p."""
    values, noise = q.values[q.compared], None
    if q.metric.key == "age_p90":
        se = woodruff(q.groups)[q.compared]
    elif raw is None:
        se = np.sqrt(share_variance(*_effective_counts(q)))[q.compared]
    else:
        se = raw.value_se
        small = people_of(q.groups, q.metric.key)[q.compared].min() < LARGE
        noise = (raw.own, raw.own_se) if small else None
    return spread(values, se, noise=noise), cochran(values, se, noise=noise)
