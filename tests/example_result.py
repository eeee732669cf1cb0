"""A small, plausible AuditResult for the tests of report and dashboard: every table, every status.

`example_result()` simulates faces with a fixed seed and sums them with pandas, independently of
`audit.run`, so that a renderer is tested against numbers it did not help to make.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from example_calibration import (
    age_limits,
    corrections,
    coverage,
    mean_of,
    pit,
    reliability,
    scores,
    share,
    sweep,
)

from audit.metrics import METRICS
from audit.result import COLUMNS, AuditResult, table

AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
EDGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
RACES = ("White", "Black", "Asian", "Indian", "Other", "unknown")
GENDERS = ("female", "male")
CUT = " × "


def example_faces(n: int = 3000, *, seed: int = 7, races: tuple[str, ...] = RACES) -> pd.DataFrame:
    """Faces read too old when young and too young when old; the last race has seven."""
    rng = np.random.default_rng(seed)
    age = np.clip(rng.gamma(3.2, 11.0, n), 0, 116).astype(int)
    female = rng.random(n) < 0.48
    race = rng.choice(len(races) - 1, n, p=[0.42, 0.2, 0.16, 0.17, 0.05])
    race[:7] = len(races) - 1
    spread = 3.5 + 0.07 * age
    error = np.round(rng.normal(0.14 * (33 - age), spread) * np.where(race == 1, 1.3, 1), 2)
    logit = rng.normal(np.where(female, 2.4, -2.6), 1.6)
    score = np.round(1 / (1 + np.exp(-logit)), 4)
    half = 1.645 * spread
    group = np.digitize(age, EDGES[1:])
    group_pred = np.digitize(np.clip(age + error, 0, 120), EDGES[1:])
    return pd.DataFrame(
        {
            "sample_id": [f"s{i:05d}" for i in range(n)],
            "image": [
                f"{a}_{int(not f)}_{i}.jpg"
                for i, (a, f) in enumerate(zip(age, female, strict=True))
            ],
            "age_true": age.astype(float),
            "age_pred": age + error,
            "age_low": age + error - half,
            "age_high": age + error + half,
            "age_std": spread,
            "gender_true": np.where(female, *GENDERS),
            "gender_pred": np.where(score >= 0.5, *GENDERS),
            "gender_score": score,
            "error": error,
            "race": np.array(races, dtype=object)[race],
            "age_group": np.array(AGES, dtype=object)[group],
            "age_group_pred": np.array(AGES, dtype=object)[group_pred],
        }
    )


def example_result(
    *,
    tested: bool = True,
    races: tuple[str, ...] = RACES,
    trained: bool = True,
    faces: pd.DataFrame | None = None,
) -> AuditResult:
    """A whole result. `tested=False`: verdicts, p-values and spreads are null (not tested)."""
    faces = example_faces(races=races) if faces is None else faces
    levels = {"race": races, "gender_true": GENDERS, "age_group": AGES}
    subgroups = _subgroups(faces, levels)
    disparities = _disparities(subgroups, tested=tested)
    return AuditResult(
        info=_info(faces, levels),
        subgroups=subgroups,
        disparities=disparities,
        slices=table("slices", []),
        calibration=table("calibration", _gender_bins(faces) + _age_bins(faces)),
        coverage=table("coverage", coverage(faces, levels)),
        scores=table("scores", scores(faces, races)),
        reliability=table("reliability", reliability(faces, races)),
        thresholds=table("thresholds", sweep(faces, races)),
        age_thresholds=table("age_thresholds", age_limits(faces, levels)),
        proposals=table("proposals", corrections(faces, races)),
        findings=table("findings", _findings(subgroups, disparities, tested=tested)),
        worst=table("worst", _worst(faces)),
        confusion=table("confusion", _confusion(faces)),
        histograms=table("histograms", _histograms(faces, races) + pit(faces, races)),
        history=table("history", _history() if trained else []),
    )


def renamed(result: AuditResult, names: dict[str, str]) -> AuditResult:
    """The result with levels of its features called otherwise, in every table."""

    def words(value: object) -> object:
        if not isinstance(value, str):
            return value
        return CUT.join(names.get(part, part) for part in value.split(CUT))

    def other(frame: pd.DataFrame) -> pd.DataFrame:
        columns = [c for c in ("group", "lowest_group", "highest_group", "groups") if c in frame]
        return frame.assign(**{c: [words(v) for v in frame[c]] for c in columns})

    tables = {name: other(getattr(result, name)) for name in COLUMNS}
    features = [f | {"levels": [words(v) for v in f["levels"]]} for f in result.info["features"]]
    return AuditResult(result.info | {"features": features}, **tables)


def _info(faces: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> dict[str, object]:
    names = list(levels)
    features = [
        {"name": f, "levels": list(v), "ordered": f == "age_group", "cuts": None, "crossing": False}
        for f, v in levels.items()
    ]
    features += [
        {
            "name": CUT.join(pair),
            "levels": [CUT.join((a, b)) for a in levels[pair[0]] for b in levels[pair[1]]],
            "ordered": False,
            "cuts": None,
            "crossing": True,
        }
        for pair in combinations(names, 2)
    ]
    return {
        "rows_read": len(faces) + 41,
        "rows_audited": len(faces),
        "rows_left_out": {"age_true missing or outside 0-120": 12, "training rows": 29},
        "subjects": len(faces),
        "subjects_assumed": True,
        "ids_checked": True,
        "model": "example network",
        "heads": ["age", "interval", "gender", "score"],
        "settings": {"by": names, "depth": 2, "alpha": 0.05, "seed": 0, "threshold": 0.5},
        "features": features,
        "age_groups": list(AGES),
        "margins": {key: metric.margin for key, metric in METRICS.items()},
        "hash_of_rows": "5f0c1b2a" * 4,
        "notes": ["One photo per person is assumed: the table has no subject_id."],
        "limits": ["Labels are used as given; errors in them count as errors of the model."],
        "run": {
            "created": "2026-11-23T12:00:00Z",
            "seconds": 1.5,
            "engine": "duckdb 1.4",
            "threads": 2,
            "paths": {"source": "predictions.parquet", "images": None},
            "source_sha256": "ab" * 32,
            "packages": {"numpy": "2.3", "pandas": "3.1"},
            "tool_version": "0.1.0",
        },
    }


def _values(faces: pd.DataFrame) -> dict[str, tuple[pd.Series, bool]]:
    """Per metric: what is averaged, over its own denominator, and whether it is a share."""
    female = faces.gender_true == "female"
    called = faces.gender_pred == "female"
    return {
        "age_mae": (faces.error.abs(), False),
        "age_me": (faces.error, False),
        "age_cs5": (faces.error.abs() <= 5, True),
        "gender_accuracy": (called == female, True),
        "gender_tpr": (called[female], True),
        "gender_fpr": (called[~female], True),
        "gender_brier": ((faces.gender_score - female) ** 2, False),
        "interval_coverage": (faces.age_true.between(faces.age_low, faces.age_high), True),
        "interval_width": (faces.age_high - faces.age_low, False),
    }


def _record(feature: str, group: str, metric: str, values: pd.Series, is_share: bool) -> dict:
    n = len(values)
    status = "undefined" if n == 0 else "suppressed" if n < 10 else "few" if n < 30 else "ok"
    shown = status in ("ok", "few")
    value, low, high = (share if is_share else mean_of)(values) if shown else (None, None, None)
    return {
        "feature": feature,
        "group": group,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "n_subjects": n,
        "shrunken": value,
        "status": status,
    }


def _subgroups(faces: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    groups = [("overall", "overall", faces)]
    for depth in (1, 2):
        for names in combinations(levels, depth):
            parts = dict(list(faces.groupby(list(names), observed=True)))
            wanted = [(a,) for a in levels[names[0]]]
            if depth == 2:
                wanted = [(a, b) for a in levels[names[0]] for b in levels[names[1]]]
            groups += [(CUT.join(names), CUT.join(k), parts[k]) for k in wanted if k in parts]
    records = [
        _record(feature, group, metric, values, is_share)
        for feature, group, part in groups
        for metric, (values, is_share) in _values(part).items()
        if not (metric == "gender_brier" and "gender_true" in feature)
    ]
    return table("subgroups", records)


def _disparities(subgroups: pd.DataFrame, *, tested: bool) -> pd.DataFrame:
    records = []
    compared = subgroups[(subgroups.feature != "overall") & (subgroups.status == "ok")]
    for (feature, metric), rows in compared.groupby(["feature", "metric"], sort=False):
        if len(rows) < 2:
            continue
        low, high = rows.loc[rows.value.idxmin()], rows.loc[rows.value.idxmax()]
        gap = high.value - low.value
        margin = METRICS[metric].margin
        verdict = "disparity" if low.high < high.low - margin / 4 else "insufficient evidence"
        verdict = "no disparity found" if gap < margin else verdict
        shown_only = (metric == "age_me" and "age_group" in feature) or (
            metric in ("gender_tpr", "gender_fpr") and "gender_true" in feature
        )
        p = {"disparity": 0.0004, "insufficient evidence": 0.18, "no disparity found": 0.6}[verdict]
        records.append(
            dict.fromkeys(COLUMNS["disparities"])
            | {
                "feature": feature,
                "metric": metric,
                "difference": gap,
                "ratio": None if metric == "age_me" or high.value <= 0 else low.value / high.value,
                "lowest_group": low.group,
                "highest_group": high.group,
                "margin": margin,
                "noise_gap": gap / 3,
                "groups_compared": len(rows),
                "p_value": p / 10 if tested and not shown_only else None,
                "p_adjusted": p if tested and not shown_only else None,
                "detectable": margin * 1.3 if tested else None,
                "verdict": verdict if tested and not shown_only else None,
            }
        )
    return table("disparities", records)


def _gender_bins(faces: pd.DataFrame) -> list[dict]:
    records = []
    parts = [("overall", "overall", faces), *(("race", *part) for part in faces.groupby("race"))]
    for feature, group, part in parts:
        if len(part) < 100:
            continue
        bins = pd.cut(part.gender_score, np.linspace(0, 1, 11), include_lowest=True, labels=False)
        for i, rows in part.groupby(bins):
            observed, low, high = share(rows.gender_true == "female")
            stated = rows.gender_score.mean()
            half = 1.96 * np.sqrt(stated * (1 - stated) / len(rows))
            records.append(
                dict.fromkeys(COLUMNS["calibration"])
                | {
                    "feature": feature,
                    "group": group,
                    "head": "gender",
                    "bin": int(i),
                    "predicted": stated,
                    "observed": observed,
                    "low": low,
                    "high": high,
                    "band_low": max(0.0, stated - half),
                    "band_high": min(1.0, stated + half),
                    "n": len(rows),
                }
            )
    return records


def _age_bins(faces: pd.DataFrame) -> list[dict]:
    records = []
    for level in AGES:
        rows = faces[faces.age_group_pred == level]
        if len(rows) < 10:
            continue
        observed, low, high = mean_of(rows.age_true)
        error, mae = mean_of(rows.error), mean_of(rows.error.abs())
        held = share(rows.age_true.between(rows.age_low, rows.age_high))
        records.append(
            dict.fromkeys(COLUMNS["calibration"])
            | {
                "feature": "overall",
                "group": "overall",
                "head": "age",
                "bin": level,
                "predicted": rows.age_pred.mean(),
                "observed": observed,
                "low": low,
                "high": high,
                "n": len(rows),
            }
            | dict(zip(("error", "error_low", "error_high"), error, strict=True))
            | dict(zip(("mae", "mae_low", "mae_high"), mae, strict=True))
            | dict(zip(("coverage", "coverage_low", "coverage_high"), held, strict=True))
            | {"width": (rows.age_high - rows.age_low).mean()}
        )
    return records


def _findings(subgroups: pd.DataFrame, disparities: pd.DataFrame, *, tested: bool) -> list[dict]:
    mae = subgroups[subgroups.metric == "age_mae"].set_index(["feature", "group"])
    accuracy = subgroups[subgroups.metric == "gender_accuracy"].set_index(["feature", "group"])
    old, black = mae.loc[("age_group", "70+")], mae.loc[("race", "Black")] if tested else None
    verdict = (
        f"Age is read {old.value:.1f} years off for 70+ "
        f"[{old.low:.1f}, {old.high:.1f}], the largest error of all age groups."
    )
    rows = [("verdict", 3, verdict, "age_group", "70+", "age_mae", old)]
    rows.append(("gap", 3, verdict, "age_group", "70+", "age_mae", old))
    if black is not None:
        sentence = f"Race Black has an age error of {black.value:.1f} years."
        rows.append(("gap", 2, sentence, "race", "Black", "age_mae", black))
    least = accuracy.loc["gender_true"].value.idxmin()
    chosen = accuracy.loc[("gender_true", least)]
    sentence = f"Gender is called rightly for {chosen.value:.1%} of faces labelled {least}."
    rows.append(("gap", 1, sentence, "gender_true", least, "gender_accuracy", chosen))
    records = []
    for kind, severity, sentence, feature, group, metric, row in rows:
        test = disparities[(disparities.feature == feature) & (disparities.metric == metric)]
        records.append(
            {
                "kind": kind,
                "severity": severity,
                "sentence": sentence,
                "feature": feature,
                "group": group,
                "metric": metric,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "n": row.n,
                "p_adjusted": None if test.empty else test.p_adjusted.iloc[0],
            }
        )
    return records


def _worst(faces: pd.DataFrame) -> list[dict]:
    wrong = faces[faces.gender_pred != faces.gender_true]
    sure = (wrong.gender_score - 0.5).abs().sort_values(ascending=False, kind="stable").index
    largest = faces.error.abs().sort_values(ascending=False, kind="stable").index
    lists = {
        "age_error": faces.loc[largest[:60]],
        "gender_wrong": wrong.loc[sure[:40]],
        "sample": faces.sample(24, random_state=1),
    }
    records = []
    for name, rows in lists.items():
        for rank, (_, row) in enumerate(rows.iterrows(), start=1):
            groups = f"{row.race}{CUT}{row.gender_true}{CUT}{row.age_group}"
            kept = {c: row[c] for c in COLUMNS["worst"] if c in row.index}
            records.append({"list": name, "rank": rank, "groups": groups} | kept)
    return [{c: r[c] for c in COLUMNS["worst"]} for r in records]


def _confusion(faces: pd.DataFrame) -> list[dict]:
    heads = {
        "gender": ("gender_true", "gender_pred", GENDERS),
        "age": ("age_group", "age_group_pred", AGES),
    }
    return [
        {
            "head": head,
            "feature": "overall",
            "group": "overall",
            "true": a,
            "predicted": b,
            "n": int(((faces[true] == a) & (faces[predicted] == b)).sum()),
        }
        for head, (true, predicted, levels) in heads.items()
        for a in levels
        for b in levels
    ]


def _histograms(faces: pd.DataFrame, races: tuple[str, ...]) -> list[dict]:
    records = []
    for group in ("overall", *races[:-1]):
        part = faces if group == "overall" else faces[faces.race == group]
        feature = "overall" if group == "overall" else "race"
        common = dict.fromkeys(COLUMNS["histograms"]) | {"feature": feature, "group": group}
        edges = np.linspace(0, 1, 21)
        for low, high, n in zip(
            edges, edges[1:], np.histogram(part.gender_score, edges)[0], strict=False
        ):
            records.append(common | {"kind": "gender_score", "low": low, "high": high, "n": int(n)})
        for k in range(31):
            value, low, high = share(part.error.abs() <= k)
            records.append(
                common
                | {"kind": "age_cs", "low": 0.0, "high": float(k), "n": len(part)}
                | {"value": value, "value_low": low, "value_high": high}
            )
    return records


def _history() -> list[dict]:
    epochs = np.arange(1, 25)
    decay = np.exp(-epochs / 6)
    return [
        {
            "epoch": int(e),
            "loss_train": 1.2 + 3.0 * d,
            "loss_valid": 1.6 + 2.6 * d + 0.004 * e,
            "gender_accuracy_train": 0.96 - 0.4 * d,
            "gender_accuracy_valid": 0.92 - 0.36 * d,
            "age_mae_train": 4.0 + 9 * d,
            "age_mae_valid": 5.1 + 8 * d,
        }
        for e, d in zip(epochs, decay, strict=True)
    ]
