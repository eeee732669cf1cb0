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
    """The table `worst` of a result: up to `top` faces a list, best-known columns of each.

    Lists: `age_error` (largest absolute error), `gender_wrong` (called wrongly, the surest call
    first), `sample` (SAMPLED faces drawn by lot from the seed). Ties go by sample_id; the lot is
    drawn on the ids, so that it depends neither on the order of rows nor on the engine.
    """
    lot = f"md5(sample_id || {quoted(f'#{settings.seed}')})"
    surety = f"abs(gender_score - {settings.threshold!r}::DOUBLE)"
    lists = [
        ("age_error", "error IS NOT NULL", "abs(error) DESC, sample_id", top),
        ("gender_wrong", "y <> called", f"{surety} DESC NULLS LAST, sample_id", top),
        ("sample", "true", lot, SAMPLED),
    ]
    parts = [
        f"(SELECT {quoted(name)} AS list, row_number() OVER (ORDER BY {order}) AS rank, * "
        f"FROM (SELECT * FROM faces WHERE {where} ORDER BY {order} LIMIT {most}))"
        for name, where, order, most in lists
    ]
    chosen = ", ".join(
        (
            "error / 100 AS error"
            if c == "error"
            else f"{_groups(predictions)} AS groups"
            if c == "groups"
            else f"{_gender(predictions)} AS gender_true"
            if c == "gender_true"
            else f"{_CALLED} AS gender_pred"
            if c == "gender_pred"
            else c
        )
        for c in COLUMNS["worst"]
    )
    frames = [
        predictions.source.frame(f"SELECT {chosen} FROM {part} ORDER BY rank") for part in parts
    ]
    return pd.concat(frames, ignore_index=True)


_CALLED = "CASE called WHEN 1 THEN 'female' WHEN 0 THEN 'male' END"


def _gender(predictions: Predictions) -> str:
    return _level(predictions.gender_levels, "gender_level")


def _level(levels: Sequence[str], code: str) -> str:
    listed = ", ".join(map(quoted, levels))
    return f"([{listed}])[{code} + 1]" if levels else "NULL::VARCHAR"


def _groups(predictions: Predictions) -> str:
    pairs = zip(predictions.features, predictions.codes, strict=True)
    parts = [_level(f.levels, code) for f, code in pairs]
    return "concat_ws(' × ', " + ", ".join(parts) + ")" if parts else "NULL::VARCHAR"
