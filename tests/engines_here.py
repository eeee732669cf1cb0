"""The engines beside DuckDB that tests need. Missing: skipped, but a failure where CI is set."""

import importlib.util
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from audit.synthetic import synthetic_predictions

SPARK, DATAFUSION = "spark:local[2]", "ibis:datafusion://"
NEEDED = {SPARK: ("pyspark", "sqlglot"), DATAFUSION: ("ibis", "datafusion", "sqlglot")}
BY = ("race", "gender_true", "light", "glasses")


def here_or_skip(engine: str) -> str:
    """The engine, where this machine has what it needs."""
    missing = [name for name in NEEDED[engine] if importlib.util.find_spec(name) is None]
    if engine == SPARK and shutil.which("java") is None:
        missing.append("java")
    if not missing:
        return engine
    words = f"{engine} needs {', '.join(missing)}: pip install '.[engines]', and Java 17 for Spark"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


def table_of_nuisances(n: int = 600) -> pd.DataFrame:
    """Drawn faces with everything that engines could read, compare or round each in its own way."""
    rng = np.random.default_rng(5)
    rows = synthetic_predictions(n, seed=5, photos_per_person=3)
    at = np.arange(n)
    person = rows["subject_id"].to_numpy()
    long = [f"photo {i:05d} of the long table é" if i % 3 else str(i) for i in at]
    people = [None if i % 50 == 7 else f"person {p:020d}" if p % 2 else str(p)
              for i, p in enumerate(person)]  # fmt: skip
    words = {"female": ["F", "female", "Woman", "1"], "male": ["M", "male", " man", "0"]}
    gender = [words[w][i % 4] for i, w in enumerate(rows["gender_true"])]
    rows = rows.assign(sample_id=long, subject_id=people, gender_true=gender, race=[*rows["race"]])
    rows["age_true"] = rows["age_true"].astype(float)
    rows["age_pred"] += np.where(rng.random(n) < 0.3, 0.005, 0)  # a half of a hundredth, or nearly
    rows["age_std"] = np.where(rng.random(n) < 0.9, rng.random(n) * 5 + 0.5, np.nan)
    rows["light"] = np.where(at % 61 == 15, np.nan, rng.normal(size=n) * 10)
    rows["glasses"] = rng.random(n) < 0.3
    rows["camera"] = rng.integers(0, 5, n)
    rows["split"] = np.where(at % 11 == 0, "train", "test")
    put = rows.loc.__setitem__
    put((slice(None, None, 41), "age_pred"), np.nan)
    put((slice(1, None, 97), "age_pred"), np.inf)
    put((slice(2, None, 211), "age_pred"), -np.inf)
    put((5, "age_pred"), 1e30)
    put((6, "age_pred"), -0.0)
    put((8, "age_pred"), rows["age_true"][8] - 4.315)
    put((slice(3, None, 151), "age_true"), np.nan)
    put((slice(4, None, 201), "age_true"), 130.0)
    put((slice(None, None, 29), "gender_score"), np.nan)
    put((slice(7, None, 31), "gender_score"), 0.5)
    put((slice(8, None, 131), "gender_score"), 0.0)
    put((slice(9, None, 137), "gender_score"), 1.0)
    put((10, "gender_score"), 2.0**-27)  # Java 17 spells it as a 32-bit float with a digit too many
    put((slice(11, None, 83), "gender_true"), "diverse")
    put((slice(12, None, 89), "gender_true"), None)
    put((slice(13, None, 17), ["age_low", "age_high"]), np.nan)
    put((slice(14, None, 119), "age_high"), np.inf)
    rows["gender_score"] = rows["gender_score"].astype("float32")
    return rows
