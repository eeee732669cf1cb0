"""One scan from rows to mergeable integer sums, on which every figure rests."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from audit.config import AuditSettings
from audit.contract import EXACT_ROWS
from audit.errors import InputError
from audit.features import Feature
from audit.histograms import (
    FRAMES,
    as_histograms,
    feature_keys,
    frame_keys,
    histogram_sums,
    keys_without_age,
)
from audit.levels import sorted_levels
from audit.metrics import BEYOND, BY_PREDICTED, LOGITS, RUNGS, SUMS
from audit.packed import NOTHING, ONE, Key, Made, Sums, add_up, flag_sql, no_rows
from audit.predictions import Predictions
from audit.shards import SHARDS, shard_of, sharded

_ONE_IN = 64  # above EXACT_ROWS, persons are counted on this share of their mixes


@dataclass(frozen=True)
class Tally:
    """Integer sums per cell; the tally of a whole is the sum of the tallies of its parts.

    A cell is one level of every feature. In each table a feature is a column of codes (int16,
    positions in its `levels`), named as the feature. Rows are sorted by their keys.

    cells: feature codes, shard (0..SHARDS-1), then the columns of SUMS and BEYOND (audit.metrics).
    predicted: feature codes but age_group's, age_group_pred (codes into `age_groups`), shard, then
        the columns BY_PREDICTED of SUMS. Only faces with an error.
    errors: feature codes, bin, n. Bin b holds absolute errors above (b-1)/10 and up to b/10 years.
    scores: feature codes, bin (of P(female), see `score_edges`), female (0/1), half, n, score (sum
        of f, micro). Halves of the people are cut by shard: 0 below the middle, 1 above.
    years: feature codes, of_pred (0: by true age, 1: by predicted age), age_year (whole years,
        0..121), read_older (0/1: predicted above true), n. Every face stands here twice.
    z: feature codes, bin, n, sigma (sum of age_std, 1/100 year). Bin b holds
        (age_true - age_pred) / age_std from b/50 to below (b+1)/50, the outermost all beyond.
    ages: feature codes but age_group's, half, pred_year (whole years of the prediction, 0..121),
        bin, n, pred (sum of predictions, 1/100 year). Bin b holds errors about b/5 years, within
        a tenth; the outermost, 60 years, all beyond.
    misses: feature codes but age_group's, age_group_pred, half, iv (0/1: the row has an interval),
        bin, n. Bin b holds misses above (b-1)/10 and up to b/10 years, the outermost (120 years)
        all beyond; a miss is how far the true age lies outside the interval (below 0: inside), and
        |error| where there is no interval.
    subjects: persons, exact up to 5 M rows (above, estimated to about 1 %, unless ids are checked).
    subjects_assumed: the table names no persons; one photo each is assumed.
    fingerprint: SHA-256 of all the counts: equal for equal rows in any order, format or chunking.
    """

    features: tuple[Feature, ...]
    age_groups: tuple[str, ...]
    cells: pd.DataFrame
    predicted: pd.DataFrame
    errors: pd.DataFrame
    scores: pd.DataFrame
    years: pd.DataFrame
    z: pd.DataFrame
    ages: pd.DataFrame
    misses: pd.DataFrame
    rows_read: int
    rows_left_out: Mapping[str, int]
    subjects: int
    subjects_are_rows: bool
    subjects_assumed: bool
    fingerprint: str = ""


def tally_predictions(predictions: Predictions, settings: AuditSettings) -> Tally:
    """Add up every row of `faces`: one scan where the keys are few beside the rows.

    All sums are integers (errors in 1/100 year, scores in millionths), so neither the order of the
    rows nor threads nor chunks change a bit.
    """
    subjects, subjects_are_rows = _subjects(predictions, settings)
    tally = Tally(
        features=predictions.features,
        age_groups=predictions.age_groups,
        **_frames(predictions),
        rows_read=predictions.rows_read,
        rows_left_out=dict(predictions.rows_left_out),
        subjects=subjects,
        subjects_are_rows=subjects_are_rows,
        subjects_assumed=predictions.subjects_assumed,
        fingerprint="",
    )
    return replace(tally, fingerprint=fingerprint_of(tally))


def _frames(predictions: Predictions) -> dict[str, pd.DataFrame]:
    """Every table of a tally (FRAMES), from one scan where their keys are few."""
    tables = {**_cells_and_rungs(predictions), **histogram_sums(predictions)}
    rows = predictions.rows_audited
    heads = {"cells": "", "scores": "score", "score_rungs": "score"}  # the others need ages
    known = {k: t for k, t in tables.items() if heads.get(k, "age") in ("", *predictions.heads)}
    if "age_std" not in predictions.columns:
        known.pop("z", None)
    told = _always(predictions)
    spared = {name: _spared(sums, told) for name, sums in known.items()}
    people = sharded("faces", "person")
    found = add_up(predictions.source, spared, people, count=rows, made=_MADE)
    found |= {name: no_rows(table) for name, table in tables.items() if name not in known}
    cells = _with_rungs(found["cells"], found.pop("age_rungs"), found.pop("score_rungs"))
    features = [f.name for f in predictions.features]
    predicted = found["predicted"].drop(columns="n")
    return {
        "cells": cells[[*frame_keys("cells", features), *SUMS, *BEYOND]],
        "predicted": predicted,
        **as_histograms(found, features),
    }


def _always(predictions: Predictions) -> set[str]:
    """The conditions that hold for every row, as the check has counted."""
    counted = {
        "error IS NOT NULL": "age_rows",
        "age_low IS NOT NULL": "interval_rows",
        "f IS NOT NULL": "score_rows",
    }
    rows, counts = predictions.rows_audited, predictions.counts
    return {condition for condition, name in counted.items() if counts.get(name) == rows}


def _spared(sums: Sums, always: Collection[str]) -> Sums:
    """The same sums, without asking each row what holds for every one."""
    flags = {flag_sql(condition) for condition in always}
    adds = {name: ONE if sql in flags else sql for name, sql in sums.adds.items()}
    return replace(sums, adds=adds, where="true" if sums.where in always else sums.where)


def _cells_and_rungs(predictions: Predictions) -> dict[str, Sums]:
    cell = [*feature_keys(predictions), _SHARD]
    values = _values(predictions.columns)
    beyond = tuple(x + 1 for x in RUNGS)  # in whole hundredths
    age_rung = Key("rung", "abs(error)", len(RUNGS) + 1, cuts=beyond)
    reached = tuple(float(expit(x)) for x in LOGITS)
    score_rung = Key("rung", "f", len(LOGITS) + 1, cuts=reached)
    scored = [*cell, Key("female", "y", 2), score_rung]
    return {
        "cells": Sums(cell, values, flags=_FLAGS),
        "predicted": Sums(
            [*keys_without_age(predictions), _SHARD],
            {name: values[name] for name in BY_PREDICTED},
            "error IS NOT NULL",
            flags=_FLAGS,
        ),
        "age_rungs": Sums([*cell, age_rung], {}, "error IS NOT NULL"),
        "score_rungs": Sums(scored, {}, "f IS NOT NULL"),
    }


def _with_rungs(
    cells: pd.DataFrame, age_rungs: pd.DataFrame, score_rungs: pd.DataFrame
) -> pd.DataFrame:
    """The cells with the columns that follow from others, and those of BEYOND."""
    ages = _beyond(cells["age_n"], age_rungs.assign(female=0), len(RUNGS))[:, 0]
    scores = _beyond(cells["score_n"], score_rungs, len(LOGITS))
    told = {f"age_beyond{k}": ages[:, k + 1] for k in range(len(RUNGS))}
    told["score_female"] = scores[:, 1, 0]
    for female, who in enumerate(("male", "female")):
        told |= {f"score_{who}{k}": scores[:, female, k + 1] for k in range(len(LOGITS))}
    return cells.assign(**{name: of(cells) for name, of in SUM_OF.items()}, **told)


def _beyond(n: "pd.Series[int]", rungs: pd.DataFrame, last: int) -> NDArray[np.int64]:
    """Rows on each rung or beyond, [cell, female, rung]. n: rows of each cell that stand on any.

    Both tables are sorted by cell, so that the next cell of the one is the next of the other.
    """
    cell = rungs.drop(columns=["female", "rung", "n"]).to_numpy()
    new = np.any(cell[1:] != cell[:-1], axis=1)
    place = np.flatnonzero(n)[np.cumsum(np.concatenate([[0], new]))[: len(rungs)]]
    out = np.zeros((len(n), 2, last + 1), dtype=np.int64)
    out[place, rungs["female"], rungs["rung"]] = rungs["n"]
    return out[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """The tally of the rows of all `tallies` together; their order does not matter.

    Levels of words are united (a site may lack a group); names of features, cuts and age groups
    must be the same in all. Persons that repeat are taken to stay within one part; where they may
    not, `subjects` is an upper limit. Raises InputError, naming the feature, where parts differ.
    """
    if not tallies:
        raise InputError("no tally to merge")
    features = tuple(_united(kin) for kin in _matched(tallies))
    names = [f.name for f in features]
    recoded = [_recoded(t, features) for t in tallies]
    merged = Tally(
        features=features,
        age_groups=tallies[0].age_groups,
        **{
            name: _added([getattr(t, name) for t in recoded], frame_keys(name, names))
            for name in FRAMES
        },
        rows_read=sum(t.rows_read for t in tallies),
        rows_left_out=_added_reasons(tallies),
        subjects=sum(t.subjects for t in tallies),
        subjects_are_rows=all(t.subjects_are_rows for t in tallies),
        subjects_assumed=all(t.subjects_assumed for t in tallies),
        fingerprint="",
    )
    return replace(merged, fingerprint=fingerprint_of(merged))


_SHARD = Key("shard", "shard", SHARDS)
_MADE = {"shard": Made("key", shard_of)}  # numpy mixes in a sixth of the time


# The interval score of a 90 % interval: its width, and 2 / .1 = 20 years for a year outside.
_OUTSIDE = (  # as CASE, which DuckDB computes in half the time of `greatest`
    "CASE WHEN age_true < age_low THEN age_low - age_true "
    "WHEN age_true > age_high THEN age_true - age_high ELSE 0 END"
)
_WINKLER = f"least(age_high - age_low + 20 * ({_OUTSIDE}), 1e6)"
_Z = "least(greatest((age_true - age_pred) / age_std, -1000), 1000)"
# What each row of `faces` adds: a whole number, or NULL for nothing. Who adds up other rows gives
# their columns the same names.
VALUE_SQL: Mapping[str, str] = {
    "age_n": flag_sql("error IS NOT NULL"),
    "age_abs": "abs(error)",
    "age_err": "error",
    "age_sq": "error::BIGINT * error",
    "age_hit5": flag_sql("abs(error) <= 500"),
    "age_years": "CASE WHEN error IS NOT NULL THEN floor(age_true * 100 + 0.5)::INTEGER END",
    "age_int": flag_sql("error IS NOT NULL AND age_true = floor(age_true)"),
    "iv_n": flag_sql("age_low IS NOT NULL"),
    "iv_hit": flag_sql("age_true BETWEEN age_low AND age_high"),
    "iv_width": "floor((age_high - age_low) * 100 + 0.5)::BIGINT",
    "iv_below": flag_sql("age_true < age_low"),
    # `least` and `greatest` pass over NULL, so rows without must be told apart
    "iv_winkler": f"CASE WHEN age_low IS NOT NULL THEN floor({_WINKLER} * 100 + 0.5)::BIGINT END",
    "std_n": flag_sql("error IS NOT NULL AND age_std IS NOT NULL"),
    "std_z2": "CASE WHEN error IS NOT NULL AND age_std IS NOT NULL "
    f"THEN floor({_Z} * {_Z} * 1e4 + 0.5)::BIGINT END",
    "female_n": flag_sql("y = 1 AND called IS NOT NULL"),
    "female_called": flag_sql("y = 1 AND called = 1"),
    "male_n": flag_sql("y = 0 AND called IS NOT NULL"),
    "male_called": flag_sql("y = 0 AND called = 1"),
    "score_n": flag_sql("f IS NOT NULL"),
    "score_resid": "floor((y - f) * 1e6 + 0.5)::INTEGER",
    "score_brier": "floor((y - f) * (y - f) * 1e6 + 0.5)::INTEGER",
    "score_var": "floor(f * (1 - f) * 1e6 + 0.5)::INTEGER",
}
_FLAGS = [name for name, sql in VALUE_SQL.items() if sql.endswith("::TINYINT")]
# The rest follow from these.
SUM_OF: Mapping[str, Callable[[pd.DataFrame], "pd.Series[int]"]] = {
    "gender_n": lambda s: s["female_n"] + s["male_n"],
    "gender_hit": lambda s: s["female_called"] + s["male_n"] - s["male_called"],
    "called": lambda s: s["female_called"] + s["male_called"],
}
assert {*VALUE_SQL, *SUM_OF} == {*SUMS}


def _values(columns: Sequence[str]) -> dict[str, str]:
    """What the rows of a table with these columns add; what it has no column for is 0, and free."""
    absent = [
        prefix
        for prefix, needed in (("iv_", ("age_low", "age_high")), ("std_", ("age_std",)))
        if not {*needed, "age_true", "age_pred"} <= {*columns}
    ]
    return {k: NOTHING if k.startswith(tuple(absent)) else sql for k, sql in VALUE_SQL.items()}


def _subjects(predictions: Predictions, settings: AuditSettings) -> tuple[int, bool]:
    """How many persons, and whether each has one row."""
    rows = predictions.rows_audited
    if predictions.subjects_assumed:
        return rows, True
    if rows <= EXACT_ROWS or settings.check_ids:
        n = int(predictions.source.one("SELECT count(DISTINCT person) AS n FROM faces")["n"])
        return n, n == rows
    # A fair sample of the persons themselves (by their mix), counted exactly: right to about 1 %.
    part = f"{sharded('faces', 'person')} WHERE mixed % {_ONE_IN} = 0"
    got = predictions.source.one(f"SELECT count(DISTINCT key) AS n, count(*) AS r FROM {part}")
    if got["n"] == got["r"]:
        return rows, True
    return min(int(got["n"]) * _ONE_IN, rows), False


def _matched(tallies: Sequence[Tally]) -> list[list[Feature]]:
    """The features of all tallies, feature by feature; InputError where they do not match."""
    first = tallies[0]
    for other in tallies[1:]:
        ours, theirs = ([f.name for f in t.features] for t in (first, other))
        if ours != theirs:
            raise InputError(
                f"tallies differ in their features ({', '.join(ours)}; {', '.join(theirs)}); "
                "make them with the same --by"
            )
        if first.age_groups != other.age_groups:
            raise InputError("tallies differ in their age groups; make them with one --age-groups")
    matched = [list(kin) for kin in zip(*(t.features for t in tallies), strict=True)]
    for kin in matched:
        if len({(f.cuts, f.ordered) for f in kin}) > 1:
            raise InputError(
                f"tallies cut {kin[0].name!r} at different places; make them with one --cuts"
            )
    return matched


def _united(kin: Sequence[Feature]) -> Feature:
    levels = [f.levels for f in kin]
    if all(one == levels[0] for one in levels):
        return kin[0]
    if kin[0].ordered:  # the same cuts: only `unknown` can differ
        return max(kin, key=lambda f: len(f.levels))
    if kin[0].name == "gender_true":
        other = sorted_levels({w for one in levels for w in one} - {"female", "male"})
        return replace(kin[0], levels=("female", "male", *other))
    return replace(kin[0], levels=sorted_levels({w for one in levels for w in one}))


def _recoded(tally: Tally, features: Sequence[Feature]) -> Tally:
    """A tally with its codes as positions in the levels of `features`."""
    changed = {}
    for name in FRAMES:
        frame = getattr(tally, name).copy()
        for old, new in zip(tally.features, features, strict=True):
            if old.levels != new.levels and old.name in frame:
                place = np.array([new.levels.index(w) for w in old.levels], dtype=np.int16)
                frame[old.name] = place[frame[old.name].to_numpy()]
        changed[name] = frame
    return replace(tally, **changed)


def _added(frames: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    whole = pd.concat(frames, ignore_index=True)
    return whole.groupby(keys, as_index=False, sort=True, observed=True).sum()


def _added_reasons(tallies: Sequence[Tally]) -> dict[str, int]:
    reasons = dict.fromkeys(r for t in tallies for r in t.rows_left_out)
    return {r: sum(t.rows_left_out.get(r, 0) for t in tallies) for r in reasons}


def fingerprint_of(tally: Tally) -> str:
    """SHA-256 of all the counts of a tally, and of what they are counted by."""
    digest = hashlib.sha256()
    for feature in tally.features:
        digest.update(repr((feature.name, feature.levels, feature.cuts)).encode())
    digest.update(
        repr((tally.age_groups, tally.rows_read, sorted(tally.rows_left_out.items()))).encode()
    )
    for frame in (getattr(tally, name) for name in FRAMES):
        for name in frame:
            digest.update(f"{name}:{len(frame)}".encode())
            digest.update(np.ascontiguousarray(frame[name].to_numpy(), dtype="<i8").tobytes())
    return digest.hexdigest()
