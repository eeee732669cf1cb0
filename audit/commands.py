"""What each command does: one library call each, files written, results on stdout.

`model` and `reports` are imported inside the commands, so that `faceaudit audit` loads no torch
and `faceaudit --help` loads next to nothing.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from audit.config import AuditSettings
from audit.errors import InputError
from audit.files import write_text
from audit.options import audit_settings
from audit.words import count, nearest

if TYPE_CHECKING:
    import pandas as pd

    from audit.result import AuditResult
    from audit.sites import SiteTally
    from model.faces import FaceTable
    from model.settings import TrainSettings


def demo(args: argparse.Namespace) -> int:
    """Drawn faces, training, audit and report: everything, with no data and no download."""
    from model.drawn_faces import write_drawn_faces
    from model.settings import DEMO_FACES, demo_settings

    out: Path = args.out
    _clear_demo(out)
    with _step("draw", args):
        write_drawn_faces(
            out / "faces",
            n=DEMO_FACES,
            seed=args.seed,
            planted=not args.unplanted,
            progress=_shows_progress(args),
        )
    print(f"drawn     {count(DEMO_FACES)} faces in {out / 'faces'}")
    settings = AuditSettings(
        by=("race", "light", "gender_true", "age_group"),  # 600 faces bear no more comparisons
        seed=args.seed,
        split="test",
        model="demo network on drawn faces",
    )
    try:
        _run(
            args,
            source=out / "faces" / "labels.csv",
            train_settings=demo_settings(seed=args.seed, threads=args.threads),
            audit_settings=settings,
            thumbnails=24,  # drawn faces are nobody's
            embeddings=True,  # the dashboard then has something to show on every page
        )
    except KeyboardInterrupt as stopped:  # of three minutes, not worth an option to go on
        raise type(stopped)("the same command starts the demo anew") from None
    return 0


def run(args: argparse.Namespace) -> int:
    """Check the faces, train on them, predict faces never seen, audit, report."""
    from model.settings import train_settings_from

    training, settings = train_settings_from(args), audit_settings(args)
    if settings.split is None:  # the validation part chose the epoch: only the test part is unseen
        settings = settings.replace(split="test")
    if settings.model is None:
        settings = settings.replace(model=f"{training.network} network, seed {training.seed}")
    _run(
        args,
        source=args.faces,
        train_settings=training,
        audit_settings=settings,
        thumbnails=args.thumbnails,
        resume=args.resume,
        embeddings=args.embeddings,
    )
    return 0


def _run(
    args: argparse.Namespace,
    *,
    source: Path,
    train_settings: "TrainSettings",
    audit_settings: AuditSettings,
    thumbnails: int,
    resume: bool = False,
    embeddings: bool = False,
) -> None:
    from model.predict import predict as predict_faces
    from model.run_folder import refuse_used
    from model.train import train as train_network

    out, progress = args.out, _shows_progress(args)
    if not resume:  # before anything in the folder is replaced
        refuse_used(out / "run")
    with _step("check", args):
        if resume and (out / "check" / "check.json").exists():  # of these faces, or refused below
            table = _faces(source, args)
        else:
            table = _check(source, out=out / "check", seed=train_settings.seed, args=args)
    _refuse_unknown(audit_settings, table.faces.columns)
    with _step("train", args):
        train_network(
            table, out=out / "run", settings=train_settings, resume=resume, progress=progress
        )
        history = _draw_history(out / "run")
    print(_training_words(out / "run"))
    with _step("predict", args):
        predictions = predict_faces(
            out / "run",
            table,
            out=out / "run" / "predictions.parquet",
            embeddings=embeddings,
            threads=train_settings.threads,
            progress=progress,
        )
    with _step("audit", args):
        result = _audit(predictions, audit_settings, out=out, images=table.root, history=history)
    with _step("report", args):
        report = _report(result, out, images=table.root, thumbnails=thumbnails)
    _print_result(result)
    print(report)


def check(args: argparse.Namespace) -> int:
    """Audit the data itself: labels, duplicates, conflicts, small cells."""
    _check(args.faces, out=args.out, seed=args.seed, args=args)
    print(args.out / "check.html")
    return 0


def train(args: argparse.Namespace) -> int:
    """Train the two-headed network on a folder of faces."""
    from model.faces import read_faces
    from model.settings import train_settings_from
    from model.train import train as train_network

    settings, progress = train_settings_from(args), _shows_progress(args)
    table = read_faces(args.faces, progress=progress, strict=args.strict)
    train_network(table, out=args.out, settings=settings, resume=args.resume, progress=progress)
    _draw_history(args.out)
    print(_training_words(args.out))
    print(args.out)
    return 0


def predict(args: argparse.Namespace) -> int:
    """Read age and gender from faces into a predictions table."""
    from model.place import ALONE
    from model.predict import predict_command

    print(predict_command(args, place=ALONE, progress=_shows_progress(args)))
    return 0


def export(args: argparse.Namespace) -> int:
    """Write a trained network as one file: .onnx, which needs no torch, or .pt2."""
    from model.export import export as export_run

    done = export_run(args.run, to=args.to)
    print(f"differs from PyTorch by at most {done.difference:.1g} on {done.faces} random pictures")
    print(done.path)
    return 0


def audit(args: argparse.Namespace) -> int:
    """Audit any model's predictions table: subgroups, calibration, disparities."""
    from audit.engines import engine_named

    _refuse_own_input(args.out, args.predictions)
    settings = audit_settings(args)
    history = _read_history(args.history) if args.history else None
    result = _audit(
        args.predictions,
        settings,
        out=args.out,
        images=args.images,
        history=history,
        engine=engine_named(args.engine, args.master),
    )
    report_path = _report(result, args.out, images=args.images, thumbnails=args.thumbnails)
    _print_result(result)
    if (stressed := args.out / "stress.json").exists():
        print(
            f"{stressed} was there already: the report's section on worse pictures is of the model "
            "read then; delete it if this is another one",
            file=sys.stderr,
        )
    print(report_path)
    return 0


