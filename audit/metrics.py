"""Every metric, defined once as data: its words, its unit, the sums it needs, its value from them.

Tables, axes, tooltips, policy and documentation read this place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# What one scan adds up per cell and shard. Errors are e = age_pred - age_true in whole hundredths
# of a year; scores f = P(female), y = 1 for a true female. "Micro" is one millionth.
SUMS: Mapping[str, str] = {
    "age_n": "rows with a true and a finite predicted age",
    "age_abs": "sum of |e|, 1/100 year",
    "age_err": "sum of e, 1/100 year",
    "age_sq": "sum of e squared, 1/10,000 year squared",
    "age_hit5": "rows with |e| <= 5 years",
    "age_years": "sum of true ages of age_n, 1/100 year",
    "age_int": "rows of age_n whose true age is a whole number",
    "iv_n": "rows of age_n with an interval",
    "iv_hit": "rows whose interval holds the true age, ends included",
    "iv_width": "sum of interval widths, 1/100 year",
    "iv_below": "rows whose true age lies below their interval",
    "iv_winkler": "sum of interval scores at 90 %, 1/100 year: width + 20 years a year outside",
    "std_n": "rows of age_n with a standard deviation",
    "std_z2": "sum of z squared, 1/10,000; z = -e / standard deviation, within 1,000",
    "gender_n": "rows with true gender female or male and a call",
    "gender_hit": "rows of gender_n called rightly",
    "female_n": "true females of gender_n",
    "female_called": "true females called female",
    "male_n": "true males of gender_n",
    "male_called": "true males called female",
    "called": "rows of gender_n called female",
    "score_n": "rows of gender_n with a score",
    "score_resid": "sum of y - f, micro",
    "score_brier": "sum of (y - f) squared, micro",
    "score_var": "sum of f (1 - f), micro",
}

# The sums that are also kept by predicted age group.
BY_PREDICTED = ("age_n", "age_abs", "age_err", "age_years", "iv_n", "iv_hit", "iv_width")

# Two distributions, coarsely, with their shards, so that what is read off them can be tested as
# people, not photos: rungs of |e| in 1/100 year (3 to 32 years, each 1.3 times the last) and
# cuts of the logit of f. A group needs one rung only, and one mean of the cuts: see audit.rungs.
RUNGS = tuple(round(300 * 1.3**k) for k in range(10))
LOGITS = (-4.0, -1.5, 0.0, 1.5, 4.0)
BEYOND: Mapping[str, str] = {
    **{f"age_beyond{k}": f"rows with |e| > {x / 100:g} years" for k, x in enumerate(RUNGS)},
    "score_female": "true females of score_n",
    **{
        f"score_{who}{k}": f"true {who}s of score_n with the logit of f >= {x:g}"
        for who in ("female", "male")
        for k, x in enumerate(LOGITS)
    },
}


@dataclass(frozen=True)
class Metric:
    """A metric is `top / bottom / scale` of the sums (its root for RMSE), or read off a histogram.

    `bottom` names the metric's own denominator: its n and its subjects decide the status.
    `better` says which way is good; `zero` marks a signed metric. `margin` is the difference of
    practical importance, in the metric's unit. `unit` is years, share (0 to 1) or score.
    """

    key: str
    label: str
    unit: Literal["years", "share", "score"]
    better: Literal["lower", "higher", "zero", "neither"]
    head: Literal["age", "interval", "gender", "score"]
    margin: float
    bottom: str
    help: str
    top: str | None = None
    scale: float = 1.0
    root: bool = False
    histogram: Literal["errors", "scores"] | None = None

    def value(self, sums: Mapping[str, Floats]) -> Floats:
        """The metric from its sums (arrays of one shape); NaN where the denominator is zero."""
        if self.top is None:
            raise ValueError(f"{self.key} is read off a histogram, not off sums")
        bottom = np.asarray(sums[self.bottom], dtype=np.float64)
        top = np.asarray(sums[self.top], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(bottom > 0, top / bottom, np.nan)
        return (np.sqrt(mean) if self.root else mean) / self.scale


_ALL = (
    Metric(
        key="age_mae",
        label="Mean absolute age error",
        unit="years",
        better="lower",
        head="age",
        margin=1.0,
        bottom="age_n",
        help="How many years the reading is off, on average, either way.",
        top="age_abs",
        scale=100,
    ),
    Metric(
        key="age_me",
        label="Mean signed age error",
        unit="years",
        better="zero",
        head="age",
        margin=1.0,
        bottom="age_n",
        help="Predicted minus true age: above zero is read too old, below zero too young.",
        top="age_err",
        scale=100,
    ),
    Metric(
        key="age_rmse",
        label="Root mean squared age error",
        unit="years",
        better="lower",
        head="age",
        margin=1.0,
        bottom="age_n",
        help="Like the mean absolute error, but large misses weigh more.",
        top="age_sq",
        scale=100,
        root=True,
    ),
    Metric(
        key="age_cs5",
        label="Age within 5 years",
        unit="share",
        better="higher",
        head="age",
        margin=0.03,
        bottom="age_n",
        help="Share of faces read no more than 5 years off.",
        top="age_hit5",
    ),
    Metric(
        key="age_p90",
        label="90th percentile of absolute age error",
        unit="years",
        better="lower",
        head="age",
        margin=1.0,
        bottom="age_n",
        help="Nine faces in ten are read no further off than this.",
        histogram="errors",
    ),
    Metric(
        key="gender_accuracy",
        label="Gender accuracy",
        unit="share",
        better="higher",
        head="gender",
        margin=0.03,
        bottom="gender_n",
        help="Share of faces whose labelled gender is called.",
        top="gender_hit",
    ),
    Metric(
        key="gender_tpr",
        label="Females called female",
        unit="share",
        better="higher",
        head="gender",
        margin=0.03,
        bottom="female_n",
        help="Share of faces labelled female that are called female (true positive rate).",
        top="female_called",
    ),
    Metric(
        key="gender_fpr",
        label="Males called female",
        unit="share",
        better="lower",
        head="gender",
        margin=0.03,
        bottom="male_n",
        help="Share of faces labelled male that are called female (false positive rate).",
        top="male_called",
    ),
    Metric(
        key="gender_selection",
        label="Called female",
        unit="share",
        better="neither",
        head="gender",
        margin=0.03,
        bottom="gender_n",
        help="Share of faces called female, whatever their label (selection rate).",
        top="called",
    ),
    Metric(
        key="gender_brier",
        label="Brier score",
        unit="score",
        better="lower",
        head="score",
        margin=0.01,
        bottom="score_n",
        help="Mean squared distance of P(female) from the label; 0 is perfect, .25 is a coin.",
        top="score_brier",
        scale=1e6,
    ),
    Metric(
        key="gender_ece",
        label="Expected calibration error",
        unit="score",
        better="lower",
        head="score",
        margin=0.01,
        bottom="score_n",
        help="Mean distance between stated and observed share of females, over 15 bins of equal "
        "mass.",
        histogram="scores",
    ),
    Metric(
        key="gender_auc",
        label="Area under the ROC curve",
        unit="share",
        better="higher",
        head="score",
        margin=0.03,
        bottom="score_n",
        help="Chance that a female face scores above a male one.",
        histogram="scores",
    ),
    Metric(
        key="interval_coverage",
        label="Interval coverage",
        unit="share",
        better="higher",
        head="interval",
        margin=0.03,
        bottom="iv_n",
        help="Share of faces whose age lies inside the stated interval.",
        top="iv_hit",
    ),
    Metric(
        key="interval_width",
        label="Interval width",
        unit="years",
        better="lower",
        head="interval",
        margin=1.0,
        bottom="iv_n",
        help="Mean width of the stated age interval.",
        top="iv_width",
        scale=100,
    ),
)

METRICS: Mapping[str, Metric] = {m.key: m for m in _ALL}

CALIBRATION_KEYS = ("gender_brier", "gender_ece")
