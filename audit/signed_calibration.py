"""Calibration error that a perfect score leaves at zero on average, however few the faces."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from audit.calibration import binned, score_design
from audit.groups import FEW_BELOW, Groups, enough_people
from audit.intervals import LEVEL
from audit.metrics import Floats

FIRST, MORE = 999, 19_999  # draws of a perfect score, and as many where p is small
LOOK_AGAIN = 0.02
MANY = 100  # females expected and not expected in a bin from which they are drawn as normal
AT_ONCE = 1000
TAIL = 20  # draws from which on the closed form carries the tail
LEAST_P = 1e-300  # beyond, doubles end


@dataclass(frozen=True)
class SignedError:
    """The error, a perfect score's 95 % point, and the one-sided p-value; NaN without rows."""

    error: float
    null: float
    p_value: float


@dataclass(frozen=True)
class CalibrationTest:
    """Is P(female) calibrated in every group of a feature? One p for all its groups together.

    error: the signed squared error of each group [group], NaN below 30 people; p: the share of
    perfect scores of which *any* group lies as many standard errors above 0 [group]. p_value: the
    least of them.
    """

    feature: str
    error: Floats
    p: Floats

    @property
    def p_value(self) -> float:
        """One p for the feature: NaN where no group has enough people."""
        return float(np.nanmin(self.p)) if np.isfinite(self.p).any() else float("nan")


def signed_l2(n: Floats, stated: Floats, females: Floats) -> Floats:
    """The debiased squared calibration error from bins on the last axis.

    Sum over bins of n_b / n * ((o - s)^2 - o (1 - o) / (n_b - 1)), o the observed and s the stated
    share of females (Broecker 2012; Ferro & Fricker 2012; Kumar, Liang & Ma 2019): 0 on average
    for a perfect score at any n, so groups of different n can be compared; negative by chance half
    the time. n, stated: effective rows and stated females [bin], n above 1; females [..., bin].
    """
    o, s = females / n, stated / n
    return np.asarray(((o - s) ** 2 - o * (1 - o) / (n - 1)) @ (n / n.sum()))


def signed_error(scores: Floats, score_sums: Floats, shrink: float = 1.0) -> SignedError:
    """The signed squared error of one group alone, with a perfect score's law in closed form.

    A bin's error is the mean of (y - s)(y' - s) over its pairs of faces, whose variance and third
    moment under a perfect score are known at any n (Hoeffding 1948); p is of Pearson's type III
    with the mean, variance and skewness of the whole.

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin]; shrink:
    effective over nominal rows. Bins of one row or less are left out.
    """
    n, stated, females = binned(scores, score_sums)
    kept = n * shrink > 1
    n, stated, females = ((x[kept] * shrink) for x in (n, stated, females))
    if not len(n):
        return SignedError(*[float("nan")] * 3)
    error = float(signed_l2(n, stated, females))
    skew, sd = _shape(n, stated)
    if sd == 0:
        return SignedError(error, 0.0, 1.0 if error <= 0 else 0.0)
    law = stats.pearson3(skew, scale=sd)
    return SignedError(error, float(law.ppf(LEVEL)), float(law.sf(error)))


def _shape(n: Floats, stated: Floats) -> tuple[float, float]:
    """Skewness and standard deviation of a perfect score's error; 0 where labels cannot vary."""
    s, share, pairs = stated / n, n / n.sum(), n * (n - 1)
    v, third = s * (1 - s), s * (1 - s) * (1 - 2 * s)  # moments of one label about its score
    variance = float((2 * share**2 * v**2 / pairs).sum())
    if variance <= 0:
        return 0.0, 0.0
    cubes = share**3 * (8 * np.maximum(n - 2, 0) * v**3 + 4 * third**2) / pairs**2
    return float(cubes.sum()) / variance**1.5, float(np.sqrt(variance))


