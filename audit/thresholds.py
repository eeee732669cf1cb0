"""Where to call a face female: rates by group at every threshold, and the ROC curve they draw."""

from typing import Any

import numpy as np
from scipy.special import logit

from audit.groups import Groups, enough_people
from audit.histograms import LOGIT_END, LOGIT_STEP, SCORE_BINS
from audit.intervals import around, wilson
from audit.metrics import Floats

THRESHOLDS = (
    *(0.0001, 0.001, 0.002, 0.005),
    *(percent / 100 for percent in range(1, 100)),
    *(0.995, 0.998, 0.999, 0.9999),
)


def called_from(
    scores: Floats, bins: Floats, thresholds: Floats, *, mean: Floats | None = None
) -> Floats:
    """Faces whose score is at least each threshold [..., threshold].

    Exact where a threshold is an edge of the histogram's bins, as 1/2 is, and where a bin's mean is
    a threshold: scores rounded to hundredths then lie on it, all of them. Elsewhere the faces of
    the bin it cuts are taken to lie evenly in log(f / (1 - f)).

    scores: faces [..., bin]; bins: their places among SCORE_BINS [bin]; mean: their mean score,
    millionths [bin].
    """
    ends = bins * LOGIT_STEP - LOGIT_END
    # in thousandths of a step, so that a threshold on an edge is the edge itself
    above = np.clip(np.round((ends[:, None] - logit(thresholds)) / LOGIT_STEP, 3), 0, 1)
    above[bins == 0] = 0
    above[bins == SCORE_BINS - 1] = 1
    if mean is not None:
        at = np.rint(thresholds * 1e6)
        rounded = np.isin(mean, at)
        above[rounded] = mean[rounded, None] >= at
    return np.asarray(np.einsum("...b,bt->...t", scores, above))


def threshold_table(groups: Groups) -> list[dict[str, Any]]:
    """One record per group and threshold: true and false positive rate, share called female.

    A face is called female when its score is at least the threshold. Wilson's intervals on
    effective rows, by the design effect of the calls at the audit's own threshold. A rate of fewer
    than 10 people is null; groups of fewer are left out.
    """
    thresholds = np.array(THRESHOLDS)
    people = groups.people("score_n")
    mean = groups.score_sums.sum(axis=0) / groups.scores.sum(axis=(0, 1))
    by_gender = called_from(groups.scores, groups.score_bins, thresholds, mean=mean)
    sides = {
        "tpr": (by_gender[:, 1], groups.scores[:, 1].sum(axis=1), "female_n", "female_called"),
        "fpr": (by_gender[:, 0], groups.scores[:, 0].sum(axis=1), "male_n", "male_called"),
        "selection": (by_gender.sum(axis=1), groups.scores.sum(axis=(1, 2)), "gender_n", "called"),
    }
    rates = {
        name: _rates(groups, hits, n, bottom, top) for name, (hits, n, bottom, top) in sides.items()
    }
    counts = {"female_n": sides["tpr"][1], "male_n": sides["fpr"][1], "n": sides["selection"][1]}
    return [
        {"feature": groups.feature, "group": name, "threshold": float(thresholds[t])}
        | {
            f"{rate}{end}": values[g, t]
            for rate, ends in rates.items()
            for end, values in zip(("", "_low", "_high"), ends, strict=True)
        }
        | {key: n[g] for key, n in counts.items()}
        for g, name in enumerate(groups.names)
        if enough_people(people[g])
        for t in range(len(thresholds))
    ]


def _rates(
    groups: Groups, hits: Floats, n: Floats, bottom: str, top: str
) -> tuple[Floats, Floats, Floats]:
    """A share and its interval [group, threshold]; NaN for fewer than 10 people."""
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = groups.worth(top, bottom) / groups.totals(bottom)
    worth = np.where(groups.totals(bottom) > 0, worth, 1.0)
    held = enough_people(groups.people(bottom))
    share = hits / np.where(held & (n > 0), n, np.nan)[:, None]
    low, high = around(*wilson(share, (n * worth)[:, None]), share)
    return share, low, high
