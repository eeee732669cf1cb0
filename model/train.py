"""One training, whole: faces in, a run folder out.

`python -m model.train FACES --out RUN` trains in this process,
`torchrun --nproc-per-node 2 -m model.train FACES --out RUN` in several.

Order of the faces, their changes and dropout all follow from (seed, epoch, step), so that a
training that was killed goes on from its checkpoint to the same weights, bit for bit, on the CPU.
The validation part chooses the best epoch and the reading of ages, and calibrates the interval;
the test part is measured once, at the end.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from audit.errors import InputError, MachineError
from audit.exit_codes import EXPECTED, exit_code
from audit.terminal import say_plainly
from model.balance import balance_for
from model.batches import Job, mix, normalisation
from model.epochs import run_epochs, save
from model.faces import FaceTable, read_faces, say_left_out
from model.finish import finish
from model.material import Material, prepare
from model.network import build_network, load_body, load_weights, read_weights
from model.options import (
    add_label_option,
    add_train_options,
    label_columns_from,
    refuse_changed,
    train_settings_from,
)
from model.pace import busy_words, choose_pace, computes_bfloat16
from model.parallel import World, world
from model.progress import Progress, write_rows
from model.run_folder import is_used, load_checkpoint, locked, refuse_used
from model.settings import TrainSettings, read_settings, write_settings
from model.state import State, fresh_state
from model.threads import cores, is_first


def train(
    table: FaceTable,
    *,
    out: Path,
    settings: TrainSettings,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Train on the faces of `table` and return the run folder `out`.

    Raises InputError for what the user can mend (a used folder, changed settings or faces on
    `resume`, a loss that is no number), MachineError when memory or disk run out, and
    KeyboardInterrupt after Ctrl-C, once everything is saved.
    """
    with world(settings.device) as place, locked(out) if place.first else nullcontext():
        try:
            _train(table, settings, place, out=out, resume=resume, progress=progress)
        except KeyboardInterrupt as stopped:  # before the first step or after the last one
            if stopped.args or not (out / "checkpoint.pt").exists():
                raise
            words = "the training is kept: the same command with --resume goes on"
            raise type(stopped)(words) from None
        if place.first:  # nothing holds the pictures any more: Windows removes no file that is held
            shutil.rmtree(out / "cache", ignore_errors=True)
    return out


def _train(
    table: FaceTable,
    settings: TrainSettings,
    place: World,
    *,
    out: Path,
    resume: bool,
    progress: bool,
) -> None:
    dumped = _open_folder(out, settings=settings, place=place, resume=resume)
    settings = _shared_settings(settings, place)
    pace = _pace(dumped, settings, place)
    torch.set_num_threads(pace[1])
    if place.first and progress and settings.threads is None:
        _say_if_busy(threads=pace[1])
    begun = dumped["faces"] if dumped else None
    material = _prepare(table, begun, out=out, settings=settings, place=place, show=progress)
    mean, std = normalisation(settings, device=place.device)
    balance = balance_for(
        material.faces, age=material.age, train=material.rows["train"], settings=settings
    )
    job = Job(material, settings, place, out, mean, std, balance)
    try:
        state = _state(job, dumped, pace=pace)
        del dumped
        if place.first and state.history:
            write_rows(state.history, out)  # it may be gone or cut, which the checkpoint is not
        run_epochs(job, state, progress=Progress(settings.epochs, job.steps, show=progress))
        if place.first:
            finish(job.material, state, settings=settings, out=out, mean=mean, std=std)
    except RuntimeError as error:
        raise _out_of_memory(error, settings) or error from None


# Before the first step -----------------------------------------------------------------------


