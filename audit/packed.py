"""`GROUP BY` over many small keys, packed into one integer: quicker, and sorted as they would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.source import Source

_ROOM = 2**62  # what one packed key may count to


@dataclass(frozen=True)
class Key:
    """A key of a table of sums: its column's name, SQL of a whole number, and where it lies.

    The number lies in least .. least + size - 1 in every row that is grouped.
    """

    name: str
    sql: str
    size: int
    least: int = 0

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """Of the column: int16 where it fits."""
        return np.int32 if self.least + self.size > 2**15 else np.int16


def grouped(
    source: Source, tables: Sequence[Sequence[Key]], sums: Mapping[str, str], rows: str
) -> list[pd.DataFrame]:
    """One table of sums per list of keys, all from one scan; rows sorted by their keys.

    sums: column -> SQL of an aggregate. rows: what follows FROM. As many keys as 62 bits hold are
    packed into one integer: it groups several times faster than its parts, and sorts as they would.
    """
    packs = [_packed(keys) for keys in tables]
    names = [[f"k{t}_{i}" for i in range(len(table))] for t, table in enumerate(packs)]
    keyed = ", ".join(
        f"{_pack_sql(pack)} AS {name}"
        for table, own in zip(packs, names, strict=True)
        for pack, name in zip(table, own, strict=True)
    )
    sets = ", ".join(f"({', '.join(own)})" for own in names)
    by = ", ".join(names[0]) if len(tables) == 1 else f"GROUPING SETS ({sets})"
    # a key of another table is NULL in this one's rows: -1 keeps the columns whole numbers
    shown = ", ".join(f"coalesce({name}, -1) AS {name}" for own in names for name in own)
    values = ", ".join(f"{sql} AS s{i}" for i, sql in enumerate(sums.values()))
    got = source.frame(
        f"SELECT {shown}, {values} FROM (SELECT *, {keyed} FROM {rows}) GROUP BY {by}"
    )
    return [
        _unpacked(got[got[own[0]] >= 0], own, pack, list(sums))
        for own, pack in zip(names, packs, strict=True)
    ]


def no_rows(keys: Sequence[Key], sums: Sequence[str]) -> pd.DataFrame:
    """The table that `grouped` makes of no rows at all."""
    columns: dict[str, NDArray[Any]] = {k.name: np.zeros(0, dtype=k.dtype) for k in keys}
    return pd.DataFrame(columns | {name: np.zeros(0, dtype=np.int64) for name in sums})


def _packed(keys: Sequence[Key]) -> list[list[Key]]:
    packs: list[list[Key]] = [[]]
    room = _ROOM
    for key in keys:
        if room // key.size < 1:
            packs.append([])
            room = _ROOM
        packs[-1].append(key)
        room //= key.size
    return packs


def _pack_sql(pack: Sequence[Key]) -> str:
    sql = "0::BIGINT"
    for key in pack:
        sql = f"({sql} * {key.size} + ({key.sql} - {key.least}))"
    return sql


def _unpacked(
    got: pd.DataFrame, names: Sequence[str], packs: Sequence[Sequence[Key]], sums: Sequence[str]
) -> pd.DataFrame:
    order = np.lexsort([got[name].to_numpy() for name in reversed(names)])
    out: dict[str, NDArray[Any]] = {}
    for name, pack in zip(names, packs, strict=True):
        rest = got[name].to_numpy()[order]
        parts = {}
        for key in reversed(pack):
            parts[key.name] = (rest % key.size + key.least).astype(key.dtype)
            rest = rest // key.size
        out |= {key.name: parts[key.name] for key in pack}
    for i, name in enumerate(sums):
        out[name] = np.nan_to_num(got[f"s{i}"].to_numpy()[order]).astype(np.int64)
    return pd.DataFrame(out)
