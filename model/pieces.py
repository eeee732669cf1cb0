"""Finished pieces of a prediction beside its table, so that a killed one goes on where it was.

`predictions.parquet.parts/piece-000012.parquet` holds what was read of 1024 faces, from row
12,288 on, and a key that names the model, the faces in their order and how they were read. Several
processes share the pieces; the first one joins them.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import InputError
from audit.files import write_atomic
from model.pictures import DECODE_RULE
from model.place import Place
from model.ready import Ready
from model.scoring import PIECE, Read, joined, read_pieces

_ABOUT = b"faceaudit.piece"
FORMAT = 1  # of a piece


def parts_folder(out: Path) -> Path:
    """Where the pieces of the table `out` lie while it is being made."""
    return out.with_name(f"{out.name}.parts")


def read_shared(
    model: Ready,
    faces: pd.DataFrame,
    *,
    root: Path,
    out: Path,
    place: Place,
    embeddings: bool,
    progress: bool,
) -> Read | None:
    """Read `faces` piece by piece, each kept beside `out`; whole pieces that are there count.

    Every `place.size`-th piece of those that are missing is this process's. Gives all of it on the
    first process and None on the others. Raises InputError for pieces of another model or of other
    faces.
    """
    folder, key = parts_folder(out), _key(model, faces, embeddings=embeddings)
    paths = [str(root / image) for image in faces["image"]]
    numbers = range(-(-len(paths) // PIECE))
    there = {n for n in numbers if _read_piece(folder, n, key=key) is not None}
    place.wait()  # nobody writes before everybody has looked
    missing = [n for n in numbers if n not in there][place.rank :: place.size]
    own = [path for n in missing for path in paths[n * PIECE : (n + 1) * PIECE]]
    shown = progress and place.first
    found = read_pieces(model, own, embeddings=embeddings, progress=shown)
    for number, read in zip(missing, found, strict=True):
        _write_piece(folder, number, read, key=key)
    place.wait()
    if not place.first:
        return None
    return joined([_needed_piece(folder, number, key=key) for number in numbers])


def remove_pieces(out: Path) -> None:
    """Remove the pieces of the table `out`, once it is written."""
    shutil.rmtree(parts_folder(out), ignore_errors=True)


def _key(model: Ready, faces: pd.DataFrame, *, embeddings: bool) -> str:
    """Names all that a piece depends on: the model and its device, reading, faces and order."""
    about = [FORMAT, PIECE, DECODE_RULE, model.resize, model.computes_on, embeddings]
    said = json.dumps([*about, dict(model.config)], sort_keys=True, default=str)
    digest = hashlib.sha256(said.encode())
    for content in faces["content_hash"]:
        digest.update(content.encode())
    return digest.hexdigest()


def _path(folder: Path, number: int) -> Path:
    return folder / f"piece-{number:06}.parquet"


def _needed_piece(folder: Path, number: int, *, key: str) -> Read:
    read = _read_piece(folder, number, key=key)
    if read is None:
        raise InputError(
            f"{_path(folder, number)} is missing: all processes must write into one folder"
        )
    return read


def _read_piece(folder: Path, number: int, *, key: str) -> Read | None:
    """The piece, or None where it is not there or not whole (then it is made anew)."""
    path = _path(folder, number)
    if not path.is_file():
        return None
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = json.loads((file.schema_arrow.metadata or {})[_ABOUT])
            table = file.read() if about["key"] == key else None
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError):
        return None
    if table is None:
        raise InputError(
            f"{folder} holds pieces of another model or of other faces; remove it, or choose "
            "another --out"
        )
    return _from_table(table)


def _write_piece(folder: Path, number: int, read: Read, *, key: str) -> None:
    about = {_ABOUT: json.dumps({"key": key, "piece": number}).encode()}
    table = _as_table(read).replace_schema_metadata(about)
    write_atomic(
        _path(folder, number),
        lambda beside: pq.write_table(table, beside, write_page_checksum=True),
    )


def _as_table(read: Read) -> pa.Table:
    """One row per face; NaN for one that cannot be decoded."""
    good = np.array([fault is None for fault in read.faults], dtype=bool)

    def spread(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        whole = np.full((len(good), *values.shape[1:]), np.nan, dtype=values.dtype)
        whole[good] = values
        return whole

    columns = {f"figure {name}": pa.array(spread(v)) for name, v in read.figures.items()}
    if read.vectors is not None:
        flat = pa.array(spread(np.asarray(read.vectors, dtype=np.float32)).ravel())
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, read.vectors.shape[1])
    return pa.table({"fault": pa.array(read.faults, pa.string()), **columns})


def _from_table(table: pa.Table) -> Read:
    faults: Sequence[str | None] = table.column("fault").to_pylist()
    good = np.array([fault is None for fault in faults], dtype=bool)
    figures = {
        name.removeprefix("figure "): table.column(name).to_numpy()[good]
        for name in table.column_names
        if name.startswith("figure ")
    }
    vectors = None
    if "vector" in table.column_names:
        column = table.column("vector").combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(len(faults), -1)[good]
    return Read(list(faults), figures, vectors)