def _open_folder(
    out: Path, *, settings: TrainSettings, place: World, resume: bool
) -> dict[str, Any] | None:
    """The checkpoint to go on from, or None for a fresh start in an unused folder."""
    if settings.batch % place.size:
        raise InputError(f"--batch {settings.batch}: not a multiple of {place.size} processes")
    if settings.group_dro and place.size > 1:
        raise InputError(
            "--group-dro: its groups are compared within one process; start `faceaudit train` "
            "without torchrun"
        )
    if not resume:
        if place.first:
            refuse_used(out)
            write_settings(settings, out)
        place.gather(None)  # nobody goes on before the folder is ready
        return None
    stored = read_settings(out)
    if stored is None:
        if is_used(out):
            raise InputError(
                f"--resume: {out} holds a training, but lacks its settings.json; "
                "train anew in another --out"
            )
        raise InputError(f"--resume: no training was started in {out}; leave --resume away")
    refuse_changed(stored, settings.to_dict(), folder=out)
    if not (out / "checkpoint.pt").is_file():  # killed before its first checkpoint
        place.gather(None)
        return None
    dumped = load_checkpoint(out)
    place.gather(None)
    begun = dumped.get("settings")  # older checkpoints have none
    if begun is not None and TrainSettings.from_dict(begun) != stored:
        raise InputError(
            f"--resume in {out}: settings.json and checkpoint.pt are of two trainings; copy both "
            "again, or train anew in another --out"
        )
    if dumped["world"] != place.size:
        raise InputError(
            f"--resume in {out}: {place.size} processes (was {dumped['world']}): leave it as it was"
        )
    return dumped


def _shared_settings(settings: TrainSettings, place: World) -> TrainSettings:
    shared: TrainSettings = place.from_first(settings)
    return shared


def _pace(dumped: dict[str, Any] | None, settings: TrainSettings, place: World) -> tuple[str, int]:
    """Precision and threads, the first process's for all; a resumed training keeps its own."""
    if dumped:
        return dumped["precision"], dumped["threads"]
    chosen: tuple[str, int] = place.from_first(
        choose_pace(
            settings,
            bfloat16=computes_bfloat16(place.device),
            device=place.device,
            cores=cores(),
            processes=place.size,
        )
    )
    return chosen


def _say_if_busy(*, threads: int) -> None:
    if not sys.stderr.isatty() or not hasattr(os, "getloadavg"):  # Windows has none
        return
    if words := busy_words(os.getloadavg()[0], threads=threads, cores=cores()):
        print(words, file=sys.stderr)


def _prepare(
    table: FaceTable,
    begun: str | None,
    *,
    out: Path,
    settings: TrainSettings,
    place: World,
    show: bool,
) -> Material:
    """The first process decodes; the others then find its cache."""
    material = None
    if place.first:
        material = prepare(table, out=out, settings=settings, progress=show, begun=begun)
    place.gather(None)
    return material or prepare(table, out=out, settings=settings, progress=False, begun=begun)


def _state(job: Job, dumped: dict[str, Any] | None, *, pace: tuple[str, int]) -> State:
    """Fresh or resumed state, on the device, in channels-last memory."""
    settings = job.settings
    torch.manual_seed(mix(settings.seed))
    network = build_network(
        settings.network,
        size=settings.size,
        width=settings.width,
        dropout=settings.dropout,
        drop_block=settings.drop_block,
        pretrained=settings.pretrained and dumped is None,
    )
    if settings.weights and dumped is None:
        weights = read_weights(Path(settings.weights))
        load_body(network, weights, source=f"--weights {settings.weights}")
    network = network.to(job.place.device).to(memory_format=torch.channels_last)
    state = fresh_state(network, settings=settings, precision=pace[0], threads=pace[1])
    if dumped:
        load_weights(state.network, dumped["network"], source=str(job.out / "checkpoint.pt"))
        state.load(dumped)
    else:
        names = job.balance.names
        state.group_shares = [1 / len(names) for _ in names]
        if job.place.first:
            save(job, state)  # so that a kill in the first epoch can be resumed too
    return state


def _out_of_memory(error: RuntimeError, settings: TrainSettings) -> MachineError | None:
    words = str(error).lower()
    if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in words:
        return None
    return MachineError(
        f"out of memory while training with --batch {settings.batch} --size {settings.size}; "
        f"try --batch {max(2, settings.batch // 2)}"
    )


# The command ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m model.train`: what `faceaudit train` does, startable by torchrun."""
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    parser.add_argument(
        "faces",
        type=Path,
        metavar="FACES",
        help="folder of faces, label table, .tar or Parquet shards",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_label_option(parser)
    add_train_options(parser)
    args = parser.parse_args(argv)
    try:
        settings = train_settings_from(args)
        table = read_faces(args.faces, columns=label_columns_from(args))
        if is_first() and not args.quiet:
            say_left_out(table, listed=args.out / "left_out.csv")
        train(table, out=args.out, settings=settings, resume=args.resume, progress=not args.quiet)
        if is_first():
            print(args.out)
    except EXPECTED as failure:
        return exit_code(failure, "train")
    return 0


if __name__ == "__main__":
    say_plainly()
    raise SystemExit(main())
