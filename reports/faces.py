"""Single faces of a result: as cards with a small picture, and as a table without."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audit.words import score, years
from reports import lookup
from reports.names import isolated
from reports.thumbnails import thumbnails

SIDE = 112  # px of an embedded picture
LISTED = 12  # faces of a table


@dataclass(frozen=True)
class FaceCard:
    """A face in words, with its picture as a data URI or None."""

    picture: str | None
    alt: str
    age: str
    gender: str
    score: str
    groups: str


def face_cards(rows: pd.DataFrame, *, images: Path | None) -> list[FaceCard]:
    """Cards of the faces in `rows` (table `worst`), pictures read from inside `images`."""
    names = [None if pd.isna(name) else str(name) for name in rows.image]
    pictures = thumbnails(images, names, cache=None, side=SIDE)
    return [
        FaceCard(
            picture=picture,
            alt=f"Face, {age_words(row)}, {gender_words(row)}",
            age=age_words(row),
            gender=called_words(row),
            score="" if pd.isna(row["gender_score"]) else score(row["gender_score"]),
            groups=isolated(_text(row["groups"])),
        )
        for picture, row in zip(pictures, lookup.records(rows), strict=True)
    ]


def face_table(rows: pd.DataFrame, *, about: str) -> pd.DataFrame:
    """The first faces of the list `about`, in words; columns that say nothing are left out."""
    table = pd.DataFrame(
        [
            {
                "Rank": str(int(row["rank"])),
                "Age, true → read": age_words(row),
                "Stated interval": _ends(row),
                "Gender, labelled → called": called_words(row),
                "P(female)": "" if pd.isna(row["gender_score"]) else score(row["gender_score"]),
                "Groups": isolated(_text(row["groups"])),
                "Face": _text(row["image"]) or _text(row["sample_id"]),
            }
            for row in lookup.records(rows.head(LISTED))
        ],
        dtype="str",
    )
    skip = _OTHER_HEAD.get(about, ())
    return table[[c for c in table if c not in skip and (table[c] != "").any()]]


_OTHER_HEAD = {  # what the list is not about
    "age_error": ("Gender, labelled → called", "P(female)"),
    "gender_wrong": ("Stated interval",),
}


def age_words(row: dict[str, Any]) -> str:
    """`23 → 31.0 (+8.0)`: truth, reading and error in years."""
    if pd.isna(row["age_true"]) or pd.isna(row["age_pred"]):
        return ""
    error = years(row["error"], signed=True)
    return f"{row['age_true']:.4g}\u00a0→\u00a0{years(row['age_pred'])} ({error})"


def gender_words(row: dict[str, Any]) -> str:
    """`male → female, P(female) .98`: label, call and score."""
    stated = pd.notna(row["gender_score"])
    return called_words(row) + (f", P(female) {score(row['gender_score'])}" if stated else "")


def called_words(row: dict[str, Any]) -> str:
    """`male → female`: label and call."""
    true, called = _text(row["gender_true"]) or "unknown", _text(row["gender_pred"])
    return f"{true} → {called}" if called else true


def _ends(row: dict[str, Any]) -> str:
    if pd.isna(row["age_low"]) or pd.isna(row["age_high"]):
        return ""
    return f"{years(row['age_low'])} to {years(row['age_high'])}"


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
