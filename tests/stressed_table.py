"""Readings of faces under made-up corruptions, with a planted harm and nobody's pictures."""

import numpy as np
import pandas as pd


def stressed_table(
    seed=0, *, n=800, harmed=0.0, photos=1, corruptions=("darkness", "blur"), severities=(1, 4)
):
    """A table for `audit.stress.run_stress`.

    Errors grow with severity for everybody; under `darkness` those of race B grow `harmed` times
    more on top. Race C is read worse than all others in every picture, and loses no more.
    """
    rng = np.random.default_rng(seed)
    people = n // photos
    person = np.repeat(np.arange(people), photos)
    race = rng.choice(["A", "B", "C", "D"], people, p=[0.45, 0.25, 0.28, 0.02])[person]
    female = (rng.random(people) < 0.5)[person]
    own = (rng.standard_t(4, people) * 3)[person] + rng.standard_t(4, n) * 2
    own = own * np.where(race == "C", 2.0, 1.0)
    side = np.sign(own)
    age = rng.integers(0, 90, people)[person].astype(float)
    logit = rng.normal(np.where(female, 1.8, -1.8), 1)
    base = pd.DataFrame(
        {
            "sample_id": [f"face {i}" for i in range(n)],
            "subject_id": [f"person {p}" for p in person],
            "age_true": age,
            "gender_true": np.where(female, "female", "male"),
            "race": race,
        }
    )

    def reading(corruption, severity):
        more = 0.8 * severity * (0.5 + rng.random(n))  # a loss away from the truth, for everybody
        if corruption == "darkness":
            more = more * np.where(race == "B", 1 + harmed, 1.0)
        pred = np.round(age + own + side * more, 3)
        score = 1 / (1 + np.exp(-logit - rng.normal(0, 0.3 * severity + 1e-9, n)))
        return base.assign(
            age_pred=pred,
            age_low=pred - 8,
            age_high=pred + 8,
            gender_score=np.round(score, 5),
            corruption=corruption,
            severity=severity,
        )

    steps = [("clean", 0), *((c, s) for c in corruptions for s in severities)]
    return pd.concat([reading(c, s) for c, s in steps], ignore_index=True)
