"""Where faces come from: a folder, a label file, or shards (tar, Parquet with pictures in it).

A folder that holds shards and no picture of its own is read as those shards; the archive that lies
beside its unpacked pictures is passed over.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from audit.errors import InputError
from audit.held import is_tar
from model.face_rows import MADE, Labelled, LeftOut, label_columns
from model.label_files import LABELS, is_label_file, read_label_file
from model.labels import (
    Label,
    is_picture_name,
    label_of_row,
    labels_of_names,
    refuse_ages,
)
from model.scan import FOLDER, files_below
from model.shard_faces import common_root, is_shard, read_shards, unreadable_parquet

_WANTED = "a folder of faces, a label file (.csv, .parquet), or .tar or Parquet shards"


def labelled_faces(source: Path, columns: Mapping[str, str] | None = None) -> Labelled:
    """Every face of `source` with its label, no picture decoded yet.

    `source` may be a pattern of shards, `faces-{000..009}.tar` or `faces-*.tar`. columns: our names
    of labels -> those of a label file. Raises InputError for what is none of these.
    """
    if columns and not _has_labels(source):
        pairs = " ".join(f"{name}={their}" for name, their in columns.items())
        raise InputError(
            f"{source} is no label file (.csv, .tsv, .parquet), of which --column {pairs} would "
            "name the columns"
        )
    if source.is_dir():
        return _read_folder(source)
    if source.is_file():
        if is_tar(source) or is_shard(source):
            return read_shards([source], root=source.parent)
        if is_label_file(source):
            return _read_label_rows(source, columns)
        raise InputError(
            f"{source} is neither a folder of faces nor a .csv, .tsv or .parquet label file, nor a "
            ".tar or Parquet with pictures in it"
        )
    if source.exists():
        raise InputError(f"{source} is neither a file nor a folder; give {_WANTED}")
    shards = _matching(source)
    if not shards:
        raise InputError(f"{source} does not exist; give {_WANTED}")
    other = [path for path in shards if not is_shard(path)]
    if other:
        raise InputError(f"{source}: {other[0]} is neither a .tar nor Parquet with pictures in it")
    return read_shards(shards, root=common_root(shards))


def _has_labels(source: Path) -> bool:
    return source.is_file() and is_label_file(source) and not is_shard(source)


def split_columns(
    columns: Mapping[str, str], source: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """What `--column` of `run` names: labels, where `source` is a label file, and all else."""
    here = LABELS if _has_labels(source) else ()
    labels = {name: their for name, their in columns.items() if name in here}
    return labels, {name: their for name, their in columns.items() if name not in here}


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern with `*`, `?`, `[...]`, `{000..009}` or `{a,b}` names, sorted.

    Raises InputError where files that braces name are not there: a missing shard is no small thing.
    """
    named = [Path(word) for word in _braces(str(pattern))]
    wild = [path for path in named if re.search(r"[*?[]", str(path))]
    plain = [path for path in named if path not in wild]
    missing = [path for path in plain if not path.is_file()]
    if len(named) > 1 and missing:
        raise InputError(
            f"{pattern}: {len(missing)} of {len(named)} shards are missing, first {missing[0]}"
        )
    found = [path for path in plain if path.is_file()]
    for path in wild:
        place = Path(path.anchor)
        found += [p for p in place.glob(str(path.relative_to(path.anchor))) if p.is_file()]
    return sorted(set(found))


def _braces(text: str) -> list[str]:
    """Every word that `{000..009}` and `{a,b}` in `text` stand for, as a shell spells them."""
    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [[part] if i % 2 == 0 else _choices(part) for i, part in enumerate(parts)]
    return ["".join(words) for words in product(*choices)]


def _choices(inside: str) -> list[str]:
    span = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if span:
        first, last = int(span[1]), int(span[2])
        width = len(span[1]) if span[1].startswith("0") else 0
        return [f"{number:0{width}}" for number in range(first, last + 1)]
    return inside.split(",") if "," in inside else [f"{{{inside}}}"]


