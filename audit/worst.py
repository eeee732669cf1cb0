"""The faces worth looking at: furthest off, surely wrong, and a sample drawn by lot."""

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from audit.columns import quoted
from audit.config import AuditSettings
from audit.predictions import Predictions
from audit.result import COLUMNS
from audit.shards import sharded

TOP = 200  # faces of each ranked list
SAMPLED = 24  # faces of the random list
_STRIDE = 577_215_664_901_532_861  # far apart, so that seeds draw unlike lots


def worst_faces(
    predictions: Predictions, settings: AuditSettings, *, top: int = TOP
) -> pd.DataFrame:
    """The table `worst` of a result: up to `top` faces a list, ranked from 1.

    Lists: `age_error` (largest absolute error), `gender_wrong` (called wrongly, the surest call
    first), `sample` (SAMPLED faces drawn by lot from the seed). Ties go by sample_id, the lot by a
    mix of its key, so that neither the order of the rows nor the engine decides. `groups` joins
    the levels of the features by ` × `. Memory is bounded: a scan keeps its best only.
    """
    return ranked_faces(predictions, settings, top=top)[list(COLUMNS["worst"])]


def ranked_faces(
    predictions: Predictions, settings: AuditSettings, *, top: int = TOP
) -> pd.DataFrame:
    """`worst_faces` with `best`: the number, as text, by which a list is ranked, least first."""
    lots = sharded("faces", f"(face + {settings.seed} * {_STRIDE}) & {2**60 - 1}")
    surety = f"abs(gender_score - {settings.threshold!r}::DOUBLE)"
    lists = [
        ("age_error", "faces", "error IS NOT NULL", "-abs(error)", top),
        ("gender_wrong", "faces", "y <> called", f"-coalesce({surety}, 0)", top),
        ("sample", lots, "true", "mixed", SAMPLED),
    ]
    columns = _columns(predictions)
    frames = []
    for name, rows, where, best, most in lists:
        # The worst value that stays, first: then only the rows at least as bad are read in full.
        last = predictions.source.one(
            f"SELECT max(best) AS best FROM (SELECT {best} AS best FROM {rows} WHERE {where} "
            f"ORDER BY best LIMIT {most})"
        )["best"]
        if last is None:
            continue
        frames.append(
            predictions.source.frame(
                f"SELECT {quoted(name)} AS list, row_number() OVER (ORDER BY best, sample_id) AS "
                f"rank, * FROM (SELECT {columns}, {best} AS best "
                f"FROM {rows} WHERE {where} AND {best} <= {last!r} ORDER BY best, sample_id "
                f"LIMIT {most}) ORDER BY rank"
            )
        )
    best_words = [str(b) for frame in frames for b in frame["best"].tolist()]
    listed = pd.concat(frames, ignore_index=True).assign(best=best_words)
    return listed[[*COLUMNS["worst"], "best"]]


def merge_faces(parts: Sequence[pd.DataFrame], *, top: int = TOP) -> pd.DataFrame:
    """What `ranked_faces` gives of all rows together, from what it gave of parts of them."""
    whole = pd.concat(parts, ignore_index=True)
    frames = []
    for name, most in (("age_error", top), ("gender_wrong", top), ("sample", SAMPLED)):
        mine = whole[whole["list"] == name]
        ranks = [*zip(map(Decimal, mine["best"]), mine["sample_id"], strict=True)]
        order = sorted(range(len(mine)), key=ranks.__getitem__)
        chosen = mine.iloc[order[:most]]
        frames.append(chosen.assign(rank=range(1, len(chosen) + 1)))
    return pd.concat(frames, ignore_index=True)


def _columns(predictions: Predictions) -> str:
    """SQL of the columns of `worst` beside list and rank."""
    pairs = zip(predictions.features, predictions.codes, strict=True)
    groups = [_word(feature.levels, code) for feature, code in pairs]
    made = {
        "gender_true": _word(predictions.gender_levels, "gender_level"),
        "gender_pred": _word(("male", "female"), "called"),
        # -0.0 is 0.0, whatever the engine makes of the two
        **{n: f"{n} + 0.0" for n in ("age_true", "age_pred", "age_low", "age_high")},
        "error": "error / 100",
        "groups": f"concat_ws(' × ', {', '.join(groups)})" if groups else "NULL::VARCHAR",
    }
    return ", ".join(f"{made.get(c, c)} AS {c}" for c in COLUMNS["worst"][2:])


def _word(levels: Sequence[str], code: str) -> str:
    return f"([{', '.join(map(quoted, levels))}])[{code} + 1]" if levels else "NULL::VARCHAR"
