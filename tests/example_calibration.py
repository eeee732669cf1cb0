"""The example result's tables of calibration, summed by numpy without a line of `audit`.

They carry the columns that the renderers draw; bands and null points are plausible, not simulated.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.stats import norm

THRESHOLDS = (
    *(0.0001, 0.001, 0.002, 0.005),
    *np.round(np.linspace(0.01, 0.99, 99), 2).tolist(),
    *(0.995, 0.998, 0.999, 0.9999),
)
LEAST = 10  # faces: a smaller group carries n alone, or no record


def share(hits: pd.Series) -> tuple[float, float, float]:
    """A share with its Wilson interval."""
    n, p, z = len(hits), hits.mean(), 1.96
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return p, min(p, low), max(p, high)


def mean_of(x: pd.Series) -> tuple[float, float, float]:
    """A mean with its normal interval."""
    half = 1.96 * x.std() / np.sqrt(len(x)) if len(x) > 1 else 0.0
    return x.mean(), x.mean() - half, x.mean() + half


def reliability(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    """The isotonic share of females over stated hundredths, in a band of +-1.96 binomial errors."""
    records = []
    for feature, group, part in _by_race(faces, races):
        order = part.sort_values("gender_score", kind="stable")
        fit = isotonic_regression((order.gender_true == "female").astype(float)).x
        grid = np.round(np.linspace(0, 1, 101), 2)
        inside = (grid >= order.gender_score.min()) & (grid <= order.gender_score.max())
        near = np.bincount(np.floor(order.gender_score * 100).astype(int), minlength=101)
        for p, n in zip(grid[inside], near[inside], strict=True):
            fitted = np.interp(p, order.gender_score, fit)
            half = 1.96 * np.sqrt(p * (1 - p) / (len(part) / 12))
            records.append(
                {
                    "feature": feature,
                    "group": group,
                    "predicted": p,
                    "fitted": float(fitted),
                    "band_low": max(0.0, p - half),
                    "band_high": min(1.0, p + half),
                    "n": int(n),
                }
            )
    return records


def scores(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    """Brier and its parts from the faces; errors beside their null points made up, but ordered."""
    records = []
    for feature, group, part in _by_race(faces, races):
        female = part.gender_true == "female"
        brier = ((part.gender_score - female) ** 2).mean()
        rate, off = female.mean(), (female - part.gender_score).mean()
        spread = np.sqrt((part.gender_score * (1 - part.gender_score)).sum()) / len(part)
        chance = 0.9 / np.sqrt(len(part))
        records.append(
            {
                "feature": feature,
                "group": group,
                "n": len(part),
                "brier": brier,
                "miscalibration": 0.004,
                "discrimination": rate * (1 - rate) + 0.004 - brier,
                "uncertainty": rate * (1 - rate),
                "ece": 0.03,
                "ece_null": chance,
                "mean_score": part.gender_score.mean(),
                "observed": rate,
                "miscalibration_null": chance / 8,
                "miscalibration_p": 0.001 if chance < 0.03 else 0.21,
                "smooth_ece": 0.024,
                "smooth_ece_null": chance * 0.8,
                "l2": 0.0004 if chance < 0.03 else -0.0002,
                "l2_null": chance / 40,
                "l2_p": 0.004 if chance < 0.03 else 0.6,
                "spiegelhalter_z": 2.1,
                "spiegelhalter_p": 0.036,
                "mean_z": off / spread,
                "mean_p": 2 * norm.sf(abs(off / spread)),
                "mean_p_adjusted": min(1.0, 4 * norm.sf(abs(off / spread))),
            }
        )
    return records


def sweep(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    """Rates of calls at every threshold, counted face by face."""
    records = []
    for feature, group, part in _by_race(faces, races):
        female = part.gender_true == "female"
        for threshold in THRESHOLDS:
            called = part.gender_score >= threshold
            records.append(
                {"feature": feature, "group": group, "threshold": threshold}
                | _rate("tpr", called[female])
                | {"female_n": int(female.sum())}
                | _rate("fpr", called[~female])
                | {"male_n": int((~female).sum())}
                | _rate("selection", called)
                | {"n": len(part)}
            )
    return records


def age_limits(faces: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> list[dict]:
    """People under an age read as of it or older, and the other way round, counted."""
    records = []
    for feature, group, part in _by_level(faces, levels):
        if feature == "age_group":
            continue
        for limit in range(5, 81):
            under, read_under = part.age_true < limit, part.age_pred < limit
            records.append(
                {"feature": feature, "group": group, "threshold": float(limit)}
                | _rate("accepted", ~read_under[under])
                | {"below_n": int(under.sum())}
                | _rate("rejected", read_under[~under])
                | {"above_n": int((~under).sum())}
            )
    return records


def coverage(faces: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> list[dict]:
    """Intervals counted; the CRPS of a normal by its closed form (Gneiting & Raftery 2007)."""
    records = []
    for feature, group, part in _by_level(faces, levels):
        under, over = part.age_true < part.age_low, part.age_true > part.age_high
        width = part.age_high - part.age_low
        miss = (part.age_low - part.age_true).clip(lower=0)
        miss += (part.age_true - part.age_high).clip(lower=0)
        z = -part.error / part.age_std
        crps = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
        records.append(
            {"feature": feature, "group": group, "level": 0.9}
            | dict(zip(("coverage", "low", "high"), share(~under & ~over), strict=True))
            | {"width": width.mean(), "n": len(part), "below": under.mean(), "above": over.mean()}
            | _rate("winkler", width + 20 * miss, of=mean_of)
            | _rate("z2", z**2, of=mean_of)
            | {"crps": (part.age_std * crps).mean(), "std_n": len(part)}
        )
    return records


def pit(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    """Where the true age falls in the stated distribution: twenty bins and a calibrated band."""
    records = []
    edges = np.linspace(0, 1, 21)
    for feature, group, part in _by_race(faces, races):
        counts = np.histogram(norm.cdf(-part.error / part.age_std), edges)[0]
        half = 1.96 * np.sqrt(0.05 * 0.95 / len(part))
        records += [
            {
                "kind": "age_pit",
                "feature": feature,
                "group": group,
                "low": low,
                "high": high,
                "n": int(n),
                "value": n / len(part),
                "value_low": max(0.0, 0.05 - half),
                "value_high": 0.05 + half,
            }
            for low, high, n in zip(edges, edges[1:], counts, strict=False)
        ]
    return records


def corrections(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    """Before and after of every method; what it mends is made up, who falls back is not."""
    methods = {
        "gender_brier": ("gender", ("temperature", "platt", "isotonic"), 0.0613, 0.0497),
        "gender_ece": ("gender", ("temperature", "platt", "isotonic"), 0.0413, 0.0152),
        "age_mae": ("age", ("linear", "isotonic"), 5.83, 5.21),
        "age_me": ("age", ("linear", "isotonic"), 1.43, 0.11),
        "interval_coverage": ("interval", ("conformal", "mondrian"), 0.8412, 0.9034),
        "interval_width": ("interval", ("conformal", "mondrian"), 19.03, 22.07),
    }
    records = []
    for metric, (head, names, before, after) in methods.items():
        for place, (method, scope) in enumerate((m, s) for m in names for s in ("overall", "race")):
            for feature, group, part in _by_race(faces, races):
                fit = len(part) // 2
                small = scope == "race" and feature == "race" and fit < 100
                change = (after - before) * (1 + 0.047 * place)
                half = abs(change) * 8 / np.sqrt(len(part))
                records.append(
                    {
                        "head": head,
                        "method": method,
                        "scope": scope,
                        "feature": feature,
                        "group": group,
                        "metric": metric,
                        "before": before,
                        "after": before + change,
                        "change": change,
                        "low": change - half,
                        "high": change + half,
                        "n_fit": fit,
                        "n_judge": len(part) - fit,
                        "fell_back": small,
                    }
                )
    return records


def _rate(name: str, values: pd.Series, *, of=share) -> dict[str, float | None]:
    ends = of(values) if len(values) else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _by_race(
    faces: pd.DataFrame, races: tuple[str, ...]
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    return _by_level(faces, {"race": races})


def _by_level(
    faces: pd.DataFrame, levels: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """All faces, then every level of every feature that has enough of them."""
    yield "overall", "overall", faces
    for feature, names in levels.items():
        for name in names:
            part = faces[faces[feature] == name]
            if len(part) >= LEAST:
                yield feature, name, part
