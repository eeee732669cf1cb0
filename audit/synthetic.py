"""Predictions whose faults we planted ourselves, so that every estimate has a known answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from audit.metrics import Floats

Errors = Literal["normal", "t4", "lognormal", "skewed"]

RACES: Mapping[str, float] = {
    "White": 0.40,
    "Black": 0.20,
    "Asian": 0.15,
    "Indian": 0.12,
    "Latino": 0.08,
    "Arab": 0.04,
    "Other": 0.01,
}
# The default age groups: labels, first year, years, and a share of faces like that of UTKFace.
AGES = (
    ("0-2", 0, 3, 0.07),
    ("3-9", 3, 7, 0.06),
    ("10-19", 10, 10, 0.07),
    ("20-29", 20, 10, 0.31),
    ("30-39", 30, 10, 0.19),
    ("40-49", 40, 10, 0.10),
    ("50-59", 50, 10, 0.10),
    ("60-69", 60, 10, 0.05),
    ("70+", 70, 25, 0.05),
)
MAE = 5.0  # years, where nothing is planted
_SHARPNESS = 3.0  # distance of the two genders' logits, in standard deviations
_TAIL = 0.9  # log standard deviation of a log-normal |error|
_SKEW = 0.7


@dataclass(frozen=True)
class Plant:
    """A fault in the faces of one group, `where` column -> level (`age_group` by its label).

    age_scale multiplies the age error, age_shift (years) is added to it; flips is the share of
    gender scores turned round; logit_shift is added to the logit of P(female).
    """

    where: Mapping[str, str] = field(default_factory=dict)
    age_scale: float = 1.0
    age_shift: float = 0.0
    flips: float = 0.0
    logit_shift: float = 0.0


def synthetic_predictions(
    n: int,
    *,
    seed: int,
    planted: Sequence[Plant] = (),
    errors: Errors = "t4",
    photos_per_person: int = 1,
    likeness: float = 0.6,
    races: Mapping[str, float] = RACES,
    age_shares: Mapping[str, Sequence[float]] | None = None,
    extra: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """`n` faces as rows of the contract, in which nothing is wrong but what is planted.

    Unplanted, every row has the same law of errors (mean absolute error MAE years, in whole 1/100
    years), a perfectly calibrated P(female) with .933 accuracy, and an age interval that covers 90
    in 100. Race, gender and age are drawn independently, so every group is served alike.

    errors: law of the age error: `normal`, `t4` (Student's, 4 degrees), `lognormal` (of |e|, sign
        by lot) or `skewed` (centred log-normal).
    photos_per_person: rows that share a subject_id, race, gender and age; `likeness` is the
        correlation of their errors and scores (before the law is put on).
    races: race -> share. age_shares: race -> shares of the nine age groups, where the mix differs.
    extra: further features, name -> number of equally likely levels (`a`, `b`, ...).

    Scores: the logit is normal with mean ±s²/2 and variance s² (s = 3) for the two genders, whose
    posterior at even odds is the logit itself: calibrated by construction.
    """
    rng = np.random.default_rng(seed)
    people = -(-n // photos_per_person)
    person = np.arange(n) // photos_per_person
    race = rng.choice(len(races), people, p=np.array([*races.values()]) / sum(races.values()))
    age_group = _age_groups(rng, race, [*races], age_shares or {})
    first, years = (np.array([a[i] for a in AGES]) for i in (1, 2))
    age = first[age_group] + np.floor(rng.random(people) * years[age_group])
    female = rng.random(people) < 0.5
    columns = {
        "race": _words(race[person], [*races]),
        "gender_true": _words(female[person].astype(np.int64), ["male", "female"]),
        "age_group": _words(age_group[person], [a[0] for a in AGES]),
    }
    for name, levels in (extra or {}).items():
        words = [chr(ord("a") + i) for i in range(levels)]
        columns[name] = _words(rng.integers(0, levels, people)[person], words)
    spread = np.exp(0.2 * rng.standard_normal(n))  # some faces are harder, and their interval wider
    spread *= MAE / np.exp(0.02)
    error = spread * _law(_alike(rng, person, people, likeness, photos_per_person), errors)
    logit = _alike(rng, person, people, likeness, photos_per_person)
    logit = _SHARPNESS * logit + np.where(female[person], 0.5, -0.5) * _SHARPNESS**2
    for plant in planted:
        rows = np.ones(n, dtype=bool)
        for name, level in plant.where.items():
            rows &= np.asarray(columns[name] == level)
        error[rows] = error[rows] * plant.age_scale + plant.age_shift
        turned = rows & (rng.random(n) < plant.flips) if plant.flips else ~rows & rows
        logit = np.where(turned, -logit, logit) + np.where(rows, plant.logit_shift, 0.0)
    age_true = age[person]
    age_pred = np.round(age_true + error, 2)
    low, high = _law(ndtri(np.array([0.05, 0.95])), errors)
    ids = {"sample_id": np.arange(n)}
    if photos_per_person > 1:
        ids["subject_id"] = person
    return pd.DataFrame(
        {
            **ids,
            **{name: column for name, column in columns.items() if name != "age_group"},
            "age_true": age_true.astype(np.int64),
            "age_pred": age_pred,
            "age_low": np.round(age_pred - high * spread, 2),
            "age_high": np.round(age_pred - low * spread, 2),
            "gender_score": expit(logit),
        }
    )


def _words(codes: NDArray[np.int64], words: list[str]) -> "pd.Categorical[str]":
    return pd.Categorical.from_codes(codes, pd.Index(words))


def _age_groups(
    rng: np.random.Generator,
    race: NDArray[np.int64],
    names: Sequence[str],
    shares: Mapping[str, Sequence[float]],
) -> NDArray[np.int64]:
    plain = np.array([a[3] for a in AGES])
    group = rng.choice(len(AGES), len(race), p=plain)
    for name, mix in shares.items():
        rows = race == names.index(name)
        group[rows] = rng.choice(len(AGES), int(rows.sum()), p=np.array(mix) / sum(mix))
    return group


def _alike(
    rng: np.random.Generator, person: NDArray[np.int64], people: int, likeness: float, photos: int
) -> Floats:
    """Standard normal numbers, one a row, correlated by `likeness` among a person's rows."""
    own = rng.standard_normal(len(person))
    if photos == 1:
        return own
    shared = rng.standard_normal(people)[person]
    return np.asarray(np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own)


def _law(z: Floats, errors: Errors) -> Floats:
    """Standard normal numbers turned, by the quantile function of the law, into errors of mean 0
    and mean absolute value 1.
    """
    if errors == "normal":
        return np.asarray(z * np.sqrt(np.pi / 2))
    if errors == "t4":
        # Shaw (2006), sec. 3: the quantile function of Student's t with 4 degrees; E|t| = 1.
        p = ndtr(-np.abs(z))
        root = np.sqrt(np.maximum(4 * p * (1 - p), 1e-300))
        cosine = np.cos(np.arccos(np.minimum(root, 1.0)) / 3) / root
        return np.asarray(np.sign(z) * 2 * np.sqrt(np.maximum(cosine - 1, 0.0)))
    if errors == "lognormal":
        size = ndtri(np.clip(2 * ndtr(np.abs(z)) - 1, 1e-16, 1 - 1e-16))
        return np.asarray(np.sign(z) * np.exp(_TAIL * size - _TAIL**2 / 2))
    mean = np.exp(_SKEW**2 / 2)
    return np.asarray((np.exp(_SKEW * z) - mean) / (2 * mean * (2 * ndtr(_SKEW / 2) - 1)))
