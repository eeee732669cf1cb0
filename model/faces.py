"""A folder of faces, or a label file beside them, becomes a face table.

Every picture is read once: label, content hash, size, fingerprint. What cannot be used is listed
with its reason and counted, never guessed at; copies of one photo are tied together by
`subject_id`, so that no split can put them on both sides.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from audit.errors import InputError
from audit.files import write_text
from audit.terminal import one_line
from audit.words import counted
from model.duplicates import chained, components, mark_copies, resolve_conflicts
from model.face_rows import MADE, Labelled
from model.face_sources import labelled_faces
from model.pictures import MAX_PIXELS, PictureError
from model.place import Place
from model.scan import THUMB, Fingerprint, fingerprints
from model.split import split_faces

__all__ = ["MADE", "FaceTable", "read_faces", "resolve_conflicts", "split_faces", "write_left_out"]

_STEP = 64  # neighbours that one process reads: they lie in one shard


@dataclass(frozen=True)
class FaceTable:
    """Faces that can be used, and what was left out.

    `faces` has one row per picture, sorted by `image` (path below `root`, with `/`): age in years,
    gender (`female`, `male`), race where labels carry it (missing: None), subject_id,
    content_hash (SHA-256), dhash, width, height, bytes, copy_group, copy_kind, conflict (see
    `model.duplicates.mark_copies`), then a label file's further columns. `left_out` has image,
    status (a word to count by) and reason.
    """

    root: Path
    faces: pd.DataFrame
    left_out: pd.DataFrame
    passed_over: int  # files that are no pictures (README.txt, truth.json, ...)
    subjects_given: bool  # by the label file; otherwise one person per photo is assumed
    subjects_merged: int  # given persons who share a photo and are one from here on

    @property
    def has_race(self) -> bool:
        """Whether any label carries a race."""
        return "race" in self.faces


def read_faces(
    source: Path,
    *,
    columns: Mapping[str, str] | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
) -> FaceTable:
    """Read a folder of faces, a CSV/Parquet label file, tar or Parquet shards into a face table.

    A folder is read by names alone, `<age>_<gender>[_<race>]_*.jpg|jpeg|png|webp`, subfolders
    included; a label file lying in it is not opened (give the file itself for its columns). What
    shards are: `model.face_sources`.

    Parameters
    ----------
    columns
        Our names of labels -> those of a label file: `{"image": "file"}`.
    max_pixels
        Pictures with more (by their header) are left out and never decoded.
    strict
        Refuse the whole source when any face is left out.

    Raises
    ------
    InputError
        `source` is missing or no usable table, nothing in it can be used, or `strict` was broken.
    """
    source = Path(source)
    labelled = labelled_faces(source, columns)
    prints = fingerprints(_paths(labelled), max_pixels=max_pixels, progress=progress)
    return _usable(source, labelled, prints, strict=strict)


def read_faces_shared(
    source: Path,
    *,
    place: Place,
    columns: Mapping[str, str] | None = None,
    progress: bool = False,
    strict: bool = False,
) -> FaceTable:
    """What `read_faces` gives, on every process of `place`, each of which reads its part.

    What is refused is so on every process, none of which waits for another that has ended.
    """
    labelled = labelled_faces(source, columns)
    mine = place.share(_paths(labelled), step=_STEP)
    found = fingerprints(mine, progress=progress and place.first)
    parts = place.to_first([_packed(one) for one in found])
    table: FaceTable | InputError | None = None
    if parts is not None:
        whole = place.interleaved(parts, step=_STEP)
        try:
            table = _usable(source, labelled, [_unpacked(one) for one in whole], strict=strict)
        except InputError as error:
            table = error
    shared: FaceTable | InputError = place.from_first(table)
    if isinstance(shared, InputError):
        raise shared
    return shared


def _packed(found: Fingerprint | PictureError) -> Fingerprint | tuple[str, str]:
    """What can be handed to another process, which an exception of two words cannot."""
    return (found.status, str(found)) if isinstance(found, PictureError) else found


def _unpacked(found: Fingerprint | tuple[str, str]) -> Fingerprint | PictureError:
    return PictureError(*found) if isinstance(found, tuple) else found


def _paths(labelled: Labelled) -> list[str]:
    return [str(labelled.root / image) for image in labelled.rows["image"]]


def _usable(
    source: Path,
    labelled: Labelled,
    prints: Sequence[Fingerprint | PictureError],
    *,
    strict: bool,
) -> FaceTable:
    table = _table(labelled, prints)
    if strict and len(table.left_out):
        raise InputError(f"{source}: --strict, but {left_out_words(table.left_out)}")
    if table.faces.empty:
        raise InputError(_nothing_words(source, table))
    return table


def _table(labelled: Labelled, prints: Sequence[Fingerprint | PictureError]) -> FaceTable:
    left_out = list(labelled.left_out)
    for image, found in zip(labelled.rows["image"], prints, strict=True):
        if isinstance(found, PictureError):
            left_out.append((image, found.status, str(found)))
    read = np.array([isinstance(found, Fingerprint) for found in prints], dtype=bool)
    good = [found for found in prints if isinstance(found, Fingerprint)]
    rows = labelled.rows[read].reset_index(drop=True)
    given = rows.pop("subject_id") if "subject_id" in rows else None
    facts = pd.DataFrame(
        {
            "content_hash": pd.Series([found.content_hash for found in good], dtype="str"),
            "dhash": np.array([found.dhash for found in good], dtype=np.uint64),
            "width": np.array([found.width for found in good], dtype=np.int64),
            "height": np.array([found.height for found in good], dtype=np.int64),
            "bytes": np.array([found.bytes for found in good], dtype=np.int64),
        }
    )
    thumbs = np.array([found.thumb for found in good], dtype=np.uint8).reshape(-1, THUMB, THUMB)
    order = np.argsort(rows["image"].to_numpy(dtype=object), kind="stable")
    faces = rows.join(facts).iloc[order].reset_index(drop=True)
    faces = mark_copies(faces, thumbs[order])
    subjects, merged = _subjects(faces, None if given is None else given.iloc[order])
    faces["subject_id"] = subjects
    extra = [name for name in faces.columns if name not in MADE]
    left = pd.DataFrame(sorted(left_out), columns=["image", "status", "reason"], dtype="str")
    return FaceTable(
        root=labelled.root,
        faces=faces[[name for name in MADE if name in faces] + extra],
        left_out=left,
        passed_over=labelled.passed_over,
        subjects_given=given is not None,
        subjects_merged=merged,
    )


def _subjects(faces: pd.DataFrame, given: "pd.Series[str] | None") -> tuple["pd.Series[str]", int]:
    """Person of every face: as given, else one per photo; persons who share a photo become one.

    A made id is 17 digits of the smallest content hash, so that it depends on nothing else.
    """
    pairs = [chained(faces["copy_group"].astype("str").where(faces["copy_group"].notna()))]
    made = pd.Series(
        [str(int(digest[:14], 16)) for digest in faces["content_hash"]],
        index=faces.index,
        dtype="str",
    )
    if given is None:
        person = components(len(faces), pairs[0])
        return made.groupby(person).transform("min"), 0
    names = given.reset_index(drop=True).astype("str")
    names = names.where(names.notna() & (names.str.strip() != ""))
    person = components(len(faces), np.concatenate([*pairs, chained(names)]))
    smallest = names.groupby(person).transform("min")
    merged = int(names.nunique() - names.groupby(person).min().nunique())
    return smallest.fillna(made.groupby(person).transform("min")), merged


def left_out_words(left_out: pd.DataFrame) -> str:
    """How many were left out and why, in one line."""
    counts = left_out["status"].value_counts()
    first = left_out.iloc[0]
    listed = ", ".join(f"{n:,} {status}" for status, n in sorted(counts.items()))
    return f"{len(left_out):,} left out ({listed}); first: {first['image']!r}: {first['reason']}"


def say_left_out(table: FaceTable, *, listed: Path | None = None) -> None:
    """Say on stderr what of a source is not used, if anything. listed: the file that lists it."""
    if len(table.left_out):
        where = "" if listed is None else f"; listed in {listed}"
        print(one_line(f"{left_out_words(table.left_out)}{where}"), file=sys.stderr)


def _nothing_words(source: Path, table: FaceTable) -> str:
    want = "names like <age>_<gender>[_<race>]_*.jpg, or a label file with image, age, gender"
    if len(table.left_out):
        return f"{source}: no face can be used: {left_out_words(table.left_out)}; expected {want}"
    if not table.passed_over:
        return f"{source} is empty, of pictures and of anything else; expected {want}"
    files = counted(table.passed_over, "file", "files")
    return f"{source}: no pictures among {files}; expected {want}"


def write_left_out(table: FaceTable, path: Path) -> Path:
    """Write `left_out.csv` (image, status, reason), safe to open in a spreadsheet."""
    safe = table.left_out.map(_spreadsheet_safe)
    return write_text(path, safe.to_csv(index=False, lineterminator="\n"))


def _spreadsheet_safe(cell: str) -> str:
    """A cell that begins like a formula gets an apostrophe, which spreadsheets hide."""
    return "'" + cell if cell.lstrip().startswith(("=", "+", "-", "@")) else cell
