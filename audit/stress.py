"""The same faces in worse and worse pictures: how far errors rise, and for whom they rise more.

Input is a predictions table with two columns more, `corruption` and `severity`, in which every
face stands once as `clean`, 0 and once for each corruption at each severity. `faceaudit stress`
makes it for its own networks; any other model can be put to it from such a table.

One question is one record: does `corruption` harm some group of `feature` more than everyone else,
by `metric`? All groups and severities of a record are tested together (`audit.paired.harm`), and
Holm corrects over the records.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.config import AuditSettings
from audit.errors import InputError
from audit.evidence import INTERVAL_ALPHA, holm, outlying, verdict
from audit.files import read_json, write_text
from audit.findings import ORDER
from audit.groups import OVERALL, status
from audit.harm_words import sentence
from audit.metrics import METRICS, Floats, Metric
from audit.paired import Loss, Split, change, gap, harm, level
from audit.readings import Readings, open_readings
from audit.resample import Linear, Replicates, replicate
from audit.result import plain_records, plain_values

SCHEMA = 1
# A worse reading leans to the mean age: the signed error then moves by true age for any model.
COMPARED = ("age_mae", "gender_accuracy", "interval_coverage")
VERDICTS = {
    "disparity": "unequal harm",
    "no disparity found": "no unequal harm found",
    "insufficient evidence": "insufficient evidence",
}
CURVES = tuple(
    "corruption severity feature group metric value low high n n_subjects status change change_low "
    "change_high gap gap_low gap_high harm harm_low harm_high".split()
)
COMPARISONS = tuple(
    "corruption feature metric group severity harm low high change rest_change gap_clean gap "
    "p_value p_adjusted margin groups_compared verdict sentence".split()
)

_TABLES = {"curves": CURVES, "comparisons": COMPARISONS}
FILE = "stress.json"


def _table(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Records as they were written: null is NaN in a column of numbers."""
    table = pd.DataFrame.from_records(records, columns=list(columns))
    for name in columns:
        if not table[name].map(lambda v: isinstance(v, str)).any():
            table[name] = pd.to_numeric(table[name])
    return table


