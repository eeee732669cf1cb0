"""Is a stated probability an observed share? Gender scores per group, age by predicted age.

All from score histograms: 20 million rows cost no more than 20,000. Never split by true gender:
a perfect score looks miscalibrated within true women (ECE .27), because it cannot know the label.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.features import Feature
from audit.groups import OVERALL, Groups, enough_people, gather_predicted
from audit.intervals import LEVEL, around, clustered_se, effective, student, wilson
from audit.metrics import METRICS, Floats
from audit.tally import Tally
from audit.words import CROSS

BINS = 15
DRAWS = 1000


def equal_mass(counts: Floats) -> NDArray[np.int64]:
    """The equal-mass bin (0 to BINS-1) of every histogram bin of one group [bin].

    A histogram bin goes where the middle of its mass lies; on an edge, towards the middle of all,
    so that turning the scores round (f to 1 - f) turns the bins round and changes no figure.
    """
    total = int(counts.sum())
    place = BINS * (2 * np.cumsum(counts) - counts).astype(np.int64)  # over 2 * total
    lower = place // (2 * total)
    upper = -(-place // (2 * total)) - 1
    return np.asarray(np.where(2 * place <= BINS * 2 * total, lower, upper)).astype(np.int64)


def occupied(scores: Floats, score_sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Rows, sum of P(female) and females of one group's histogram bins, empty ones left out [bin].

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin].
    """
    n = scores.sum(axis=0)
    held = n > 0
    return n[held], score_sums[held] / 1e6, scores[1][held]


def binned(scores: Floats, score_sums: Floats) -> tuple[Floats, Floats, Floats]:
    """As `occupied`, of the equal-mass bins."""
    columns = occupied(scores, score_sums)
    if not len(columns[0]):
        return columns
    place = equal_mass(columns[0])
    sums = np.stack([np.bincount(place, weights=x, minlength=BINS) for x in columns])
    rows, stated, females = sums[:, sums[0] > 0]
    return rows, stated, females


def calibration_error(scores: Floats, score_sums: Floats) -> float:
    """Class-wise expected calibration error over 15 equal-mass bins; NaN without rows.

    Sum over bins of |females - sum of P(female)| / n. With two classes both have the same error.
    Naeini, Cooper & Hauskrecht (2015); its expectation is above 0 even for a perfect score.
    """
    n, stated, females = binned(scores, score_sums)
    return float(np.abs(females - stated).sum() / n.sum()) if len(n) else float("nan")


def normal_draws() -> Floats:
    """The same draws for every group: a figure never depends on which groups came before it."""
    return np.random.default_rng(15).standard_normal((DRAWS, BINS))


def calibration_error_interval(
    scores: Floats, score_sums: Floats, shrink: float, *, normals: Floats | None = None
) -> tuple[float, float, float]:
    """(low, high) of the calibration error at 95 %, and the 95 % point of a perfect score's.

    A parametric bootstrap on the bins (normal draws; shares with one success and one failure
    added, so that a bin of one kind still varies). The error is biased upwards, and so are its
    replicates: the basic interval 2 E - E* takes the bias off; the null point is drawn with the
    variance f (1 - f) of a perfect score. An error that a perfect score would show too may be none:
    its interval reaches down to 0.

    shrink: effective over nominal rows, 1 where every row is a person.
    """
    n, stated, females = binned(scores, score_sums)
    if not len(n):
        return float("nan"), float("nan"), float("nan")
    z = (normal_draws() if normals is None else normals)[:, : len(n)]
    error = float(np.abs(females - stated).sum() / n.sum())
    rows = n * shrink
    p = (females * shrink + 1) / (rows + 2)
    drawn = np.clip(females / n + z * np.sqrt(p * (1 - p) / rows), 0, 1)
    errors = np.abs(drawn * n - stated).sum(axis=1) / n.sum()
    tail = (1 - LEVEL) / 2
    below, above = np.quantile(errors, [tail, 1 - tail])
    f = stated / n
    null = np.abs(z * np.sqrt(n * f * (1 - f) / shrink)).sum(axis=1) / n.sum()
    of_perfect = float(np.quantile(null, LEVEL))
    low, high = np.clip([2 * error - above, 2 * error - below], 0, 1)
    return 0.0 if error <= of_perfect else min(low, error), max(high, error), of_perfect


