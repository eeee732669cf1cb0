"""The summary figures of a score's calibration, each beside what chance alone would show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from audit.calibration import (
    calibration_error,
    calibration_error_interval,
    normal_draws,
    occupied,
    score_design,
)
from audit.groups import Groups, enough_people
from audit.metrics import Floats
from audit.reliability import Simulated, isotonic
from audit.signed_calibration import signed_error
from audit.smooth_ece import smooth_error


def score_table(
    groups: Groups, chance: Sequence[Simulated | None] | None = None
) -> list[dict[str, Any]]:
    """One record per group: the parts of the Brier score, calibration errors and their tests.

    Brier = miscalibration - discrimination + uncertainty is CORP's decomposition (Dimitriadis,
    Gneiting & Jordan 2021): miscalibration is what isotonic recalibration would save, uncertainty
    the Brier score of stating the group's share. `mean_p_adjusted` is Benjamini & Hochberg's over
    the groups. Groups of fewer than 10 people carry n alone; what needs the simulation of `chance`
    is absent without it.
    """
    n, people, shrink = groups.totals("score_n"), groups.people("score_n"), score_design(groups)
    z, p = mean_calibration(groups, shrink)
    shown = enough_people(people)
    adjusted = np.full(len(n), np.nan)
    tested = shown & np.isfinite(p)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p[tested], method="bh")
    draws = normal_draws()
    records = []
    for g, name in enumerate(groups.names):
        record: dict[str, Any] = {"feature": groups.feature, "group": name, "n": n[g]}
        if shown[g]:
            brier = groups.totals("score_brier")[g] / 1e6 / n[g]
            record |= _parts(groups, g, brier) | _errors(groups, g, shrink[g], draws)
            record |= {"mean_z": z[g], "mean_p": p[g], "mean_p_adjusted": adjusted[g]}
            null = chance[g] if chance else None
            if null:
                record |= {
                    "miscalibration_null": null.miscalibration_null,
                    "miscalibration_p": null.miscalibration_p,
                    "smooth_ece_null": null.smooth_ece_null,
                }
        records.append(record)
    return records


def isotonic_brier(scores: Floats) -> float:
    """Brier score of the isotonic recalibration, fitted on these rows.

    scores: rows [female 0/1, bin], bins rising in P(female).
    """
    n = scores.sum(axis=0)
    held = n > 0
    fit = isotonic(scores)
    females, males = scores[1][held], scores[0][held]
    return float((females * (1 - fit) ** 2 + males * fit**2).sum() / n.sum())


def mean_calibration(groups: Groups, shrink: Floats) -> tuple[Floats, Floats]:
    """(z, two-sided p) of each group's mean residual [group]: are as many female as was stated?

    z = sum (y - f) / sqrt(sum f (1 - f)), the variance enlarged by the design effect where people
    repeat. NaN where every score is 0 or 1.

    shrink: effective over nominal rows [group].
    """
    residual, variance = groups.totals("score_resid"), groups.totals("score_var")
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > 0, residual / 1e3 / np.sqrt(variance / shrink), np.nan)
    return z, 2 * stats.norm.sf(np.abs(z))


def spiegelhalter(scores: Floats, score_sums: Floats, shrink: float) -> tuple[float, float]:
    """(z, two-sided p) of Spiegelhalter's test (1986, Statistics in Medicine 5) of one group.

    z = sum (y - f)(1 - 2 f) / sqrt(sum (1 - 2 f)^2 f (1 - f)): whether the Brier score is what
    the scores say it should be. Below 0 the scores are too cautious, above 0 too sure. Every bin
    of the histogram stands at its mean score; NaN where all scores are 0, 1/2 or 1.

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin]; shrink:
    effective over nominal rows.
    """
    n, stated, females = occupied(scores, score_sums)
    f = np.clip(stated / n, 0, 1)
    variance = float((n * (1 - 2 * f) ** 2 * f * (1 - f)).sum())
    if variance <= 0:
        return float("nan"), float("nan")
    z = float(((females - n * f) * (1 - 2 * f)).sum()) / np.sqrt(variance / shrink)
    return float(z), float(2 * stats.norm.sf(abs(z)))


def _parts(groups: Groups, g: int, brier: float) -> dict[str, float]:
    scores, n = groups.scores[g], groups.scores[g].sum()
    share, fitted = float(scores[1].sum() / n), isotonic_brier(scores)
    uncertainty = share * (1 - share)
    return {
        "brier": brier,
        "miscalibration": brier - fitted,
        "discrimination": uncertainty - fitted,
        "uncertainty": uncertainty,
        "mean_score": groups.score_sums[g].sum() / 1e6 / n,
        "observed": share,
    }


def _errors(groups: Groups, g: int, shrink: float, draws: Floats) -> dict[str, float]:
    scores, sums = groups.scores[g], groups.score_sums[g]
    n, stated, females = occupied(scores, sums)
    smooth = smooth_error(stated / n, (females - stated) / n.sum())
    signed = signed_error(scores, sums, shrink)
    z, p = spiegelhalter(scores, sums, shrink)
    return {
        "ece": calibration_error(scores, sums),
        "ece_null": calibration_error_interval(scores, sums, shrink, normals=draws)[2],
        "smooth_ece": smooth,
        "l2": signed.error,
        "l2_null": signed.null,
        "l2_p": signed.p_value,
        "spiegelhalter_z": z,
        "spiegelhalter_p": p,
    }
