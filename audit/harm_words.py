"""What a comparison of stressed readings says, in one sentence with its numbers."""

from collections.abc import Mapping
from typing import Any

from audit.metrics import METRICS
from audit.words import MINUS

_FEATURES = {"gender_true": "labelled gender", "age_group": "true age"}


def sentence(row: Mapping[str, Any]) -> str:
    """Whom a corruption harms more, by how much and how sure; or how far nobody can tell."""
    metric = METRICS[row["metric"]]
    label, unit = metric.label[0].lower() + metric.label[1:], metric.unit
    feature = _FEATURES.get(row["feature"], row["feature"].replace("_", " "))
    group = f"{row['group']} ({feature})"
    place = f"{row['corruption']} of severity {row['severity']}"
    ends = (row["low"], row["high"])
    if row["verdict"] != "unequal harm":
        shown = f"{_signed(row['harm'], unit)} [{', '.join(_signed(x, unit) for x in ends)}]"
        none = row["verdict"].startswith("no ")
        known = "No group is" if none else "It cannot be decided whether some group is"
        return (
            f"{known} harmed more than everyone else by {row['corruption']} in {label}; "
            f"{group} at severity {row['severity']} stands out most: {shown}{_name(unit)}."
        )
    falls = row["change"] < 0
    size = -row["harm"] if falls else row["harm"]
    low, high = (-row["high"], -row["low"]) if falls else ends
    more = "more"
    if size < 0:
        size, low, high, more = -size, -high, -low, "less"
    moved = f"{'falls' if falls else 'rises'} {_size(abs(row['change']), unit)}{_name(unit)}"
    return (
        f"Under {place}, {label} of {group} {moved}, {_size(size, unit)} {more} than "
        f"everyone else's [{_signed(low, unit, plus=False)}, {_signed(high, unit, plus=False)}]; "
        f"its distance to everyone else goes from {_signed(row['gap_clean'], unit)} to "
        f"{_signed(row['gap'], unit)}{_name(unit)}."
    )


def _size(x: float, unit: str) -> str:
    return f"{100 * x:.1f}" if unit == "share" else f"{x:.1f}"


def _signed(x: float, unit: str, *, plus: bool = True) -> str:
    shown = float(_size(x, unit)) + 0.0  # -0.0 reads as a claim
    return (f"{shown:+.1f}" if plus and shown else f"{shown:.1f}").replace("-", MINUS)


def _name(unit: str) -> str:
    return " points" if unit == "share" else " years"
