"""A second look at one face: what the network looks at, and how it reads worse pictures.

The occlusion map follows Zeiler & Fergus (2014): a grey patch is moved over the picture, and the
change of the reading is laid where the patch was. It says which parts this reading rests on, not
why. No lot is drawn but those of `model.corruptions`, so equal pictures give equal looks.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.errors import InputError
from audit.face_look import FaceLook, Occlusion, Reading
from model.corruptions import CORRUPTIONS, SEVERITIES, corrupt, step_words
from model.decode import Floats, age_columns
from model.pictures import GROUND, PictureError, Pixels, pillow_silent, read_picture
from model.ready import Ready

BATCH = 64
PATCH, STRIDE = 4, 8  # parts of the side: a patch a quarter wide moves by half its width


def look_at(model: Ready, path: Path) -> FaceLook:
    """Read the picture at `path` clean, under every corruption, and with its parts covered.

    What is read is the network's own: no recalibration is applied. Raises InputError for a file
    that cannot be decoded.
    """
    try:
        with pillow_silent():
            picture = read_picture(path, size=model.config["size"], resize=model.resize)
    except PictureError as error:
        raise InputError(f"the picture {error}") from error
    return FaceLook(picture, read_worse(model, picture), occlusion_map(model, picture))


def read_worse(model: Ready, picture: Pixels) -> tuple[Reading, ...]:
    """The picture, uint8 [S, S, 3], read clean and under every corruption at every severity."""
    variants = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    pictures = [picture, *(corrupt(picture, *variant) for variant in variants)]
    age, female = _read(model, np.stack(pictures))
    said = [
        ("clean", 0, "Clean", "as it is"),
        *((name, s, CORRUPTIONS[name].label, step_words(name, s)) for name, s in variants),
    ]
    return tuple(
        Reading(*words, age=float(a), female=float(f))
        for words, a, f in zip(said, age, female, strict=True)
    )


def occlusion_map(
    model: Ready, picture: Pixels, *, patch: int | None = None, stride: int | None = None
) -> Occlusion:
    """How the reading of the picture, uint8 [S, S, 3], changes where a grey patch covers it.

    `patch` is the side of the patch in pixels (a quarter of S), `stride` its step (half of that);
    the patch also stands half outside, so that rims are covered as often as the middle.
    """
    size = picture.shape[0]
    patch = patch or max(size // PATCH, 1)
    stride = stride or max(size // STRIDE, 1)
    starts = range(stride - patch, size, stride)
    boxes = [
        (slice(max(top, 0), top + patch), slice(max(left, 0), left + patch))
        for top in starts
        for left in starts
    ]
    covered = np.repeat(picture[None], len(boxes) + 1, axis=0)
    for changed, (rows, columns) in zip(covered[1:], boxes, strict=True):
        changed[rows, columns] = GROUND
    age, female = _read(model, covered)
    sums = np.zeros((2, size, size))
    times = np.zeros((size, size))
    for i, (rows, columns) in enumerate(boxes, start=1):
        sums[:, rows, columns] += np.array([age[i] - age[0], female[i] - female[0]])[:, None, None]
        times[rows, columns] += 1
    years, shares = sums / np.maximum(times, 1)
    return Occlusion(years, shares, patch, stride)


def _read(model: Ready, pictures: Pixels) -> tuple[npt.NDArray[np.float64], Floats]:
    """Age in years and P(female) of uint8 [N, S, S, 3], batch by batch."""
    parts = [model.score(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    age, female = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.asarray(
        age_columns(age, model.config["decode"])["age_pred"], dtype=np.float64
    ), female
