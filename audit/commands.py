"""What each command does: one library call each, files written, results on stdout.

`model` and `reports` are imported inside the commands, so that `faceaudit audit` loads no torch
and `faceaudit --help` loads next to nothing.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from audit.command_steps import (
    audit_table,
    checked_faces,
    clear_demo,
    draw_history,
    face_table,
    print_result,
    read_history,
    refuse_others_rows,
    refuse_own_input,
    refuse_unknown,
    shows_progress,
    site_words,
    step,
    training_words,
    write_page,
)
from audit.config import AuditSettings
from audit.errors import InputError
from audit.files import refuse_unwritable, write_text
from audit.options import audit_settings
from audit.terminal import lines, one_line
from audit.words import count

if TYPE_CHECKING:
    from model.settings import TrainSettings


def demo(args: argparse.Namespace) -> int:
    """Drawn faces, training, audit and report: everything, with no data and no download."""
    from model.drawn_faces import write_drawn_faces
    from model.settings import DEMO_FACES, demo_settings

    out: Path = args.out
    clear_demo(out)
    with step("draw", args):
        write_drawn_faces(
            out / "faces",
            n=DEMO_FACES,
            seed=args.seed,
            planted=not args.unplanted,
            progress=shows_progress(args),
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
    from model.options import train_settings_from

    training, settings = train_settings_from(args), audit_settings(args)
    if settings.split is None:  # the validation part chose the epoch: only the test part is unseen
        settings = settings.replace(split="test")
    if settings.model is None:
        settings = settings.replace(model=f"{training.network} network, seed {training.seed}")
    try:
        _run(
            args,
            source=args.faces,
            train_settings=training,
            audit_settings=settings,
            thumbnails=args.thumbnails,
            resume=args.resume,
            embeddings=args.embeddings,
        )
    except KeyboardInterrupt as stopped:
        if stopped.args or not (args.out / "run" / "checkpoint.pt").exists():
            raise
        # after the training, which may have taken an hour
        raise type(stopped)(
            "the training is kept: the same command with --resume goes on"
        ) from None
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
    from model.face_sources import split_columns
    from model.predict import predict as predict_faces
    from model.run_folder import refuse_used
    from model.train import train as train_network

    out, progress = args.out, shows_progress(args)
    labels, others = split_columns(audit_settings.columns, source)
    audit_settings = audit_settings.replace(columns=others)
    if not resume:  # before anything in the folder is replaced
        refuse_used(out / "run")
    with step("check", args):
        if resume and (out / "check" / "check.json").exists():  # of these faces, or refused below
            table = face_table(source, args, labels)
        else:
            table = checked_faces(
                source, columns=labels, out=out / "check", seed=train_settings.seed, args=args
            )
    refuse_unknown(audit_settings, table.faces.columns)
    with step("train", args):
        train_network(
            table, out=out / "run", settings=train_settings, resume=resume, progress=progress
        )
        history = draw_history(out / "run")
    print(training_words(out / "run"))
    with step("predict", args):
        predictions = predict_faces(
            out / "run",
            table,
            out=out / "run" / "predictions.parquet",
            embeddings=embeddings,
            threads=train_settings.threads,
            progress=progress,
        )
    with step("audit", args):
        result = audit_table(
            predictions,
            audit_settings,
            out=out,
            images=table.root,
            history=history,
            quiet=args.quiet,
        )
    with step("report", args):
        report = write_page(result, out, images=table.root, thumbnails=thumbnails)
    print_result(result)
    print(report)


def check(args: argparse.Namespace) -> int:
    """Audit the data itself: labels, duplicates, conflicts, small cells."""
    from model.options import label_columns_from

    columns = label_columns_from(args)
    checked_faces(args.faces, columns=columns, out=args.out, seed=args.seed, args=args)
    print(args.out / "check.html")
    return 0


def train(args: argparse.Namespace) -> int:
    """Train the two-headed network on a folder of faces."""
    from model.faces import say_left_out
    from model.options import label_columns_from, train_settings_from
    from model.train import train as train_network

    settings, progress = train_settings_from(args), shows_progress(args)
    table = face_table(args.faces, args, label_columns_from(args))
    if not args.quiet:  # now, not after an hour
        say_left_out(table, listed=args.out / "left_out.csv")
    train_network(table, out=args.out, settings=settings, resume=args.resume, progress=progress)
    draw_history(args.out)
    print(training_words(args.out))
    print(args.out)
    return 0


def predict(args: argparse.Namespace) -> int:
    """Read age and gender from faces into a predictions table."""
    from model.place import ALONE
    from model.predict import predict_command

    print(predict_command(args, place=ALONE, progress=shows_progress(args)))
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

    refuse_own_input(args.out, args.predictions)
    refuse_others_rows(args.out, own="result.json", others="recalibration.json")
    settings = audit_settings(args)
    history = read_history(args.history) if args.history else None
    result = audit_table(
        args.predictions,
        settings,
        out=args.out,
        images=args.images,
        history=history,
        engine=engine_named(args.engine, args.master),
        quiet=args.quiet,
    )
    report_path = write_page(result, args.out, images=args.images, thumbnails=args.thumbnails)
    print_result(result)
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
    from audit.tally_file import refuse_place, write_tally

    refuse_overwriting(args.out, [args.predictions])
    refuse_place(args.out)
    settings = audit_settings(args)
    engine = engine_named(args.engine, args.master)
    site = tally_site(
        args.predictions, settings, min_cell=args.min_cell, faces=args.faces, engine=engine
    )
    write_tally(site, args.out)
    print(one_line(site_words(site)))
    print(args.out)
    return 0


def merge(args: argparse.Namespace) -> int:
    """Add the tallies of several sites to one, which `faceaudit audit` reads."""
    from audit.files import refuse_overwriting
    from audit.merging import merge_sites
    from audit.tally_file import read_tally, refuse_place, write_tally

    refuse_overwriting(args.out, args.tallies)
    refuse_place(args.out)
    twice = [path for path in args.tallies if args.tallies.count(path) > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice; name each site once")
    site = merge_sites({str(path): read_tally(path) for path in args.tallies})
    write_tally(site, args.out)
    print(one_line(site_words(site)))
    print(args.out)
    return 0


def recalibrate(args: argparse.Namespace) -> int:
    """Fit maps that correct gender scores, ages and intervals, and judge them on other people."""
    from audit.corrections import FILE, HEADS, write_recalibration
    from audit.recalibrating import recalibrate as fit
    from audit.recalibrating import recalibration_words

    refuse_own_input(args.out, args.predictions)
    refuse_others_rows(args.out, own=FILE, others="result.json")
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
    words = recalibration_words(made, by=(*(settings.by or ()), *filter(None, [args.per])))
    print(lines(words))
    if args.run is not None:
        print(f"carried by {write_recalibration(args.run / FILE, made.recalibration)}")
    print(made.path)
    return 0


def report(args: argparse.Namespace) -> int:
    """Render the report again from an audit's result.json."""
    from audit.result import AuditResult

    result = AuditResult.load(args.folder)
    print(write_page(result, args.folder, images=args.images, thumbnails=args.thumbnails))
    return 0


