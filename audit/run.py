"""A predictions table in, an audit out: the whole story, top to bottom."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from audit.age_limits import age_limit_table
from audit.calibration import age_calibration, gender_calibration
from audit.config import NOMINAL, AuditSettings
from audit.counts import (
    age_confusion,
    age_counts,
    error_counts,
    gender_confusion,
    score_counts,
    within_years,
)
from audit.coverage import coverage_table
from audit.disparity import Asked, family, weigh_disparities
from audit.engines import DUCKDB
from audit.evidence import holm
from audit.fairness import audited_metrics, disaggregate, metrics_of, subgroup_table
from audit.features import Feature
from audit.files import write_text
from audit.findings import find
from audit.groups import Groups, crossings, gather, with_tails
from audit.histograms import FRAMES
from audit.images import images_of, seen_from
from audit.metrics import METRICS
from audit.normalised import write_normalised
from audit.notes import LEAKY, Facts, without_lines
from audit.pit import crps, pit_counts
from audit.proposals import propose
from audit.reliability import reliability_table, simulated
from audit.result import COLUMNS, AuditResult, table
from audit.rungs import TOLD
from audit.scan import Scan, scan
from audit.score_tests import score_table
from audit.shards import SHARDS
from audit.signed_calibration import tell_calibration, weigh_calibration
from audit.sites import about_sites
from audit.tally import Tally
from audit.tally_file import is_tally
from audit.thresholds import threshold_table
from audit.weakness import slice_table
from audit.words import CROSS, counted_people, own_version
from audit.worst import ranked_faces

UNNAMED = "unnamed model"
HASHED_BYTES = 2**30  # larger sources are not read a second time for their checksum
_FEW_OWNERS = 0.1  # of the people, as many as even owners would be: then it is remarked
PACKAGES = ("duckdb", "fairlearn", "numpy", "pandas", "pyarrow", "scipy")


def run_audit(
    source: Path | str | pd.DataFrame | Scan,
    *,
    settings: AuditSettings | None = None,
    history: pd.DataFrame | None = None,
    images: Path | str | None = None,
    out: Path | str | None = None,
    engine: str = DUCKDB,
) -> AuditResult:
    """Audit a predictions table (docs/predictions.md) and, with `out`, write what renderers need.

    source: CSV (plain or gz), Parquet, a glob or folder of Parquet, or a DataFrame; a tally of one
    or of many (docs/sites.md), which brings the settings that shaped its counts and no rows; or the
    `scan` of any, which brings its settings.
    history: the training's curves, carried into the result. images: the folder that `image` is
    relative to (`audit.images` says which where it is not given), noted for renderers.
    out: gets `predictions.parquet` and `result.json`; a report of an earlier audit there goes.
    engine: where the rows are read and added up, see `audit.engines`.

    Raises InputError for a table that cannot be audited, and with `settings.strict` for rows that
    would be left out; MachineError when the disk is full.
    """
    out, images = (None if path is None else Path(path) for path in (out, images))
    scanned = source if isinstance(source, Scan) else scan(source, settings, engine=engine)
    settings, tally, facts = scanned.settings, scanned.tally, scanned.facts
    with ExitStack() as held:  # what puts the faces in their place, once the figures are in theirs
        with ThreadPoolExecutor(1) as beside:
            worst = beside.submit(_faces, scanned, out, held)
            try:
                tables = audit_tally(tally, settings=settings)
            except BaseException:  # Ctrl-C too: nobody waits for faces of an audit given up
                if scanned.predictions is not None:
                    scanned.predictions.source.stop()
                raise
            tables["worst"] = worst.result()
        tables["history"] = pd.DataFrame() if history is None else history
        info = _info(facts, tally, settings)
        tables["findings"] = table("findings", find(tables, info))
        if images is None and scanned.predictions is not None:
            images = images_of(scanned.predictions)
        info["run"] = _this_run(scanned, out=out, images=images and seen_from(out, images))
        info["run"]["notes"] = list(facts.notes)
        if scanned.site is not None:
            info["run"]["sites"] = about_sites(scanned.site)
        text = AuditResult(info, **{name: tables[name] for name in COLUMNS}).to_json()
        if out is not None:
            write_text(out / "result.json", text, drawn=[out / "report.html"])
            if scanned.predictions is None:
                _remove_faces(out)
    return AuditResult.from_json(text)  # so that who draws it now and who reads it later see alike


def _faces(scanned: Scan, out: Path | None, held: ExitStack) -> pd.DataFrame:
    """What needs the rows once more and no Python: writes the faces, returns the worst of them.

    Of a tally, the lists that its sites gave along.
    """
    if scanned.predictions is None:
        given = None if scanned.site is None else scanned.site.faces
        return table("worst", []) if given is None else given[list(COLUMNS["worst"])]
    ranked = ranked_faces(scanned.predictions, scanned.settings, scanned.tally)
    if out is not None:
        write_normalised(
            scanned.predictions,
            out / "predictions.parquet",
            scanned.tally.errors,
            hash_of_rows=scanned.tally.fingerprint,
            listed=ranked["face"].tolist(),
            held=held,
        )
    return ranked[list(COLUMNS["worst"])]


def _remove_faces(out: Path) -> None:
    """Take away the faces of an earlier audit: a tally has none."""
    rows = out / "predictions.parquet"
    if not is_tally(rows):  # it may be the tally that is audited
        rows.unlink(missing_ok=True)


def audit_tally(tally: Tally, *, settings: AuditSettings) -> dict[str, pd.DataFrame]:
    """Every table that follows from sums alone (all but `worst`, `history` and `findings`)."""
    lean = with_tails(tally)
    features = audited_features(lean, settings)
    gathered = {p: gather(lean, p) for p in crossings(features, depth=settings.depth)}
    keys = audited_metrics(gathered[()])
    scored = {
        p: g for p, g in gathered.items() if "gender_brier" in keys and "gender_true" not in g.parts
    }
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    with ThreadPoolExecutor(1) as beside:
        # A third of the work, on arrays: it leaves Python to the rest.
        chance = {p: beside.submit(simulated, g) for p, g in scored.items() if len(p) < 2}
        asked = []
        for parts, groups in gathered.items():
            found = disaggregate(groups, metrics_of(groups.parts, keys))
            mine = subgroup_table(groups, found)
            records["subgroups"] += mine
            records["coverage"] += coverage_table(mine, groups, crps(groups, lean, parts))
            if parts:
                asked.append(Asked(groups, found, partial(_by_age, lean, parts)))
        for control in settings.control:
            asked += _within(lean, control, features, keys, depth=settings.depth)
        calibrated = [weigh_calibration(scored[p], seed=settings.seed) for p in chance]
        p_values = [c.p_value for c in calibrated]
        records["disparities"] += weigh_disparities(asked, settings=settings, beside=p_values)
        for parts, groups in gathered.items():
            if len(parts) < 2:
                _add_pictures_of(groups, parts, lean, keys, records)
            if parts in scored:
                null = chance[parts].result() if parts in chance else None
                records["scores"] += score_table(groups, null)
                records["reliability"] += reliability_table(groups, null) if null else []
    adjusted = holm(np.array(family(records["disparities"], p_values)))
    tell_calibration(records["scores"], calibrated, adjusted[len(adjusted) - len(p_values) :])
    records["slices"] += slice_table(lean, settings=settings)
    records["confusion"] += age_confusion(lean, edges=settings.age_groups)
    records["histograms"] += age_counts(lean, edges=settings.age_groups)
    records["proposals"] += propose(lean, settings=settings)[1]
    skip = ("worst", "history", "findings")
    return {name: table(name, rows) for name, rows in records.items() if name not in skip}


def audited_features(tally: Tally, settings: AuditSettings) -> tuple[Feature, ...]:
    """The features that are compared: those asked for, not those that only control."""
    return tuple(f for f in tally.features if settings.by is None or f.name in settings.by)


def _within(
    tally: Tally, control: str, features: Sequence[Feature], keys: Sequence[str], *, depth: int
) -> list[Asked]:
    """Every comparison again, among the faces of each level of a control feature."""
    feature = next(f for f in tally.features if f.name == control)
    others = [f for f in features if f.name != control]
    asked = []
    for code, level in enumerate(feature.levels):
        part = _only(tally, control, code)
        if part.cells.empty:
            continue
        for parts in crossings(others, depth=depth)[1:]:
            groups = gather(part, parts)
            found = disaggregate(groups, metrics_of([*groups.parts, control], keys))
            asked.append(Asked(groups, found, partial(_by_age, part, parts), control, level))
    return asked


def _only(tally: Tally, feature: str, code: int) -> Tally:
    """The tally of one level's faces; empty the tables that are not split by the feature.

    What `audit.rungs` tells of all faces is told anew, of the level's.
    """
    tables = {name: getattr(tally, name) for name in FRAMES}
    tables["cells"] = tables["cells"].drop(columns=[*TOLD], errors="ignore")
    return replace(
        tally,
        **{n: t[t[feature] == code] if feature in t else t.iloc[:0] for n, t in tables.items()},
    )


def _by_age(tally: Tally, parts: tuple[Feature, ...]) -> Groups | None:
    """The groups of `parts` by age; None where ages are one of the parts or unknown."""
    age = next((f for f in tally.features if f.name == "age_group"), None)
    return None if age is None or age in parts else gather(tally, (*parts, age))


def _add_pictures_of(
    groups: Groups,
    parts: tuple[Feature, ...],
    tally: Tally,
    keys: tuple[str, ...],
    records: Mapping[str, list[dict[str, Any]]],
) -> None:
    """What is drawn for the whole and single features: bins, curves, confusion."""
    if "age_mae" in keys:
        records["histograms"].extend((*error_counts(groups), *within_years(groups)))
        if "age_group" not in groups.parts:
            records["calibration"] += age_calibration(tally, parts)
            records["age_thresholds"] += age_limit_table(groups, tally, parts)
        if len(tally.z):
            records["histograms"].extend(pit_counts(groups, tally, parts))
    if "gender_true" in groups.parts:
        return
    if "gender_brier" in keys:
        records["calibration"] += gender_calibration(groups)
        records["thresholds"] += threshold_table(groups)
        records["histograms"] += score_counts(groups)
    if "gender_accuracy" in keys:
        records["confusion"] += gender_confusion(groups)


def _info(facts: Facts, tally: Tally, settings: AuditSettings) -> dict[str, Any]:
    """What the result rests on; nothing here depends on paths, row order, format or threads."""
    left_out = {r: int(n) for r, n in sorted(tally.rows_left_out.items()) if n}
    return {
        "rows_read": tally.rows_read,
        "rows_audited": tally.rows_read - sum(left_out.values()),
        "rows_left_out": left_out,
        "subjects": tally.subjects,
        "subjects_assumed": tally.subjects_assumed,
        "ids_checked": facts.ids_checked,
        "model": settings.model or UNNAMED,
        "heads": list(facts.heads),
        "settings": settings.as_json(),
        "features": _features(tally, settings),
        "age_groups": list(tally.age_groups),
        "margins": {key: settings.margin(key) for key in METRICS},
        "hash_of_rows": tally.fingerprint,
        "age_me_half_year": _half_year(tally),
        "leaky_rows": facts.counts.get(LEAKY, 0),
        "notes": [*map(without_lines, facts.notes), *_notes(tally, settings)],
        "limits": list(_LIMITS),
    }


_LIMITS = (
    "Labels are used as given: an error in a label counts as an error of the model.",
    "Nothing is known of people who are not in the table, and little of groups of few.",
    "A difference between groups does not say what causes it.",
)


def _features(tally: Tally, settings: AuditSettings) -> list[dict[str, Any]]:
    """Every feature and crossing, with the levels that occur in it."""
    listed = []
    for parts in crossings(audited_features(tally, settings), depth=settings.depth)[1:]:
        single = parts[0] if len(parts) == 1 else None
        listed.append(
            {
                "name": CROSS.join(f.name for f in parts),
                "parts": [f.name for f in parts],
                "levels": list(gather_names(tally, parts)),
                "ordered": bool(single and single.ordered),
                "cuts": list(single.cuts) if single and single.cuts is not None else None,
                "crossing": single is None,
            }
        )
    return listed


def gather_names(tally: Tally, parts: tuple[Feature, ...]) -> tuple[str, ...]:
    """Names of the occupied groups of `parts`, in order."""
    seen = (
        tally.cells[[f.name for f in parts]].drop_duplicates().sort_values([p.name for p in parts])
    )
    return tuple(
        CROSS.join(f.levels[i] for f, i in zip(parts, row, strict=True))
        for row in seen.itertuples(index=False, name=None)
    )


def _half_year(tally: Tally) -> float | None:
    """Mean signed error if every whole-number label stood half a year higher; None without ages.

    A label of 31 stands for 31.0 to 31.99: a perfect reading shows +0.5 year against it.
    """
    sums = tally.cells[["age_n", "age_err", "age_int"]].sum()
    if not sums["age_n"]:
        return None
    return float(sums["age_err"] / 100 - sums["age_int"] / 2) / float(sums["age_n"])


def _notes(tally: Tally, settings: AuditSettings) -> list[str]:
    notes = []
    if (tally.cells["iv_n"] > 0).any():
        share = f"{100 * NOMINAL:.0f}\u00a0%"
        notes.append(f"age_low to age_high is taken to be meant as a {share} interval.")
    named = {f.name for f in tally.features}
    if audited_features(tally, settings) and len(tally.errors) and "age_group" not in named:
        notes.append(
            "Groups are not compared at one age mix, for age_group is no feature here: part of a "
            "difference may be unequal ages. Name it with --by or --control."
        )
    if not tally.subjects_assumed and (note := _few_owners(gather(tally, ()))):
        notes.append(note)
    return notes


def _few_owners(whole: Groups) -> str:
    """A note where few people own most photos, from the sums of all faces; else nothing."""
    head = next((n for n in ("age_n", "gender_n", "score_n") if whole.totals(n).any()), None)
    if head is None:
        return ""
    people, sure = whole.people(head)[0], whole.freedom(head)[0] + 1
    if sure >= min(people, SHARDS) * _FEW_OWNERS:
        return ""
    return (
        f"Few of the {counted_people(round(people))} own most photos: what is said of all "
        f"faces is about as sure as of {counted_people(round(sure))} with equally many."
    )


def _this_run(scanned: Scan, *, out: Path | None, images: Path | None) -> dict[str, Any]:
    """What may differ between equal audits.

    SOURCE_DATE_EPOCH sets the time, as for builds; how long it took is then left out.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    epoch = float(fixed) if fixed else time.time()
    path = scanned.source if isinstance(scanned.source, Path) else None
    marks = scanned.settings.without_marked
    led = None if out is None or path is None or path.is_absolute() else seen_from(out, path)
    return {
        "created": datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds"),
        "seconds": None if fixed else round(time.perf_counter() - scanned.started, 2),
        "engine": _engine_name(scanned),
        "threads": scanned.settings.threads or os.cpu_count(),
        "paths": {
            "source": None if path is None else str(path),
            **({} if led is None else {"table": led.as_posix()}),
            # as every system reads it: an audit may be looked at on another
            "images": None if images is None else images.as_posix(),
            **({"marks": str(marks)} if marks else {}),
        },
        "source_sha256": _file_hash(path),
        "packages": {name: version(name) for name in PACKAGES},
        "tool_version": own_version(),
    }


def _engine_name(scanned: Scan) -> str:
    """The engine of the rows and its version; that of a tally's rows is not known."""
    other = scanned.predictions and scanned.predictions.source.engine
    return other.name if other else f"duckdb {duckdb.__version__}"


def _file_hash(path: Path | None) -> str | None:
    """SHA-256 of a source file of up to a gigabyte; None for tables, folders and globs."""
    if path is None or not path.is_file() or path.stat().st_size > HASHED_BYTES:
        return None
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
