"""Faces in shards: tar files as webdataset writes them, Parquet with pictures in it.

A picture's path goes on behind its file's: `faces-000.tar/a/26_1_2_x.jpg`,
`faces.parquet/0000017`. Nothing is unpacked to the disk, and only labels are held in memory.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import InputError
from audit.held import PARQUET_SUFFIXES, is_tar, row_name
from audit.parquet_pictures import IMAGE, class_names, holds_pictures, parquet_pictures
from audit.tar_members import TarIndex, tar_index
from model.face_rows import Labelled, LeftOut, further_columns, label_columns
from model.labels import (
    Label,
    is_picture_name,
    label_of_name,
    label_of_row,
    labels_of_names,
    refuse_ages,
)

_BESIDE = (".json", ".cls")  # what says a picture's labels, and in this order
_MOST = 2**20  # bytes of a label beside a picture
_MOST_KEYS = 5  # of it that a reason names
Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Face:
    """A picture and what says its label: a row of values, or (None) its name.

    silent: why the file beside it said no label, where there is one.
    """

    image: str
    name: str
    said: Row | str | None  # a text: why there is no label
    further: Row
    silent: str = ""


def is_shard(path: Path) -> bool:
    """Whether a file is a tar, or Parquet that holds pictures."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        try:
            return holds_pictures(pq.read_schema(path))
        except (OSError, pa.ArrowException):
            return False
    return is_tar(path)


def unreadable_parquet(path: Path) -> str | None:
    """Why a file that is Parquet by its name is none: it may have been a shard; None for others."""
    if path.suffix.lower() not in PARQUET_SUFFIXES:
        return None
    try:
        pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        empty = path.stat().st_size == 0
        return "no Parquet (empty file)" if empty else f"cut, or no Parquet ({str(error)[:80]})"
    return None


def common_root(files: Sequence[Path]) -> Path:
    """The folder below which all `files` lie."""
    return Path(os.path.commonpath([path.parent for path in files]))


def read_shards(files: Sequence[Path], *, root: Path, passed_over: int = 0) -> Labelled:
    """Every face of `files`, tar or Parquet, which lie below `root`.

    A shard that was cut gives the faces that are whole, and is itself listed with its reason.
    Raises InputError for Parquet that cannot be read or has half a label.
    """
    left_out: list[LeftOut] = []
    faces: list[_Face] = []
    for file in files:
        shard = file.relative_to(root).as_posix()
        if is_tar(file):
            found, others = _tar_faces(file, shard, left_out)
            passed_over += others
            faces += found
        else:
            faces += _parquet_faces(file, shard)
    return _labelled(faces, root, left_out, passed_over)


def _labelled(
    faces: Sequence[_Face], root: Path, left_out: list[LeftOut], passed_over: int
) -> Labelled:
    by_name = [f"{face.image.rpartition('/')[0]}/{face.name}" for face in faces if not face.said]
    of_names = iter(labels_of_names(by_name))
    ages = [face.said.get("age") if isinstance(face.said, Mapping) else None for face in faces]
    refuse_ages(ages, label=str(root), places=[face.image for face in faces])
    kept: list[_Face] = []
    labels: list[Label] = []
    for face in faces:
        label, status = (face.said, "label") if face.said else (next(of_names), "name")
        if isinstance(label, Mapping):
            label = label_of_row(label.get("age"), label.get("gender"), label.get("race"))
        if isinstance(label, str):
            left_out.append((face.image, status, label + face.silent))
        else:
            kept.append(face)
            labels.append(label)
    rows = label_columns([face.image for face in kept], labels)
    return Labelled(
        root, rows.join(further_columns([face.further for face in kept])), left_out, passed_over
    )


# Tar -----------------------------------------------------------------------------------------


def _tar_faces(file: Path, shard: str, left_out: list[LeftOut]) -> tuple[list[_Face], int]:
    """The faces of a tar, and how many of its files are neither faces nor their labels."""
    index = tar_index(file)
    left_out += [(f"{shard}/{name}".rstrip("/"), status, why) for name, status, why in index.faults]
    unclear = _repeated(index, shard, left_out)
    labels = {name: place for name, place in index.places.items() if name.endswith(_BESIDE)}
    faces, used, passed_over = [], set(), 0
    for name in index.places:
        if name in labels or name in unclear:
            continue
        if is_picture_name(name):
            beside = [_key(name) + ending for ending in _BESIDE if _key(name) + ending in labels]
            used.update(beside)
            faces.append(_tar_face(index, f"{shard}/{name}", name, beside))
        elif isinstance(label_of_name(name.rpartition("/")[2]), Label):
            left_out.append((f"{shard}/{name}", "suffix", "not a .jpg, .jpeg, .png or .webp"))
        else:
            passed_over += 1
    return faces, passed_over + len(labels.keys() - used)


