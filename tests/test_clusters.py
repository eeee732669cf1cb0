"""Clusters of embeddings: what is planted is confirmed, what is not never is, and lots repeat."""

import numpy as np
import pandas as pd
import pytest

from audit.clusters import LEAST_FACES, find_clusters
from audit.embeddings import Embeddings

PLANTED = 7  # the blob whose faces are read worse


def made(seed, *, n=2000, planted=True, photos=1, d=24, blobs=12):
    """Faces in blobs of look-alikes; errors and wrong calls of one blob are larger if `planted`."""
    rng = np.random.default_rng(seed)
    person = np.arange(n) // photos
    blob = rng.integers(0, blobs, n // photos + 1)[person]
    middles = rng.normal(0, 1, (blobs, d)) * 1.2
    vectors = np.maximum(middles[blob] + rng.normal(0, 0.7, (n, d)), 0).astype(np.float32)
    weak = (blob == PLANTED) & planted
    shared = rng.normal(0, 3, n // photos + 1)[person]  # a person's photos err alike
    error = (shared + rng.normal(0, 4, n)) * np.where(weak, 2.2, 1)
    female = rng.random(n) < 0.5
    wrong = rng.random(n) < np.where(weak, 0.3, 0.08)
    ids = [f"s{i:05d}" for i in rng.permutation(n)]
    faces = pd.DataFrame(
        {
            "sample_id": ids,
            "subject_id": [f"p{i}" for i in person],
            "error": error,
            "gender_true": np.where(female, "female", "male"),
            "gender_pred": np.where(female ^ wrong, "female", "male"),
        }
    )
    held = Embeddings(tuple(ids), vectors, np.zeros(n), np.zeros(n))
    return held, faces, dict(zip(ids, blob, strict=True))


@pytest.mark.parametrize("photos", [1, 4])
def test_a_planted_cluster_is_confirmed_for_both_metrics_and_holds_the_planted_faces(photos):
    embeddings, faces, blob = made(1, n=4000, photos=photos)
    confirmed = [c for c in find_clusters(embeddings, faces) if c.confirmed]
    assert {c.metric for c in confirmed} == {"age_mae", "gender_accuracy"}
    for cluster in confirmed:
        assert np.mean([blob[i] == PLANTED for i in cluster.ids]) > 0.8
        assert cluster.low <= cluster.difference <= cluster.high
    age = next(c for c in confirmed if c.metric == "age_mae")
    gender = next(c for c in confirmed if c.metric == "gender_accuracy")
    assert age.low > 0
    assert gender.high < 0
    assert gender.value < gender.complement_value


def test_where_nothing_is_planted_no_cluster_is_confirmed_in_forty_tables():
    found = [find_clusters(*made(seed, n=1000, planted=False)[:2], seed=seed) for seed in range(40)]
    assert all(found)  # something is nominated every time
    assert sum(c.confirmed for clusters in found for c in clusters) == 0


def test_the_figures_are_of_the_half_that_was_not_searched():
    embeddings, faces, _ = made(2)
    cluster = next(c for c in find_clusters(embeddings, faces) if c.metric == "age_mae")
    assert 0 < cluster.n_confirm < cluster.n == len(cluster.ids)
    own = faces.set_index("sample_id").error.abs()[list(cluster.ids)]
    assert cluster.value != pytest.approx(own.mean(), abs=1e-9)


def test_the_order_of_the_rows_does_not_matter_and_a_seed_repeats():
    embeddings, faces, _ = made(3)
    first = find_clusters(embeddings, faces)
    assert first == find_clusters(embeddings, faces)
    assert first == find_clusters(embeddings, faces.sample(frac=1, random_state=1))
    turned = Embeddings(
        embeddings.ids[::-1],
        embeddings.vectors[::-1],
        embeddings.age_pred[::-1],
        embeddings.gender_score[::-1],
    )
    assert first == find_clusters(turned, faces)


def test_one_head_alone_faces_without_embedding_and_too_few_faces():
    embeddings, faces, _ = made(4)
    only = find_clusters(embeddings, faces[["sample_id", "error"]])
    assert {c.metric for c in only} == {"age_mae"}
    part = embeddings.only(set(faces.sample_id[:900]))
    assert {i for c in find_clusters(part, faces) for i in c.ids} <= set(part.ids)
    few = embeddings.only(set(faces.sample_id[: LEAST_FACES - 1]))
    assert find_clusters(few, faces) == []
    missing = faces.assign(error=np.nan, gender_true=None)
    assert find_clusters(embeddings, missing) == []
