"""The histograms of a tally: how scores, errors, ages and misses lie, cell by cell.

Each is a table of counts with one column of codes a feature, then its own keys (FRAMES), then `n`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.notes import FAR
from audit.packed import Key, Sums, flag_sql
from audit.predictions import Predictions
from audit.shards import SHARDS

# `audit.tally_file` hashes the numbers here by name and value: one more, or another name, and it
# refuses every tally made before.
LOGIT_STEP = 0.05  # width of a score bin, in logit units
LOGIT_END = 40.0  # a softmax saturates at 16 (32 bits) or 37 (64); empty bins cost nothing
SCORE_BINS = 2 * round(LOGIT_END / LOGIT_STEP) + 2

YEARS = 122  # whole years 0..121; ages beyond lie in the first and the last
FAR_OFF = 60  # years; larger errors lie in the outermost bins of `ages`
FAR_OUT = 120  # years; larger misses lie in the outermost bins of `misses`
Z_STEP, Z_END = 0.02, 100.0  # of z; further out lie hardly more than slips
ERROR_BIN = "(abs(error) + 9) // 10"  # SQL: bin b ends with b tenths of a year, end included

# The tables of a tally and their keys beside the features, in the order they are sorted by.
FRAMES: Mapping[str, tuple[str, ...]] = {
    "cells": ("shard",),
    "predicted": ("age_group_pred", "shard"),
    "errors": ("bin",),
    "scores": ("bin", "female", "half"),
    "years": ("of_pred", "age_year", "read_older"),
    "z": ("bin",),
    "ages": ("half", "pred_year", "bin"),
    "misses": ("age_group_pred", "half", "iv", "bin"),
}
# What is asked of a prediction cannot depend on the true age, which nobody knows when it is made.
WITHOUT_AGE = ("predicted", "ages", "misses")


def frame_keys(name: str, features: Sequence[str]) -> list[str]:
    """The key columns of table `name` of a tally over `features`."""
    kept = [f for f in features if not (name in WITHOUT_AGE and f == "age_group")]
    return [*kept, *FRAMES[name]]


def feature_keys(predictions: Predictions) -> list[Key]:
    """The codes of every feature."""
    pairs = zip(predictions.features, predictions.codes, strict=True)
    return [
        _age_key(f.name, "age_true", predictions)
        if f.name == "age_group"
        else Key(f.name, code, len(f.levels))
        for f, code in pairs
    ]


def keys_without_age(predictions: Predictions) -> list[Key]:
    """The codes of every feature but the true age group, then the predicted age group.

    Only for rows with a predicted age.
    """
    features = _features_but_age(predictions)
    return [*features, _age_key("age_group_pred", "age_pred", predictions)]


def _features_but_age(predictions: Predictions) -> list[Key]:
    return [k for k in feature_keys(predictions) if k.name != "age_group"]


def _age_key(name: str, age: str, predictions: Predictions) -> Key:
    edges = predictions.table.settings.age_groups[1:]
    return Key(name, age, len(predictions.age_groups), cuts=tuple(edges))


def score_edges() -> NDArray[np.float64]:
    """Edges of the score bins, length SCORE_BINS + 1, in P(female).

    Bin 0 holds scores of exactly 0, the last bin scores of exactly 1; between them bins are
    LOGIT_STEP wide in log(f / (1 - f)), left-closed, the outermost open to their end.
    """
    inner = np.arange(1, SCORE_BINS - 2) * LOGIT_STEP - LOGIT_END
    return np.concatenate([[0.0, 0.0], 1 / (1 + np.exp(-inner)), [1.0, 1.0]])


def histogram_sums(predictions: Predictions) -> dict[str, Sums]:
    """The sums of every histogram; those by year stand in two, which `as_histograms` unites."""
    return {
        **_errors_and_years(predictions),
        "scores": _scores(predictions),
        "z": _z(predictions),
        **_ages_and_misses(predictions),
    }


def as_histograms(
    found: Mapping[str, pd.DataFrame], features: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The histograms of FRAMES, of what was added up for them."""
    both = [found[f"years{i}"].assign(of_pred=np.int16(i)) for i in (0, 1)]
    keys = frame_keys("years", features)
    years = pd.concat(both, ignore_index=True).sort_values(keys, ignore_index=True)
    one = {name: found[name] for name in ("errors", "scores", "z", "ages", "misses")}
    return {**one, "years": years[[*keys, "n"]]}


