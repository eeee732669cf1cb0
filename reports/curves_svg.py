"""Learning curves as a small SVG file: for the run folder and the README, no browser needed."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from audit.metrics import METRICS

PANELS = (("loss", "Loss"), ("age_mae", ""), ("gender_accuracy", ""))
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 300, 240, 48, 44, 40, 24
LOOKS = (("_train", "training", "train"), ("_valid", "validation", "valid"))
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#575e68}"
    ".title{font-weight:600;font-size:13px;fill:#16191d}"
    ".grid{stroke:#d9dce0}.axis{stroke:#8a9099}path{fill:none;stroke-width:2}"
    ".train{stroke:#0072b2}.valid{stroke:#d55e00;stroke-dasharray:6 4}"
)


def learning_curves_svg(history: pd.DataFrame) -> str:
    """Loss, mean absolute age error and gender accuracy over epochs, training and validation.

    history: one row per epoch, columns `epoch` and `loss_train`, `loss_valid`, `age_mae_train`,
    ... ; a missing quantity is left out. The same bytes for the same history.
    """
    drawn = [
        (stem, label or METRICS[stem].label)
        for stem, label in PANELS
        if any(f"{stem}{end}" in history for end, _, _ in LOOKS)
    ]
    panels = [
        _panel(history, stem, label, left=i * (WIDTH + GAP))
        for i, (stem, label) in enumerate(drawn)
    ]
    width = max(len(drawn), 1) * (WIDTH + GAP) - GAP
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'width="{width}" height="{height}" role="img" aria-label="{alt}">\n'
            "<style>{style}</style>\n"
            '<rect width="100%" height="100%" fill="#ffffff"/>\n{panels}</svg>\n'
        ).format(
            width=width,
            height=HEIGHT,
            alt=_alt(history, drawn),
            style=Markup(STYLE),  # noqa: S704  (a constant of this file)
            panels=Markup("").join(panels),
        )
    )


def _panel(history: pd.DataFrame, stem: str, label: str, *, left: int) -> Markup:
    lines = [(f"{stem}{end}", word, look) for end, word, look in LOOKS if f"{stem}{end}" in history]
    values = history[[name for name, _, _ in lines]].astype(float)
    ticks = round_ticks(float(values.min().min()), float(values.max().max()))
    epochs = history["epoch"].astype(float)
    first, last = float(epochs.min()), float(epochs.max())
    right, bottom = left + WIDTH - 8, HEIGHT - BOTTOM

    def x(epoch: float) -> float:
        return left + LEFT + (right - left - LEFT) * (epoch - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return bottom - (bottom - TOP) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [_text(left, 14, label + (", years" if stem == "age_mae" else ""), kind="title")]
    parts += [_grid(left + LEFT, right, y(t), _tick_words(t, stem)) for t in ticks]
    for i, (name, word, look) in enumerate(lines):
        points = [
            f"{x(float(e)):.1f} {y(float(v)):.1f}"
            for e, v in zip(epochs, values[name], strict=True)
            if pd.notna(v)
        ]
        parts.append(_path("M" + "L".join(points) if points else "", look))
        key = left + LEFT + i * 96
        parts += [_path(f"M{key} 30h24", look), _text(key + 30, 34, word)]
    parts.append(_text(left + LEFT, bottom + 16, f"{first:.0f}"))
    parts.append(_text(right, bottom + 16, f"{last:.0f}", anchor="end"))
    parts.append(_text((left + LEFT + right) / 2, bottom + 30, "epoch", anchor="middle"))
    return Markup("").join(parts)


def round_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Round numbers, at most `most`, from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5, low + 0.5
    step = 1e-9
    for exponent in range(-9, 10):
        for unit in (1, 2, 5):
            step = unit * 10.0**exponent
            start = step * (low // step)
            n = int(-((start - high) // step)) + 1
            if n <= most:
                return [round(start + i * step, 10) for i in range(max(n, 2))]
    return [low, high]


def _tick_words(tick: float, stem: str) -> str:
    if stem == "gender_accuracy":
        return f"{100 * tick:g}%"
    return f"{tick:g}"


def _grid(x0: float, x1: float, y: float, words: str) -> Markup:
    line = Markup('<line class="grid" x1="{x0:.1f}" x2="{x1:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>\n')
    return line.format(x0=x0, x1=x1, y=y) + _text(x0 - 8, y + 4, words, anchor="end")


def _path(d: str, look: str) -> Markup:
    return Markup('<path class="{look}" d="{d}"/>\n').format(look=look, d=d)


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> Markup:
    return Markup(
        '<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{words}</text>\n'
    ).format(
        x=x,
        y=y,
        anchor=anchor,
        kind=Markup(' class="{}"').format(kind) if kind else "",
        words=words,
    )


def _alt(history: pd.DataFrame, drawn: Sequence[tuple[str, str]]) -> str:
    parts = []
    for stem, label in drawn:
        for end, word, _ in LOOKS:
            if f"{stem}{end}" in history and len(history):
                values = history[f"{stem}{end}"].astype(float)
                parts.append(f"{label}, {word}: from {values.iloc[0]:.3g} to {values.iloc[-1]:.3g}")
    return f"Learning curves over {len(history)} epochs. " + "; ".join(parts) + "."
