"""The plain tables of the Calibration page: calls at a threshold, ages at a limit, by group."""

from collections.abc import Sequence
from html import escape

import pandas as pd
import streamlit as st

from audit.words import count, interval, percent
from reports import lookup
from reports.marks import group_words


def call_words(rows: pd.DataFrame) -> list[list[str]]:
    """Cells of `reports.thresholds.called_at`: the calls of either gender, with their rates."""
    return [
        [
            group_words(r.group),
            *(count(n) for n in (r.female_n, r.tp, r.fn)),
            _rate(r.tpr, r.tpr_low, r.tpr_high),
            *(count(n) for n in (r.male_n, r.fp, r.tn)),
            _rate(r.fpr, r.fpr_low, r.fpr_high),
            _rate(r.selection, r.selection_low, r.selection_high),
        ]
        for r in lookup.each(rows.fillna({"tp": 0, "fn": 0, "fp": 0, "tn": 0}))
    ]


def limit_words(rows: pd.DataFrame) -> list[list[str]]:
    """Cells of `reports.age_limits.read_at`: who is under the limit, who is not, who is misread."""
    return [
        [
            group_words(r.group),
            *(count(n) for n in (r.below_n, r.accepted_n)),
            _rate(r.accepted, r.accepted_low, r.accepted_high),
            *(count(n) for n in (r.above_n, r.rejected_n)),
            _rate(r.rejected, r.rejected_low, r.rejected_high),
        ]
        for r in lookup.each(rows.fillna({"accepted_n": 0, "rejected_n": 0}))
    ]


def _rate(value: float, low: float, high: float) -> str:
    return "–" if pd.isna(value) else f"{percent(value)} {interval(low, high, 'share')}"


def counts_table(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> None:
    """A plain table: it changes at once, and keeps its height while it does."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in ["Group", *headings])
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{_cell(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    st.html(
        '<div class="counts" tabindex="0" role="region" aria-label="Counts and rates by group">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(words: str) -> str:
    """A number; its interval, where it has one, quietly beneath."""
    value, bracket, ends = words.partition(" [")
    beneath = f'<br><span class="range">{escape(bracket[1:] + ends)}</span>' if ends else ""
    return escape(value) + beneath
