"""Drawn faces with planted truth, so that everything runs, and can be judged, with no download.

The faces are fiction: cartoon portraits whose looks follow from an age and a gender drawn by lot,
in five groups told apart by the colour of their shirt. A weakness is *planted*: the age cues of
one group are faint, and dim light hurts. An audit that works must find it, and must find nothing
of the kind in the unplanted twin. No relation to any real group of people is meant or implied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from audit.errors import InputError
from audit.files import write_text
from model.face_painter import paint_faces
from model.face_traits import (
    FADED,
    LIGHTS,
    PLANTED_GROUP,
    PLANTED_LIGHT,
    POSES,
    RACES,
    Traits,
    deal_traits,
)

_BATCH = 8  # faces painted together: their layers stay in the processor's cache

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnFaces:
    """Pictures uint8 [n, size, size, 3] and, row by row, their labels."""

    pictures: Bytes
    labels: pd.DataFrame  # image, age, gender, race, light, glasses, pose


def draw_faces(n: int, *, seed: int, size: int = 128, planted: bool = True) -> DrawnFaces:
    """Draw `n` faces of `size` × `size` pixels.

    Face i depends on the seed, the size and i alone: not on n, on batches or on threads.
    `planted` False draws the unplanted twin: the same people without the weakness.
    """
    traits = deal_traits(n, seed=seed, planted=planted)
    pictures = np.empty((n, size, size, 3), dtype=np.uint8)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start, batch in zip(
            range(0, n, _BATCH),
            pool.map(lambda s: _draw(traits, s, seed=seed, size=size), range(0, n, _BATCH)),
            strict=True,
        ):
            pictures[start : start + _BATCH] = batch
    return DrawnFaces(pictures, _labels(traits))


def write_drawn_faces(
    folder: Path, *, n: int, seed: int, planted: bool = True, progress: bool = False
) -> Path:
    """Draw `n` faces into `folder`: JPEGs, `labels.csv` and the planted truth, `truth.json`.

    The folder is made if needed. One that was written by this function before is replaced; any
    other that is not empty raises InputError.
    """
    _make_room(folder)
    traits = deal_traits(n, seed=seed, planted=planted)
    labels = _labels(traits)
    names = labels["image"].tolist()

    def write(start: int) -> int:
        pictures = _draw(traits, start, seed=seed, size=128)
        for name, picture in zip(names[start : start + _BATCH], pictures, strict=True):
            Image.fromarray(picture).save(folder / name, quality=90)
        return len(pictures)

    write_text(folder / "truth.json", json.dumps(planted_truth(seed, planted), indent=1) + "\n")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(write, range(0, n, _BATCH)):
            pass
    write_text(folder / "labels.csv", labels.to_csv(index=False, lineterminator="\n"))
    return folder


def planted_truth(seed: int, planted: bool) -> dict[str, Any]:
    """What was planted, in the words of an audit's records."""
    weaknesses = [
        {
            "feature": "race",
            "group": PLANTED_GROUP,
            "metric": "age_mae",
            "what": f"age cues drawn at {FADED:.0%} of their strength",
            "effect": "ages of this group are read worse than those of all others",
        },
        {
            "feature": "light",
            "group": PLANTED_LIGHT,
            "metric": "age_mae",
            "what": "less than half the brightness, six times the noise",
            "effect": "ages are read worse in this light than in any other",
        },
    ]
    return {
        "seed": seed,
        "planted": weaknesses if planted else [],
        "note": "Drawn faces are fiction; the weakness is planted and says nothing about people.",
    }


def contact_sheet(pictures: Bytes, columns: int, *, gap: int = 4) -> Bytes:
    """Pictures [n, h, w, 3] side by side on white: one picture uint8 [H, W, 3]."""
    n, high, wide, _ = pictures.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (high + gap) + gap, columns * (wide + gap) + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = gap + i // columns * (high + gap), gap + i % columns * (wide + gap)
        sheet[top : top + high, left : left + wide] = picture
    return sheet


def _draw(traits: Traits, start: int, *, seed: int, size: int) -> Bytes:
    """Paint one batch and add each face's own pixel noise."""
    stop = min(start + _BATCH, len(traits))
    painted = paint_faces(traits.part_of(start, stop), size=size)
    for i in range(start, stop):
        noise = np.random.Generator(np.random.SFC64([seed, i]))
        grain = noise.standard_normal((3, size, size), dtype=np.float32)
        grain *= traits.grain[i]
        painted[i - start] += grain
        if traits.blotch[i]:
            spots = noise.standard_normal((3, -(-size // 4), -(-size // 4)), dtype=np.float32)
            spots *= traits.blotch[i]
            painted[i - start] += spots.repeat(4, 1).repeat(4, 2)[:, :size, :size]
    painted *= 255.0
    painted += 0.5
    return np.clip(painted, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _labels(traits: Traits) -> pd.DataFrame:
    age = traits.age.astype(int)
    female = traits.female.astype(int)
    race = traits.race.astype(int)
    names = [
        f"{a}_{f}_{r}_{i:06d}.jpg"
        for i, (a, f, r) in enumerate(zip(age, female, race, strict=True))
    ]
    return pd.DataFrame(
        {
            "image": names,
            "age": age,
            "gender": np.where(female == 1, "female", "male"),
            "race": np.array(RACES)[race],
            "light": np.array(LIGHTS)[traits.light.astype(int)],
            "glasses": np.where(traits.glasses > 0, "yes", "no"),
            "pose": np.array(POSES)[traits.pose.astype(int)],
        }
    )


def _make_room(folder: Path) -> None:
    """Make the folder, or empty it of drawn faces; refuse anything else that lives there."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; name a folder for the drawn faces")
    folder.mkdir(parents=True, exist_ok=True)
    old = list(_entries(folder))
    if old and not (folder / "truth.json").exists():
        raise InputError(
            f"{folder} holds {len(old):,} files that are not drawn faces; name a new or empty folder"
        )
    for path in old:
        path.unlink()


def _entries(folder: Path) -> Iterator[Path]:
    yield from folder.iterdir()
