"""Audits across sites: each counts its own rows, the counts travel, and they add up to one audit.

What is counted is in `audit.tally`, how counts are added up in `audit.merging`, how they are
written in `audit.tally_file`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from audit.config import AuditSettings
from audit.engines import DUCKDB
from audit.errors import InputError
from audit.histograms import FRAMES, frame_keys
from audit.levels import quintiles
from audit.notes import Facts
from audit.predictions import Predictions, open_predictions
from audit.tally import Tally, merge_tallies, tally_predictions
from audit.words import nearest
from audit.worst import ranked_faces

# Settled when rows are counted, by every site alike; the option that sets each.
SHARED = {
    "by": "--by",
    "control": "--control",
    "age_groups": "--age-groups",
    "cuts": "--cuts",
    "split": "--split",
    "threshold": "--threshold",
}
# Settled when rows are read, by each site for itself.
OWN = {
    "columns": "--column",
    "max_groups": "--max-groups",
    "check_ids": "--check-ids",
    "strict": "--strict",
    "without_marked": "--without-marked",
}
_LATER = ("depth", "seed", "alpha", "margins")  # settled when the counts are audited
_HERE = ("threads", "without_marked")  # of one machine: no tally tells of them


@dataclass(frozen=True)
class Site:
    """What one site counted, kept through every merge. faces: it gave its list of faces along."""

    rows_read: int
    rows_audited: int
    subjects: int
    fingerprint: str
    faces: bool


@dataclass(frozen=True)
class SiteTally:
    """The counts of one site, or of several: a tally and all that an audit says beside it.

    settings: those that shaped the counts, and the model; the rest are defaults. faces: the lists
    of `audit.worst.ranked_faces`, where a site gave them along. sites: sorted by fingerprint.
    """

    tally: Tally
    facts: Facts
    settings: AuditSettings
    sites: tuple[Site, ...]
    faces: pd.DataFrame | None = None


def tally_site(
    source: Path | str | pd.DataFrame,
    settings: AuditSettings | None = None,
    *,
    min_cell: int = 1,
    faces: bool = False,
    engine: str = DUCKDB,
) -> SiteTally:
    """Count a site's rows (docs/predictions.md) so that the counts can be added to others'.

    min_cell: rows of a cell (one level of every feature) with fewer people than this are withheld.
    faces: give the lists of the worst faces along, which are rows and not counts. engine: where
    the rows are, see `audit.engines`.

    Raises InputError as `open_predictions` does; for rows without a sample_id, whose names other
    sites would use too; and for numbers that would be cut at this table's own quintiles.
    """
    settings = settings or AuditSettings()
    if min_cell < 1:
        raise InputError(f"--min-cell is {min_cell}; it must be at least 1")
    source = Path(source) if isinstance(source, str) else source
    predictions = open_predictions(source, settings, min_cell=min_cell, engine=engine)
    _check_names_and_cuts(predictions, settings)
    tally = tally_predictions(predictions, settings)
    if min_cell > 1:
        tally = _without_unused_words(tally)
    site = Site(
        rows_read=tally.rows_read,
        rows_audited=predictions.rows_audited,
        subjects=tally.subjects,
        fingerprint=tally.fingerprint,
        faces=faces,
    )
    return SiteTally(
        tally=tally,
        facts=replace(predictions.facts, places={}),  # line numbers are of use at the site only
        settings=settings.replace(**{n: getattr(AuditSettings(), n) for n in (*_LATER, *_HERE)}),
        sites=(site,),
        faces=ranked_faces(predictions, settings, tally).drop(columns="face") if faces else None,
    )


def settle(site: SiteTally, asked: AuditSettings, *, label: str) -> SiteTally:
    """The tally as an audit under `asked` needs it: its settings joined, its features narrowed.

    What shaped the counts stays as it was, but that `by` and `control` may name fewer features.
    Raises InputError for a setting that was given and is not the tally's (or is not the default,
    where settings were made without saying which were given), and for a feature not counted.
    """
    default, made = AuditSettings(), site.settings
    for name, option in (SHARED | OWN).items():
        value = getattr(asked, name)
        silent = name not in asked.given and value == getattr(default, name)
        if name in {"by", "control"} or silent or value == getattr(made, name):
            continue
        raise InputError(
            f"{option} is settled when rows are counted ({label}: {shown(getattr(made, name))}); "
            "leave it out here, or make the tallies again with it"
        )
    later = {name: getattr(asked, name) for name in (*_LATER, "threads")}
    by = asked.by or made.by
    control = asked.control if asked.by else asked.control or made.control
    model = asked.model or made.model
    settings = made.replace(**later, by=by, control=control, model=model)
    counted = [f.name for f in site.tally.features]
    names = list(dict.fromkeys((*(by or counted), *control)))
    for name in names:
        if name not in counted:
            raise InputError(f"{label} does not count by {name!r}; {nearest(name, counted)}")
    return replace(site, settings=settings, tally=_narrowed(site.tally, names))


def about_sites(site: SiteTally) -> dict[str, Any]:
    """For `info.run.sites` of a result: every site's own counts, and what to know, in sentences."""
    n = len(site.sites)
    notes = [
        f"Added up from the tallies of {n} sites: none of their rows was read here."
        if n > 1
        else "Made from a tally: none of its rows was read here."
    ]
    given = sum(s.faces for s in site.sites)
    if not given:
        notes.append(
            "No faces are shown: only counts were handed over. Whoever holds the rows sees theirs "
            "with `faceaudit audit`; `faceaudit tally --faces` gives the lists of the worst along."
        )
    else:
        whose = "the sites" if given == n else f"{given} of {n} sites"
        notes.append(f"The lists of the worst faces are those that {whose} gave along.")
    if n > 1:
        notes.append(
            "People are counted at each site: who has photos at several counts at each, so the "
            "number of people is an upper limit; intervals allow for such people only where sites "
            "give them one subject_id. A face that two sites hold counts twice."
        )
    return {"notes": notes, "parts": [asdict(s) for s in site.sites]}


