"""What commands share: faces read and checked, a table audited, a page written, words told.

As in `audit.commands`, `model` and `reports` are imported inside.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from audit.config import AuditSettings
from audit.errors import InputError
from audit.files import present_files, refuse_unwritable, refuse_within, write_text
from audit.terminal import lines, one_line
from audit.words import count, counted, counted_rows, nearest

if TYPE_CHECKING:
    import pandas as pd

    from audit.result import AuditResult
    from audit.sites import SiteTally
    from model.faces import FaceTable

_MANY = 100  # crossings: half a minute on two cores


def shows_progress(args: argparse.Namespace) -> bool:
    """Whether progress is shown: on a terminal, unless --quiet."""
    return not args.quiet and sys.stderr.isatty()


@contextmanager
def step(name: str, args: argparse.Namespace) -> Iterator[None]:
    """Say on stderr how long a step of the main job took."""
    start = time.perf_counter()
    yield
    if not args.quiet:
        seconds = time.perf_counter() - start
        print(f"{name:<9} {seconds:.1f} s", file=sys.stderr)


def face_table(
    faces: Path, args: argparse.Namespace, columns: Mapping[str, str] | None = None
) -> "FaceTable":
    """The faces that a command names, with their labels; no picture is decoded.

    columns: our names of labels -> those of a label file.
    """
    from model.faces import read_faces

    strict = bool(getattr(args, "strict", False))  # a demo has no such option
    return read_faces(faces, columns=columns, progress=shows_progress(args), strict=strict)


def checked_faces(
    faces: Path,
    *,
    columns: Mapping[str, str],
    out: Path,
    seed: int,
    args: argparse.Namespace,
) -> "FaceTable":
    """The same, audited as data: `check.json`, `check.html` and `left_out.csv` in `out`."""
    from model.check import check_faces, check_words
    from model.faces import write_left_out
    from reports.check import render_check

    table = face_table(faces, args, columns)
    data = check_faces(table, seed=seed)
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_text(out / "check.json", text, drawn=[out / "check.html"])
    write_left_out(table, out / "left_out.csv")
    write_text(out / "check.html", render_check(data, root=table.root))
    print(lines(check_words(data)))
    return table


def refuse_unknown(settings: AuditSettings, columns: Iterable[str]) -> None:
    """InputError for a feature that the faces will not have: now, not after the training."""
    from model.prediction_table import carried_columns

    own = carried_columns(columns)
    renamed = {theirs: name for name, theirs in settings.columns.items()}
    for theirs, name in renamed.items():
        if theirs not in own:
            raise InputError(
                f"--column {name}={theirs}: the faces have no such column; {nearest(theirs, own)}"
            )
    own = [renamed.get(name, name) for name in own]
    made = [*own, "gender_true", "age_group"]
    asked = [("by", name, made) for name in settings.by or ()]
    asked += [("control", name, made) for name in settings.control]
    asked += [("cuts", name, own) for name in settings.cuts]
    for option, name, known in asked:
        if name not in known:
            raise InputError(
                f"--{option} {name}: the faces have no such column; {nearest(name, known)}"
            )


def audit_table(
    predictions: Path,
    settings: AuditSettings,
    *,
    out: Path,
    images: Path | None,
    history: "pd.DataFrame | None",
    engine: str = "duckdb",
    quiet: bool = False,
) -> "AuditResult":
    """One audit of a predictions table, written to `out`."""
    from audit.scan import scan

    with ThreadPoolExecutor(1) as beside:
        # A second of imports, fairlearn's above all, while the engine scans and needs no Python.
        for module in ("audit.run", "reports.html"):
            beside.submit(import_module, module)
        scanned = scan(predictions, settings, engine=engine)
    from audit.run import audited_features, run_audit
    from audit.small_work import small_work

    if settings.by is None and not quiet:
        say_if_many(len(audited_features(scanned.tally, settings)), depth=settings.depth)
    with small_work():
        return run_audit(scanned, out=out, images=images, history=history)


def say_if_many(features: int, *, depth: int) -> None:
    """Say on stderr that a table's own columns, all crossed, will take their time."""
    crossed = sum(math.comb(features, size) for size in range(2, depth + 1))
    if crossed > _MANY:
        print(
            f"{features} features and {count(crossed)} crossings are compared, a few a second: "
            "--by names those that matter, --depth 1 crosses none",
            file=sys.stderr,
        )