def _key(name: str) -> str:
    """What the files of one sample share: all before the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _repeated(index: TarIndex, shard: str, left_out: list[LeftOut]) -> set[str]:
    """Names that are in the tar twice with other bytes; each further one is listed, and these."""
    unclear = set()
    for name, offset, size in index.again:
        first, length = index.places[name]
        same = size == length and index.read_at(offset, size) == index.read_at(first, length)
        words = "in the tar more than once" + ("" if same else " with other bytes")
        left_out.append((f"{shard}/{name}", "repeated", words))
        if not same and name not in unclear:
            unclear.add(name)
            left_out.append((f"{shard}/{name}", "repeated", words))
    return unclear


def _tar_face(index: TarIndex, image: str, name: str, beside: Sequence[str]) -> _Face:
    last = name.rpartition("/")[2]
    row: dict[str, Any] = {}
    for other in beside:
        offset, size = index.places[other]
        said = _beside(other, index.read_at(offset, min(size, _MOST + 1)))
        if isinstance(said, str):
            return _Face(image, last, said, {})
        row = {**said, **row}
    named = "age" not in row and "gender" not in row
    further = {key: value for key, value in row.items() if isinstance(value, _Scalar)}
    silent = ""
    if named and beside:
        keys = ", ".join(repr(key)[:40] for key in sorted(row)[:_MOST_KEYS]) or "nothing"
        silent = f", and {beside[0].rpartition('/')[2]} has neither age nor gender (it has {keys})"
    return _Face(image, last, None if named else _flat(row), further, silent)


_Scalar = (str, int, float)


def _flat(row: Row) -> Row | str:
    """The row where its labels are single values; else why it is none."""
    for name in ("age", "gender", "race"):
        if not isinstance(row.get(name, ""), (*_Scalar, type(None))):
            return f"{name} is no single value"
    return row


def _beside(name: str, data: bytes) -> Row | str:
    """What a `.json` (an object) or `.cls` (`26 1 2`, coded as in names) beside a picture says."""
    last = name.rpartition("/")[2]
    if len(data) > _MOST:
        return f"{last} has more than {_MOST:,} bytes"
    if name.endswith(".json"):
        try:
            row = json.loads(data)
        except (ValueError, RecursionError):
            row = None
        return row if isinstance(row, dict) else f"{last} holds no JSON object"
    fields = data.decode("utf-8", "replace").replace(",", " ").replace("_", " ").split()
    if len(fields) < 2:
        return f"{last} holds {len(fields)} numbers; age and gender are wanted, as in `26 1`"
    label = label_of_name("_".join([*fields, ""]))
    if isinstance(label, str):
        return f"{last}: {label}"
    return {"age": label.age, "gender": label.gender, "race": label.race}


# Parquet -------------------------------------------------------------------------------------


def _parquet_faces(file: Path, shard: str) -> Iterator[_Face]:
    """The faces of a Parquet file: labels from its columns, or from `image.path` without any."""
    rows = parquet_pictures(file).rows  # refuses what cannot be read
    schema = pq.read_schema(file)
    lacking = [name for name in ("age", "gender") if name not in schema.names]
    kind = schema.field(IMAGE).type
    by_path = len(lacking) == 2 and pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    if lacking and not by_path:
        raise InputError(
            f"{file} has no column {', '.join(lacking)} (it has {', '.join(schema.names)}); "
            "pictures in Parquet need age and gender, or names in image.path"
        )
    further = _columns(file, schema)
    paths = _paths(file) if by_path else [""] * rows
    for row, path in enumerate(paths):
        said = {name: values[row] for name, values in further.items()}
        name = path.rpartition("/")[2]
        yield _Face(f"{shard}/{row_name(row)}", name, None if by_path else said, said)


def _columns(file: Path, schema: pa.Schema) -> dict[str, list[Any]]:
    """Values of every column of text, numbers or truth values; a ClassLabel's are its words."""
    kept = [field.name for field in schema if field.name != IMAGE and _is_plain(field.type)]
    words = class_names(schema)
    table = pq.read_table(file, columns=kept) if kept else pa.table({})
    return {
        name: _worded(table.column(name).to_pylist(), words.get(name))
        for name in table.column_names
    }


def _worded(values: list[Any], words: Sequence[str] | None) -> list[Any]:
    if words is None:
        return [None if isinstance(v, float) and pd.isna(v) else v for v in values]
    return [
        words[v] if isinstance(v, int) and 0 <= v < len(words) else None if v == -1 else v
        for v in values
    ]


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(is_one(kind) for is_one in (*text, *numbers))


def _paths(file: Path) -> list[str]:
    with pq.ParquetFile(file) as opened:
        column = opened.read(columns=[f"{IMAGE}.path"]).column(0)
    return [(cell or {}).get("path") or "" for cell in column.to_pylist()]
