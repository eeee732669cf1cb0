"""What a click on a figure points at: a group, a cell, a bin; and which faces that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.result import AuditResult
from audit.where import Span
from audit.words import CROSS
from reports import lookup
from reports.curves import READ
from reports.theme import Drawn

_MILLIONTH = 1e-6  # scores are written to millionths: the end of a bin belongs to the next
_BY_GROUP = {  # figures of intervals with a row a group, and what they show where no metric does
    "coverage": "",
    "misses": "Misses of age intervals",
    "winkler": "Winkler score",
    "z2": "Squared z of ages",
}


@dataclass(frozen=True)
class Pointed:
    """What a click points at: a group of a feature, by a metric where there is one.

    score: the stated P(female) pointed at. ranks: the same as shares of the group's faces in the
    order of their scores, where a bin holds equal numbers. what: what the figure shows, if that is
    not the metric.
    """

    feature: str
    group: str
    metric: str | None
    score: Span | None = None
    ranks: tuple[float, float] | None = None
    what: str = ""


def can_open(drawn: Drawn) -> bool:
    """Whether a click on the figure leads to faces."""
    kind = drawn.key.split("-", 1)[0]
    return kind in ("forest", "crossing", "groups", "age", "confusion", "reliability", *_BY_GROUP)


def pointed_at(drawn: Drawn, point: Mapping[str, object]) -> Pointed | None:
    """What `point` of a plotly selection stands for, read from its own words.

    The group stands in the point's customdata, never in its position: a figure may be sorted anew.
    """
    kind, _, rest = drawn.key.partition("-")
    if kind == "reliability":
        return _score_at(drawn, point)
    group = point.get("customdata")
    if isinstance(group, (list, tuple)):
        group = group[0] if group else None
    if not isinstance(group, str):
        return None
    if kind == "groups":
        return Pointed(rest, group, None)
    if kind in _BY_GROUP:
        feature = lookup.OVERALL if group == lookup.OVERALL else rest
        return Pointed(feature, group, "interval_coverage", what=_BY_GROUP[kind])
    if kind == "confusion":
        pair = {"gender": "gender_true × gender_pred", "age": "age_group × age_group_pred"}
        return Pointed(pair[rest], group, {"gender": "gender_accuracy", "age": "age_mae"}[rest])
    if kind == "age":
        trace = _trace(drawn, point)
        return Pointed("age_group_pred" if trace["name"] == READ else "age_group", group, rest)
    feature, _, metric = rest.rpartition("-")
    return Pointed(feature, group, metric)


def _score_at(drawn: Drawn, point: Mapping[str, object]) -> Pointed | None:
    """A bar of the histogram, a hundredth of the curve or a bin of equal mass."""
    assert drawn.data is not None
    x, trace = point.get("x"), _trace(drawn, point)
    if not isinstance(x, (int, float)) or drawn.data.empty:
        return None
    feature, group = (str(drawn.data[c].iloc[0]) for c in ("feature", "group"))
    if trace["type"] == "bar":
        half = trace["width"][0] / 2
        score = Span(round(x - half, 6), round(x + half - _MILLIONTH * (x + half < 1), 6))
        return Pointed(feature, group, "gender_brier", score=score)
    if trace["mode"] == "lines+markers":
        score = Span(round(max(x - 0.005, 0), 6), round(min(x + 0.005, 1) - _MILLIONTH, 6))
        return Pointed(feature, group, "gender_brier", score=score)
    n = drawn.table["n"].tolist()
    at = int(str(point.get("point_index", 0)))
    if not 0 <= at < len(n):
        return None
    # half a face inward: its own first and last, where the end of the bin before it is a face too
    ranks = ((sum(n[:at]) + 0.5) / sum(n), (sum(n[: at + 1]) - 0.5) / sum(n))
    return Pointed(feature, group, "gender_brier", ranks=ranks)


def _trace(drawn: Drawn, point: Mapping[str, object]) -> Mapping[str, Any]:
    assert drawn.figure is not None
    found: Mapping[str, Any] = drawn.figure.data[int(str(point.get("curve_number", 0)))]
    return found


def levels_of(result: AuditResult, feature: str, group: str) -> dict[str, str] | None:
    """The level of each feature in `group` of `feature`, crossings taken apart; None if unknown.

    A level may itself hold the sign that joins levels, so the parts are matched against the
    levels there are, not split.
    """
    levels = {
        str(f["name"]): tuple(map(str, f["levels"]))
        for f in result.info["features"]
        if not f.get("crossing")
    }
    levels["gender_pred"] = ("female", "male")
    levels["age_group_pred"] = tuple(map(str, result.info.get("age_groups") or ()))
    if feature == "overall":
        return {}
    if feature in levels:
        return {feature: group} if group in levels[feature] else None
    return _match(feature, group, levels)


def _match(
    feature: str, group: str, levels: Mapping[str, tuple[str, ...]]
) -> dict[str, str] | None:
    for name in levels:
        if feature == name and group in levels[name]:
            return {name: group}
        if not feature.startswith(name + CROSS):
            continue
        for level in levels[name]:
            if group.startswith(level + CROSS):
                rest = _match(feature[len(name + CROSS) :], group[len(level + CROSS) :], levels)
                if rest is not None:
                    return {name: level} | rest
    return None
