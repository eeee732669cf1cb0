"""Faces in blobs of look-alikes, one of which may be read worse: for tests and benchmarks."""

import numpy as np
import pandas as pd

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