def stress(args: argparse.Namespace) -> int:
    """Read faces again in bad light, blurred, covered: whose errors rise more than others'?"""
    from audit.result import AuditResult
    from audit.stress import run_stress
    from model.faces import say_left_out
    from model.options import label_columns_from
    from model.stress import corruption_words, examples, read_corrupted
    from reports.stress import render_stress

    progress = shows_progress(args)
    settings = AuditSettings(by=tuple(args.by) if args.by else None, seed=args.seed)
    refuse_unwritable(args.out / "stress.json")
    audited = (args.out / "result.json").exists()  # its report gets a section on worse pictures
    if audited:
        AuditResult.load(args.out)  # a damaged one is refused now, not after minutes of reading
    table = face_table(args.faces, args, label_columns_from(args))
    if not args.quiet:
        say_left_out(table)
    found = read_corrupted(
        args.run,
        table,
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
    print(lines(f"read      {found.words}"))
    result = run_stress(found.readings, settings=settings, about=about)
    found.write(args.out / "stress.parquet")
    result.save(args.out)
    page = write_text(
        args.out / "stress.html", render_stress(result, examples=examples(args.severities))
    )
    if audited:
        write_page(AuditResult.load(args.out), args.out, images=None, thumbnails=0)
    for line in result.told:
        print(f"- {one_line(line)}")
    print(page)
    return 0


def dashboard(args: argparse.Namespace) -> int:
    """Open an audit in the browser, served from this machine to this machine."""
    from reports.serve import serve

    return serve(
        args.folder,
        run=args.run,
        images=args.images,
        port=args.port,
        browser=not args.no_browser,
    )