def weigh_calibration(groups: Groups, *, seed: int = 0) -> CalibrationTest:
    """Test every group of 30 people or more against perfect scores drawn in its place.

    Females of each of the 15 equal-mass bins are drawn at the stated share (consistency
    resampling, Broecker & Smith 2007): binomial, and normal where hundreds are expected. Errors are
    divided by their standard deviation under a perfect score, and the largest of all groups gives
    the p-value, (1 + #)/(draws + 1), so that small groups are not tested by an approximation.
    Where none of MORE draws reaches an error, their tail is carried along the closed form of
    `signed_error`: else none, however large, could outlive a correction for a thousand tests.
    Where people repeat, effective rows stand for rows.
    """
    rng = np.random.default_rng([seed, 15])
    worth, people = score_design(groups), groups.people("score_n")
    size = len(groups.names)
    error, p = np.full(size, np.nan), np.full(size, np.nan)
    tested: list[tuple[Floats, Floats]] = []
    which: list[int] = []
    for g in np.flatnonzero(enough_people(people, FEW_BELOW)):
        n, stated, females = binned(groups.scores[g], groups.score_sums[g])
        kept = n * worth[g] > 1.5
        n, stated, females = ((x[kept] * worth[g]) for x in (n, stated, females))
        if len(n):
            error[g] = signed_l2(n, stated, females)
            tested.append((n, stated))
            which.append(int(g))
    if not which:
        return CalibrationTest(groups.feature, error, p)
    scale = np.array([_null_sd(n, s) for n, s in tested])
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.nan_to_num(error[which] / scale, posinf=np.inf)
        reached, draws, top = np.zeros(len(which)), 0, np.zeros(0)
        while draws < FIRST or (draws < MORE and (1 + reached.min()) / (1 + draws) < LOOK_AGAIN):
            most = min(AT_ONCE, MORE - draws) if draws >= FIRST else FIRST
            null = np.stack([signed_l2(n, s, _perfect(rng, n, s, most)) for n, s in tested], 1)
            largest = np.nan_to_num(null / scale).max(axis=1)
            reached += (largest[:, None] >= seen).sum(axis=0)
            top = np.sort(np.concatenate([top, largest]))[-TAIL:]
            draws += most
    p[which] = (1 + reached) / (1 + draws)
    far = (reached == 0) & (draws >= MORE)
    if far.any():
        beyond = _tail(tested, scale, np.append(seen[far], top[0]))
        # no chance beyond the draws at all: labels that cannot vary, scores of 0 and 1 alone
        carried = TAIL / (1 + draws) * beyond[:-1] / beyond[-1] if beyond[-1] > 0 else 0.0
        p[np.array(which)[far]] = np.clip(carried, LEAST_P, 1 / (1 + draws))
    return CalibrationTest(groups.feature, error, p)


def _tail(tested: Sequence[tuple[Floats, Floats]], scale: Floats, seen: Floats) -> Floats:
    """How often the errors of perfect scores lie `scale` times `seen` above 0, added over groups.

    In closed form, which is right to a factor of three at one in a million.
    """
    out = np.zeros(len(seen))
    for (n, stated), unit in zip(tested, scale, strict=True):
        skew, sd = _shape(n, stated)
        if sd > 0:
            out += stats.pearson3.sf(seen * unit, skew, scale=sd)
    return out


def adjusted_of(test: CalibrationTest, adjusted: float) -> Floats:
    """A group's adjusted p [group], where `adjusted` is that of the feature's least p."""
    return np.minimum(1.0, np.maximum(adjusted, adjusted * test.p / test.p_value))


def _null_sd(n: Floats, stated: Floats) -> float:
    """Standard deviation of the error of a perfect score, to the order of 1/n."""
    s = stated / n
    return float(np.sqrt(2 * ((s * (1 - s) / n.sum()) ** 2).sum()))


def _perfect(rng: np.random.Generator, n: Floats, stated: Floats, draws: int) -> Floats:
    """Females that a perfect score would meet [draw, bin]."""
    share = np.clip(stated / n, 0, 1)
    out = np.empty((draws, len(n)))
    for b, (rows, s) in enumerate(zip(n, share, strict=True)):
        if rows * s * (1 - s) > MANY:
            drawn = rng.normal(rows * s, np.sqrt(rows * s * (1 - s)), draws)
            out[:, b] = np.clip(drawn, 0, rows)
        else:
            whole = max(round(float(rows)), 1)
            out[:, b] = rng.binomial(whole, s, draws) * (rows / whole)
    return out


def tell_calibration(
    scores: Sequence[dict[str, object]], tests: Sequence[CalibrationTest], adjusted: Floats
) -> None:
    """Write every test into the records of table `scores`, which stand in the groups' order."""
    for test, p in zip(tests, adjusted, strict=True):
        mine = [r for r in scores if r["feature"] == test.feature]
        for record, corrected in zip(mine, adjusted_of(test, float(p)), strict=True):
            record["l2_p_adjusted"] = corrected
