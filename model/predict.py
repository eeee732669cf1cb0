"""Faces in, the contract's predictions table out: decode, score, read, write.

Pictures are decoded in threads while the network works on the batch before. Each face is scored
with its mirror image. A face that the run was trained on keeps that split wherever it lies now:
it is known by its content, and so are its copies. The model is a run folder, read by PyTorch, or
an exported `.onnx`, read without it; or an `.onnx` of other people, described in a TOML file.

`torchrun --nproc-per-node 2 -m model.predict RUN FACES --out predictions.parquet` shares the faces
among processes, and goes on after a kill.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.config import MOST_THREADS
from audit.corrections import Recalibration, apply_recalibration, refuse_lacking
from audit.embeddings import embeddings_beside, write_embeddings
from audit.errors import InputError
from audit.exit_codes import EXPECTED, exit_code
from audit.files import refuse_overwriting
from audit.terminal import say_plainly
from model.faces import FaceTable, read_faces_shared, say_left_out, write_left_out
from model.material import SPLITS
from model.options import add_predict_options, label_columns_from
from model.pieces import parts_folder, read_shared, remove_pieces
from model.place import ALONE, Place, shared_place
from model.prediction_table import DIGITS, prediction_rows, write_predictions
from model.ready import HASH_DIGITS, Ready, refuse_unembedded
from model.ready_foreign import open_foreign
from model.ready_onnx import open_onnx
from model.scoring import Read, joined, read_pieces
from model.threads import cores_each


def predict(
    run: Path,
    table: FaceTable,
    *,
    out: Path,
    split: str = "all",
    recalibration: Recalibration | None = None,
    embeddings: bool = False,
    pre_processing: Path | None = None,
    resume: bool = False,
    place: Place = ALONE,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the predictions of the model `run` for the faces of `table` to `out`.

    `run` is a run folder, an exported `.onnx`, or an `.onnx` of other people that the TOML file
    `pre_processing` describes. `out` is a `.parquet` (with page checksums; its metadata name the
    model) or a `.csv`. `split` keeps one part only. `recalibration` (see `carried`) corrects what
    is written. `embeddings` also writes what the network holds of each face before its heads, from
    the same pass, beside `out` (see `audit.embeddings`). `resume` keeps finished pieces beside
    `out` and goes on with those that are there; `place` is this process among several, which share
    them. Faces that cannot be decoded are listed in `left_out.csv` beside `out`. Raises InputError
    for a wrong or damaged model and when no face is left.
    """
    if out.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {out}: must end in .parquet or .csv")
    model = open_model(run, device=device, threads=threads, pre_processing=pre_processing)
    if embeddings:
        refuse_unembedded(model, source=run)
    faces = faces_of(model, table, split=split)
    if not len(faces):
        raise InputError(f"{table.root}: no face to predict (split {split})")
    if recalibration is not None:
        refuse_unmapped(recalibration, faces, where=f"{table.root}, by the map of {run}")
    how: dict[str, Any] = {"embeddings": embeddings, "progress": progress}
    if resume:
        read = read_shared(model, faces, root=table.root, out=out, place=place, **how)
    else:
        paths = [str(table.root / image) for image in faces["image"]]
        read = joined(list(read_pieces(model, paths, **how)))
    if read is not None:  # else another process writes
        _write(read, table, faces, out=out, model=model, recalibration=recalibration)
        if resume:
            remove_pieces(out)
    return out


def _write(
    read: Read,
    table: FaceTable,
    faces: pd.DataFrame,
    *,
    out: Path,
    model: Ready,
    recalibration: Recalibration | None,
) -> None:
    """The table, what was left out and the embeddings, where there are any."""
    kept = np.array([fault is None for fault in read.faults])
    _write_left_out(table, faces, read.faults, out=out)
    if not kept.any():
        raise InputError(
            f"{table.root}: none of {len(faces)} faces can be decoded: {read.faults[0]}"
        )
    rows = prediction_rows(faces[kept], read.figures)
    if recalibration is not None:
        rows = apply_recalibration(recalibration, rows).round(DIGITS)
    if read.vectors is not None:
        write_embeddings(
            embeddings_beside(out),
            read.vectors,
            ids=rows["sample_id"].tolist(),
            age_pred=rows["age_pred"].tolist(),
            gender_score=rows["gender_score"].tolist(),
        )
    write_predictions(
        rows, out, config=model.config, images=table.root, recalibration=recalibration
    )


def faces_of(model: Ready, table: FaceTable, *, split: str) -> pd.DataFrame:
    """The faces of one part (or `all`), by what the model's training did with them.

    Of a model of which nobody knows what it learned from, all of them.
    """
    faces = table.faces.reset_index(drop=True)
    if model.seen is None:
        return faces
    faces = faces.assign(split=known_split(faces, model.seen))
    if split == "all":
        return faces
    if split not in SPLITS:
        raise InputError(f"split {split!r}: must be all, {', '.join(SPLITS)}")
    return faces[faces["split"] == split].reset_index(drop=True)


def refuse_unmapped(recalibration: Recalibration, faces: pd.DataFrame, *, where: str) -> None:
    """Raise InputError, before any face is read, where they lack a column that a map asks for."""
    known = {c: faces[c] for c in recalibration.features if c in faces}
    refuse_lacking(recalibration, known, where=where)