def _check_names_and_cuts(predictions: Predictions, settings: AuditSettings) -> None:
    label = predictions.source.label
    if predictions.ids_made:
        raise InputError(
            f"{label} has no sample_id: rows would be named by their number, as those of every "
            "other site; give each face an id that no other site uses"
        )
    for feature in predictions.features:
        if feature.cuts is None or feature.name in settings.cuts:
            continue
        column = predictions.table.own[feature.name]
        edges = quintiles(predictions.source, column, f"typed WHERE {predictions.kept}")
        near = ",".join(f"{edge:.3g}" for edge in edges)
        raise InputError(
            f"{label}: {feature.name!r} is a number and would be cut at this table's own quintiles "
            f"({near}), which are no other site's; give the same --cuts {feature.name}=a,b,c "
            "everywhere, or name the features with --by"
        )


def _without_unused_words(tally: Tally) -> Tally:
    """The tally without the words of gender_true that only rows left out hold."""
    place = next((i for i, f in enumerate(tally.features) if f.name == "gender_true"), None)
    if place is None:
        return tally
    feature, codes = tally.features[place], tally.cells["gender_true"]
    used = {"female", "male", *(feature.levels[c] for c in codes.unique())}
    kept = tuple(w for w in feature.levels if w in used)
    code = {feature.levels.index(w): i for i, w in enumerate(kept)}
    frames = {}
    for name in FRAMES:
        frame = getattr(tally, name)
        if "gender_true" in frame:
            frame = frame.assign(gender_true=frame["gender_true"].map(code).astype(codes.dtype))
        frames[name] = frame
    features = [*tally.features]
    features[place] = replace(feature, levels=kept)
    return merge_tallies([replace(tally, features=tuple(features), **frames)])


def _narrowed(tally: Tally, names: Sequence[str]) -> Tally:
    """The tally by fewer features, or in another order of them."""
    counted = [f.name for f in tally.features]
    if names == counted:
        return tally
    frames = {}
    for name in FRAMES:
        frame, keys = getattr(tally, name), frame_keys(name, counted)
        sums = [c for c in frame.columns if c not in keys]
        frames[name] = frame[[*frame_keys(name, names), *sums]]
    features = tuple(tally.features[counted.index(name)] for name in names)
    return merge_tallies([replace(tally, features=features, **frames)])


def shown(value: Any) -> str:
    """A setting as its option takes it."""
    if isinstance(value, Mapping):
        return " ".join(f"{k}={shown(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value) or "none"
    return "none" if value is None else str(value)
