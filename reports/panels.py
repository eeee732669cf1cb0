"""Small multiples as SVG: one metric over severities, lines on one common scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from audit.metrics import METRICS
from audit.words import in_unit
from reports.curves_svg import round_ticks
from reports.lookup import figure_words

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 176, 132, 34, 6, 8, 22  # px, as drawn


@dataclass(frozen=True)
class Line:
    """A group's records by severity (0 is clean), and how it looks.

    look: `context`, `all`, `accent` or `group`, a class of the page's style.
    """

    name: str
    records: list[dict[str, Any]]
    look: str
    whiskers: bool = False


def ticks_of(rows: pd.DataFrame) -> list[float]:
    """Round numbers that span the values and their intervals, but for those of unusual width."""
    values = rows["value"].dropna()
    usual = float((rows["high"] - rows["low"]).median())
    reach = max(float(values.max() - values.min()) / 2, usual)
    low = max(float(rows["low"].min()), float(values.min()) - reach)
    high = min(float(rows["high"].max()), float(values.max()) + reach)
    return round_ticks(low, high, most=5)


def panel_svg(lines: Sequence[Line], *, metric: str, ticks: list[float], label: str) -> Markup:
    """Lines over severities 0 to 5, the last one on top; whiskers are 95 % intervals."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    steps = max((r["severity"] for line in lines for r in line.records), default=5)

    def x(severity: float) -> float:
        return LEFT + (right - LEFT) * (0.04 + 0.92 * severity / steps)

    def y(value: float) -> float:
        inside = min(max(value, ticks[0]), ticks[-1])
        return bottom - (bottom - TOP) * (inside - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text class="scale" x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, right, y(tick), y(tick), LEFT - 5, y(tick) + 4, _tick(tick, metric))
        for tick in ticks
    ]
    parts += [
        Markup('<text class="step" x="{:.1f}" y="{}">{}</text>').format(x(s), HEIGHT - 6, s)
        for s in sorted({r["severity"] for line in lines for r in line.records})
    ]
    for line in lines:
        parts.append(_drawn(line, x=x, y=y))
    words = "; ".join(_said(line) for line in lines if line.look in ("group", "accent"))
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{label}, severity 0 is clean. {words}", Markup("").join(parts)
    )


def _drawn(line: Line, *, x: Any, y: Any) -> Markup:
    points = [(x(r["severity"]), y(r["value"])) for r in line.records]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    parts = [Markup('<path d="{}"/>').format(path)]
    if line.whiskers:
        for r, (a, b) in zip(line.records, points, strict=True):
            ends = [y(r[end]) if pd.notna(r[end]) else b for end in ("low", "high")]
            parts.append(
                Markup('<path class="whisker" d="M{:.1f} {:.1f}V{:.1f}"/>').format(a, *ends)
            )
            parts.append(
                Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>').format(
                    a, b, f"{line.name}, severity {r['severity']}: {figure_words(r)}"
                )
            )
    title = Markup("<title>{}</title>").format(line.name)
    return Markup('<g class="{}">{}{}</g>').format(line.look, title, Markup("").join(parts))


def _said(line: Line) -> str:
    values = ", ".join(f"{r['severity']}: {figure_words(r)}" for r in line.records)
    return f"{line.name} at {values}"


def _tick(tick: float, metric: str) -> str:
    unit = METRICS[metric].unit
    if unit == "share":
        return f"{100 * tick:g}%"
    if METRICS[metric].better == "zero":
        return in_unit(tick, "years", signed=True).replace(".0", "")
    return f"{tick:g}"
