"""Copies of one picture: byte-identical, or near-identical (saved again, resized, mirrored).

Two pictures are near-identical when three things agree: their 64-bit difference hashes within 7
bits, their 32 × 32 grey thumbnails (correlation ≥ .96), and the edges of these thumbnails
(correlation of the differences between neighbours ≥ .92). The hash alone is no proof: aligned faces
look alike to it. Among 18,911 real face crops 900 pairs of different people lie within 2 bits of
each other; 387 pairs passed all three checks, and the hundred weakest of them, looked at by eye,
were one photo each. Of 72 million pairs of drawn faces, which share their parts, four passed.
The price: copies that were cropped, shifted or blurred strongly are missed.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR_BITS = 7
NEAR_COARSE = 0.94
NEAR_THUMB = 0.96
NEAR_EDGES = 0.92
FLAT = 2.0  # grey levels; a picture of less contrast has nothing to compare
AGE_TOLERANCE = 3  # years between copies that still count as one label
_AT_ONCE = 2_000_000  # candidate pairs held in memory

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]


def near_pairs(dhashes: Hashes, thumbs: Bytes) -> Ints:
    """Pairs of near-identical pictures, int64 [m, 2], i < j, sorted.

    Parameters
    ----------
    dhashes
        uint64 [n], as in `model.scan.Fingerprint`.
    thumbs
        uint8 [n, S, S], grey.

    Notes
    -----
    Candidates come from multi-index hashing (Norouzi, Punjani & Fleet 2012): two hashes within 7
    bits agree in one of four 16-bit bands up to one bit, so each band is looked up with 17
    patterns instead of comparing all pairs.
    """
    rows = np.flatnonzero(thumbs.std(axis=(1, 2)) >= FLAT)
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64)
    # Pictures with the very same thumbnail (a placeholder saved a thousand times) go in once.
    _, first, same = np.unique(
        thumbs[rows].reshape(len(rows), -1), axis=0, return_index=True, return_inverse=True
    )
    same_pairs = np.column_stack([rows[first][same.ravel()], rows])
    kept = rows[np.sort(first)]
    hashes, pictures = dhashes[kept], thumbs[kept]
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    found = [_sorted_pairs(same_pairs[same_pairs[:, 0] != same_pairs[:, 1]])]
    coarse = _coarse(pictures)
    for other, turned in ((hashes, pictures), (mirrored_dhash(hashes), mirrored)):
        coarse_other = _coarse(turned)
        for pairs in _candidates(hashes, other):
            dots = np.einsum("nc,nc->n", coarse[pairs[:, 0]], coarse_other[pairs[:, 1]])
            likely = pairs[dots >= NEAR_COARSE]
            found.append(kept[likely[_alike(pictures, turned, likely)]])
    return _sorted_pairs(np.concatenate(found))


def mirrored_dhash(dhashes: Hashes) -> Hashes:
    """Difference hash of the mirrored pictures: each row of 8 bits reversed and inverted.

    Exact but for neighbouring cells of equal grey, which stay 0 in both.
    """
    rows = np.unpackbits(dhashes.astype(">u8").view(np.uint8).reshape(-1, 8, 1), axis=2)
    turned = np.packbits(1 - rows[:, :, ::-1], axis=2)
    return np.ascontiguousarray(turned).reshape(-1, 8).view(">u8").ravel().astype(np.uint64)


def _sorted_pairs(pairs: Ints) -> Ints:
    return np.unique(np.sort(pairs.astype(np.int64), axis=1), axis=0).reshape(-1, 2)


def _candidates(a: Hashes, b: Hashes) -> Iterator[Ints]:
    """Batches of (i, j), i < j, with at most NEAR_BITS bits between a[i] and b[j]."""
    patterns = [0] + [1 << bit for bit in range(16)]
    for band in range(4):
        of_a, of_b = (((x >> np.uint64(16 * band)) & np.uint64(0xFFFF)) for x in (a, b))
        order = np.argsort(of_b, kind="stable")
        in_order = of_b[order]
        for pattern in patterns:
            wanted = of_a ^ np.uint64(pattern)
            low = np.searchsorted(in_order, wanted, side="left")
            counts = np.searchsorted(in_order, wanted, side="right") - low
            for part in _parts(counts):
                i = np.repeat(np.arange(part.start, part.stop), counts[part])
                ends = np.cumsum(counts[part])
                within = np.arange(len(i)) - np.repeat(ends - counts[part], counts[part])
                j = order[np.repeat(low[part], counts[part]) + within]
                close = (i < j) & (_bits_between(a[i], b[j]) <= NEAR_BITS)
                if close.any():
                    yield np.column_stack([i[close], j[close]]).astype(np.int64)


def _parts(counts: npt.NDArray[np.intp]) -> Iterator[slice]:
    """Consecutive stretches of rows with at most about _AT_ONCE candidates each."""
    bins = np.cumsum(counts) // _AT_ONCE
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(counts)], strict=True):
        yield slice(int(start), int(stop))


def _bits_between(a: Hashes, b: Hashes) -> Bytes:
    if hasattr(np, "bitwise_count"):  # numpy ≥ 2
        counts: Bytes = np.bitwise_count(a ^ b)
        return counts
    different = (a ^ b).view(np.uint8).reshape(-1, 8)
    summed: Bytes = np.unpackbits(different, axis=1).sum(axis=1, dtype=np.uint8)
    return summed


def _coarse(thumbs: Bytes) -> Floats:
    """Unit vectors of 8 × 8 means: a cheap first look that lets every true pair through."""
    step = thumbs.shape[1] // 8
    cells = thumbs.reshape(len(thumbs), 8, step, 8, step).mean(axis=(2, 4), dtype=np.float32)
    flat = cells.reshape(len(thumbs), 64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _alike(a: Bytes, b: Bytes, pairs: Ints) -> npt.NDArray[np.bool_]:
    """Which pairs of thumbnails a[i], b[j] agree in grey and in edges."""
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), 1024):  # small enough to stay in the processor's cache
        i, j = pairs[start : start + 1024].T
        x, y = a[i].astype(np.float32), b[j].astype(np.float32)
        close = _correlation(x, y) >= NEAR_THUMB
        if close.any():
            close[close] = _correlation(_edges(x[close]), _edges(y[close])) >= NEAR_EDGES
        alike[start : start + 1024] = close
    return alike


def _edges(x: Floats) -> Floats:
    down, right = np.diff(x, axis=1), np.diff(x, axis=2)
    return np.concatenate([down.reshape(len(x), -1), right.reshape(len(x), -1)], axis=1)


def _correlation(x: Floats, y: Floats) -> Floats:
    x, y = (z.reshape(len(z), -1) for z in (x, y))
    x, y = (z - z.mean(axis=1, keepdims=True) for z in (x, y))
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.asarray((x * y).sum(axis=1) / np.maximum(norm, 1e-6), dtype=np.float32)


def components(n: int, pairs: Ints) -> Ints:
    """Number of the connected component of each of `n` nodes, int64 [n]."""
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def chained(keys: "pd.Series[str]") -> Ints:
    """Pairs that tie every row to the first row with the same key; rows without key are free."""
    first = pd.Series(np.arange(len(keys))).groupby(keys.to_numpy(), sort=False).transform("first")
    tied = first.notna().to_numpy() & (first.to_numpy() != np.arange(len(keys)))
    return np.column_stack([first[tied], np.flatnonzero(tied)]).astype(np.int64).reshape(-1, 2)


def mark_copies(faces: pd.DataFrame, thumbs: Bytes) -> pd.DataFrame:
    """Add `copy_group`, `copy_kind` and `conflict` to faces (with content_hash, dhash and labels).

    `copy_group` numbers the groups of copies in table order, <NA> for a picture without copies;
    `copy_kind` is `identical` where another file has the same bytes, else `near`; `conflict` says
    that the copies' labels contradict each other: gender differs, or ages by more than 3 years.
    """
    hashes = faces["content_hash"]
    first = np.flatnonzero(~hashes.duplicated().to_numpy())
    near = first[near_pairs(faces["dhash"].to_numpy(dtype=np.uint64)[first], thumbs[first])]
    group = components(len(faces), np.concatenate([chained(hashes), near.reshape(-1, 2)]))
    sizes = np.bincount(group, minlength=1)
    copied = sizes[group] > 1
    numbers = pd.Series(pd.factorize(group[copied])[0], index=faces.index[copied], dtype="Int64")
    kind = np.where(hashes.duplicated(keep=False), "identical", "near")
    by_group = faces[["age", "gender"]].groupby(group)
    spread = (by_group["age"].transform("max") - by_group["age"].transform("min")).to_numpy()
    genders = by_group["gender"].transform("nunique").to_numpy()
    return faces.assign(
        copy_group=numbers.reindex(faces.index),
        copy_kind=pd.Series(kind, index=faces.index, dtype="str").where(copied),
        conflict=copied & ((genders > 1) | (spread > AGE_TOLERANCE)),
    )


def resolve_conflicts(faces: pd.DataFrame) -> pd.DataFrame:
    """Rows to learn from: each photo once, and only where its copies agree.

    Copies with one gender and ages within 3 years are one face: the first is kept, its age the
    median of theirs. Copies that contradict each other are all dropped, for nobody can say which
    label is right. Race is not learned from and plays no part. The index of `faces` is kept.
    """
    kept = faces[~faces["conflict"]]
    medians = kept.groupby("copy_group")["age"].median()
    ages = kept["copy_group"].map(medians).astype("float64").fillna(kept["age"].astype("float64"))
    kept = kept.assign(age=ages)
    return kept[kept["copy_group"].isna() | ~kept["copy_group"].duplicated()]
