"""From a predictions table to the map that corrects it: fitted, judged, chosen, written, applied.

The map is fitted on half the people and judged on the others; the corrected table says who is who,
so that it can be audited on people that its map has never met.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audit.choosing import LABELS as METRIC_LABELS
from audit.choosing import Choice, change_words, choose, scope_of
from audit.config import BEST, NOMINAL, NONE, AuditSettings
from audit.conformal import PREDICTED
from audit.corrected import write_corrected
from audit.corrections import FILE, HEADS, METADATA, SCHEMA, Recalibration, write_recalibration
from audit.errors import InputError
from audit.groups import OVERALL
from audit.halves import LABELS
from audit.predictions import Predictions, open_predictions
from audit.proposals import Proposal, propose
from audit.result import plain_records, table
from audit.shards import SHARDS
from audit.tally import Tally, tally_predictions
from audit.words import count, counted_rows

_INTERVAL = ("coverage", "width", "gap")
HALF_RULE = (
    f"shard = audit.shards.shard_of(key of the person), 0 to {SHARDS - 1}; "
    f"fit below {SHARDS // 2}, judge from there on"
)


@dataclass(frozen=True)
class Recalibrated:
    """What `recalibrate` made: the map, the records of every proposal, and where they lie.

    notes: what was left out, assumed and passed over, in sentences.
    """

    recalibration: Recalibration
    notes: tuple[str, ...]
    proposals: tuple[Mapping[str, Any], ...]
    per: str | None
    path: Path
    table: Path


def recalibrate(
    source: Path | str | pd.DataFrame,
    *,
    out: Path | str,
    settings: AuditSettings | None = None,
    choice: Mapping[str, str] | None = None,
    per: str | None = None,
    run_id: str | None = None,
) -> Recalibrated:
    """Fit, judge and choose a map for each head; write it and the corrected table into `out`.

    choice: head (`gender`, `age`, `interval`) -> method, `none` or `best` (where nothing is said):
    of the least loss on people it was not fitted on, if the paired interval of its change lies
    below 0; else none. per: a map for each group of this feature. run_id: of the network that made
    the predictions; kept in the file, and then a table that was corrected before is refused.

    Raises InputError as `open_predictions` does, for a method that the table or its people cannot
    bear, and where they bear none.
    """
    out = Path(out)
    settings = _with_feature(settings or AuditSettings(), per)
    predictions = open_predictions(Path(source) if isinstance(source, str) else source, settings)
    if run_id is not None:
        _refuse_foreign(predictions, run_id)
    tally = tally_predictions(predictions, settings)
    asked = dict.fromkeys(HEADS, BEST) | dict(choice or {})
    if asked["gender"] != NONE:
        _refuse_reversed(predictions.counts)
    proposals, records = propose(tally, settings=settings)
    chosen = {
        head: choose(head, asked[head], proposals, records, per=per, heads=predictions.heads)
        for head in HEADS
    }
    if not proposals:
        why = "; ".join(f"{head}: {c.why}" for head, c in chosen.items())
        raise InputError(f"{predictions.source.label}: nothing can be recalibrated ({why})")
    data = {
        "schema": SCHEMA,
        "model": settings.model,
        "run_id": run_id,
        "fitted_on": _fitted_on(tally, predictions, settings),
        "threshold": settings.threshold,
        "level": NOMINAL,
        "heads": {head: _head(head, chosen[head], records, tally, settings) for head in HEADS},
    }
    recalibration = Recalibration(data)
    corrected = write_corrected(predictions, recalibration, out / "predictions.parquet")
    path = write_recalibration(out / FILE, recalibration)
    left_out = [
        f"Left out: {counted_rows(n)}, {why}."
        for why, n in tally.rows_left_out.items()
        if not why.startswith("age_true")  # a note of its own tells where these stand
    ]
    notes = (*left_out, *predictions.notes)
    return Recalibrated(recalibration, notes, tuple(records), per, path, corrected)


def _with_feature(settings: AuditSettings, per: str | None) -> AuditSettings:
    """The settings with `per` among the features. Raises InputError where it is a label."""
    if per is None:
        return settings
    if per in {*LABELS, PREDICTED}:
        raise InputError(
            f"--per {per}: a map may ask only for what is known of a new face, not for a label or "
            "what it corrects; name another feature, or leave --per out"
        )
    by = settings.by or ()
    return settings.replace(by=by if per in by else (*by, per))


def _refuse_reversed(counts: Mapping[str, int]) -> None:
    """Refuse calls that mostly miss: a map would make a constant of a score turned round."""
    right, n = counts.get("gender_right", 0), counts.get("gender_rows", 0)
    if counts.get("score_rows") and 3 * right < n:
        raise InputError(
            f"only {count(right)} of {count(n)} gender calls agree with the label: gender_score is "
            "P(female); turn it round (1 - score) if it is P(male), or leave it (--gender none)"
        )


def _refuse_foreign(predictions: Predictions, run_id: str) -> None:
    """Refuse predictions of another run, and those that a map was applied to, for a run's map."""
    label, metadata = predictions.source.label, predictions.metadata
    if METADATA in metadata:
        raise InputError(
            f"{label} was corrected already; for a map that a run folder carries, predict anew "
            "with --no-recalibration"
        )
    made_by = metadata.get("faceaudit.run")
    if made_by is None:
        raise InputError(
            f"{label} does not say which run predicted it (a CSV cannot); for a map that a run "
            "folder carries, give the .parquet that `faceaudit predict` writes"
        )
    if made_by != run_id:
        raise InputError(f"{label} was predicted by run {made_by}, not by --run {run_id}")