def tally(args: argparse.Namespace) -> int:
    """Count a site's rows into one file, for an audit across sites: only counts leave."""
    from audit.engines import engine_named
    from audit.files import refuse_overwriting
    from audit.sites import tally_site
    from audit.tally_file import write_tally

    refuse_overwriting(args.out, [args.predictions])
    settings = audit_settings(args)
    engine = engine_named(args.engine, args.master)
    site = tally_site(
        args.predictions, settings, min_cell=args.min_cell, faces=args.faces, engine=engine
    )
    write_tally(site, args.out)
    print(_site_words(site))
    print(args.out)
    return 0


def merge(args: argparse.Namespace) -> int:
    """Add the tallies of several sites to one, which `faceaudit audit` reads."""
    from audit.files import refuse_overwriting
    from audit.merging import merge_sites
    from audit.tally_file import read_tally, write_tally

    refuse_overwriting(args.out, args.tallies)
    twice = [path for path in args.tallies if args.tallies.count(path) > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice; name each site once")
    site = merge_sites({str(path): read_tally(path) for path in args.tallies})
    write_tally(site, args.out)
    print(_site_words(site))
    print(args.out)
    return 0


def recalibrate(args: argparse.Namespace) -> int:
    """Fit maps that correct gender scores, ages and intervals, and judge them on other people."""
    from audit.corrections import FILE, HEADS, write_recalibration
    from audit.recalibrating import recalibrate as fit
    from audit.recalibrating import recalibration_words

    _refuse_own_input(args.out, args.predictions)
    settings = audit_settings(args)
    run_id = None
    if args.run is not None:
        from model.run_folder import read_config

        run_id = read_config(args.run)["run_id"]
    choice = {head: getattr(args, head) for head in HEADS}
    made = fit(
        args.predictions,
        out=args.out,
        settings=settings,
        choice=choice,
        per=args.per,
        run_id=run_id,
    )
    print(recalibration_words(made, by=(*(settings.by or ()), *filter(None, [args.per]))))
    if args.run is not None:
        print(f"carried by {write_recalibration(args.run / FILE, made.recalibration)}")
    print(made.path)
    return 0


def report(args: argparse.Namespace) -> int:
    """Render the report again from an audit's result.json."""
    from audit.result import AuditResult

    result = AuditResult.load(args.folder)
    print(_report(result, args.folder, images=args.images, thumbnails=args.thumbnails))
    return 0


def stress(args: argparse.Namespace) -> int:
    """Read faces again in bad light, blurred, covered: whose errors rise more than others'?"""
    from audit.result import AuditResult
    from audit.stress import run_stress
    from model.faces import read_faces
    from model.stress import corruption_words, examples, read_corrupted
    from reports.stress import render_stress

    progress = _shows_progress(args)
    settings = AuditSettings(by=tuple(args.by) if args.by else None, seed=args.seed)
    found = read_corrupted(
        args.run,
        read_faces(args.faces, progress=progress, strict=args.strict),
        by=args.by,
        corruptions=args.corruptions,
        severities=args.severities,
        split=args.split,
        sample=args.sample,
        seed=args.seed,
        pre_processing=args.pre_processing,
        progress=progress,
    )
    about = {**found.about, "split": args.split, "steps": corruption_words()}
    print(f"read      {found.words}")
    result = run_stress(found.readings, settings=settings, about=about)
    found.write(args.out / "stress.parquet")
    result.save(args.out)
    page = write_text(
        args.out / "stress.html", render_stress(result, examples=examples(args.severities))
    )
    if (args.out / "result.json").exists():  # its report gets a section on worse pictures
        _report(AuditResult.load(args.out), args.out, images=None, thumbnails=0)
    for line in result.told:
        print(f"- {line}")
    print(page)
    return 0


def dashboard(args: argparse.Namespace) -> int:
    """Open an audit in the browser, served from this machine to this machine."""
    from reports.serve import serve

    return serve(args.folder, run=args.run, port=args.port, browser=not args.no_browser)


# The steps they share ------------------------------------------------------------------------


def _shows_progress(args: argparse.Namespace) -> bool:
    return not args.quiet and sys.stderr.isatty()


@contextmanager
def _step(name: str, args: argparse.Namespace) -> Iterator[None]:
    """Say on stderr how long a step of the main job took."""
    start = time.perf_counter()
    yield
    if not args.quiet:
        seconds = time.perf_counter() - start
        print(f"{name:<9} {seconds:.1f} s", file=sys.stderr)


def _faces(faces: Path, args: argparse.Namespace) -> "FaceTable":
    from model.faces import read_faces

    strict = bool(getattr(args, "strict", False))  # a demo has no such option
    return read_faces(faces, progress=_shows_progress(args), strict=strict)


def _check(faces: Path, *, out: Path, seed: int, args: argparse.Namespace) -> "FaceTable":
    from model.check import check_faces, check_words
    from model.faces import write_left_out
    from reports.check import render_check

    table = _faces(faces, args)
    data = check_faces(table, seed=seed)
    write_text(out / "check.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    write_left_out(table, out / "left_out.csv")
    write_text(out / "check.html", render_check(data, root=table.root))
    print(check_words(data))
    return table


def _refuse_unknown(settings: AuditSettings, columns: Iterable[str]) -> None:
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


def _audit(
    predictions: Path,
    settings: AuditSettings,
    *,
    out: Path,
    images: Path | None,
    history: "pd.DataFrame | None",
    engine: str = "duckdb",
) -> "AuditResult":
    from audit.scan import scan

    with ThreadPoolExecutor(1) as beside:
        # A second of imports, fairlearn's above all, while the engine scans and needs no Python.
        for module in ("audit.run", "reports.html"):
            beside.submit(import_module, module)
        scanned = scan(predictions, settings, engine=engine)
    from audit.run import run_audit
    from audit.small_work import small_work

    with small_work():
        return run_audit(scanned, out=out, images=images, history=history)


def _report(result: "AuditResult", out: Path, *, images: Path | None, thumbnails: int) -> Path:
    from audit.small_work import small_work
    from reports.html import write_report

    with small_work():
        return write_report(result, out, images=images, thumbnails=thumbnails)


def _refuse_own_input(out: Path, source: Path) -> None:
    """Refuse an --out whose predictions.parquet is what is read, or would be read next time."""
    from audit.files import files_of
    from audit.tally_file import is_tally

    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"--out {out} lies in the folder that is read, where its predictions.parquet would be "
            "read as more rows; choose another folder"
        )
    written = out / "predictions.parquet"
    if not written.exists():
        return
    read = files_of(source) if source.exists() or any(c in str(source) for c in "*?[") else ()
    if any(path.samefile(written) and not is_tally(path) for path in read):
        raise InputError(
            f"--out {out} would put its own predictions.parquet in the place of the one that is "
            "read; choose another folder"
        )


def _site_words(site: "SiteTally") -> str:
    """What a tally holds, in one line."""
    rows = site.tally.rows_read
    audited = rows - sum(site.tally.rows_left_out.values())
    sites = len(site.sites)
    words = [f"{sites} site{'s' * (sites > 1)}: {count(rows)} rows read"]
    words.append(f"{count(audited)} counted")
    words += [f"{count(n)} left out ({why})" for why, n in site.tally.rows_left_out.items()]
    return ", ".join(words)


def _print_result(result: "AuditResult") -> None:
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
        print(f"- {sentence}")


def _read_history(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise InputError(f"no history at {path}: a run folder holds a history.csv")
    try:
        history = pd.read_csv(path)
    except (OSError, ValueError) as error:  # of pandas, all of them
        raise InputError(f"{path} cannot be read as a history.csv: {error}") from error
    if "epoch" not in history:
        raise InputError(f"{path} has no column 'epoch'; a run folder holds a history.csv")
    return history


def _draw_history(run: Path) -> "pd.DataFrame":
    from reports.curves_svg import learning_curves_svg

    history = _read_history(run / "history.csv")
    write_text(run / "learning_curves.svg", learning_curves_svg(history))
    return history


def _training_words(run: Path) -> str:
    """What the trained network measured, and on which split."""
    metrics = json.loads((run / "config.json").read_text(encoding="utf-8"))["metrics"]
    return "\n".join(
        f"trained   {split}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items())
        for split, values in metrics.items()
    )


def _clear_demo(out: Path) -> None:
    """Make room for a demo: an earlier demo is replaced, anything else is left alone."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "faces" / "truth.json").is_file():
        raise InputError(f"{out} holds files that no demo made; choose another --out")
    for name in ("faces", "run", "check"):
        shutil.rmtree(out / name, ignore_errors=True)
