"""The faces of a run read again, clean and corrupted: rows for `audit.stress`.

Each picture is decoded once; threads corrupt the next batches while the network works on one.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from audit.contract import CONDITIONS
from audit.corrections import Recalibration, apply_recalibration
from audit.errors import InputError
from audit.files import write_atomic
from audit.readings import CLEAN
from audit.words import count, nearest
from model.corruptions import CORRUPTIONS, REFERENCE, SEVERITIES, corrupt, step_words
from model.drawn_faces import draw_faces
from model.faces import MADE, FaceTable
from model.pictures import pillow_silent
from model.predict import carried, faces_of, open_model, refuse_unmapped
from model.prediction_table import COLUMNS, DIGITS, prediction_rows
from model.ready import Ready
from model.scoring import BATCH, Measured, decoded_batches, figures_of
from model.threads import ahead, tracked

SAMPLE = 1000  # people read unless more are asked for
EXAMPLE, EXAMPLE_SIDE = 0, 96  # the drawn face that shows what the corruptions do; pixels
_AHEAD = 4  # batches corrupted ahead of the network: bounds memory

Pixels = npt.NDArray[np.uint8]
Variant = tuple[str, int]  # corruption, severity


@dataclass(frozen=True)
class Stressed:
    """`readings`: what `audit.stress.run_stress` reads. `about`: what they were drawn from."""

    readings: pd.DataFrame
    about: dict[str, Any]

    @property
    def words(self) -> str:
        """What was read, in one line."""
        a = self.about
        faces = len(self.readings) // max(a["readings"], 1)
        drawn = (
            f", drawn from {count(a['people_there'])}" if a["people"] < a["people_there"] else ""
        )
        lost = f"; {count(a['not_decoded'])} cannot be decoded" if a["not_decoded"] else ""
        return (
            f"{count(faces)} faces of {count(a['people'])} people{drawn}, "
            f"{a['readings']} times each{lost}"
        )

    def write(self, path: Path) -> Path:
        """Write the readings as Parquet, atomically, with page checksums."""
        arrow = pa.Table.from_pandas(self.readings, preserve_index=False)
        return write_atomic(
            path, lambda beside: pq.write_table(arrow, beside, write_page_checksum=True)
        )


def read_corrupted(
    run: Path,
    table: FaceTable,
    *,
    by: Sequence[str] | None = None,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] | None = None,
    split: str = "test",
    sample: int = SAMPLE,
    seed: int = 0,
    pre_processing: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> Stressed:
    """Read the faces of `split` with the model `run`, clean and under every corruption.

    `run` is a run folder, an exported `.onnx` or one that `pre_processing` describes; a map that it
    carries is applied, as in `predict`.
    by: features that will be asked for, so that a misspelt one is refused before the work. sample:
    at most so many people, drawn by a hash of seed and person (0: everybody). Raises InputError for
    a word that does not exist and where no face is left.
    """
    _refuse_unknown(by or (), table)
    variants = [(CLEAN, 0), *_variants(corruptions, severities)]
    if sample < 0:
        raise InputError(f"--sample {sample}: must be 0 (everybody) or more")
    model = open_model(run, device=device, threads=threads, pre_processing=pre_processing)
    recalibration = carried(run) if pre_processing is None else None
    faces = faces_of(model, table, split=split)
    if not len(faces):
        raise InputError(f"{table.root}: no face to read (split {split}); choose another --split")
    if recalibration is not None:
        refuse_unmapped(recalibration, faces, where=f"{table.root}, by the map of {run}")
    chosen = sample_people(faces, sample, seed=seed)
    readings, lost = _readings(
        model,
        chosen.reset_index(drop=True),
        variants,
        recalibration=recalibration,
        root=table.root,
        seed=seed,
        progress=progress,
    )
    about = {
        "model": f"{model.config['network']} {model.config['run_id']}",
        "readings": len(variants),
        "people": int(chosen["subject_id"].nunique()),
        "people_there": int(faces["subject_id"].nunique()),
        "faces_there": len(faces),
        "not_decoded": lost,
    }
    return Stressed(readings, about)


def sample_people(faces: pd.DataFrame, most: int, *, seed: int) -> pd.DataFrame:
    """All faces of at most `most` people (0: of all), in their order.

    Who is chosen follows from a hash of seed and person alone: with more faces in the folder, or
    in another order, a chosen person stays chosen or gives way to one with a smaller hash.
    """
    people = faces["subject_id"].astype(str)
    if not most or people.nunique() <= most:
        return faces
    rank = {p: hashlib.sha256(f"{seed} {p}".encode()).digest() for p in people.unique()}
    kept = set(sorted(rank, key=rank.__getitem__)[:most])
    return faces[people.isin(kept)]


def _refuse_unknown(by: Sequence[str], table: FaceTable) -> None:
    extra = [str(n) for n in table.faces.columns if n not in MADE and n not in COLUMNS]
    race = ["race"] if table.has_race else []
    known = [*race, "gender_true", "age_group", *extra, *CONDITIONS]
    for name in by:
        if name not in known:
            raise InputError(
                f"--by {name!r}: these faces have no such feature; {nearest(name, known)}"
            )


def _variants(corruptions: Sequence[str] | None, severities: Sequence[int] | None) -> list[Variant]:
    for name in corruptions or ():
        if name not in CORRUPTIONS:
            raise InputError(f"--corruptions {name!r}: {nearest(name, list(CORRUPTIONS))}")
    for severity in severities or ():
        if severity not in SEVERITIES:
            known = ", ".join(map(str, SEVERITIES))
            raise InputError(f"--severities {severity}: there are {known}")
    names = [name for name in CORRUPTIONS if corruptions is None or name in corruptions]
    steps = [s for s in SEVERITIES if severities is None or s in severities]
    return [(name, severity) for name in names for severity in steps]


def _readings(
    model: Ready,
    faces: pd.DataFrame,
    variants: Sequence[Variant],
    *,
    recalibration: Recalibration | None,
    root: Path,
    seed: int,
    progress: bool,
) -> tuple[pd.DataFrame, int]:
    """Predictions of every face under every variant, and how many faces cannot be decoded."""
    size, rule = model.config["size"], model.config["decode"]
    paths = [str(root / image) for image in faces["image"]]
    parts: dict[Variant, list[pd.DataFrame]] = {variant: [] for variant in variants}
    faults: dict[int, str] = {}
    batches = _corrupted(paths, variants, size=size, resize=model.resize, seed=seed, faults=faults)
    total, step = len(faces) * len(variants), BATCH
    with pillow_silent():
        for rows, measured, variant, pictures in tracked(
            batches, total=total, label="readings made:", show=progress, step=step
        ):
            age, gender = model.score(pictures)
            corruption, severity = variant
            figures = {**figures_of(age, gender, rule), **measured}
            found = prediction_rows(faces.iloc[rows], figures)
            if recalibration is not None:  # as `predict` does
                found = apply_recalibration(recalibration, found).round(DIGITS)
            parts[variant].append(found.assign(corruption=corruption, severity=severity))
    if not any(parts.values()):
        first = next(iter(faults.values()))
        raise InputError(f"{root}: none of {len(faces)} faces can be decoded: {first}")
    joined = [part for of_variant in parts.values() for part in of_variant]
    return pd.concat(joined, ignore_index=True), len(faults)


Rows = npt.NDArray[np.int64]
Batch = tuple[Rows, Measured, Variant, Pixels]


def _corrupted(
    paths: list[str],
    variants: Sequence[Variant],
    *,
    size: int,
    resize: str,
    seed: int,
    faults: dict[int, str],
) -> Iterator[Batch]:
    """Every batch under every variant: row numbers, what was measured on the clean pictures, the
    variant, the pictures. Fills in `faults`.
    """

    def calls() -> Iterator[Callable[[], Batch]]:
        start = 0
        for pictures, problems, measured in decoded_batches(paths, size=size, resize=resize):
            found = {start + i: words for i, words in enumerate(problems) if words is not None}
            rows = np.array(
                [start + i for i in range(len(problems)) if start + i not in found], dtype=np.int64
            )
            faults.update(found)
            start += len(problems)
            if len(rows):
                for variant in variants:
                    yield partial(_batch, (rows, measured, variant, pictures), seed=seed)

    yield from ahead(calls(), most=_AHEAD)


def _batch(clean: Batch, *, seed: int) -> Batch:
    """The batch with its pictures as its variant leaves them."""
    rows, measured, (corruption, severity), pictures = clean
    if corruption == CLEAN:
        return clean
    changed = [corrupt(picture, corruption, severity, seed=seed) for picture in pictures]
    return rows, measured, (corruption, severity), np.stack(changed)


def corruption_words() -> dict[str, dict[str, Any]]:
    """Label of every corruption, and what each of its severities means, in the order made."""
    return {
        name: {"label": kind.label, "steps": {str(s): step_words(name, s) for s in SEVERITIES}}
        for name, kind in CORRUPTIONS.items()
    }


def examples(severities: Sequence[int] | None = None) -> dict[str, list[bytes]]:
    """A drawn face under every corruption, clean first, then by severity, as JPEG."""
    face = draw_faces(EXAMPLE + 1, seed=0, size=REFERENCE).pictures[EXAMPLE]

    def packed(picture: Pixels) -> bytes:
        data = io.BytesIO()
        small = Image.fromarray(picture).resize(
            (EXAMPLE_SIDE, EXAMPLE_SIDE), Image.Resampling.LANCZOS
        )
        small.save(data, "JPEG", quality=88)
        return data.getvalue()

    steps = [s for s in SEVERITIES if severities is None or s in severities]
    return {
        name: [packed(face), *(packed(corrupt(face, name, s)) for s in steps)]
        for name in CORRUPTIONS
    }
