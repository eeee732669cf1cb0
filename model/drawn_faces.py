"""Drawn faces with planted truth, so that everything runs, and can be judged, with no download.

The faces are fiction: cartoon portraits whose looks follow from an age and a gender drawn by lot,
in five groups told apart by the colour of their shirt. A weakness is *planted*: one group shows
its years faintly, and dim light hides them. An audit that works must find it, and must find
nothing of the kind in the unplanted twin. No relation to any real group of people is meant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from audit.errors import InputError
from audit.files import write_text
from model.face_lots import FADED, GROWN_UP, PLANTED_GROUP, PLANTED_LIGHT, deal_traits
from model.face_painter import paint_faces
from model.face_traits import LIGHTS, POSES, RACES, Traits
from model.threads import in_threads, tracked

SIZE = 128
_BATCH = 8  # faces painted together: their layers stay in the processor's cache

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnFaces:
    """Pictures uint8 [n, size, size, 3] and, row by row, their labels."""

    pictures: Bytes
    labels: pd.DataFrame  # image, age, gender, race, light, glasses, pose


def draw_faces(n: int, *, seed: int, size: int = SIZE, planted: bool = True) -> DrawnFaces:
    """Draw `n` faces of `size` × `size` pixels.

    Face i depends on seed, size and i alone: not on n, on batches or on threads. `planted` False
    draws the unplanted twin: the same people without the weakness.
    """
    traits = deal_traits(n, seed=seed, planted=planted)
    pictures = np.empty((n, size, size, 3), dtype=np.uint8)

    def draw(rows: Sequence[int]) -> None:
        pictures[rows[0] : rows[-1] + 1] = _draw(traits, rows, seed=seed, size=size)

    for _ in in_threads(draw, range(n), batch=_BATCH):
        pass
    return DrawnFaces(pictures, _labels(traits))


def write_drawn_faces(
    folder: Path, *, n: int, seed: int, planted: bool = True, progress: bool = False
) -> Path:
    """Draw `n` faces into `folder`: JPEGs, `labels.csv` and the planted truth, `truth.json`.

    The folder is made if needed; one that this function filled before is emptied first.
    `labels.csv` is written last: where it is, the pictures are complete.

    Raises InputError when the folder holds anything else.
    """
    _make_room(folder)
    write_text(folder / "truth.json", json.dumps(planted_truth(seed, planted=planted), indent=1))
    traits = deal_traits(n, seed=seed, planted=planted)
    labels = _labels(traits)
    names = labels["image"].tolist()

    def write(rows: Sequence[int]) -> None:
        for row, picture in zip(rows, _draw(traits, rows, seed=seed, size=SIZE), strict=True):
            path = folder / names[row]
            try:
                Image.fromarray(picture).save(path, quality=90)
            except OSError as error:
                error.filename = error.filename or str(path)  # of a full disk, Pillow names none
                raise

    batches = in_threads(write, range(n), batch=_BATCH)
    for _ in tracked(batches, total=n, label="drawing", show=progress, step=_BATCH):
        pass
    write_text(folder / "labels.csv", labels.to_csv(index=False, lineterminator="\n"))
    return folder


def planted_truth(seed: int, *, planted: bool) -> dict[str, Any]:
    """What was planted, in the words of an audit's records."""
    weaknesses = [
        {
            "feature": "race",
            "group": PLANTED_GROUP,
            "metric": "age_mae",
            "what": f"from age {GROWN_UP} on, shows its years at {FADED} of everybody's pace",
            "effect": "ages of this group are read worse than those of all others",
        },
        {
            "feature": "light",
            "group": PLANTED_LIGHT,
            "metric": "age_mae",
            "what": "half as bright, noisy, and hides a random share of wrinkles and grey",
            "effect": "ages are read worse in this light than in any other",
        },
    ]
    return {
        "seed": seed,
        "planted": weaknesses if planted else [],
        "note": "Drawn faces are fiction; what is planted says nothing about people.",
    }


def contact_sheet(pictures: Bytes, *, columns: int, gap: int = 4) -> Bytes:
    """Pictures [n, h, w, 3] side by side on white, row by row: one picture [H, W, 3]."""
    n, high, wide, _ = pictures.shape
    rows = -(-n // columns)
    shape = (rows * (high + gap) + gap, columns * (wide + gap) + gap, 3)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        top, left = gap + i // columns * (high + gap), gap + i % columns * (wide + gap)
        sheet[top : top + high, left : left + wide] = picture
    return sheet


def _draw(traits: Traits, rows: Sequence[int], *, seed: int, size: int) -> Bytes:
    """Paint a batch of consecutive faces and add each face's own pixel noise."""
    painted = paint_faces(traits.part_of(rows[0], rows[-1] + 1), size=size)
    for place, row in enumerate(rows):
        noise = np.random.Generator(np.random.SFC64([seed, row]))
        grain = noise.standard_normal((3, size, size), dtype=np.float32)
        grain *= traits.grain[row]
        painted[place] += grain
    painted *= 255.0
    painted += 0.5
    return np.clip(painted, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _labels(traits: Traits) -> pd.DataFrame:
    """Labels, with file names that say age, gender and race as a face folder does."""
    age, female, race, light, pose = (
        getattr(traits, name).astype(int) for name in ("age", "female", "race", "light", "pose")
    )
    codes = enumerate(zip(age, female, race, strict=True))
    return pd.DataFrame(
        {
            "image": [f"{a}_{f}_{r}_{number:06d}.jpg" for number, (a, f, r) in codes],
            "age": age,
            "gender": np.array(["male", "female"])[female],
            "race": np.array(RACES)[race],
            "light": np.array(LIGHTS)[light],
            "glasses": np.array(["no", "yes"])[traits.glasses.astype(int)],
            "pose": np.array(POSES)[pose],
        }
    )


def _make_room(folder: Path) -> None:
    """Make the folder, or empty it of drawn faces; refuse whatever else lives there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the drawn faces")
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder.glob(".*.part")  # what a kill may leave of a label file
    ours = {*folder.glob("*_*_*_*.jpg"), *parts, folder / "labels.csv", folder / "truth.json"}
    old = set(folder.iterdir())
    if old and (not (folder / "truth.json").exists() or old - ours):
        raise InputError(
            f"{folder} holds {len(old):,} files that are not all drawn faces; "
            "name a new or an empty folder"
        )
    for path in sorted(old, key=lambda p: p.name == "truth.json"):  # the mark of ours goes last
        path.unlink()
