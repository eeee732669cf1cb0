"""Shards: every person falls into one of a thousand, the same in any engine and any part."""

import hashlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SHARDS = 1000

_Whole = TypeVar("_Whole", int, NDArray[np.int64])

# Odd multipliers, small enough that each sum of two products below stays under 2^63.
_A, _B, _C, _D = 2654435761, 2246822519, 1640531527, 668265263
_LOW30, _LOW31 = 2**30 - 1, 2**31 - 1


def key_of(person: str) -> int:
    """A person's id as an integer below 2^60: itself up to 18 digits, else the head of its md5."""
    if len(person) <= 18 and person.isascii() and person.isdecimal():
        return int(person)
    return int(hashlib.md5(person.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def key_sql(name: str) -> str:
    """`key_of` as SQL, for a column of text."""
    return (
        f"CASE WHEN regexp_full_match({name}, '[0-9]{{1,18}}') THEN TRY_CAST({name} AS BIGINT) "
        f"ELSE ('0x' || left(md5({name}), 15))::BIGINT END"
    )


def shard_of(key: _Whole) -> _Whole:
    """The shard of a person's key (an integer below 2^60), or of an array (int64) of them.

    A multiply-shift mix inside 63 bits: no engine overflows on it, none has a hash of its own in
    it, so that tallies of parts add up wherever they were made.
    """
    h = (key & _LOW30) * _A + (key >> 30) * _B
    h ^= h >> 31
    h = (h & _LOW31) * _C + (h >> 31) * _D
    h ^= h >> 29
    return (h >> 12) % SHARDS


def sharded(rows: str, key: str) -> str:
    """SQL of `rows` (what follows FROM) with `mixed` (63 bits) and `shard`: `shard_of`, in layers.

    `key` is SQL of the person's key.
    """
    return (
        f"(SELECT *, (mixed >> 12) % {SHARDS} AS shard FROM (SELECT *, xor(h2, h2 >> 29) AS mixed "
        f"FROM (SELECT *, (h1 & {_LOW31}) * {_C} + (h1 >> 31) * {_D} AS h2 "
        f"FROM (SELECT *, xor(h0, h0 >> 31) AS h1 "
        f"FROM (SELECT *, (key & {_LOW30}) * {_A} + (key >> 30) * {_B} AS h0 "
        f"FROM (SELECT *, {key} AS key FROM {rows}))))))"
    )


def counted_people(rows: NDArray[np.float64], people_per_row: float = 1.0) -> NDArray[np.float64]:
    """Subjects behind rows [..., shard], from the occupied shards of each group.

    Linear counting; above nine tenths occupied, where that says little, rows times
    `people_per_row`, those of the whole table. A few hundredths more than the rows where these are
    few: not cut off, so that the same people photographed twice count the same.
    """
    shards, n = rows.shape[-1], rows.sum(axis=-1)
    occupied = (rows > 0).sum(axis=-1)
    counted = _linear_count(np.minimum(occupied, 0.9 * shards), shards)
    many = np.maximum(counted, n * people_per_row)
    return np.asarray(np.where(occupied < 0.9 * shards, counted, many))


def spread_of_rows(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of one row about the mean of all, rows clustered by shard.

    The least that a group's rows are taken to have where a few large losses decide the mean: a
    small group without any shows next to no loss and hardly any spread, yet is no proof of it, and
    replicates made of it know of no large loss either.

    top, bottom: sums [..., shard].
    """
    n = bottom.sum(axis=-1)
    residual = top - (top.sum(axis=-1) / n)[..., None] * bottom
    return np.asarray((residual**2).sum(axis=-1) / n)


def _linear_count(occupied: NDArray[np.float64], shards: int) -> NDArray[np.float64]:
    """How many people fill that many of S shards: −S ln(1 − occupied/S).

    Whang, Vander-Zanden & Taylor 1990, "A linear-time probabilistic counting algorithm".
    """
    return -shards * np.log1p(-occupied / shards)
