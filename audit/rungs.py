"""The tails of all faces together, as columns with shards: made before faces are put into groups.

The 90th percentile and the area under the ROC curve are read off histograms without shards. To test
them over people, the scan counts a few rungs of |e| and a few cuts of P(female) per shard
(metrics.BEYOND). Which rung is used, and what a place between two cuts is worth, is only known once
all faces, or all parts, have been added up.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import expit

from audit.metrics import LOGITS, RUNGS, Floats
from audit.tally import Tally

TOLD = ("age_far", "female_scored", "female_placed", "male_scored", "male_placed")
BEYOND_P90 = 0.1
MOST = 2.0  # times that coarse placements may be scaled up


def told(tally: Tally) -> Mapping[str, Floats]:
    """The columns TOLD of a tally's cells: those that stand there, else made of all its faces."""
    if {*TOLD} <= {*tally.cells.columns}:
        return {name: tally.cells[name].to_numpy(np.float64) for name in TOLD}
    return {"age_far": far(tally), **placed(tally)}


def far(tally: Tally) -> Floats:
    """Faces beyond the rung of |e| next to the pooled 90th percentile, per cell.

    Next in the share of all faces beyond it (as a ratio to a tenth): rungs stand 1.3 times apart,
    so the share tested lies between about a sixteenth and a seventh where P90 is 2 to 40 years.
    """
    counts = [int(tally.cells[f"age_beyond{k}"].sum()) for k in range(len(RUNGS))]
    share = np.array(counts) / max(int(tally.cells["age_n"].sum()), 1)
    apart = np.abs(np.log(np.maximum(share, 1e-9) / BEYOND_P90))
    return tally.cells[f"age_beyond{int(apart.argmin())}"].to_numpy(np.float64)


def placed(tally: Tally) -> Mapping[str, Floats]:
    """Scored females and males per cell, and their placements among all faces (about micro).

    A face's placement is the share of the other gender's faces that it is on the right side of
    (DeLong 1988), over all faces: by these areas vary where no group differs. Between two cuts each
    face is given the mean placement there; as such means vary less than the faces' own placements,
    they are scaled up, by MOST at most. Whole numbers, so that their sums are exact.
    """
    c = tally.cells
    females = c["score_female"].to_numpy(np.float64)
    n = {"female": females, "male": c["score_n"].to_numpy(np.float64) - females}
    worth = _placements(tally.scores)
    out: dict[str, Floats] = {}
    for who, rows in n.items():
        over = [rows, *(c[f"score_{who}{k}"].to_numpy(np.float64) for k in range(len(LOGITS)))]
        inside = np.stack([*(a - b for a, b in pairwise(over)), over[-1]])
        out |= {f"{who}_scored": rows, f"{who}_placed": worth[who] @ inside}
    return out


def _placements(scores: pd.DataFrame) -> Mapping[str, Floats]:
    """Mean placement between cuts, in whole millionths, scaled to vary as the faces' own do."""
    bins = scores.groupby("bin", sort=True)[["n", "score"]].sum()
    mean = bins["score"].to_numpy(np.float64) / 1e6 / bins["n"].to_numpy(np.float64)
    stretch = np.searchsorted(expit(np.array(LOGITS)), mean, side="right")
    male, female = (
        scores[scores["female"] == y].groupby("bin")["n"].sum().reindex(bins.index, fill_value=0)
        for y in (0, 1)
    )
    M, F = male.to_numpy(np.float64), female.to_numpy(np.float64)
    below = (np.cumsum(M) - M / 2) / max(M.sum(), 1)
    above = 1 - (np.cumsum(F) - F / 2) / max(F.sum(), 1)
    return {"female": _between(stretch, below, F), "male": _between(stretch, above, M)}


def _between(stretch: Floats, place: Floats, n: Floats) -> Floats:
    size = len(LOGITS) + 1
    rows = np.bincount(stretch, weights=n, minlength=size)
    mean = np.bincount(stretch, weights=n * place, minlength=size) / np.maximum(rows, 1)
    centre = (n * place).sum() / max(n.sum(), 1)
    own, coarse = (n * (place - centre) ** 2).sum(), (rows * (mean - centre) ** 2).sum()
    factor = min(float(np.sqrt(own / coarse)), MOST) if coarse > 0 else 1.0
    return np.rint(1e6 * factor * mean)
