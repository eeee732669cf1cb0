"""The faces in two halves of people, one to fit on and one to judge on, parted by every feature."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.conformal import PREDICTED
from audit.groups import OVERALL, added
from audit.metrics import Floats
from audit.shards import SHARDS, counted_people
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
    named: list[tuple[str, tuple[str, ...]]] = [(OVERALL, (OVERALL,))]
    named += [(f.name, f.levels) for f in tally.features if f.name != "age_group"]
    named.append((PREDICTED, tally.age_groups))
    kinds = {}
    for name, groups in named:
        kind = Kind(name, groups, np.ones(len(groups)))
        people = kind.people if tally.subjects_assumed else _people_per_face(tally, kind)
        kinds[name] = replace(kind, people=people)
    return kinds


def _people_per_face(tally: Tally, kind: Kind) -> Floats:
    """Estimated people over faces of every group; 1 where a group has no face."""
    by_age = kind.name == PREDICTED
    cells = tally.predicted if by_age else tally.cells
    place = kind.codes(cells) * SHARDS + cells["shard"].to_numpy(np.int64)
    counts = cells["age_n"] if by_age else cells[["age_n", "gender_n"]].max(axis=1)
    faces = counts.to_numpy(np.float64)
    rows = added(place, faces, len(kind.groups) * SHARDS).reshape(-1, SHARDS)
    audited = tally.rows_read - sum(tally.rows_left_out.values())
    people = counted_people(rows, tally.subjects / max(audited, 1))
    n = rows.sum(axis=1)
    return np.where(n > 0, people / np.maximum(n, 1), 1.0)


def counted(
    frame: pd.DataFrame, kinds: Mapping[str, Kind], cell: NDArray[np.int64], shape: tuple[int, ...]
) -> dict[str, Floats]:
    """Faces of every kind as an array [group, half, *shape]; `cell` is each row's place in it."""
    size = int(np.prod(shape))
    within = frame["half"].to_numpy(np.int64) * size + cell
    n = frame["n"].to_numpy(np.float64)
    return {
        name: added(kind.codes(frame) * 2 * size + within, n, len(kind.groups) * 2 * size).reshape(
            len(kind.groups), 2, *shape
        )
        for name, kind in kinds.items()
    }
