"""What a comparison of stressed readings says, in one sentence with its numbers."""

from collections.abc import Mapping
from typing import Any

from audit.metrics import METRICS
from audit.words import GAP_UNITS, gap, gap_interval, gap_words

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
        shown = f"{gap(row['harm'], unit, signed=True)} {gap_interval(*ends, unit, signed=True)}"
        none = row["verdict"].startswith("no ")
        known = "No group is" if none else "It cannot be decided whether some group is"
        return (
            f"{known} harmed more than everyone else by {row['corruption']} in {label}; "
            f"{group} at severity {row['severity']} stands out most: {shown}{GAP_UNITS[unit]}."
        )
    falls = row["change"] < 0
    size = -row["harm"] if falls else row["harm"]
    low, high = (-row["high"], -row["low"]) if falls else ends
    more = "more"
    if size < 0:
        size, low, high, more = -size, -high, -low, "less"
    moved = f"{'falls' if falls else 'rises'} {gap_words(abs(row['change']), unit)}"
    return (
        f"Under {place}, {label} of {group} {moved}, {gap(size, unit)} {more} than "
        f"everyone else's {gap_interval(low, high, unit)}; "
        f"its distance to everyone else goes from {gap(row['gap_clean'], unit, signed=True)} to "
        f"{gap(row['gap'], unit, signed=True)}{GAP_UNITS[unit]}."
    )
