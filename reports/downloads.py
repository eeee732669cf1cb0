"""A table to download: its stored numbers as CSV, and a name for the file."""

import re
from typing import Any

import pandas as pd


def as_csv(table: pd.DataFrame) -> bytes:
    """The table's stored numbers as CSV, for a spreadsheet: no word of it runs as a formula.

    Words that begin with = + - @, a tab or a carriage return get an apostrophe before them.
    """
    words = table.select_dtypes(include=["object", "str", "category"]).columns
    safe = table.assign(**{c: table[c].map(_harmless) for c in words})
    safe.columns = [_harmless(str(c)) for c in safe.columns]
    return safe.to_csv(index=False).encode("utf-8-sig")


def _harmless(value: Any) -> Any:
    risky = isinstance(value, str) and value.lstrip(" ").startswith(
        ("=", "+", "-", "@", "\t", "\r")
    )
    return f"'{value}" if risky else value


def file_name(words: str) -> str:
    """Letters, digits and hyphens of `words`: a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower()[:80] or "table"
