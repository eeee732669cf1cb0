"""What a network holds of every face before its heads: the file beside a table, and who is near."""

import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.files import write_atomic

SUFFIX = ".embeddings.npz"
_PARTS = ("sample_id", "embedding", "age_pred", "gender_score")
_SAME = 0.002  # years and P(female): how closely a table must agree with the embeddings' figures
# What numpy raises for a file that is cut, foreign or of one array.
_BROKEN = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
)
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embeddings:
    """One vector per face, and what the network read from it in the same pass.

    ids: sample_id [N]. vectors: float32 [N, D]. age_pred (years) and gender_score, both [N]: NaN
    where the network gave none.
    """

    ids: tuple[str, ...]
    vectors: Vectors
    age_pred: NDArray[np.float64]
    gender_score: NDArray[np.float64]

    @cached_property
    def place(self) -> Mapping[str, int]:
        """The row of every sample_id."""
        return {name: i for i, name in enumerate(self.ids)}

    @cached_property
    def directions(self) -> Vectors:
        """The vectors about their mean, each of length 1 (0 where it is the mean), [N, D].

        About the mean, because the outputs of a ReLU all point into one corner.
        """
        about = self.vectors - self.vectors.mean(axis=0)
        length = np.linalg.norm(about, axis=1, keepdims=True)
        return np.asarray(about / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)

    def only(self, ids: Collection[str]) -> "Embeddings":
        """Those of the faces `ids`, in the order of the file."""
        kept = [i for i, name in enumerate(self.ids) if name in ids]
        return Embeddings(
            tuple(self.ids[i] for i in kept),
            self.vectors[kept],
            self.age_pred[kept],
            self.gender_score[kept],
        )


def embeddings_beside(predictions: Path) -> Path:
    """Where the embeddings of a predictions table lie: `predictions.embeddings.npz`."""
    return predictions.with_suffix(SUFFIX)


def write_embeddings(
    path: Path,
    vectors: NDArray[np.floating],
    *,
    ids: Sequence[str],
    age_pred: Sequence[float],
    gender_score: Sequence[float],
) -> Path:
    """Write one float16 vector [D] per face, with its sample_id and what was read, atomically."""
    far = float(np.finfo(np.float16).max)
    parts = {
        "sample_id": np.array(list(ids), dtype=np.str_),
        "embedding": np.clip(vectors, -far, far).astype(np.float16),
        "age_pred": np.array(age_pred, dtype=np.float64),
        "gender_score": np.array(gender_score, dtype=np.float64),
    }

    def write(beside: Path) -> None:
        with beside.open("wb") as handle:
            np.savez(handle, **parts)

    return write_atomic(path, write)


def read_embeddings(path: Path) -> Embeddings:
    """What `write_embeddings` wrote. Raises InputError for a cut or foreign file, naming it."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as held:
            ids, vectors, ages, scores = (held[name] for name in _PARTS)
        good = vectors.ndim == 2 and len({len(ids), len(vectors), len(ages), len(scores)}) == 1
    except _BROKEN as error:
        raise InputError(f"{path} is cut or holds no embeddings; predict again") from error
    if not good or not np.isfinite(vectors).all():
        raise InputError(f"{path} is cut or holds no embeddings; predict again")
    names = tuple(map(str, ids.tolist()))
    return Embeddings(names, vectors.astype(np.float32), ages.astype(float), scores.astype(float))


def of_these_faces(
    embeddings: Embeddings,
    *,
    ids: Sequence[str],
    age_pred: Sequence[float] | None = None,
    gender_score: Sequence[float] | None = None,
) -> Embeddings:
    """The embeddings of the faces of a table, checked against what the table says was read.

    Raises InputError where no face is in both, or where the figures of a face differ by more than
    rounding: then the table is of another network, or was corrected since.
    """
    found = embeddings.only(set(ids))
    if not found.ids:
        raise InputError("the embeddings are of other faces than the audit's")
    rows = {name: i for i, name in enumerate(ids)}
    at = [rows[name] for name in found.ids]
    for ours, theirs in ((found.age_pred, age_pred), (found.gender_score, gender_score)):
        if theirs is None:
            continue
        far = np.abs(ours - np.asarray(theirs, dtype=np.float64)[at]) > _SAME
        if n := int(far.sum()):
            raise InputError(
                f"the embeddings are of another network than the table: {n:,} of "
                f"{len(found.ids):,} faces were read otherwise"
            )
    return found


def neighbours(embeddings: Embeddings, sample_id: str, *, most: int = 6) -> list[tuple[str, float]]:
    """The `most` faces nearest to `sample_id` by the cosine about the mean, nearest first.

    Empty for a face without an embedding. One product of matrices: 19,000 faces of 256 numbers
    take a few thousandths of a second.
    """
    row = embeddings.place.get(sample_id)
    if row is None:
        return []
    near = embeddings.directions @ embeddings.directions[row]
    near[row] = -np.inf
    order = np.argsort(-near, kind="stable")[: min(most, len(near) - 1)]
    return [(embeddings.ids[i], float(near[i])) for i in order]
