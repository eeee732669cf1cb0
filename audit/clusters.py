"""Clusters of look-alikes that are read worse: found on half of the people, tested on the others.

As with weak slices (`audit.slices`), where nobody named the groups. On one half the embeddings are
clustered with the error beside them, so that faces fall together that look alike to the network
*and* are read alike badly (after Domino, Eyuboglu et al. 2022); every face is then put to the
nearest centre by its embedding alone. The clusters worst on that half are tested on the other,
whose errors the search never saw: t of cluster against the rest, clustered by person, Holm.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.vq import ClusterError, kmeans2

from audit.embeddings import Embeddings
from audit.metrics import METRICS, Floats
from audit.slices import Cells, Slice, weak_slices

ALPHA = 0.01  # of all clusters of all metrics together, as for slices
DIMENSIONS = 16  # principal components that are clustered
WEIGHT = 0.5  # variance of the error beside the embedding's own, which is 1
FACES_EACH = 100  # of the half that is searched, per cluster asked for
FEWEST, MOST = 4, 30  # clusters
TRIES = 4  # starts of k-means, of which the tightest counts
LEAST_FACES = 200  # with an error; below, halves of clusters hold nobody


@dataclass(frozen=True)
class Cluster:
    """A cluster that was worse on the searched half, and what the other half says of it.

    ids: its faces in either half, those nearest the centre first. value, complement_value,
    difference, low and high in the metric's own unit, of the testing half; n of both halves.
    """

    metric: str
    ids: tuple[str, ...]
    value: float
    complement_value: float
    difference: float
    low: float
    high: float
    n: int
    n_confirm: int
    p_adjusted: float
    confirmed: bool


def find_clusters(embeddings: Embeddings, faces: pd.DataFrame, *, seed: int = 0) -> list[Cluster]:
    """The nominated clusters of every metric that `faces` allow, confirmed ones first.

    faces: sample_id, and of subject_id (else one photo per person), error (years), gender_true and
    gender_pred what there is. Equal faces in any order and an equal seed give equal clusters.
    """
    faces = faces[faces["sample_id"].astype(str).isin(embeddings.place)]
    faces = faces.sort_values("sample_id", ignore_index=True)
    vectors = embeddings.vectors[[embeddings.place[i] for i in faces["sample_id"].astype(str)]]
    person = faces["sample_id"].astype(str)
    if "subject_id" in faces:
        person = faces["subject_id"].astype(str).where(faces["subject_id"].notna(), person)
    shard = _shards(person, seed=seed)
    found = []
    for metric, loss in losses(faces).items():
        known = np.isfinite(loss)
        if known.sum() >= LEAST_FACES and len(np.unique(shard[known] % 2)) == 2:
            found.append(
                _Searched(
                    metric, known, *_search(vectors[known], loss[known], shard[known], seed=seed)
                )
            )
    tested = weak_slices([one.cells for one in found], levels=1)
    ids = faces["sample_id"].to_numpy(np.str_)
    clusters = [
        _cluster(one, slice_, p, ids[one.known])
        for one, slices in zip(found, tested, strict=True)
        for slice_, p in slices
    ]
    return sorted(clusters, key=lambda c: (c.p_adjusted, -abs(c.difference), c.metric, c.ids[:1]))


def losses(faces: pd.DataFrame) -> Mapping[str, Floats]:
    """What can be worse, per metric [face], larger being worse; NaN where it is not known."""
    found: dict[str, Floats] = {}
    if "error" in faces:
        found["age_mae"] = np.asarray(faces["error"].abs(), dtype=np.float64)
    if {"gender_true", "gender_pred"} <= set(faces):
        two = ("female", "male")
        known = faces["gender_true"].isin(two) & faces["gender_pred"].isin(two)
        wrong = (faces["gender_true"].astype(str) != faces["gender_pred"].astype(str)).astype(float)
        found["gender_accuracy"] = np.asarray(wrong.where(known), dtype=np.float64)
    return found


@dataclass(frozen=True)
class _Searched:
    """Faces of a metric `known` [all faces], their cells, and how far each is from its centre."""

    metric: str
    known: NDArray[np.bool_]
    cells: Cells
    far: Floats


def _shards(person: Sequence[str] | pd.Series, *, seed: int) -> NDArray[np.int64]:
    """A number for every person, even for the half that is searched, odd for the other."""
    people, code = np.unique(np.asarray(person, dtype=np.str_), return_inverse=True)
    half = np.array([zlib.crc32(f"{seed} {name}".encode()) >> 16 & 1 for name in people])
    return np.asarray(2 * code + half[code], dtype=np.int64)


def _search(
    vectors: NDArray[np.float32], loss: Floats, shard: NDArray[np.int64], *, seed: int
) -> tuple[Cells, Floats]:
    """Cells of one made feature, the cluster, and each face's distance from its centre."""
    searched = shard % 2 == 0
    points = _components(vectors, searched)
    capped = np.minimum(loss, np.quantile(loss[searched], 0.99))  # one wild reading is no cluster
    spread = float(capped[searched].std()) or 1.0
    beside = (capped[searched] - capped[searched].mean()) / spread * WEIGHT**0.5
    k = int(np.clip(searched.sum() // FACES_EACH, FEWEST, MOST))
    centres = _centres(np.column_stack([points[searched], beside]), k, seed=seed)[:, :-1]
    apart = (centres**2).sum(axis=1) - 2 * points @ centres.T  # but for the point's own square
    code = apart.argmin(axis=1)
    cells = Cells(
        codes=code[:, None].astype(np.int64),
        sizes=(k,),
        shard=shard,
        shards=int(shard.max()) + 1,
        n=np.ones(len(loss)),
        x=loss,
        xx=loss**2,
    )
    return cells, apart[np.arange(len(code)), code] + (points**2).sum(axis=1)


def _components(vectors: NDArray[np.float32], searched: NDArray[np.bool_]) -> Floats:
    """Principal components by the searched half, their variances adding up to 1 there [N, K]."""
    x = vectors.astype(np.float64)
    x -= x[searched].mean(axis=0)
    _, axes = np.linalg.eigh(x[searched].T @ x[searched])
    points = x @ axes[:, ::-1][:, :DIMENSIONS]
    scale = float(np.sqrt(points[searched].var(axis=0).sum())) or 1.0
    return np.asarray(points / scale)


def _centres(points: Floats, k: int, *, seed: int) -> Floats:
    """The tightest of TRIES runs of k-means++, [k, dimension]."""
    best, tightest = points[:k], np.inf
    for start in range(TRIES):
        rng = np.random.default_rng([seed, start])
        try:
            centres, label = kmeans2(points, k, iter=25, minit="++", missing="raise", rng=rng)
        except ClusterError:  # a centre lost all its points
            continue
        spread = float(((points - centres[label]) ** 2).sum())
        if spread < tightest:
            best, tightest = centres, spread
    return best


def _cluster(one: _Searched, found: Slice, p: float, ids: NDArray[np.str_]) -> Cluster:
    inside = np.flatnonzero(one.cells.codes[:, 0] == found.levels[0][1])
    order = inside[np.argsort(one.far[inside], kind="stable")]
    flip = METRICS[one.metric].better == "higher"
    sign = -1.0 if flip else 1.0
    ends = sorted((sign * found.low, sign * found.high))
    return Cluster(
        metric=one.metric,
        ids=tuple(map(str, ids[order])),
        value=1 - found.value if flip else found.value,
        complement_value=1 - found.complement_value if flip else found.complement_value,
        difference=sign * found.difference,
        low=ends[0],
        high=ends[1],
        n=len(inside),
        n_confirm=int(found.n_confirm),
        p_adjusted=p,
        confirmed=bool(p < ALPHA),
    )
