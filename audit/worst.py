"""The faces worth looking at: furthest off, surely wrong, and a sample drawn by lot."""

from collections.abc import Sequence

import pandas as pd

from audit.config import AuditSettings
from audit.predictions import Predictions
from audit.result import COLUMNS
from audit.source import quoted

SAMPLED = 24  # faces of the random list


def worst_faces(
    predictions: Predictions, settings: AuditSettings, *, top: int = 200
) -> pd.DataFrame:
    """The table `worst` of a result: up to `top` faces a list, ranked from 1.

    Lists: `age_error` (largest absolute error), `gender_wrong` (called wrongly, the surest call
    first), `sample` (SAMPLED faces drawn by lot from the seed). Ties go by sample_id, the lot by
    its md5, so that neither the order of the rows nor the engine decides. `groups` joins the levels
    of the features by ` × `. Memory is bounded: each list is one scan that keeps its best.
    """
    lot = f"md5({quoted(f'{settings.seed}:')} || sample_id)"
    surety = f"abs(gender_score - {settings.threshold!r}::DOUBLE)"
    lists = [
        ("age_error", "error IS NOT NULL", "-abs(error)", top),
        ("gender_wrong", "y <> called", f"-coalesce({surety}, 0)", top),
        ("sample", "true", lot, SAMPLED),
    ]
    columns = _columns(predictions)
    frames = [
        predictions.source.frame(
            f"SELECT {quoted(name)} AS list, row_number() OVER (ORDER BY best, sample_id) AS rank, "
            f"* EXCLUDE (best) FROM (SELECT {columns}, {best} AS best FROM faces WHERE {where} "
            f"ORDER BY best, sample_id LIMIT {most}) ORDER BY rank"
        )
        for name, where, best, most in lists
    ]
    # A column that is empty in one list (no score, say) must not decide the type of all.
    held = [frame for frame in frames if len(frame)]
    return pd.concat(held, ignore_index=True)[list(COLUMNS["worst"])]


def _columns(predictions: Predictions) -> str:
    """SQL of the columns of `worst` beside list and rank."""
    pairs = zip(predictions.features, predictions.codes, strict=True)
    groups = [_word(feature.levels, code) for feature, code in pairs]
    made = {
        "gender_true": _word(predictions.gender_levels, "gender_level"),
        "gender_pred": _word(("male", "female"), "called"),
        "error": "error / 100",
        "groups": f"concat_ws(' × ', {', '.join(groups)})" if groups else "NULL::VARCHAR",
    }
    return ", ".join(f"{made.get(c, c)} AS {c}" for c in COLUMNS["worst"][2:])


def _word(levels: Sequence[str], code: str) -> str:
    return f"([{', '.join(map(quoted, levels))}])[{code} + 1]" if levels else "NULL::VARCHAR"
