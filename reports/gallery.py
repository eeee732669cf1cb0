"""Faces as cards of equal size: truth and reading, the interval as a bar, the score as text."""

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import streamlit as st

from audit.words import score, years
from reports.names import isolated

ARROW = "\u2192"
_OLDEST = 100.0  # years: the interval axis ends here unless a face needs more

_grid = st.components.v2.component(
    "faceaudit.gallery",
    html='<div class="grid" role="group"></div>',
    css=files("reports").joinpath("gallery.css").read_text(encoding="utf-8"),
    js=files("reports").joinpath("gallery.js").read_text(encoding="utf-8"),
)


def gallery(
    rows: Sequence[Mapping[str, Any]],
    *,
    pictures: Sequence[str | None],
    features: Sequence[str],
    missing: str,
    key: str,
    on_open: Callable[[], None],
    focus: str = "",
) -> None:
    """Draw one card per row. A click or Enter calls `on_open`, with `opened(key)` the sample id.

    `pictures` are data URIs (None: the card says `missing`), `features` the columns whose levels
    stand on the card's last line; the keyboard goes to the card of the sample id `focus`.
    """
    oldest = max([_OLDEST, *(_number(row, "age_high") or 0.0 for row in rows)])
    cards = [
        card(row, picture=picture, features=features, missing=missing, oldest=oldest)
        for row, picture in zip(rows, pictures, strict=True)
    ]
    data = {
        "cards": cards,
        "focus": focus,
        "label": "Faces; arrow keys move, Enter opens",
        "intervals": any(c["interval"] for c in cards),
        "genders": any(c["gender"] for c in cards),
    }
    _grid(data=data, key=key, on_opened_change=on_open)


def opened(key: str) -> str | None:
    """The sample id whose card was opened in the gallery `key`, inside its `on_open`."""
    value = st.session_state[key].opened
    return None if value is None else str(value)


def card(
    row: Mapping[str, Any],
    *,
    picture: str | None,
    features: Sequence[str],
    missing: str,
    oldest: float = _OLDEST,
) -> dict[str, Any]:
    """What one card shows, in words; `interval` is low, high and truth in percent of its axis."""
    truth, low, high = (_number(row, c) for c in ("age_true", "age_low", "age_high"))
    interval, covered = None, False
    if truth is not None and low is not None and high is not None:
        interval = [round(100 * min(max(x / oldest, 0.0), 1.0), 2) for x in (low, high, truth)]
        covered = low <= truth <= high
    gender, wrong = gender_words(row)
    return {
        "id": str(row["sample_id"]),
        "picture": picture,
        "missing": missing,
        "age": age_words(row),
        "error": error_words(row),
        "interval": interval,
        "covered": covered,
        "gender": gender,
        "score": score_words(row),
        "wrong": wrong,
        "groups": _groups(row, features),
        "spoken": spoken(row),
    }


def _groups(row: Mapping[str, Any], features: Sequence[str]) -> str:
    """The face's levels; rows of the result's `worst` table bring them joined."""
    if "groups" in row:
        return isolated(str(row["groups"] or ""))
    return ", ".join(isolated(str(row[f])) for f in features if row.get(f) is not None)


def age_words(row: Mapping[str, Any]) -> str:
    """`23 → 31`: the true age, then the age read."""
    truth, read = _number(row, "age_true"), _number(row, "age_pred")
    if truth is None and read is None:
        return ""
    return f"{_age(truth)} {ARROW} {_read(read)}"


def error_words(row: Mapping[str, Any]) -> str:
    """`+8.2`: positive is read too old."""
    error = _number(row, "error")
    return "" if error is None else years(error, signed=True)


def gender_words(row: Mapping[str, Any]) -> tuple[str, bool]:
    """`female` for a right call, `male → female` for a wrong one, and whether it is wrong."""
    truth, call = row.get("gender_true"), row.get("gender_pred")
    if not isinstance(call, str):
        return "", False
    wrong = truth in ("female", "male") and call in ("female", "male") and truth != call
    return (f"{truth} {ARROW} {call}" if wrong else call), wrong


def score_words(row: Mapping[str, Any]) -> str:
    """`.93`: the stated chance of female."""
    stated = _number(row, "gender_score")
    return "" if stated is None else score(stated)


def spoken(row: Mapping[str, Any]) -> str:
    """The card as a sentence, for those who hear it."""
    parts = [f"Face {row['sample_id']}"]
    truth, read, error = (_number(row, c) for c in ("age_true", "age_pred", "error"))
    if truth is not None and read is not None and error is not None:
        way = "too old" if error > 0 else "too young"
        off = f"{years(abs(error))} years {way}" if abs(error) >= 0.05 else "right to a tenth"
        parts.append(f"aged {_age(truth)}, read {_read(read)}, {off}")
    gender, wrong = gender_words(row)
    if gender:
        parts.append(f"gender {gender.replace(ARROW, 'called')}" + (", wrong" if wrong else ""))
        parts += [f"P(female) {score_words(row)}"] * bool(score_words(row))
    return "; ".join(parts)


def _read(age: float | None) -> str:
    """A reading, always with its tenth."""
    return "–" if age is None else years(age)


def _age(age: float | None) -> str:
    """A label, which is mostly whole."""
    if age is None:
        return "–"
    return years(age).removesuffix(".0")


def _number(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    if value is None or value != value:  # noqa: PLR0124  (NaN, and pandas' own kinds of it)
        return None
    number = float(value)
    return number if math.isfinite(number) else None
