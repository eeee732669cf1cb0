"""The same faces under several readings, checked and laid side by side: rows for `audit.stress`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.config import AuditSettings
from audit.contract import Table, id_text
from audit.errors import InputError
from audit.groups import OVERALL
from audit.metrics import METRICS, Floats
from audit.paired import Loss, Split
from audit.predictions import Predictions, open_predictions
from audit.shards import sharded
from audit.source import open_source

CLEAN = "clean"
SHOWN = ("age_mae", "age_me", "gender_accuracy", "interval_coverage")
DEFAULT_BY = ("race", "gender_true", "age_group")
_NUMBERS = ("age_pred", "age_low", "age_high", "gender_score")


@dataclass(frozen=True)
class Readings:
    """The audited faces under every reading, the clean one first.

    variants: (corruption, severity) of readings 1, 2, ...; splits: feature -> its groups' names and
    the split of the faces, all faces together first; losses: metric key -> what it averages.
    """

    predictions: Predictions
    people: int
    variants: tuple[tuple[str, int], ...]
    splits: Mapping[str, tuple[tuple[str, ...], Split]]
    losses: Mapping[str, Loss]

    def of(self, corruption: str) -> list[int]:
        """Numbers of a corruption's readings, by severity."""
        return [i + 1 for i, (name, _) in enumerate(self.variants) if name == corruption]

    def variant(self, reading: int) -> tuple[str, int]:
        """Corruption and severity of a reading by its number."""
        return self.variants[reading - 1] if reading else (CLEAN, 0)


def open_readings(table: pd.DataFrame, settings: AuditSettings) -> Readings:
    """Check a table of readings and split its faces by the features asked for.

    Raises InputError for a table without a clean reading, in which some face lacks a reading, or
    that breaks the contract of predictions.
    """
    table, settings = _by_own_names(table, settings.replace(split="all"))
    clean, again = _parted(table)
    if settings.by is None:
        offered = {*map(str, clean.columns), *({"age_group"} if "age_true" in clean else set())}
        settings = settings.replace(by=tuple(n for n in DEFAULT_BY if n in offered))
    predictions = open_predictions(clean, settings)
    columns = ", ".join(["sample_id, person, shard, age_true, y", *_NUMBERS, *predictions.codes])
    people = sharded("faces", "person")
    rows = predictions.source.frame(f"SELECT {columns} FROM {people} ORDER BY sample_id")
    read = {name: [rows[name].to_numpy(np.float64)] for name in _NUMBERS}
    for part in again.values():
        found = part.set_index("sample_id").reindex(index=rows["sample_id"], columns=_NUMBERS)
        for name in _NUMBERS:
            read[name].append(found[name].to_numpy(np.float64))
    stacked = {name: np.stack(parts) for name, parts in read.items()}
    losses = {key: _loss(key, rows, stacked, threshold=settings.threshold) for key in SHOWN}
    return Readings(
        predictions=predictions,
        people=int(rows["person"].nunique()),
        variants=tuple(again),
        splits=_splits(predictions, rows),
        losses={key: loss for key, loss in losses.items() if loss is not None},
    )


def _by_own_names(
    table: pd.DataFrame, settings: AuditSettings
) -> tuple[pd.DataFrame, AuditSettings]:
    """The table with foreign columns under the contract's names, by which readings are found."""
    given = {their: name for name, their in settings.columns.items() if their in table}
    hidden = [name for name in given.values() if name in table and name not in given]
    rest = {n: their for n, their in settings.columns.items() if their not in given}
    return table.drop(columns=hidden).rename(columns=given), settings.replace(columns=rest)


def _parted(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple[str, int], pd.DataFrame]]:
    """The clean rows, and those of each (corruption, severity), in their order by name."""
    missing = {"sample_id", "corruption", "severity"} - set(table)
    if missing:
        raise InputError(f"a table of stressed readings lacks {', '.join(sorted(missing))}")
    table = table.assign(sample_id=_id_words(table))
    parts = {
        (name, int(severity)): rows.drop(columns=["corruption", "severity"])
        for name, of_name in table.groupby(table["corruption"].astype(str))
        for severity, rows in of_name.groupby(of_name["severity"].astype(int))
    }
    clean = parts.pop((CLEAN, 0), None)
    if clean is None or not parts:
        raise InputError(f"no reading is {CLEAN!r}, 0, or no other is there to compare with it")
    ids = set(clean["sample_id"])
    for (name, severity), rows in parts.items():
        if len(rows) != len(ids) or set(rows["sample_id"]) != ids:
            raise InputError(
                f"{name} at severity {severity} has {len(rows):,} readings of {len(ids):,} faces; "
                "every face needs one"
            )
    return clean, parts


def _id_words(table: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Ids as the audited rows have them, by which readings are found."""
    source = open_source(table[["sample_id"]])
    ids = Table(source, AuditSettings(), {"sample_id": source.columns[0]})
    words = f"SELECT {id_text(ids, 'sample_id')} AS id FROM raw ORDER BY row_at"
    return source.frame(words)["id"].to_numpy(dtype=object)


def _splits(
    predictions: Predictions, rows: pd.DataFrame
) -> dict[str, tuple[tuple[str, ...], Split]]:
    """Group names and the split of the faces by each feature, all of them together first."""
    shard, people = (rows[name].to_numpy(np.int64) for name in ("shard", "person"))
    given = not predictions.subjects_assumed
    whole = Split(np.zeros(len(shard), dtype=np.int64), shard, people, 1, given)
    splits: dict[str, tuple[tuple[str, ...], Split]] = {OVERALL: ((OVERALL,), whole)}
    for feature, code in zip(predictions.features, predictions.codes, strict=True):
        held, codes = np.unique(rows[code].to_numpy(np.int64), return_inverse=True)
        names = tuple(feature.levels[i] for i in held)
        splits[feature.name] = names, Split(codes, shard, people, len(names), given)
    return splits


def _loss(
    key: str, rows: pd.DataFrame, read: Mapping[str, Floats], *, threshold: float
) -> Loss | None:
    """What metric `key` averages over the faces; None where the table lacks it."""
    true = rows["age_true"].to_numpy(np.float64)
    if key in ("age_mae", "age_me"):
        error = np.floor((read["age_pred"] - true) * 100 + 0.5)
        values, scale = (np.abs(error) if key == "age_mae" else error), 100.0
    elif key == "gender_accuracy":
        y, score = rows["y"].to_numpy(np.float64), read["gender_score"]
        values = np.where(np.isnan(score + y), np.nan, (score >= threshold) == (y == 1))
        scale = 1.0
    else:
        low, high = read["age_low"], read["age_high"]
        values = np.where(np.isnan(low + high + true), np.nan, (low <= true) & (true <= high))
        scale = 1.0
    valid = np.isfinite(values).all(axis=0)
    if not valid.any():
        return None
    share, signed = METRICS[key].unit == "share", METRICS[key].better == "zero"
    return Loss(np.where(valid, values, 0.0), valid, scale, share, signed)
