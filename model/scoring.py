"""Pictures in, figures out: decoded in threads while the network works on the batch before.

Faces are read in pieces of PIECE, in order, whoever reads them: a network's last digits may depend
on the pictures beside one, so a piece is the same wherever and whenever it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from model.conditions import measure_pixels
from model.decode import Floats, age_columns
from model.pictures import FIT, PictureError, Pixels, pillow_silent, read_picture
from model.ready import Ready
from model.threads import ahead, tracked

BATCH = 64
PIECE = 16 * BATCH
_AHEAD = 4  # batches decoded ahead of the network: bounds memory
Figures = dict[str, npt.NDArray[np.float64]]
Measured = Figures


@dataclass(frozen=True)
class Read:
    """What was read of consecutive faces.

    faults: of every face, why it cannot be decoded, or None. figures: of those that can, in order:
    age_pred, age_low, age_high, gender_score as far as the model gives them (see `figures_of`), and
    what was measured on the pixels. vectors: what the network held of them, float32 [n, D], or
    None.
    """

    faults: list[str | None]
    figures: Figures
    vectors: Floats | None


def read_pieces(
    model: Ready, paths: Sequence[str], *, embeddings: bool = False, progress: bool = False
) -> Iterator[Read]:
    """Read `paths`, PIECE at a time (last: what is left), decoded ahead of the network."""
    batches = decoded_batches(paths, size=model.config["size"], resize=model.resize)
    shown = tracked(batches, total=len(paths), label="faces read:", show=progress, step=BATCH)
    with pillow_silent():
        while parts := [
            _read_batch(model, batch, embeddings=embeddings)
            for batch in islice(shown, PIECE // BATCH)
        ]:
            yield joined(parts)


def _read_batch(model: Ready, batch: "Decoded", *, embeddings: bool) -> Read:
    pictures, faults, measured = batch
    if not len(pictures):
        return Read(faults, {}, None)
    vectors: Floats | None = None
    if embeddings and model.embed is not None:
        age, gender, vectors = model.embed(pictures)
    else:
        age, gender = model.score(pictures)
    return Read(faults, {**figures_of(age, gender, model.config["decode"]), **measured}, vectors)


def joined(parts: Sequence[Read]) -> Read:
    """Several readings, in order, as one; without figures where no face could be decoded."""
    good = [part for part in parts if part.figures]
    names = good[0].figures if good else {}
    vectors = [part.vectors for part in good if part.vectors is not None]
    return Read(
        [fault for part in parts for fault in part.faults],
        {name: np.concatenate([part.figures[name] for part in good]) for name in names},
        np.concatenate(vectors) if vectors else None,
    )


def figures_of(age: Floats, gender: Floats, rule: Mapping[str, Any]) -> Figures:
    """A model's outputs as columns of the table: years to 1/1000, P(female) to 1/1000000.

    `rule` is the model's `decode`: of a model of other people, it says which columns there are.
    """
    ages = age_columns(age, rule)
    columns: Figures = {name: np.round(part.astype("f8"), 3) for name, part in ages.items()}
    if rule.get("gender", True):
        columns["gender_score"] = np.round(gender.astype("f8"), 6)
    return columns


Decoded = tuple[Pixels, list[str | None], Measured]


def decoded_batches(paths: Sequence[str], *, size: int, resize: str = FIT) -> Iterator[Decoded]:
    """Batches of pictures, picture by picture why one is missing, and what was measured on them.

    In order, BATCH paths each, a few ahead.
    """

    def read(path: str) -> Pixels | str:
        try:
            return read_picture(path, size=size, resize=resize)
        except PictureError as error:
            return str(error)

    def decode(part: Sequence[str]) -> Decoded:
        found = [read(path) for path in part]
        pictures = [picture for picture in found if not isinstance(picture, str)]
        faults = [picture if isinstance(picture, str) else None for picture in found]
        stacked = np.stack(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)
        return stacked, faults, measure_pixels(stacked)

    parts = (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))
    yield from ahead((partial(decode, part) for part in parts), most=_AHEAD)