def _fitted_on(tally: Tally, predictions: Predictions, settings: AuditSettings) -> dict[str, Any]:
    return {
        "split": settings.split,
        "rows_read": tally.rows_read,
        "rows_audited": predictions.rows_audited,
        "people": tally.subjects,
        "people_assumed": tally.subjects_assumed,
        "hash_of_rows": tally.fingerprint,
        "half_rule": HALF_RULE,
    }


def _head(
    head: str,
    choice: Choice,
    records: Sequence[Mapping[str, Any]],
    tally: Tally,
    settings: AuditSettings,
) -> dict[str, Any]:
    """One head of the file: how its values are mapped, for whom, and how that was judged."""
    p = choice.proposal
    if p is None:
        return {"method": NONE, "why": choice.why}
    wanted = (head, p.method, p.scope)
    rows = [dict(r) for r in records if (r["head"], r["method"], r["scope"]) == wanted]
    written: dict[str, Any] = {"method": p.method, "why": choice.why}
    if head == "interval":
        written["stated"] = bool(tally.misses["iv"].any())
    return {
        **written,
        **_grouping(p, tally, settings),
        "overall": dict(p.overall),
        "groups": {name: dict(numbers) for name, numbers in p.groups.items()},
        "fell_back": list(p.fell_back),
        "n_fit": dict(p.n_fit),
        "judged": plain_records(table("proposals", rows)),
    }


def _grouping(p: Proposal, tally: Tally, settings: AuditSettings) -> dict[str, Any]:
    """What the groups of a proposal are told by: the column, its levels, its cuts."""
    if p.scope == OVERALL:
        return {"per": None, "column": None, "levels": [], "cuts": None}
    if p.scope == PREDICTED:
        edges = [float(e) for e in settings.age_groups[1:]]
        levels = list(settings.age_labels)
        return {"per": PREDICTED, "column": "age_pred", "levels": levels, "cuts": edges}
    feature = next(f for f in tally.features if f.name == p.scope)
    cuts = None if feature.cuts is None else [float(c) for c in feature.cuts]
    return {"per": p.scope, "column": p.scope, "levels": list(feature.levels), "cuts": cuts}


# In words ------------------------------------------------------------------------------------

# What a short table tells of every proposal, and of the groups of a chosen one.
_TOLD = ("gender_brier", "gender_ece", "age_mae", "age_me", *(f"interval_{x}" for x in _INTERVAL))
_TOLD_OF_GROUPS = ("gender_brier", "age_mae", "interval_coverage")


def recalibration_words(made: Recalibrated, *, by: Sequence[str] = ()) -> str:
    """What each proposal changes for people it was not fitted on; what is chosen, and why.

    by: features whose groups are listed for the chosen maps.
    """
    rows, heads = made.proposals, made.recalibration.data["heads"]
    whole = [r for r in rows if r["group"] == OVERALL]
    n_fit, n_judge = (max(int(r[c]) for r in whole) for c in ("n_fit", "n_judge"))
    lines = [
        *made.notes,
        f"fitted on {count(n_fit)} faces of half the people, judged on {count(n_judge)} of others",
        "before → after, change [95 % interval]:",
    ]
    for row in whole:
        wanted = scope_of(row["method"], row["head"], made.per) == row["scope"]
        told = row["feature"] in {OVERALL, made.per or PREDICTED}
        if wanted and told and row["metric"] in _TOLD:
            lines.append(_line(row, ""))
    for head in heads.values():
        lines += [
            _line(row, row["group"])
            for row in head.get("judged", ())
            if row["feature"] in by and row["group"] != OVERALL and row["metric"] in _TOLD_OF_GROUPS
        ]
    for name, head in heads.items():
        per = f" per {head['per']}" if head.get("per") else ""
        lines.append(f"chosen: {name} {head['method']}{per} ({head['why']})")
        if head.get("fell_back"):
            few = ", ".join(head["fell_back"])
            lines.append(f"  too few fitting people, so they take the map of everyone: {few}")
    return "\n".join(lines)


def _line(row: Mapping[str, Any], group: str) -> str:
    label, changed = METRIC_LABELS[row["metric"]], change_words(row["metric"], row)
    start = f"{row['head']:<9}{row['method']:<12}"
    if group:
        return f"{start}  {group}: {label} {changed}, n {count(row['n_judge'])}"
    return f"{start}{label:<28} {changed}"