# The half of the people a row belongs to: corrections are fitted on one and judged on the other.
_HALF = Key("half", "shard", 2, cuts=(SHARDS // 2,))
_READ = "error IS NOT NULL"


def _errors_and_years(predictions: Predictions) -> dict[str, Sums]:
    features = feature_keys(predictions)
    bins = Key("bin", ERROR_BIN, 10 * FAR + 1)
    older = Key("read_older", flag_sql("age_pred > age_true"), 2)
    years = {
        f"years{i}": Sums([*features, Key("age_year", age, YEARS, ends=True), older], {}, _READ)
        for i, age in enumerate(("age_true", "age_pred"))
    }
    return {"errors": Sums([*features, bins], {}, _READ), **years}


def _scores(predictions: Predictions) -> Sums:
    bins = Key("bin", _score_bin("f"), SCORE_BINS)
    keys = [*feature_keys(predictions), bins, Key("female", "y", 2), _HALF]
    return Sums(keys, {"score": "floor(f * 1e6 + 0.5)::INTEGER"}, "f IS NOT NULL")


def _z(predictions: Predictions) -> Sums:
    end = round(Z_END / Z_STEP)
    z = f"(age_true - age_pred) / age_std * {round(1 / Z_STEP)}"
    keys = [*feature_keys(predictions), Key("bin", z, 2 * end, -end, ends=True)]
    sigma = {"sigma": f"floor(least(age_std, {FAR}) * 100 + 0.5)::INTEGER"}
    return Sums(keys, sigma, f"{_READ} AND age_std IS NOT NULL")


def _ages_and_misses(predictions: Predictions) -> dict[str, Sums]:
    features = _features_but_age(predictions)
    fifths = 5 * FAR_OFF
    # to the nearest fifth, so that whole years of error stand where they are
    near = Key("bin", "(error + 10) / 20.0", 2 * fifths + 1, -fifths, ends=True)
    pred_year = Key("pred_year", "age_pred", YEARS, ends=True)
    ages = [*features, _HALF, pred_year, near]
    # in hundredths first: 0.3 * 10 is 3.0000000000000004 in float64, yet means the third tenth
    below, above = "age_low - age_true", "age_true - age_high"
    out = f"CASE WHEN {below} > {above} THEN {below} ELSE {above} END"  # twice as fast as greatest
    # a DOUBLE, for the floor of some engines is a whole number that 9 more may overflow
    hundredths = f"floor(({out}) * 100 + 0.5)::DOUBLE"
    miss = f"CASE WHEN age_low IS NULL THEN abs(error) ELSE {hundredths} END"
    tenths = 10 * FAR_OUT
    misses = [
        *keys_without_age(predictions),
        _HALF,
        Key("iv", flag_sql("age_low IS NOT NULL"), 2),
        Key("bin", f"({miss} + 9) / 10.0", 2 * tenths + 1, -tenths, ends=True),
    ]
    near_pred = f"least(greatest(age_pred, -{FAR}), {FAR})"
    pred = {"pred": f"floor({near_pred} * 100 + 0.5)::INTEGER"}
    return {"ages": Sums(ages, pred, _READ), "misses": Sums(misses, {}, _READ)}


def errors_beyond(errors: pd.DataFrame) -> "pd.Series[int]":
    """How many faces of a tally's `errors` lie in each bin or beyond, the furthest bin first.

    Bin b holds |error| of 10 (b - 1) + 1 to 10 b hundredths of a year.
    """
    return errors.groupby("bin")["n"].sum()[::-1].cumsum()


def _score_bin(f: str) -> str:
    # Bin edges are logits of no rational number but 1/2 (whose logarithm is exact), so that the
    # last digit of an engine's logarithm decides nothing.
    last = SCORE_BINS - 2
    steps = f"floor((ln({f} / (1 - {f})) + {LOGIT_END}) / {LOGIT_STEP})"
    # No float64 below 1 lies beyond a logit of 37: none needs to be kept from the last bin.
    inner = f"greatest({steps}, 0)::INTEGER + 1"
    return f"CASE WHEN {f} <= 0 THEN 0 WHEN {f} >= 1 THEN {last + 1} ELSE {inner} END"