def _read_folder(root: Path) -> Labelled:
    found = sorted(files_below(root))
    files = [image for image, fault in found if fault is None]
    if not any(is_picture_name(image) for image in files):
        shards: list[Path] = []
        broken: list[LeftOut] = []
        for image in files:
            if is_shard(root / image):
                shards.append(root / image)
            elif why := unreadable_parquet(root / image):
                broken.append((image, "unreadable", why))
        if shards or broken:
            others = len(files) - len(shards) - len(broken)
            held = read_shards(shards, root=root, passed_over=others)
            return replace(held, left_out=[*held.left_out, *broken])
    left_out = [
        (image, "not_a_file", fault) for image, fault in found
        if fault is not None and (fault != FOLDER or is_picture_name(image))
    ]  # fmt: skip
    labels = labels_of_names(files)
    images, good = [], []
    passed_over = 0
    for image, label in zip(files, labels, strict=True):
        if not is_picture_name(image):
            if isinstance(label, Label):
                left_out.append((image, "suffix", "not a .jpg, .jpeg, .png or .webp"))
            else:
                passed_over += 1
        elif isinstance(label, str):
            left_out.append((image, "name", label))
        else:
            images.append(image)
            good.append(label)
    rows = label_columns(images, good)
    rows["age"] = rows["age"].astype("int64")
    return Labelled(root, rows, left_out, passed_over)


def _leads_out(image: str) -> bool:
    """Whether a path leaves the folder it is relative to, on any system: a table may travel."""
    for path in (PurePosixPath(image), PureWindowsPath(image)):
        if path.root or path.drive or ".." in path.parts:
            return True
    return False


def _read_label_rows(path: Path, of_file: Mapping[str, str] | None) -> Labelled:
    rows = read_label_file(path, of_file)
    places = [f"row {number + 1}" for number in range(len(rows))]
    refuse_ages(list(rows["age"]), label=str(path), places=places)
    race = rows["race"] if "race" in rows else [None] * len(rows)
    left_out: list[LeftOut] = []
    images, good, kept = [], [], []
    columns = zip(rows["image"], rows["age"], rows["gender"], race, strict=True)
    for number, (name, age, gender, of_race) in enumerate(columns):
        place = places[number] + ": "
        image = "" if pd.isna(name) else PurePosixPath(str(name)).as_posix()
        label = label_of_row(age, gender, of_race)
        if not image or image == ".":
            left_out.append(("", "label", place + "image is empty"))
        elif _leads_out(image):
            left_out.append((image, "label", place + "path leads out of the file's folder"))
        elif isinstance(label, str):
            left_out.append((image, "label", place + label))
        elif "\\" in image and not (path.parent / image).exists():
            left_out.append((image, "unreadable", place + "no such file; write / for each \\"))
        else:
            images.append(image)
            good.append(label)
            kept.append(number)
    extra = rows.drop(columns=[name for name in MADE if name in rows and name != "subject_id"])
    labelled = label_columns(images, good).join(extra.iloc[kept].reset_index(drop=True))
    return Labelled(path.parent, *_listed_once(labelled, left_out))


def _listed_once(rows: pd.DataFrame, left_out: list[LeftOut]) -> tuple[pd.DataFrame, list[LeftOut]]:
    """A picture listed twice with one label counts once; with two labels, not at all."""
    labels = rows[[name for name in ("image", "age", "gender", "race") if name in rows]]
    kinds = labels.drop_duplicates()["image"].value_counts()
    agree = rows["image"].map(kinds) == 1
    dropped = rows["image"].duplicated() | ~agree
    reasons = np.where(agree, "listed more than once", "listed more than once with other labels")
    for image, reason in zip(rows["image"][dropped], reasons[dropped], strict=True):
        left_out.append((image, "repeated", str(reason)))
    return rows[~dropped].reset_index(drop=True), left_out
