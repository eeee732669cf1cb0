"""Where true ages fall in the stated distribution: is its standard deviation that of the errors?"""

from collections.abc import Sequence

import pandas as pd

from audit.result import AuditResult
from audit.words import counted_faces, percent
from reports import lookup
from reports.marks import SIGN, band, figure, line
from reports.theme import LIGHT, Drawn

MOST = 6  # groups of a feature whose histogram is drawn; any group on the dashboard


def pit_histograms(
    result: AuditResult, *, feature: str, groups: Sequence[str] | None = None
) -> list[Drawn]:
    """Where true ages fall in the stated distribution: flat, inside the band, where it is right."""
    rows = result.histograms[result.histograms.kind == "age_pit"]
    rows = rows[(rows.feature == feature) & rows.value.notna()]
    held = list(dict.fromkeys(rows.group))
    if groups is None:
        size = rows.groupby("group").n.sum().sort_values(ascending=False, kind="stable")
        kept = set(size.index[:MOST])
        groups = [g for g in held if g in kept]
    return [_pit(feature, g, rows[rows.group == g]) for g in groups if g in held]


def _pit(feature: str, group: str, rows: pd.DataFrame) -> Drawn:
    outside = int(((rows.value < rows.value_low) | (rows.value > rows.value_high)).sum())
    name = "All faces" if group == lookup.OVERALL else str(group)
    low, high = float(rows.value_low.iloc[0]), float(rows.value_high.iloc[0])
    step = line(
        ((rows.low + rows.high) / 2).round(4).tolist(),
        rows.value.round(5).tolist(),
        looks={"color": LIGHT["accent"], "dash": "solid"},
        customdata=[
            [round(50 * (r.low + r.high), 1), round(100 * r.value, 1), counted_faces(r.n)]
            for r in lookup.each(rows)
        ],
        hovertemplate=f"stated quantile %{{customdata[0]:.1f}}{SIGN}: %{{customdata[1]:.1f}}{SIGN} "
        "of true ages, %{customdata[2]}<extra></extra>",
    )
    step["line"] |= {"shape": "hvh", "width": 1.75}
    ends = rows.value.iloc[[0, -1]]
    return Drawn(
        key=f"pit-{feature}-{group}",
        heading=lookup.heading(feature),
        title=f"{name}, {counted_faces(rows.n.sum())}: {outside} of 20 twentieths outside the band",
        alt=f"{name}: share of true ages per twentieth of the stated distribution, band "
        f"{percent(low)} to {percent(high)}: " + ", ".join(map(percent, rows.value)) + ".",
        table=pd.DataFrame(
            {
                "quantile": ["youngest twentieth", "oldest twentieth"],
                "pit": ends.tolist(),
                "pit_low": rows.value_low.iloc[[0, -1]].tolist(),
                "pit_high": rows.value_high.iloc[[0, -1]].tolist(),
                "n": rows.n.iloc[[0, -1]].tolist(),
            }
        ),
        data=rows,
        figure=figure(
            [band([0, 1], [low, low], [high, high]), step],
            height=190,
            margin=(44, 4, 8, 44),
            xaxis={
                "title": {"text": "stated quantile"},
                "tickformat": ".2~%",
                "range": [0, 1],
                "nticks": 5,
                "showgrid": False,
            },
            yaxis={"tickformat": ".2~%", "rangemode": "tozero", "nticks": 5},
        ),
        span="third",
    )