def score_design(groups: Groups) -> Floats:
    """Effective over nominal rows of the score's residuals y - f [group]; 1 if rows are people."""
    n = groups.totals("score_n")
    if not groups.people_given:
        return np.ones(len(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = groups.totals("score_resid") / n
        variance = groups.totals("score_brier") * 1e6 / n - mean**2
        top, bottom = groups.sums["score_resid"], groups.sums["score_n"]
        ratio = effective(top, bottom, variance, groups.counted("score_n")) / n
    return np.where(n > 0, ratio, np.nan)


def gender_calibration(groups: Groups) -> list[dict[str, Any]]:
    """Reliability of P(female): one record per group and equal-mass bin.

    low..high is Wilson's interval of the observed share; band_low..band_high holds the observed
    share of a perfect score 95 times in 100 (binomial at the mean stated probability).
    Groups of fewer than 10 people are left out.
    """
    records = []
    people, shrink = groups.people("score_n"), score_design(groups)
    for g, name in enumerate(groups.names):
        if not enough_people(people[g]):
            continue
        n, stated, females = binned(groups.scores[g], groups.score_sums[g])
        rows, predicted, observed = np.maximum(n * shrink[g], 1), stated / n, females / n
        low, high = around(*wilson(observed, rows), observed)
        whole = np.floor(rows + 0.5)
        band = stats.binom.ppf([[0.025], [0.975]], whole, np.clip(predicted, 0, 1)) / whole
        records += [
            {
                "feature": groups.feature,
                "group": name,
                "head": "gender",
                "bin": i,
                "predicted": predicted[i],
                "observed": observed[i],
                "low": low[i],
                "high": high[i],
                "band_low": band[0, i],
                "band_high": band[1, i],
                "n": n[i],
            }
            for i in range(len(n))
        ]
    return records


def age_calibration(tally: Tally, parts: Sequence[Feature] = ()) -> list[dict[str, Any]]:
    """Age by *predicted* age group: one record per group of `parts` and bin, a predicted group.

    predicted and observed are mean ages in years, low..high the interval of observed; error (mean
    signed) and mae carry Student's intervals, coverage of the age intervals Wilson's. Only this is
    calibration: by true age even a perfect model reads the young too old and the old too young
    (regression to the mean). A bin of fewer than 10 people carries n alone.
    """
    groups = gather_predicted(tally, parts)
    n, people = groups.totals("age_n"), groups.people("age_n")
    sure = groups.freedom("age_n")
    observed = groups.totals("age_years") / n / 100
    error, error_low, error_high = _mean(groups, "age_err", sure)
    mae, mae_low, mae_high = _mean(groups, "age_abs", sure)
    iv_n = groups.totals("iv_n")
    inside, inside_low, inside_high = _coverage(groups)
    held = enough_people(groups.people("iv_n"))
    predicted = observed + error
    shown = enough_people(people)
    columns = {
        "predicted": predicted,
        "observed": observed,
        "low": predicted - error_high,
        "high": predicted - error_low,
        "error": error,
        "error_low": error_low,
        "error_high": error_high,
        "mae": mae,
        "mae_low": np.maximum(mae_low, 0),
        "mae_high": mae_high,
        "coverage": np.where(held, inside, np.nan),
        "coverage_low": np.where(held, inside_low, np.nan),
        "coverage_high": np.where(held, inside_high, np.nan),
        "width": groups.totals("iv_width") / np.where(held, iv_n, np.nan) / 100,
    }
    return [
        {
            "feature": CROSS.join(groups.parts[:-1]) or OVERALL,
            "group": CROSS.join(words[:-1]) or OVERALL,
            "head": "age",
            "bin": words[-1],
            **{key: values[i] if shown[i] else None for key, values in columns.items()},
            "n": n[i],
        }
        for i, words in enumerate(groups.levels)
    ]


def _mean(groups: Groups, key: str, freedom: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean of an age sum in years, with its interval."""
    mean = groups.totals(key) / groups.totals("age_n") / 100
    se = clustered_se(groups.sums[key], groups.sums["age_n"]) / 100
    return (mean, *student(mean, se, freedom))


def _coverage(groups: Groups) -> tuple[Floats, Floats, Floats]:
    """Coverage of the age intervals, with Wilson's interval [group]; NaN without intervals."""
    share = METRICS["interval_coverage"].value({k: groups.totals(k) for k in ("iv_hit", "iv_n")})
    return (share, *around(*wilson(share, groups.worth("iv_hit", "iv_n")), share))
