"""What a training works on: pictures, labels and who is train, valid and test."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.errors import InputError
from audit.files import write_text
from model.faces import FaceTable, resolve_conflicts, split_faces, write_left_out
from model.pictures import open_cache
from model.settings import TrainSettings

SPLITS = ("train", "valid", "test")
_MORE = {  # what gives a part that is too small more faces
    "train": "give more faces, or smaller --holdout and --valid",
    "valid": "give more faces, or a larger --valid",
    "test": "give more faces, or a larger --holdout",
}


@dataclass(frozen=True)
class Material:
    """Row by row: `pictures` uint8 [n, S, S, 3], `age` in years and `female` (0/1) float32 [n].

    `rows` holds the row numbers of each split; `digest` names faces, labels and split; `faces` are
    the rows of the face table.
    """

    pictures: npt.NDArray[np.uint8]
    age: npt.NDArray[np.float32]
    female: npt.NDArray[np.float32]
    rows: dict[str, npt.NDArray[np.int64]]
    digest: str
    faces: pd.DataFrame


def prepare(
    table: FaceTable,
    *,
    out: Path,
    settings: TrainSettings,
    progress: bool,
    begun: str | None = None,
) -> Material:
    """Split the faces, decode their pictures into `out/cache`, write `out/split.csv`.

    begun: the digest of the faces that a training to be resumed was started with. Raises
    InputError when a part of the split is empty, or other faces were begun with; nothing is
    written then, for the network and its split belong together.
    """
    faces = table.faces.reset_index(drop=True)
    split = split_faces(faces, seed=settings.seed, test=settings.test, valid=settings.valid)
    learned = resolve_conflicts(faces)  # its ages are the copies' median; the test part keeps all
    age = faces["age"].astype("float64").to_numpy(copy=True)
    age[learned.index] = np.where(
        split[learned.index] == "test", age[learned.index], learned["age"]
    )
    usable = {name: faces.index if name == "test" else learned.index for name in SPLITS}
    rows = {
        name: np.asarray(usable[name][split[usable[name]] == name], dtype=np.int64)
        for name in SPLITS
    }
    for name in SPLITS:
        if len(rows[name]) < 2:
            raise InputError(
                f"{table.root}: {len(faces)} faces leave {len(rows[name])} for {name}, "
                f"where 2 are needed; {_MORE[name]}"
            )
    who = faces[["image", "content_hash", "subject_id"]].assign(split=split)
    text = who.to_csv(index=False, lineterminator="\n")
    groups = sorted({*settings.balance, *settings.group_dro} & set(faces) - {"age", "gender"})
    labels = faces[["image", "age", "gender", *groups]].to_csv(index=False, lineterminator="\n")
    digest = hashlib.sha256((text + labels).encode()).hexdigest()[:16]
    if begun not in {None, digest}:
        raise InputError(
            f"--resume in {out}: the faces, their labels or their split are not those it was "
            "started with; train anew in another --out"
        )
    path = out / "split.csv"
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
        if len(table.left_out):
            write_left_out(table, out / "left_out.csv")
    pictures = open_cache(
        faces, root=table.root, size=settings.size, folder=out / "cache", progress=progress
    )
    return Material(
        pictures=pictures,
        age=age.astype(np.float32),
        female=np.asarray(faces["gender"] == "female", dtype=np.float32),
        rows=rows,
        digest=digest,
        faces=faces,
    )


def split_counts(rows: dict[str, npt.NDArray[np.int64]]) -> dict[str, int]:
    """How many faces each part has."""
    return {name: len(part) for name, part in rows.items()}


def split_id(data: bytes) -> str:
    """Names a `split.csv` by its bytes, in the `config.json` beside it."""
    return hashlib.sha256(data).hexdigest()[:16]


def read_split(folder: Path, config: Mapping[str, Any]) -> pd.DataFrame:
    """`split.csv` of a finished run: image, content_hash, subject_id, split.

    config: the run's, which names the file. Raises InputError for one that is missing or altered:
    of what is cut off, faces that the network learned from would count as test faces.
    """
    path = folder / "split.csv"
    if not path.is_file():
        raise InputError(
            f"{folder} lacks split.csv, which says what faces its training saw; copy it again or "
            "train anew"
        )
    data = path.read_bytes()
    if split_id(data) != config["split"].get("id"):
        raise InputError(
            f"{path} is not the file its training wrote (SHA-256 differs): copy it again or train "
            "anew"
        )
    return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
