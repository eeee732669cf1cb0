"""Clusters of embeddings: what is planted is confirmed, what is not never is, and lots repeat."""

import numpy as np
import pytest
from look_alikes import PLANTED, made

from audit.clusters import LEAST_FACES, find_clusters
from audit.embeddings import Embeddings


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
