"""The report: one page, self-contained, readable offline and without a script."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from audit.files import write_text
from audit.result import AuditResult
from audit.stress import StressResult
from audit.words import count
from reports import lookup
from reports.faces import face_cards, face_table
from reports.figures import SECTIONS, Section
from reports.forest import part_words, small_forest
from reports.markup import unbroken, with_code
from reports.narrowed import foremost, left_undrawn, only
from reports.opening import HOW_FINDINGS, Finding, opening
from reports.stress import stress_section
from reports.tables import in_words, is_number
from reports.theme import ACROSS, DARKENED, LOOKS, Drawn, plain
from reports.thumbnails import images_folder

FINDINGS = 8  # that stand open
SHOWN_ROWS = 16  # of a table that stands open; the rest folds away
SHORT = {
    "groups": "Audited",
    "overall": "Overall",
    "age": "Error by age",
    "crossings": "Crossings",
    "slices": "Weak subgroups",
    "calibration": "Gender score",
    "thresholds": "Thresholds",
    "coverage": "Age intervals",
    "age_limits": "Age limits",
    "proposals": "Corrections",
    "spread": "Spread of errors",
    "confusion": "Confusion",
    "training": "Learning curves",
}


def write_report(
    result: AuditResult,
    folder: Path | str,
    *,
    images: Path | str | None = None,
    thumbnails: int = 0,
) -> Path:
    """Write `folder/report.html` atomically and return its path.

    What `faceaudit stress` left in the folder becomes a section. Raises InputError where it is
    damaged.
    """
    folder = Path(folder)
    stress = StressResult.load(folder)
    images = Path(images) if images else images_folder(result, folder)
    page = render_report(result, images=images, thumbnails=thumbnails, stress=stress)
    return write_text(folder / "report.html", page)


def render_report(
    result: AuditResult,
    *,
    images: Path | None = None,
    thumbnails: int = 0,
    stress: StressResult | None = None,
) -> str:
    """The report as HTML: the same bytes for the same result.

    thumbnails: at most so many small pictures, read from inside `images` (default: the folder the
    result names, where it is there), are embedded, with a notice; none by default.
    """
    plotly = _plotly_packed()
    first = opening(result)
    sections = [s for s in _sections(result) if s["parts"]]
    drawn = [d for s in sections for p in s["parts"] for r in p["rows"] for d in r["drawn"]]
    keys = {d["key"]: d["id"] for d in drawn}
    figures = {
        "looks": dict(LOOKS),
        "darkened": dict(DARKENED),
        "figures": {d["id"]: d["figure"] for d in drawn if d["figure"]},
    }
    findings = [_finding(f, result, keys) for f in first.findings]
    script = _script()
    environment = Environment(
        loader=PackageLoader("reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"unbroken": unbroken, "with_code": with_code}
    lists, pictures = _lists(result, images=images, thumbnails=thumbnails)
    return environment.get_template("report.html").render(
        csp=_policy(script, _plotly_text()),
        how_findings=HOW_FINDINGS,
        first={
            **{k: getattr(first, k) for k in ("title", "about", "verdict", "tiles")},
            "findings": findings[:FINDINGS],
            "more_findings": findings[FINDINGS:],
            "left_out": first.left_out,
            "limits": first.limits,
        },
        sections=sections,
        stress=stress_section(stress) if stress else None,
        lists=lists,
        pictures=pictures,
        has_pictures=pictures == "",
        provenance=_provenance(result),
        numbers=_packed(_json(figures)),
        script=Markup(script),  # noqa: S704  (our own file)
        plotly=plotly.result(),
        is_number=is_number,
    )


def _finding(finding: Finding, result: AuditResult, keys: dict[str, str]) -> dict[str, Any]:
    """A finding with its small forest plot and the figure that shows it large."""
    feature, metric = finding.feature, finding.metric
    forest, link, part = Markup(""), None, ""
    if feature and metric and feature != lookup.OVERALL:
        forest = small_forest(result, feature=feature, metric=metric, group=finding.group)
        part = part_words(result, feature=feature, metric=metric)
        wanted = [f"forest-{feature}-{metric}", f"crossing-{feature}-{metric}"]
        wanted += [f"age-{metric}"] if feature == "age_group" else []
        wanted += [f"coverage-{feature}"] if metric.startswith("interval") else []
        link = next((keys[key] for key in wanted if key in keys), None)
    return {**asdict(finding), "forest": forest, "part": part, "link": link}


def _sections(result: AuditResult) -> Iterator[dict[str, Any]]:
    """Every section, with its note where it leaves features out."""
    names = foremost(result)
    narrow, said = only(result, names), lookup.in_place(result)
    for section in SECTIONS:
        if section.by_feature:
            note = left_undrawn(result, names, crossed=section.key == "crossings")
            yield _section(section, section.figures(narrow), said) | {"note": note}
        else:
            yield _section(section, section.figures(result), said) | {"note": ""}


def _section(section: Section, drawn: list[Drawn], said: Callable[[str], str]) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "short": SHORT.get(section.key, section.title),
        "how": section.how,
        "parts": [
            {"heading": heading, "rows": _rows(part, section.key, said)}
            for heading, part in _parts(drawn)
        ],
    }


def _parts(drawn: list[Drawn]) -> list[tuple[str, list[Drawn]]]:
    """Figures under the heading of what they compare, in order."""
    parts: dict[str, list[Drawn]] = {}
    for d in drawn:
        parts.setdefault(d.heading, []).append(d)
    return list(parts.items())


def _rows(drawn: Iterable[Drawn], section: str, said: Callable[[str], str]) -> list[dict[str, Any]]:
    """Figures of one width beside each other."""
    rows: list[dict[str, Any]] = []
    for d in drawn:
        across = ACROSS[d.span]
        if not rows or rows[-1]["across"] != across:
            rows.append({"across": across, "drawn": []})
        rows[-1]["drawn"].append(_figure(d, section, said))
    return rows


def _figure(drawn: Drawn, section: str, said: Callable[[str], str]) -> dict[str, Any]:
    words = in_words(drawn.table)
    long = drawn.figure is None and len(words) > SHOWN_ROWS + 4  # a fold for a few is a nuisance
    return {
        "key": drawn.key,
        "id": f"{section}-{hashlib.sha256(drawn.key.encode()).hexdigest()[:8]}",
        "title": said(drawn.title),
        "alt": drawn.alt,
        "table": words.head(SHOWN_ROWS) if long else words,
        "more": words.iloc[SHOWN_ROWS:] if long else None,
        "more_title": f"The other {count(len(words) - SHOWN_ROWS)} rows" if long else "",
        "figure": None if drawn.figure is None else plain(drawn.figure),
        "height": drawn.height,
        "min_width": drawn.min_width,
        "why": drawn.why,
    }


@dataclass(frozen=True)
class FaceList:
    """Faces under one title: cards where pictures are shown, a table else."""

    key: str
    title: str
    cards: list[Any]
    table: pd.DataFrame | None


def _lists(
    result: AuditResult, *, images: Path | None, thumbnails: int
) -> tuple[list[FaceList], str]:
    """The lists of the table `worst`, and why there are no pictures (nothing where there are)."""
    scored = result.worst.gender_score.notna().any()
    titles = {
        "age_error": "Ages furthest off",
        "gender_wrong": f"Genders called wrongly, {'the surest first' if scored else 'by name'}",
        "sample": "Sample predictions, drawn at random",
    }
    images = images or images_folder(result, Path())
    shown = thumbnails if images else 0
    each = -(-shown // len(titles))
    left, lists = shown, []
    for name, title in titles.items():
        rows = result.worst[result.worst["list"] == name]
        if rows.empty or (name == "sample" and not shown):
            continue
        cards = face_cards(rows.head(min(each, left)), images=images) if shown else []
        left -= len(cards)
        table = None if name == "sample" else face_table(rows, about=name)
        lists.append(FaceList(name, title, cards, table))
    if any(card.picture for shown in lists for card in shown.cards):
        return lists, ""
    return lists, _NONE_FOUND if thumbnails else _NOT_ASKED


_NOT_ASKED = "Pictures are not part of this report."
_NONE_FOUND = "Pictures were asked for, but none was found: name their folder with --images."


def _provenance(result: AuditResult) -> list[tuple[str, str]]:
    info, run = result.info, result.info["run"]
    pairs: list[tuple[str, Any]] = [
        ("Model", info["model"]),
        ("Heads", ", ".join(info.get("heads", []))),
        ("Rows read, audited", f"{count(info['rows_read'])}, {count(info['rows_audited'])}"),
        ("Hash of rows", info.get("hash_of_rows")),
        ("Source", run.get("paths", {}).get("source")),
        ("SHA-256 of source", run.get("source_sha256")),
    ]
    pairs += [(f"Setting: {k}", v) for k, v in info["settings"].items()]
    pairs += [
        (f"Groups of {f['name']}", ", ".join(map(str, f["levels"])))
        for f in info["features"]
        if not f.get("crossing")
    ]
    pairs += [
        ("Made", run.get("created")),
        ("Took", None if run.get("seconds") is None else f"{run['seconds']:.1f} s"),
        ("Engine", run.get("engine")),
        ("faceaudit", run.get("tool_version")),
        ("Packages", ", ".join(f"{k} {v}" for k, v in run.get("packages", {}).items())),
    ]
    return [(name, _plain_words(value)) for name, value in pairs if value not in (None, "", [], {})]


def _plain_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} = {_plain_words(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain_words(v) for v in value)
    return str(value)


def _json(value: Any) -> Markup:
    """JSON that may stand inside a script element: no `<` can close it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (nothing in it can be read as markup)


def _script() -> str:
    return files("reports").joinpath("report.js").read_text(encoding="utf-8")


@cache
def _plotly_text() -> str:
    """plotly.js as the installed package carries it."""
    return str(get_plotlyjs())


@cache
def _plotly_packed() -> "Future[str]":
    """The same, packed in a thread of its own while the figures are made: zlib needs no Python."""
    return ThreadPoolExecutor(1).submit(lambda: _packed(_plotly_text()))


def _packed(text: str) -> str:
    """The text gzipped, in base64: what DecompressionStream unpacks in the browser."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def _policy(*scripts: str) -> str:
    """A content-security policy that runs exactly these scripts and fetches nothing.

    plotly.js sets styles in attributes, hence 'unsafe-inline' for styles (and only for them).
    """
    hashes = [
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode("ascii") for s in scripts
    ]
    allowed = " ".join(f"'sha256-{h}'" for h in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