def write_page(result: "AuditResult", out: Path, *, images: Path | None, thumbnails: int) -> Path:
    """The report of an audit, beside its `result.json`."""
    from audit.small_work import small_work
    from reports.html import write_report

    with small_work():
        return write_report(result, out, images=images, thumbnails=thumbnails)


def refuse_own_input(out: Path, source: Path) -> None:
    """Refuse an --out whose predictions.parquet is what is read, or would be read next time."""
    from audit.tally_file import is_tally

    refuse_within(out, source, written="its predictions.parquet")
    written = out / "predictions.parquet"
    refuse_unwritable(written)
    if not written.exists():
        return
    if any(path.samefile(written) and not is_tally(path) for path in present_files(source)):
        raise InputError(
            f"--out {out} would put its own predictions.parquet in the place of the one that is "
            "read; choose another folder"
        )


def refuse_others_rows(out: Path, *, own: str, others: str) -> None:
    """Refuse an --out whose predictions.parquet is of the command that wrote `others`, not `own`.

    An audit and `recalibrate` both write one, each of other rows.
    """
    held = [(out / name).exists() for name in ("predictions.parquet", others, own)]
    if held == [True, True, False]:
        raise InputError(
            f"--out {out} would put its own predictions.parquet in the place of the one that "
            f"belongs to the {others} there; choose another folder"
        )


def site_words(site: "SiteTally") -> str:
    """What a tally holds, in one line."""
    rows = site.tally.rows_read
    audited = rows - sum(site.tally.rows_left_out.values())
    words = [f"{counted(len(site.sites), 'site', 'sites')}: {counted_rows(rows)} read"]
    words.append(f"{count(audited)} counted")
    words += [f"{count(n)} left out ({why})" for why, n in site.tally.rows_left_out.items()]
    return ", ".join(words)


def print_result(result: "AuditResult") -> None:
    """The overall figures and the findings, a line each."""
    from audit.metrics import METRICS
    from audit.words import in_unit, interval

    overall = result.subgroups[result.subgroups.feature == "overall"]
    for row in overall[overall.status == "ok"].to_dict("records"):
        if metric := METRICS.get(row["metric"]):
            value = in_unit(row["value"], metric.unit)
            unit = " years" if metric.unit == "years" else ""
            between = interval(row["low"], row["high"], metric.unit)
            print(f"{metric.label:<38} {value + unit:>12} {between}")
    for sentence in result.findings.sentence:
        print(f"- {one_line(sentence)}")


def read_history(path: Path) -> "pd.DataFrame":
    """The learning curves of a run folder. Raises InputError for a file that holds none."""
    import pandas as pd

    if not path.is_file():
        raise InputError(f"no history at {path}: a run folder holds a history.csv")
    try:
        history = pd.read_csv(path)
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty; copy it anew from its run folder") from error
    except (OSError, ValueError) as error:  # of pandas, all of them
        raise InputError(f"{path} cannot be read as a history.csv: {error}") from error
    if "epoch" not in history:
        raise InputError(f"{path} has no column 'epoch'; a run folder holds a history.csv")
    figures: pd.DataFrame = history.apply(pd.to_numeric, errors="coerce")
    if odd := [str(name) for name in figures if not figures[name].notna().any()]:
        raise InputError(f"{path} holds no number of {', '.join(odd)}; was it cut off?")
    if figures["epoch"].isna().any() or len(figures.columns) < 2:
        raise InputError(
            f"{path}: an epoch is no number, or nothing stands beside it; copy it anew"
        )
    return figures


def draw_history(run: Path) -> "pd.DataFrame":
    """The learning curves of a run, drawn beside them."""
    from reports.curves_svg import learning_curves_svg

    history = read_history(run / "history.csv")
    write_text(run / "learning_curves.svg", learning_curves_svg(history))
    return history


def training_words(run: Path) -> str:
    """What the trained network measured, and on which split."""
    metrics = json.loads((run / "config.json").read_text(encoding="utf-8"))["metrics"]
    return "\n".join(
        f"trained   {split}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items())
        for split, values in metrics.items()
    )


def clear_demo(out: Path) -> None:
    """Make room for a demo: an earlier demo is replaced, anything else is left alone."""
    refuse_unwritable(out / "report.html")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "faces" / "truth.json").is_file():
        raise InputError(f"{out} holds files that no demo made; choose another --out")
    for name in ("faces", "run", "check"):
        shutil.rmtree(out / name, ignore_errors=True)
