"""Every comparison of an audit put to the test: p-values, intervals, spread, verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.config import AuditSettings
from audit.evidence import (
    alphas,
    beyond,
    detectable,
    exact_p,
    holm,
    joined_p,
    newcombe,
    rare,
    spread,
    verdict,
)
from audit.fairness import (
    P90,
    Disaggregated,
    disparity_table,
    effective_errors,
    is_tested,
    people_of,
)
from audit.groups import Groups
from audit.intervals import clustered_se, delong, effective, quantile, quantile_interval
from audit.metrics import METRICS, Floats, Metric
from audit.resample import Linear, Ratios, Record, Replicates, replicate
from audit.standardise import Standardised, standardise

LEVEL = 0.05  # of the simultaneous intervals shown
LARGE = 100  # people per group from which Q follows chi-squared
ROUGHLY_NORMAL = 2 * 1.959963984540054


@dataclass(frozen=True)
class Asked:
    """A feature to be tested: its groups, fairlearn's answer, and its crossing with age groups.

    by_age: groups of the feature crossed with `age_group` as its last part; None where ages are
    part of the feature or unknown. control, control_group: the faces all these are within.
    """

    groups: Groups
    found: Disaggregated
    by_age: Groups | None = None
    control: str | None = None
    control_group: str | None = None


@dataclass(frozen=True)
class Comparison:
    """What testing one record gave; arrays are over its compared groups (`names`).

    difference: group minus rest, in the metric's unit, with simultaneous intervals low..high.
    """

    names: tuple[str, ...]
    difference: Floats
    low: Floats
    high: Floats
    se: Floats
    p_value: float
    critical: float
    noise_gap: float
    spread: tuple[float, float, float]


def weigh_disparities(asked: Sequence[Asked], *, settings: AuditSettings) -> list[dict[str, Any]]:
    """The disparity records of all features: fairlearn's gaps with evidence beside them.

    All records of the audit are tested together: one set of replicates, one correction.
    """
    margins = {key: settings.margin(key) for key in METRICS}
    questions = [
        _Question(one, record)
        for one in asked
        for record in disparity_table(one.groups, one.found, margins=margins)
    ]
    jobs = [(q, job) for q in questions for job in q.jobs()]
    answers = replicate([record for _, (_, record) in jobs], seed=settings.seed)
    for (question, (name, _)), answer in zip(jobs, answers, strict=True):
        question.answers[name] = answer
    return _judged(questions, alpha=alphas(settings.alpha)[0])


def _judged(questions: Sequence["_Question"], *, alpha: float) -> list[dict[str, Any]]:
    compared = [q.comparison() for q in questions]
    p = np.array(
        [
            c.p_value if c is not None and q.counts else np.nan
            for q, c in zip(questions, compared, strict=True)
        ]
    )
    adjusted = holm(p)
    tests = max(int(np.isfinite(p).sum()), 1)
    records = []
    for i, (question, c) in enumerate(zip(questions, compared, strict=True)):
        record = question.record | question.standardised()
        if c is not None:
            record |= {"noise_gap": c.noise_gap}
            record |= dict(zip(("spread", "spread_low", "spread_high"), c.spread, strict=True))
            if question.counts:
                critical = beyond(c.critical, groups=len(c.names), alpha=LEVEL, share=alpha / tests)
                record |= _standing_out(c, question.metric) | {
                    "p_value": p[i],
                    "p_adjusted": adjusted[i],
                    "detectable": question.least(c, critical=critical),
                    "verdict": verdict(
                        adjusted[i], c.low, c.high, margin=record["margin"], alpha=alpha
                    ),
                }
        records.append(record)
    return records


def _standing_out(c: Comparison, metric: Metric) -> dict[str, Any]:
    """The group that stands out most from the rest, worse ones first, with its interval."""
    sign = {"lower": 1.0, "higher": -1.0}.get(metric.better, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(c.difference / c.se)
    worse = np.where((c.low > 0) | (c.high < 0), np.abs(c.difference) * (t * sign > 0), 0.0)
    g = int(worse.argmax() if worse.any() else np.abs(t).argmax())
    return {
        "outlying_group": c.names[g],
        "outlying_difference": c.difference[g],
        "outlying_low": c.low[g],
        "outlying_high": c.high[g],
    }


class _Question:
    """One disparity record on its way: what to resample, then what came of it."""

    def __init__(self, asked: Asked, record: dict[str, Any]) -> None:
        self.groups = asked.groups
        self.metric = METRICS[record["metric"]]
        self.state = asked.found.state[self.metric.key].to_numpy()
        self.values = asked.found.by_group[self.metric.key].to_numpy(np.float64)
        self.compared: NDArray[np.bool_] = self.state == "ok"
        controls = {"control": asked.control, "control_group": asked.control_group}
        self.record = record | controls
        self.enough = int(self.compared.sum()) >= 2
        self.counts = self.enough and is_tested(self.groups.parts, self.metric.key)
        self.answers: dict[str, Replicates] = {}
        self._by_age = self._standard(asked.by_age) if self.counts else None
        self._ratios = self._as_ratios() if self.enough else None
        self._rare = np.zeros(len(self.compared), dtype=bool)
        if self._ratios is not None and self._ratios.kind == "share":
            self._rare = self.compared & rare(*self._effective_counts())

    def jobs(self) -> list[tuple[str, Record]]:
        """What to resample, by name."""
        jobs: list[tuple[str, Record]] = []
        if self._ratios is not None and (self.compared & ~self._rare).any():
            jobs.append(("raw", replace(self._ratios, compared=self.compared & ~self._rare)))
        if self._by_age is not None:
            jobs.append(("age", Linear(self._by_age.difference, self._by_age.influence)))
        return jobs

    def comparison(self) -> Comparison | None:
        """The evidence of this record; None where fewer than two groups are compared."""
        if not self.enough:
            return None
        if self.metric.key == "gender_auc":
            return self._areas()
        if self._ratios is None:
            return None
        names = tuple(n for n, ok in zip(self.groups.names, self.compared, strict=True) if ok)
        K, few = len(names), self._rare[self.compared]
        difference, se, low, high = (np.full(K, np.nan) for _ in range(4))
        together, critical, gap, noise = np.nan, np.nan, np.nan, None
        raw = self.answers.get("raw")
        if raw is not None:
            if self.metric.key == "age_p90":
                raw = replace(raw, se=raw.se * np.sqrt(self._design().max()))
            share = LEVEL * int((~few).sum()) / K
            together, critical, gap = raw.p_value, raw.critical(share), raw.noise_gap
            difference[~few], se[~few] = raw.difference, raw.se
            low[~few], high[~few] = raw.interval(share)
            noise = (raw.own, raw.own_se) if not few.any() else None
        exact = np.zeros(0)
        if few.any():
            exact, difference[few], se[few], low[few], high[few] = self._exactly(K)
            plain = beyond(1.96, groups=1, alpha=0.05, share=LEVEL / K)
            critical, gap = np.nanmax([critical, plain]), self._noise_of_shares()
        c = Comparison(
            names,
            difference,
            low,
            high,
            se,
            joined_p(together, exact, groups=K),
            float(critical),
            gap,
            self._spread(noise),
        )
        return self._in_years(c) if self.metric.key == "age_p90" else c

    def least(self, c: Comparison, *, critical: float) -> float:
        """The detectable difference, in the metric's unit."""
        grows = self.metric.key in ("age_mae", "age_rmse", "age_p90")
        return detectable(c.se, self.values[self.compared], critical=critical, grows=grows)

    def standardised(self) -> dict[str, Any]:
        """Difference and p at one age mix, and what unequal ages add to the raw difference."""
        if self._by_age is None or "age" not in self.answers:
            return {}
        names = [n for n, ok in zip(self.groups.names, self.compared, strict=True) if ok]
        low, high = (names.index(self.record[f"{end}_group"]) for end in ("lowest", "highest"))
        return {
            "standardised_difference": self._by_age.value[high] - self._by_age.value[low],
            "standardised_p": self.answers["age"].p_value,
            "composition": self._by_age.composition[high, low],
        }

    def _standard(self, by_age: Groups | None) -> Standardised | None:
        if by_age is None or self.metric.top is None:
            return None
        own = {name: g for g, name in enumerate(self.groups.levels)}
        ages = sorted({levels[-1] for levels in by_age.levels})
        shape = (len(own), len(ages), self.groups.sums[self.metric.bottom].shape[1])
        top, bottom = np.zeros(shape), np.zeros(shape)
        for i, levels in enumerate(by_age.levels):
            at = own[levels[:-1]], ages.index(levels[-1])
            top[at] = by_age.sums[self.metric.top][i]
            bottom[at] = by_age.sums[self.metric.bottom][i]
        return standardise(
            top, bottom, self.compared, scale=self.metric.scale, root=self.metric.root
        )

    def _as_ratios(self) -> Ratios | None:
        m = self.metric
        bottom = self.groups.sums[m.bottom]
        if m.key == "age_p90":
            return Ratios(self._above_p90(), bottom, self.compared, "share")
        if m.top is None:
            return None
        top = self.groups.sums[m.top]
        if m.unit == "share":
            return Ratios(top, bottom, self.compared, "share", m.scale, self._design())
        return Ratios(top, bottom, self.compared, "root" if m.root else "mean", m.scale)

    def _above_p90(self) -> Floats:
        """Faces beyond the pooled 90th percentile of |error| [group, shard].

        The histogram of errors has no shards. Each group's faces are dealt to its shards by lot,
        which is how they would lie if faces were independent; `_design` makes up for it where
        people have several photos.
        """
        edges = self.groups.error_bins / 10
        limit = quantile(self.groups.errors.sum(axis=0)[None], edges, P90)[0]
        hits = self.groups.errors[:, edges > limit].sum(axis=1).astype(np.int64)
        rows = self.groups.sums[self.metric.bottom].astype(np.int64)
        rng = np.random.default_rng(90)
        return np.stack(
            [
                rng.multivariate_hypergeometric(of, n, method="marginals")
                for of, n in zip(rows, hits, strict=True)
            ]
        ).astype(np.float64)

    def _design(self) -> Floats:
        """How many times the variance exceeds that of independent faces [group]; 1 at least."""
        n = self.groups.totals(self.metric.bottom)
        if not self.groups.people_given:
            return np.ones(len(n))
        if self.metric.key == "age_p90":
            rows = effective_errors(self.groups)
        else:
            assert self.metric.top
            rows = _effective_rows(self.groups, self.metric.top, self.metric.bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            design = n / rows
        return np.where(np.isfinite(design), np.maximum(design, 1), 1.0)

    def _effective_counts(self) -> tuple[Floats, Floats]:
        assert self._ratios is not None
        design = self._design()
        return self._ratios.top.sum(axis=1) / design, self._ratios.bottom.sum(axis=1) / design

    def _exactly(self, K: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """(p, difference, se, low, high) of the groups with rare events, each on its own."""
        x, n = self._effective_counts()
        y, m = x.sum() - x, n.sum() - n
        x, n, y, m = (a[self._rare] for a in (x, n, y, m))
        low, high = newcombe(x / n, n, y / m, m, alpha=LEVEL / K)
        a, b = (x + 1) / (n + 2), (y + 1) / (m + 2)
        se = np.sqrt(a * (1 - a) / (n + 2) + b * (1 - b) / (m + 2))
        return exact_p(x, n, y, m), x / n - y / m, se, low, high

    def _noise_of_shares(self) -> float:
        """Range of shares that chance alone makes: binomial draws at the share of all."""
        x, n = self._effective_counts()
        rows = np.maximum(np.rint(n[self.compared]), 1).astype(np.int64)
        p = min(max(float(x.sum() / n.sum()), 0.0), 1.0)
        drawn = np.random.default_rng(2).binomial(rows, p, size=(1000, len(rows))) / rows
        return float(np.ptp(drawn, axis=1).mean())

    def _spread(self, noise: tuple[Any, Any] | None) -> tuple[float, float, float]:
        assert self._ratios is not None
        if self.metric.key == "age_p90":
            values, se, noise = self.values[self.compared], self._woodruff()[self.compared], None
        else:
            values, se = self._values_and_se()
        people = people_of(self.groups, self.metric.key)[self.compared]
        return spread(values, se, noise=noise if people.min() < LARGE else None)

    def _values_and_se(self) -> tuple[Floats, Floats]:
        r = self._ratios
        assert r is not None
        top, bottom = r.top[self.compared], r.bottom[self.compared]
        value = self.values[self.compared]
        n = bottom.sum(axis=1)
        if r.kind == "share":
            design = self._design()[self.compared]
            p = (top.sum(axis=1) + 1) / (n + 2)
            return value, np.sqrt(p * (1 - p) / (n + 2) * design)
        se = clustered_se(top, bottom)
        if r.kind == "root":
            root = np.sqrt(top.sum(axis=1) / n)
            se = se / (2 * np.where(root > 0, root, 1.0))
        return value, se / r.scale

    def _woodruff(self) -> Floats:
        """Standard error of each group's 90th percentile, in years."""
        n = effective_errors(self.groups)
        low, high = quantile_interval(self.groups.errors, self.groups.error_bins / 10, P90, n)
        return np.asarray((high - low) / ROUGHLY_NORMAL)

    def _in_years(self, c: Comparison) -> Comparison:
        """Differences of 90th percentiles where the test was of the share above the pooled one."""
        edges, errors = self.groups.error_bins / 10, self.groups.errors
        rest = errors.sum(axis=0) - errors
        design = self._design()
        low, high = quantile_interval(rest, edges, P90, rest.sum(axis=1) / design.max())
        se = np.hypot(self._woodruff(), (high - low) / ROUGHLY_NORMAL)[self.compared]
        d = (self.values - quantile(rest, edges, P90))[self.compared]
        rng = np.random.default_rng(3).standard_normal((1000, len(d)))
        gap = float(np.ptp(rng * self._woodruff()[self.compared], axis=1).mean())
        return replace(
            c, difference=d, se=se, low=d - c.critical * se, high=d + c.critical * se, noise_gap=gap
        )

    def _areas(self) -> Comparison:
        """Areas under the ROC curve: DeLong's variances as shares of so many rows, by Student.

        An area is tested as a share of the rows its variance is worth (so that an area of 1 has an
        error too), with the rarer gender's faces as degrees of freedom, Bonferroni over groups.
        """
        scores = self.groups.scores
        own, rest = scores[self.compared], (scores.sum(axis=0) - scores)[self.compared]
        a, n = self._worth(own)
        b, m = self._worth(rest)
        difference, se = a - b, np.sqrt(_share_variance(a, n) + _share_variance(b, m))
        freedom = np.minimum.reduce([own.sum(axis=2).min(axis=1), rest.sum(axis=2).min(axis=1)]) - 1
        K = len(a)
        p, critical = _student(difference / se, freedom, alpha=LEVEL / K)
        draws = np.random.default_rng(4).standard_normal((1000, K)) * np.sqrt(_share_variance(a, n))
        names = tuple(x for x, ok in zip(self.groups.names, self.compared, strict=True) if ok)
        return Comparison(
            names,
            difference,
            difference - critical * se,
            difference + critical * se,
            se,
            float(min(1.0, K * p.min())),
            float(critical.max()),
            float(np.ptp(draws, axis=1).mean()),
            spread(a, np.sqrt(_share_variance(a, n))),
        )

    def _worth(self, scores: Floats) -> tuple[Floats, Floats]:
        """(area, rows of a share with DeLong's variance), the rarer gender where it is 0."""
        area, variance = delong(scores[:, 1], scores[:, 0])
        fewest = scores.sum(axis=2).min(axis=1)
        design = 1.0
        if self.groups.people_given:
            n, worth = (
                self.groups.totals("gender_n"),
                _effective_rows(self.groups, "gender_hit", "gender_n"),
            )
            design = float(n.sum() / worth.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = area * (1 - area) / (variance * design)
        usable = np.isfinite(rows) & (rows > 0)
        return area, np.where(usable, rows, fewest / design)


def _effective_rows(groups: Groups, top: str, bottom: str) -> Floats:
    """Rows that a share's variance between people is worth [group]."""
    x, n = groups.totals(top), groups.totals(bottom)
    p = x / np.where(n > 0, n, np.nan)
    return effective(groups.sums[top], groups.sums[bottom], p * (1 - p), groups.counted(bottom))


def _share_variance(share: Floats, rows: Floats) -> Floats:
    p = (share * rows + 1) / (rows + 2)
    return np.asarray(p * (1 - p) / (rows + 2))


def _student(t: Floats, freedom: Floats, *, alpha: float) -> tuple[Floats, Floats]:
    """Two-sided p of every t, and the critical value at `alpha`."""
    return 2 * stats.t.sf(np.abs(t), freedom), stats.t.isf(alpha / 2, freedom)
