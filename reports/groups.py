"""Who was audited: faces by group, before any figure about them."""

import pandas as pd

from audit.difference_words import group_words as told
from audit.groups import FEW_BELOW
from audit.result import AuditResult
from audit.words import count, counted_faces, percent
from reports import lookup
from reports.forest import least_width, name_width, span_of
from reports.marks import ROW, figure, group_words, row_axis
from reports.plot import bar
from reports.theme import LIGHT, Drawn, text


def faces_by_group(result: AuditResult) -> list[Drawn]:
    """How many faces each group of every single feature holds."""
    return [_of_feature(result, feature) for feature in lookup.features(result)]


def _of_feature(result: AuditResult, feature: str) -> Drawn:
    rows = result.subgroups[result.subgroups.feature == feature]
    held = rows.groupby("group", sort=False)[["n", "n_subjects"]].max().reset_index()
    held = held.astype({"n": int}).assign(share=held.n / result.info["rows_audited"])
    names = [group_words(group) for group in held.group]
    few = [people < FEW_BELOW for people in held.n_subjects]
    hover = [
        f"{text(name)}: {counted_faces(n)}, {percent(share)}" + ", too few to compare" * small
        for name, n, share, small in zip(names, held.n, held.share, few, strict=True)
    ]
    bars = bar(
        orientation="h",
        x=held.n.tolist(),
        y=list(range(len(held), 0, -1)),
        width=0.56,
        marker_color=[LIGHT["paper"] if small else LIGHT["accent"] for small in few],
        marker_line={"color": LIGHT["accent"], "width": 1},
        text=[count(n) for n in held.n],
        textposition="outside",
        textfont_color=LIGHT["quiet"],
        cliponaxis=False,
        hovertext=hover,
        hoverinfo="text",
        customdata=held.group.tolist(),
        showlegend=False,
    )
    return Drawn(
        key=f"groups-{feature}",
        title=_title(feature, held),
        alt=f"Faces by {feature}: " + "; ".join(hover) + ".",
        table=held[["group", "n", "n_subjects", "share"]],
        figure=figure(
            [bars],
            height=ROW * len(held) + 12,
            margin=(name_width(names), 56, 4, 4),
            xaxis={"visible": False, "rangemode": "tozero"},  # every bar says its number
            yaxis=row_axis(names),
        ),
        span=span_of(names),
        min_width=least_width(names, right=56),
    )


def _title(feature: str, held: pd.DataFrame) -> str:
    label = lookup.heading(feature)
    if len(held) < 2:
        return f"{label}: {held.group.iloc[0]} only"
    least = held.iloc[int(held.n.argmin())]
    return f"{label}: fewest are {told(feature, least.group)}, {counted_faces(least.n)}"
