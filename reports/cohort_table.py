"""Two cohorts side by side, in words: the title that says the finding, the table, what to know."""

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from audit.cohorts import FOUND, Compared
from audit.groups import FEW_BELOW
from audit.metrics import METRICS
from audit.words import (
    count,
    counted_faces,
    counted_people,
    gap_interval,
    gap_words,
    in_unit,
    interval,
)
from reports import lookup
from reports.tables import metric_words

_STATES = {"suppressed": "fewer than 10 people", "undefined": "no such face"}
_CHOSEN = (
    "These faces were chosen by what the model did ({}), so their figures follow from the choice: "
    "no difference is tested."
)
_METHOD = (
    "Differences are the first less the second; their 95 % intervals, each on its own, are from "
    "replicates of people. Verdicts are corrected (Holm) over the metrics of this table, so one "
    "interval may leave out 0 where evidence is insufficient; not over all cohorts that one may "
    "try: what many looks have found, other faces must confirm."
)


def title(found: Compared) -> str:
    """What was found, in a sentence."""
    for side, n, people in zip(("first", "second"), found.faces, found.people, strict=True):
        if not n:
            return f"Nobody is in the {side} cohort"
        if people < FEW_BELOW:
            return f"Fewer than {FEW_BELOW} people in the {side} cohort: no difference is decided"
    if not found.unshared:
        return "Both cohorts hold the same faces"
    table = found.table
    verdicts = table.verdict.dropna()
    if verdicts.empty:
        return "Side by side; no difference is tested"
    apart = table[table.verdict == FOUND]
    if apart.empty:
        undecided = int((verdicts == "insufficient evidence").sum())
        return (
            f"No difference found; {undecided} of {len(verdicts)} metrics cannot be decided"
            if undecided
            else f"No difference found within the margins of {len(verdicts)} metrics"
        )
    named = ", ".join(
        f"{metric_words(key).lower()} {gap_words(difference, METRICS[key].unit, signed=True)}"
        for key, difference in zip(apart.metric, apart.difference, strict=True)
    )
    return f"A difference was found in {len(apart)} of {len(verdicts)} metrics: {named}"


def table_html(found: Compared, first: str, second: str) -> str:
    """The table as HTML, every word escaped: a value with its interval, its n beneath.

    A phone lays each row out as a grid, which is a row to a screen reader only by its role.
    """
    sides = zip((first, second), found.faces, found.people, strict=True)
    column = '<th scope="col" role="columnheader"'
    heads = [
        f'{column}>{escape(name)}<br><span class="range">{_many(n, people)}</span></th>'
        for name, n, people in sides
    ]
    head = f"{column}>Metric</th>{''.join(heads)}{column}>Difference</th>"
    head += f'{column} class="words">Verdict</th>'
    body = "".join(map(_row, lookup.records(found.table)))
    return (
        '<div class="counts cohorts" tabindex="0" role="region" aria-label="Two cohorts side by '
        f'side"><table role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def notes(found: Compared, chosen_by: Sequence[str]) -> list[str]:
    """What a reader must know of the comparison. chosen_by: outcomes in words."""
    lines = [_CHOSEN.format(", ".join(chosen_by))] if chosen_by else []
    if found.shared:
        lines.append(
            f"{counted_faces(found.shared)} in both cohorts: counted in both, which the intervals "
            "of the differences allow for."
        )
    if 0 < found.unshared < FEW_BELOW:
        lines.append(
            f"All but {counted_people(found.unshared)} are in both: too few to tell the cohorts "
            "apart."
        )
    return [*lines, _METHOD]


def _many(faces: int, people: int) -> str:
    words = counted_faces(faces)
    return words if faces == people else f"{words}, {counted_people(people)}"


def _row(row: dict[str, Any]) -> str:
    key = str(row["metric"])
    cells = [_value(row, side) for side in ("first", "second")]
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{escape(metric_words(key))}</th>'
        + "".join(f"{_CELL}>{value}<br><span class=range>{n}</span></td>" for value, n in cells)
        + f'{_CELL}>{_apart(row)}</td>{_CELL} class="words">{_verdict(row)}</td></tr>'
    )


_CELL = '<td role="cell"'


def _value(row: dict[str, Any], side: str) -> tuple[str, str]:
    """(value with its interval, n) of one cohort; why there is no value where there is none."""
    metric, state = METRICS[str(row["metric"])], str(row[f"{side}_status"])
    n = f"n {count(row[f'{side}_n'])}" + (", few people" if state == "few" else "")
    value, low, high = (row[f"{side}_{name}"] for name in ("value", "low", "high"))
    if pd.isna(value):
        return "–", _STATES.get(state, n)
    signed = metric.better == "zero"
    unit = "\u202fyears" if metric.unit == "years" else ""
    words = f"<b>{in_unit(value, metric.unit, signed=signed)}</b>{unit}"
    return f"{words} {interval(low, high, metric.unit, signed=signed)}", n


def _apart(row: dict[str, Any]) -> str:
    if pd.isna(row["difference"]):
        return "–"
    unit = METRICS[str(row["metric"])].unit
    words = gap_words(row["difference"], unit, signed=True)
    ends = gap_interval(row["difference_low"], row["difference_high"], unit, signed=True)
    return f'<b>{words}</b><br><span class="range">{ends}</span>'


def _verdict(row: dict[str, Any]) -> str:
    said = row["verdict"]
    if said is None or pd.isna(said):
        return "not tested"
    if said == FOUND:
        return f"<b>{FOUND}</b>"
    if str(said).endswith("within margin"):
        unit = METRICS[str(row["metric"])].unit
        return f"{escape(str(said))} of {gap_words(row['margin'], unit)}"
    return escape(str(said))