def open_model(
    source: Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    pre_processing: Path | None = None,
) -> Ready:
    """The model in `source`: a run folder (PyTorch, on `device`) or an `.onnx` (CPU).

    `pre_processing` is the TOML file that describes an `.onnx` of other people. Raises InputError
    for anything else, a damaged model and a missing onnxruntime.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    if pre_processing is not None:
        if suffix != ".onnx":
            raise InputError(f"--pre-processing: it describes an .onnx file, which {source} is not")
        return open_foreign(source, pre_processing, threads=threads)
    if suffix == ".onnx":
        return open_onnx(source, threads=threads)
    if suffix == ".pt2":
        raise InputError(
            f"{source}: a .pt2 is not read here, for reading one runs code that it may bring; "
            "give the run folder, or export it to .onnx"
        )
    if source.is_file():
        raise InputError(f"{source}: give a run folder or an exported .onnx file")
    from model.ready_run import open_run  # noqa: PLC0415 - an .onnx is read without torch

    return open_run(source, device=device, threads=threads)


def carried(run: Path) -> Recalibration | None:
    """The map that a run folder or an exported `.onnx` carries, checked; None where there is none.

    Raises InputError for a file that was cut or altered, or made for other weights.
    """
    if run.is_dir():
        from model.carried_map import carried_by_run  # noqa: PLC0415 - an .onnx is read without torch

        return carried_by_run(run)
    data = open_model(run).config.get("recalibration")
    return None if data is None else Recalibration(data)


def known_split(faces: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """`train`, `valid` or `test` for each face: what the run did with it or with a copy of it.

    A copy has the same content hash (of which the first HASH_DIGITS count), or belongs to the same
    subject of `faces` as a face that has. Where copies were in several parts, `train` goes before
    `valid` before `test`; a face the run never saw is `test`.
    """
    order = {name: number for number, name in enumerate(SPLITS)}
    hashes = trained["content_hash"].str[:HASH_DIGITS]
    known = trained["split"].map(order).groupby(hashes).min()
    own = faces["content_hash"].str[:HASH_DIGITS].map(known).fillna(order["test"])
    whole = own.groupby(faces["subject_id"]).transform("min")
    return whole.astype(int).map(dict(enumerate(SPLITS)))


def _write_left_out(
    table: FaceTable, faces: pd.DataFrame, faults: list[str | None], *, out: Path
) -> None:
    """`left_out.csv` beside `out`: what the scan left out, and what could not be decoded now."""
    now = pd.DataFrame(
        [(i, "decode_error", f) for i, f in zip(faces["image"], faults, strict=True) if f],
        columns=["image", "status", "reason"],
    )
    path = out.with_name("left_out.csv")
    left_out = pd.concat([table.left_out, now.astype("str")], ignore_index=True)
    if len(left_out) or path.exists():
        write_left_out(dataclasses.replace(table, left_out=left_out), path)


# The command ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m model.predict`: what `faceaudit predict --resume` does, startable by torchrun."""
    parser = argparse.ArgumentParser(prog="python -m model.predict", description=__doc__)
    add_predict_options(parser)
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (%(default)s)")
    parser.add_argument("--threads", type=int, help="threads of the network (this process's cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    args = parser.parse_args(argv)
    try:
        with shared_place() as place:
            out = predict_command(args, place=place, progress=not args.quiet)
            if place.first:
                print(out)
    except EXPECTED as failure:
        return exit_code(failure, "predict")
    return 0


def threads_of(args: argparse.Namespace) -> int:
    """The threads that a command line asks for, where it does; else this process's cores."""
    asked: int | None = getattr(args, "threads", None)
    if asked is not None and not 1 <= asked <= MOST_THREADS:
        raise InputError(f"--threads {asked}: must be from 1 to {MOST_THREADS}")
    return asked or cores_each()


def predict_command(args: argparse.Namespace, *, place: Place, progress: bool) -> Path:
    """Predict as the options of a command line say, and say on stderr which map was applied."""
    # of a folder the faces are read, not the tables beside them
    refuse_overwriting(args.out, [] if args.faces.is_dir() else [args.faces])
    threads = threads_of(args)
    how: dict[str, Any] = {"strict": args.strict, "progress": progress}
    how["columns"] = label_columns_from(args)
    recalibration = None
    if not args.no_recalibration and args.pre_processing is None:
        recalibration = carried(args.run)
    table = read_faces_shared(args.faces, place=place, **how)
    if place.first and not args.quiet:
        say_left_out(table, listed=args.out.with_name("left_out.csv"))
    try:
        out = predict(
            args.run,
            table,
            out=args.out,
            recalibration=recalibration,
            embeddings=args.embeddings,
            pre_processing=args.pre_processing,
            resume=args.resume or place.size > 1,
            place=place,
            device=getattr(args, "device", "auto"),
            threads=threads,
            progress=progress,
        )
    except KeyboardInterrupt as stopped:
        if not parts_folder(args.out).is_dir():
            raise
        words = "what was read is kept: the same command with --resume goes on"
        raise type(stopped)(words) from None
    if recalibration is not None and recalibration.heads and place.first:
        words = f"recalibrated ({recalibration.words()}) as {args.run} says"
        print(f"{words}; --no-recalibration leaves that off", file=sys.stderr)
    return out


if __name__ == "__main__":
    say_plainly()
    raise SystemExit(main())
