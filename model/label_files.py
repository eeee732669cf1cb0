"""Label files: a table beside the pictures, CSV or Parquet, its columns under our names."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit.columns import is_index
from audit.csv_header import header_of, undecodable
from audit.errors import InputError
from audit.words import CODED_1_2, nearest

LABELS = ("image", "age", "gender", "race", "subject_id", "split")  # what --column may name
_NEEDED = LABELS[:3]
_PARQUET = (".parquet", ".pq")
_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", *_PARQUET)
_ALSO_CALLED = {  # in well-known data sets: to be proposed, never taken for granted
    "image": ("file", "file_name", "filename", "path", "full_path", "image_path", "img", "photo"),
    "age": ("real_age", "true_age", "age_true", "apparent_age", "apparent_age_avg"),
    "gender": ("sex", "gender_true", "true_gender"),
}


def is_label_file(path: Path) -> bool:
    """Whether a file is a label file by its name."""
    return path.name.lower().endswith(_ENDINGS)


def read_label_file(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Rows of a CSV or Parquet label file as text and numbers, with the columns checked.

    columns: our name of LABELS -> the file's. Raises InputError when the file cannot be read, has
    no rows, or lacks `image`, `age` or `gender`.
    """
    columns = columns or {}
    try:
        parquet = path.suffix.lower() in _PARQUET
        rows = pd.read_parquet(path) if parquet else _read_csv(path, columns)
    except pd.errors.ParserWarning as error:
        raise InputError(f"{path}: its rows have more fields than its header") from error
    except UnicodeDecodeError as error:
        raise undecodable(path) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise InputError(f"cannot read the label file {path}: {first}") from error
    rows.columns = [str(name) for name in rows.columns]
    kept = our_names(list(rows.columns), columns, label=str(path))
    rows = rows[list(kept)].rename(columns=kept)
    missing = [name for name in _NEEDED if name not in rows.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(rows.columns)}); "
            f"a label file needs image, age and gender: {proposal(missing, list(rows.columns))}"
        )
    if rows.empty:
        raise InputError(f"{path} has no rows")
    codes = {str(word).strip().removesuffix(".0") for word in rows["gender"].dropna().unique()}
    if {"1", "2"} <= codes:
        raise InputError(f"{path}: gender {CODED_1_2}")
    return rows.reset_index(drop=True)


def _read_csv(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The table of a CSV of whatever delimiter its header has, as `audit.source` reads one."""
    _, delimiter = header_of(path)
    theirs = {name: columns.get(name, name) for name in LABELS}
    text = [theirs[name] for name in ("image", "subject_id", "gender", "race")]
    how: dict[str, Any] = {"sep": delimiter, "index_col": False}
    raw = {str(name).strip(): name for name in pd.read_csv(path, nrows=0, **how).columns}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # fields without a header
        rows: pd.DataFrame = pd.read_csv(
            path, dtype={raw[name]: str for name in text if name in raw}, **how
        )
    if race := raw.get(theirs["race"]):  # a text, codes and `NA` too: only what is empty is unknown
        how |= {"usecols": [race], "dtype": str, "keep_default_na": False}
        rows[race] = pd.read_csv(path, **how)[race]
    rows.columns = [str(name).strip() for name in rows.columns]
    rows = rows.drop(columns=[name for name in raw if is_index(name)])
    if delimiter != ",":
        for name in set(rows.columns).difference(text):
            rows[name] = _with_points(rows[name], age=name == theirs["age"])
    return rows


def _with_points(column: "pd.Series[Any]", *, age: bool) -> "pd.Series[Any]":
    """Decimals with a comma as numbers, where all of a column are numbers then; of ages, each."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    text = column.astype("str").str.replace(r"^\s*([-+]?\d+),(\d+)\s*$", r"\1.\2", regex=True)
    try:
        return pd.to_numeric(text)
    except (ValueError, TypeError):
        return text if age else column


def our_names(names: list[str], columns: Mapping[str, str], *, label: str) -> dict[str, str]:
    """Their name -> ours, of every column that is kept: one that another one hides is not.

    columns: ours -> theirs. Raises InputError for a name that is not of LABELS, or that `names`
    lacks, and for one column read as two.
    """
    named: dict[str, str] = {}
    for name, their in columns.items():
        asked = f"--column {name}={their}"
        if name not in LABELS:
            raise InputError(f"{asked}: there is no label {name!r}; {nearest(name, LABELS)}")
        if their not in names:
            raise InputError(f"{asked}: {label} has no column {their!r}; {nearest(their, names)}")
        if their in named:
            raise InputError(f"{asked}: {their!r} is read as {named[their]!r} already")
        named[their] = name
    return {name: named.get(name, name) for name in names if name in named or name not in columns}


def proposal(missing: list[str], names: list[str]) -> str:
    """How to name the columns that are missing."""
    small = {name.lower(): name for name in reversed(names)}
    pairs = []
    for name in missing:
        known = [small[word] for word in (name, *_ALSO_CALLED.get(name, ())) if word in small]
        pairs.append(f"{name}={known[0] if known else 'THEIRS'}")
    return f"name theirs with --column {' '.join(pairs)}"