@dataclass(frozen=True)
class StressResult:
    """What `stress.json` holds: `info`, and flat tables with columns CURVES and COMPARISONS."""

    info: dict[str, Any]
    curves: pd.DataFrame
    comparisons: pd.DataFrame

    def to_json(self) -> str:
        """Numbers or null, never NaN; the same bytes for the same readings in any order."""
        whole = {
            "schema": SCHEMA,
            "info": plain_values(self.info),
            "curves": plain_records(self.curves),
            "comparisons": plain_records(self.comparisons),
        }
        return json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    @property
    def told(self) -> list[str]:
        """How many comparisons show what, then a sentence for each established harm, ranked."""
        return [verdict_words(self.comparisons), *established(self.comparisons)["sentence"]]

    def save(self, folder: Path) -> Path:
        """Write `folder/stress.json` atomically and return its path; pages of an earlier one go."""
        drawn = [folder / "stress.html"]
        if (folder / "result.json").exists():  # which draws the report again, with this section
            drawn.append(folder / "report.html")
        return write_text(folder / FILE, self.to_json(), drawn=drawn)

    @classmethod
    def load(cls, folder: Path) -> "StressResult | None":
        """What `save` wrote in this folder, None where nothing is. Raises InputError if damaged."""
        path = folder / FILE
        if not path.is_file():  # a pipe would be waited for
            return None
        again = "run `faceaudit stress` again, or delete the file"
        raw = read_json(path, again=again)
        try:
            schema, info = raw["schema"], raw["info"]
            tables = {name: _table(raw[name], of) for name, of in _TABLES.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is none of `faceaudit stress`: {again}") from error
        if schema != SCHEMA:
            raise InputError(f"{path} has schema {schema}, this version reads {SCHEMA}: {again}")
        return cls(info, **tables)


@dataclass(frozen=True)
class _Question:
    """One record on its way to a verdict.

    places: (reading, severity, group, its name) of each difference of the record.
    """

    corruption: str
    feature: str
    metric: Metric
    loss: Loss
    split: Split
    places: tuple[tuple[int, int, int, str], ...]
    record: Linear

    def at(self, place: tuple[int, int, int, str]) -> dict[str, Any]:
        """The words that name one difference."""
        _, severity, _, name = place
        return {
            "corruption": self.corruption,
            "feature": self.feature,
            "metric": self.metric.key,
            "group": name,
            "severity": severity,
        }


def established(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with unequal harm: errors before coverage, then the largest in margins."""
    found = comparisons[comparisons["verdict"] == VERDICTS["disparity"]]
    first, size = found["metric"].map(ORDER), -found["harm"].abs() / found["margin"]
    ranked = found.assign(first=first, size=size).sort_values(["first", "size"], kind="stable")
    return found.loc[ranked.index]


def verdict_words(comparisons: pd.DataFrame) -> str:
    """How many comparisons show what, in one sentence."""
    if comparisons.empty:
        return "No comparison could be tested: there are not two groups of 30 people or more."
    counts = {words: int((comparisons["verdict"] == words).sum()) for words in VERDICTS.values()}
    unequal, none, unknown = counts.values()
    return (
        f"{unequal} of {len(comparisons)} comparisons show a group harmed more than others, "
        f"{none} show none, {unknown} cannot be decided with these faces."
    )


def run_stress(
    table: pd.DataFrame,
    *,
    settings: AuditSettings | None = None,
    about: Mapping[str, Any] | None = None,
) -> StressResult:
    """Curves of error by corruption and group, and what may be said of whom it harms.

    table: predictions (docs/predictions.md) with `corruption` and `severity`, see above. settings:
    `by` (default: race where there is one, gender_true, age_group), age groups, margins, alpha,
    seed; every row is taken, whatever its split. about: carried into `info`.

    Raises InputError for a table without a clean reading, or in which some face lacks a reading.
    """
    settings = settings or AuditSettings()
    readings = open_readings(table, settings)
    questions = _questions(readings)
    answers = replicate([q.record for q in questions], seed=settings.seed)
    comparisons, harms = _judged(questions, answers, settings)
    curves = [row | harms.get(_place(row), {}) for row in _curves(readings)]
    return StressResult(
        _info(readings, comparisons, settings) | dict(about or {}),
        pd.DataFrame.from_records(curves, columns=list(CURVES)),
        pd.DataFrame.from_records(comparisons, columns=list(COMPARISONS)),
    )


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a figure belongs, whichever table it stands in."""
    return tuple(row[name] for name in ("corruption", "severity", "feature", "group", "metric"))


def _curves(readings: Readings) -> list[dict[str, Any]]:
    """A record per feature, metric, reading and group: value, change from clean, gap to others."""
    records = []
    for feature, (names, split) in readings.splits.items():
        for key, loss in readings.losses.items():
            n = split.sums(loss.valid.astype(np.float64)).sum(axis=1)
            people = split.counted(loss.valid)
            state = status(people, n)
            for reading in range(len(loss.values)):
                corruption, severity = readings.variant(reading)
                figures = _figures(loss, split, reading)
                records += [
                    {"corruption": corruption, "severity": severity}
                    | {"feature": feature, "group": name, "metric": key}
                    | {"n": n[g], "n_subjects": people[g], "status": str(state[g])}
                    | (_of_group(figures, g) if state[g] in ("ok", "few") else {})
                    for g, name in enumerate(names)
                ]
    return records


def _of_group(figures: Mapping[str, Floats], g: int) -> dict[str, float]:
    return {word: float(values[g]) for word, values in figures.items()}


def _figures(loss: Loss, split: Split, reading: int) -> dict[str, Floats]:
    """Columns of CURVES for every group under one reading [group]."""
    parts = {"value low high": level(loss, split, reading)}
    if reading:
        parts["change change_low change_high"] = change(loss, split, reading)
    if split.groups > 1:
        parts["gap gap_low gap_high"] = gap(loss, split, reading)
    return {
        word: values
        for words, triple in parts.items()
        for word, values in zip(words.split(), triple, strict=True)
    }


def _questions(readings: Readings) -> list[_Question]:
    """A question per feature, metric and corruption, where two groups are large enough."""
    found = []
    for feature, (names, split) in readings.splits.items():
        for key in COMPARED:
            loss = readings.losses.get(key)
            if feature == OVERALL or loss is None:
                continue
            n = split.sums(loss.valid.astype(np.float64)).sum(axis=1)
            compared = status(split.counted(loss.valid), n) == "ok"
            if compared.sum() < 2:
                continue
            for corruption in dict.fromkeys(name for name, _ in readings.variants):
                mine = readings.of(corruption)
                places = tuple(
                    (reading, readings.variant(reading)[1], int(g), names[g])
                    for reading in mine
                    for g in np.flatnonzero(compared)
                )
                record = harm(loss, split, mine, compared)
                found.append(
                    _Question(corruption, feature, METRICS[key], loss, split, places, record)
                )
    return found


Harms = dict[tuple[Any, ...], dict[str, float]]


def _judged(
    questions: Sequence[_Question], answers: Sequence[Replicates], settings: AuditSettings
) -> tuple[list[dict[str, Any]], Harms]:
    """Comparisons with verdicts, and the harm of every group with its simultaneous interval."""
    adjusted = holm(np.array([a.p_value for a in answers]))
    comparisons: list[dict[str, Any]] = []
    harms: Harms = {}
    for q, a, p_adjusted in zip(questions, answers, adjusted, strict=True):
        low, high = a.interval(INTERVAL_ALPHA)
        margin = settings.margin(q.metric.key)
        words = verdict(p_adjusted, low, high, margin=margin, alpha=settings.alpha)
        for place, *figures in zip(q.places, a.difference, low, high, strict=True):
            named = zip(("harm", "harm_low", "harm_high"), map(float, figures), strict=True)
            harms[_place(q.at(place))] = dict(named)
        most = outlying(a.difference, low, high, a.t, better=q.metric.better)
        reading, _, g, _ = q.places[most]
        own, harmed = float(change(q.loss, q.split, reading)[0][g]), float(a.difference[most])
        row = q.at(q.places[most]) | {
            "harm": harmed,
            "low": float(low[most]),
            "high": float(high[most]),
            "change": own,
            "rest_change": own - harmed,
            "gap_clean": float(gap(q.loss, q.split, 0)[0][g]),
            "gap": float(gap(q.loss, q.split, reading)[0][g]),
            "p_value": a.p_value,
            "p_adjusted": float(p_adjusted),
            "margin": margin,
            "groups_compared": len({group for _, _, group, _ in q.places}),
            "verdict": VERDICTS[words],
        }
        comparisons.append(row | {"sentence": sentence(row)})
    return comparisons, harms


def _info(
    readings: Readings, comparisons: Sequence[Mapping[str, Any]], settings: AuditSettings
) -> dict[str, Any]:
    predictions = readings.predictions
    return {
        "model": settings.model or "a model",
        "faces": predictions.rows_audited,
        "people": readings.people,
        "people_assumed": predictions.subjects_assumed,
        "rows_left_out": dict(sorted(predictions.rows_left_out.items())),
        "corruptions": list(dict.fromkeys(name for name, _ in readings.variants)),
        "severities": sorted({severity for _, severity in readings.variants}),
        "features": [{"name": f.name, "levels": list(f.levels)} for f in predictions.features],
        "comparisons": len(comparisons),
        "alpha": settings.alpha,
        "seed": settings.seed,
        "margins": {key: settings.margin(key) for key in COMPARED},
        "notes": list(predictions.notes),
    }
