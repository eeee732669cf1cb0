"""The faces worth looking at: furthest off, surely wrong, and a sample drawn by lot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from audit.columns import quoted
from audit.config import AuditSettings
from audit.histograms import errors_beyond, score_edges
from audit.predictions import Predictions
from audit.result import COLUMNS
from audit.shards import sharded
from audit.source import Source
from audit.tally import Tally
from audit.words import CROSS

TOP = 200  # faces of each ranked list
SAMPLED = 24  # faces of the random list
_SOME = 100_000  # rows that bound the lot; at least a hundredth of all
_FEW = 100_000  # rows of a list that may be kept until it is sorted
_STRIDE = 577_215_664_901_532_861  # far apart, so that seeds draw unlike lots


def ranked_faces(
    predictions: Predictions, settings: AuditSettings, tally: Tally, *, top: int = TOP
) -> pd.DataFrame:
    """The table `worst` of a result, with `best` and `face`: up to `top` faces a list, from rank 1.

    Lists: `age_error` (largest absolute error), `gender_wrong` (called wrongly, the surest call
    first), `sample` (SAMPLED faces drawn by lot from the seed). Ties go by sample_id, the lot by a
    mix of its key, so that neither the order of the rows nor the engine decides. `groups` joins
    the levels of the features by ` × `. `best` is the number, as text, by which a list is ranked,
    least first; `face` the key of the row, as in `Predictions`.

    tally: of these rows; its histograms tell how bad a face must be to stay in a list. One scan
    then keeps the few rows that are, of all lists together; a list that no histogram bounds takes
    a scan of its own. Memory is bounded: a scan keeps its best only.
    """
    source = predictions.source
    shift = settings.seed * _STRIDE % 2**60  # the engines have 63 bits
    key = f"(face + {shift}) & {2**60 - 1}"
    rows = sharded("faces", key)
    lists = [*_lists(settings, tally, top=top), _lot(source, rows, predictions.rows_audited)]
    columns = _columns(predictions)
    few = [one for one in lists if one.rows <= _FEW]
    bests = ", ".join(f"CASE WHEN {one.where} THEN {one.best} END AS {one.name}" for one in few)
    where = " OR ".join(f"({one.where})" for one in few)
    source.hold("ranked", f"SELECT {columns}, {bests} FROM {predictions.few(where, key=key)}")
    kept = ", ".join([*COLUMNS["worst"][2:], "face"])
    frames = []
    for one in lists:
        found = (
            f"SELECT {kept}, {one.name} AS best FROM ranked WHERE {one.name} IS NOT NULL"
            if one in few
            else f"SELECT {columns}, {one.best} AS best FROM {rows} WHERE {one.where}"
        )
        ranked = source.frame(
            f"SELECT {quoted(one.name)} AS list, row_number() OVER (ORDER BY best, sample_id) AS "
            f"rank, * FROM ({found} ORDER BY best, sample_id LIMIT {one.most}) ORDER BY rank"
        )
        if len(ranked):
            frames.append(ranked)
    best_words = [str(b) for frame in frames for b in frame["best"].tolist()]
    listed = pd.concat(frames, ignore_index=True).assign(best=best_words)
    return listed[[*COLUMNS["worst"], "best", "face"]]


@dataclass(frozen=True)
class _List:
    """The `most` rows that are least in `best`, among about `rows` that fulfil `where`."""

    name: str
    where: str
    best: str
    most: int
    rows: float


def _lists(settings: AuditSettings, tally: Tally, *, top: int) -> list[_List]:
    surety = f"abs(gender_score - {settings.threshold!r}::DOUBLE)"
    error, size = _error_reached(tally.errors, top)
    sure, wrong = _surety_reached(tally.scores, settings.threshold, top)
    best = f"-coalesce({surety}, 0)"
    return [
        _List("age_error", f"abs(error) >= {error}", "-abs(error)", top, size),
        _List("gender_wrong", f"y <> called AND {best} <= {-sure!r}", best, top, wrong),
    ]


def _error_reached(errors: pd.DataFrame, top: int) -> tuple[int, int]:
    """The least |error| (1/100 year) that may be among the `top` largest, and how many reach it."""
    beyond = errors_beyond(errors)
    enough = beyond[beyond >= top]
    if enough.empty:
        return 0, int(errors["n"].sum())
    return max(10 * (int(enough.index[0]) - 1), 0), int(enough.iloc[0])


def _surety_reached(scores: pd.DataFrame, threshold: float, top: int) -> tuple[float, float]:
    """The same of |P(female) - threshold| among wrong calls; without enough scores all may be."""
    edges = score_edges()
    place, female = scores["bin"].to_numpy(), scores["female"].to_numpy() == 1
    sure = np.where(female, threshold - edges[place + 1], edges[place] - threshold)
    order = np.argsort(-sure, kind="stable")
    beyond = scores["n"].to_numpy()[order].cumsum()
    at = int(np.searchsorted(beyond, top))
    if at == len(order) or sure[order[at]] <= 0:
        return 0.0, math.inf
    # a hair less: the edges of bins are rounded
    return max(float(sure[order[at]]) - 1e-9, 0.0), float(beyond[at])


def _lot(source: Source, rows: str, audited: int) -> _List:
    """The list drawn by lot: what some rows drew bounds what all may have drawn."""
    some = min(max(_SOME, audited // 100), audited)
    found = source.one(
        f"SELECT max(mixed) AS last FROM (SELECT mixed FROM (SELECT mixed FROM {rows} "
        f"LIMIT {some}) ORDER BY mixed LIMIT {SAMPLED})"
    )
    return _List("sample", f"mixed <= {found['last']}", "mixed", SAMPLED, SAMPLED * audited / some)


def merge_faces(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What `ranked_faces` gives of all rows together, from what it gave of parts of them."""
    whole = pd.concat(parts, ignore_index=True)
    frames = []
    for name, most in (("age_error", TOP), ("gender_wrong", TOP), ("sample", SAMPLED)):
        mine = whole[whole["list"] == name]
        ranks = [*zip(map(Decimal, mine["best"]), mine["sample_id"], strict=True)]
        order = sorted(range(len(mine)), key=ranks.__getitem__)
        chosen = mine.iloc[order[:most]]
        frames.append(chosen.assign(rank=range(1, len(chosen) + 1)))
    return pd.concat(frames, ignore_index=True)


def _columns(predictions: Predictions) -> str:
    """SQL of the columns of `worst` beside list and rank, and of `face`."""
    pairs = zip(predictions.features, predictions.codes, strict=True)
    groups = [_word(feature.levels, code) for feature, code in pairs]
    made = {
        "gender_true": _word(predictions.gender_levels, "gender_level"),
        "gender_pred": _word(("male", "female"), "called"),
        # -0.0 is 0.0, whatever the engine makes of the two
        **{n: f"{n} + 0.0" for n in ("age_true", "age_pred", "age_low", "age_high")},
        "error": "error / 100",
        "groups": f"concat_ws({quoted(CROSS)}, {', '.join(groups)})" if groups else "NULL::VARCHAR",
    }
    return ", ".join(f"{made.get(c, c)} AS {c}" for c in (*COLUMNS["worst"][2:], "face"))


def _word(levels: Sequence[str], code: str) -> str:
    return f"([{', '.join(map(quoted, levels))}])[{code} + 1]" if levels else "NULL::VARCHAR"
