"""Faces with known truth and their tally by plain pandas: a second opinion, slow and obvious."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from audit.features import Feature
from audit.metrics import BEYOND, BY_PREDICTED, LOGITS, RUNGS, SUMS
from audit.shards import SHARDS
from audit.tally import Tally

EDGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
RACES = ("Asian", "Black", "White")
GENDERS = ("female", "male")
_SHARD_OF = np.random.default_rng(2026).integers(0, SHARDS, 200_000)
FEATURES = (
    Feature("race", RACES),
    Feature("gender_true", GENDERS),
    Feature("age_group", AGES, ordered=True),
)


def some_faces(n: int, *, seed: int = 0, photos: int = 1) -> pd.DataFrame:
    """`n` people with `photos` each, whose errors go together; `subject` numbers the people.

    Ages are whole, errors are whole hundredths (t with 5 degrees), scores are calibrated.
    """
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), photos)
    age = rng.integers(0, 100, n)[person]
    female = (rng.random(n) < 0.5)[person]
    own = rng.standard_t(5, n)[person] if photos > 1 else 0.0
    error = np.round(4 * (own + rng.standard_t(5, n * photos)) + 0.5, 2)
    score = rng.beta(0.4, 0.4, n * photos)
    female = rng.random(n * photos) < score if photos == 1 else female
    return pd.DataFrame(
        {
            "subject": person,
            "race": rng.choice(RACES, n, p=[0.2, 0.3, 0.5])[person],
            "age_true": age.astype(float),
            "error": error,
            "width": np.round(rng.uniform(8, 16, n * photos), 2),
            "gender_true": np.where(female, *GENDERS),
            "score": score,
        }
    )


def with_groups(faces: pd.DataFrame) -> pd.DataFrame:
    """The faces with everything that metrics are made of, one row each."""
    f = faces.copy()
    hundredths = np.floor(f["error"] * 100 + 0.5).astype(int)
    f["age_group"] = np.array(AGES, dtype=object)[np.digitize(f["age_true"], EDGES[1:])]
    f["age_group_pred"] = np.digitize(f["age_true"] + f["error"], EDGES[1:])
    f["shard"] = _SHARD_OF[f["subject"]]
    female, called = f["gender_true"] == "female", f["score"] >= 0.5
    f["age_n"] = 1
    f["age_abs"], f["age_err"], f["age_sq"] = hundredths.abs(), hundredths, hundredths**2
    f["age_hit5"] = hundredths.abs() <= 500
    f["age_years"] = np.round(f["age_true"] * 100)
    f["age_int"] = f["age_true"] % 1 == 0
    f["iv_n"], f["iv_hit"] = 1, hundredths.abs() <= f["width"] * 50
    f["iv_width"] = np.round(f["width"] * 100)
    outside = np.maximum(hundredths.abs() - f["width"] * 50, 0)
    f["iv_below"] = hundredths > f["width"] * 50
    f["iv_winkler"] = np.round(f["width"] * 100 + 20 * outside)
    f["std"] = np.round(f["width"] / 3.29, 2)
    f["std_n"], f["std_z2"] = 1, np.round((f["error"] / f["std"]) ** 2 * 1e4)
    f["gender_n"], f["gender_hit"] = 1, female == called
    f["female_n"], f["female_called"] = female, female & called
    f["male_n"], f["male_called"] = ~female, ~female & called
    f["called"], f["score_n"] = called, 1
    residual = female - f["score"]
    f["score_resid"] = np.round(residual * 1e6)
    f["score_brier"] = np.round(residual**2 * 1e6)
    f["score_var"] = np.round(f["score"] * (1 - f["score"]) * 1e6)
    for k, rung in enumerate(RUNGS):
        f[f"age_beyond{k}"] = hundredths.abs() > rung
    f["score_female"] = female
    logit = np.log(f["score"].clip(1e-9, 1 - 1e-9) / (1 - f["score"].clip(1e-9, 1 - 1e-9)))
    for k, cut in enumerate(LOGITS):
        f[f"score_female{k}"], f[f"score_male{k}"] = (
            female & (logit >= cut),
            ~female & (logit >= cut),
        )
    return f


def tally_of(
    faces: pd.DataFrame,
    features: Sequence[Feature] = FEATURES,
    *,
    people_given: bool = True,
) -> Tally:
    """The tally of `faces` (as `some_faces` makes them) over `features`."""
    f = with_groups(faces)
    names = [x.name for x in features]
    for feature in features:
        f[feature.name] = f[feature.name].map({v: i for i, v in enumerate(feature.levels)})
    f[[*SUMS, *BEYOND]] = f[[*SUMS, *BEYOND]].astype("int64")
    cells = f.groupby([*names, "shard"], as_index=False)[[*SUMS, *BEYOND]].sum()
    lean = [name for name in names if name != "age_group"]
    by_pred = f.groupby([*lean, "age_group_pred", "shard"], as_index=False)
    f["bin"] = (f["age_abs"] + 9) // 10
    errors = f.groupby([*names, "bin"], as_index=False).agg(n=("age_n", "sum"))
    inside = f["score"].clip(1e-6, 1 - 1e-6)
    f["bin"] = np.floor(np.log(inside / (1 - inside)) / 0.02).astype(int)
    f["micro"], f["female"] = np.round(f["score"] * 1e6).astype(int), f["female_n"]
    f["half"] = (f["shard"] >= SHARDS // 2).astype(int)
    scores = f.groupby([*names, "bin", "female", "half"], as_index=False).agg(
        n=("score_n", "sum"), score=("micro", "sum")
    )
    return Tally(
        features=tuple(features),
        age_groups=AGES,
        cells=cells,
        predicted=by_pred[[*BY_PREDICTED]].sum(),
        errors=errors,
        scores=scores,
        years=_years(f, names),
        z=_z(f, names),
        ages=_ages(f, lean),
        misses=_misses(f, lean),
        rows_read=len(f),
        rows_left_out={},
        subjects=int(f["subject"].nunique()),
        subjects_are_rows=f["subject"].is_unique,
        subjects_assumed=not people_given,
        fingerprint="",
    )


def _years(f: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    pred = f["age_true"] + f["error"]
    kinds = [
        f[names].assign(
            of_pred=i,
            age_year=np.clip(np.floor(age), 0, 121).astype(int),
            read_older=(pred > f["age_true"]).astype(int),
        )
        for i, age in enumerate((f["age_true"], pred))
    ]
    return _counted(pd.concat(kinds), [*names, "of_pred", "age_year", "read_older"])


def _z(f: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    place = np.clip(np.floor(-f["error"] / f["std"] * 50), -5000, 4999).astype(int)
    rows = f[names].assign(bin=place, sigma=np.round(f["std"] * 100).astype(int))
    return rows.groupby([*names, "bin"], as_index=False).agg(
        n=("sigma", "size"), sigma=("sigma", "sum")
    )


def _ages(f: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    pred = f["age_true"] + f["error"]
    rows = f[[*names, "half"]].assign(
        pred_year=np.clip(np.floor(pred), 0, 121).astype(int),
        bin=np.clip((f["age_err"] + 10) // 20, -300, 300),
        pred=np.round(pred * 100).astype(int),
    )
    return rows.groupby([*names, "half", "pred_year", "bin"], as_index=False).agg(
        n=("pred", "size"), pred=("pred", "sum")
    )


def _misses(f: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    outside = np.round(f["error"].abs() * 100 - f["width"] * 50, 6)
    place = np.clip(np.ceil(np.floor(outside + 0.5) / 10), -1200, 1200).astype(int)
    rows = f[[*names, "age_group_pred", "half"]].assign(iv=1, bin=place)
    return _counted(rows, [*names, "age_group_pred", "half", "iv", "bin"])


def _counted(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return rows.groupby(keys, as_index=False).size().rename(columns={"size": "n"})
