"""The faces in two halves of people, one to fit on and one to judge on, parted by every feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.conformal import PREDICTED
from audit.groups import OVERALL, collapse, gather
from audit.metrics import Floats
from audit.tally import Tally

FIT, JUDGE = 0, 1

LABELS = ("gender_true", "age_group")  # what is not known of a new face


@dataclass(frozen=True)
class Kind:
    """A way to part the faces: its groups, and the people behind one face of each [group]."""

    name: str
    groups: tuple[str, ...]
    people: Floats

    def codes(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """The group of every row of a frame of the tally."""
        if self.name == OVERALL:
            return np.zeros(len(frame), np.int64)
        return frame[self.name].to_numpy(np.int64)


def kinds_of(tally: Tally) -> dict[str, Kind]:
    """Everyone, then every feature but true age, then the predicted age group."""
    rows = tally.rows_read - sum(tally.rows_left_out.values())
    every = 1.0 if tally.subjects_are_rows else tally.subjects / max(rows, 1)
    kinds = {OVERALL: Kind(OVERALL, (OVERALL,), np.array([every]))}
    lean = None if tally.subjects_are_rows else collapse(tally)
    for feature in tally.features:
        if feature.name != "age_group":
            people = np.full(len(feature.levels), every)
            if lean is not None:
                people = _people_per_face(lean, feature.name, feature.levels, every)
            kinds[feature.name] = Kind(feature.name, feature.levels, people)
    ages = tally.age_groups
    return kinds | {PREDICTED: Kind(PREDICTED, ages, np.full(len(ages), every))}


def _people_per_face(tally: Tally, name: str, levels: Sequence[str], every: float) -> Floats:
    """People over faces in every level of a feature, by the head with more faces."""
    groups = gather(tally, [f for f in tally.features if f.name == name])
    faces = np.stack([groups.totals(key) for key in ("age_n", "gender_n")])
    known = np.stack([groups.people(key) for key in ("age_n", "gender_n")])
    more = np.argmax(faces, axis=0)[None]
    n, people = (np.take_along_axis(x, more, axis=0)[0] for x in (faces, known))
    out = np.full(len(levels), every)
    for group, value, total in zip(groups.names, people, n, strict=True):
        if total:
            out[levels.index(group)] = min(1.0, value / total)
    return out


def counted(
    frame: pd.DataFrame, kinds: Mapping[str, Kind], cell: NDArray[np.int64], shape: tuple[int, ...]
) -> dict[str, Floats]:
    """Faces of every kind as an array [group, half, *shape]; `cell` is each row's place in it."""
    size = int(np.prod(shape))
    within = frame["half"].to_numpy(np.int64) * size + cell
    n = frame["n"].to_numpy(np.float64)
    return {
        name: np.bincount(
            kind.codes(frame) * 2 * size + within, n, minlength=len(kind.groups) * 2 * size
        ).reshape(len(kind.groups), 2, *shape)
        for name, kind in kinds.items()
    }
