"""A face read again, as pictures: what covering changes, and how corruptions move the reading."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from audit.face_look import Occlusion, Reading
from audit.words import score, years
from reports.heatmap import SEQUENTIAL, SIGNED, grid, heat, matrix, write_cells
from reports.theme import PALETTE, Drawn

LEAST = {"years": 1.0, "female": 0.05}  # changes below which a map stays pale
_SIDE = 320  # px of a map
_FULL = 0.65  # how far the strongest tint hides the picture


def map_words(change: NDArray[np.float64], *, what: str) -> str:
    """Where and how far covering raises and lowers the reading most, in words."""
    said = []
    ends = ((change.argmax(), "raises", "blue"), (change.argmin(), "lowers", "orange"))
    for place, verb, colour in ends:
        top = float(change.flat[place])
        if (top > 0) != (verb == "raises") or abs(top) < LEAST[what] / 5:
            continue
        size = f"{years(abs(top))} years" if what == "years" else score(abs(top))
        where = _place(int(place), change.shape[0])
        said.append(f"covering the {where} ({colour}) {verb} it most, by {size}")
    if not said:
        return "No patch changes this reading noticeably."
    words = "; ".join(said)
    return f"{words[0].upper()}{words[1:]}."


def _place(flat: int, side: int) -> str:
    """Which ninth of the picture: `upper left`, `lower middle`, `middle`."""
    down, across = ((3 * x) // side for x in divmod(flat, side))
    height, width = ("upper", "", "lower")[down], ("left", "middle", "right")[across]
    return f"{height} {width}".strip() if height or width == "middle" else f"middle {width}"


def tinted(
    picture: NDArray[np.uint8] | None,
    occlusion: Occlusion,
    what: str,
    *,
    in_dark: bool,
) -> str:
    """The picture in grey, blue where covering raises `what` and orange where it lowers it.

    `what` is years or female. The largest change, or LEAST where that is larger, has the full
    tint. Without a picture the ground is that of the page's surfaces. A data URI.
    """
    change = occlusion.years if what == "years" else occlusion.female
    if picture is None:
        base = np.broadcast_to(np.array(_rgb(PALETTE["surface"][in_dark])), (_SIDE, _SIDE, 3))
    else:
        grey = Image.fromarray(picture).convert("L").resize((_SIDE, _SIDE))
        base = np.repeat(np.asarray(grey, float)[..., None], 3, axis=2)
    most = max(float(np.abs(change).max()), LEAST[what])
    # One value a step of the patch, then softly between them: the patch's rim is no feature.
    steps = max(change.shape[0] // occlusion.stride, 1)
    coarse = Image.fromarray(change.astype(np.float32)).resize((steps, steps), Image.Resampling.BOX)
    soft = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), float)[..., None]
    tint = np.where(soft > 0, _rgb(PALETTE["accent"][in_dark]), _rgb(PALETTE["group"][in_dark]))
    alpha = _FULL * np.minimum(np.abs(soft) / most, 1)
    pixels = (base * (1 - alpha) + tint * alpha).round().astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def _rgb(colour: str) -> tuple[int, int, int]:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return r, g, b


# Worse pictures ------------------------------------------------------------------------------


def worse_pictures(readings: Sequence[Reading], age_true: Any) -> list[Drawn]:
    """Heat maps of the age error (or the age, without a label) and of P(female), by severity."""
    labelled = is_number(age_true)
    truth = float(age_true) if labelled else 0.0
    ages = [r.age - truth for r in readings]
    title = "Age error by what is done to the picture, years" if labelled else "Age read, years"
    return [
        _by_severity(readings, ages, key="worse-age", title=title, signed=labelled),
        _by_severity(
            readings,
            [r.female for r in readings],
            key="worse-female",
            title="P(female) by what is done to the picture",
            signed=False,
        ),
    ]


def _by_severity(
    readings: Sequence[Reading], values: Sequence[float], *, key: str, title: str, signed: bool
) -> Drawn:
    is_score = key == "worse-female"
    clean, worse = (readings[0], values[0]), list(zip(readings[1:], values[1:], strict=True))
    down = list(dict.fromkeys(r.label for r, _ in worse))
    steps = sorted({r.severity for r, _ in worse})
    across = ["clean", *map(str, steps)]
    cells: list[dict[str, Any]] = [
        {"x": 0, "y": y, "value": clean[1], "reading": clean[0]} for y in range(len(down))
    ]
    cells += [
        {"x": 1 + steps.index(r.severity), "y": down.index(r.label), "value": v, "reading": r}
        for r, v in worse
    ]
    for cell in cells:
        v, r = float(cell["value"]), cell["reading"]
        cell["words"] = score(v) if is_score else years(v, signed=signed)
        cell["group"] = r.label
        cell["hover"] = f"{r.label}, {r.words}: {cell['words']}"
    most = max(float(np.abs(values).max()), 1.0)
    low, high, scale = (-most, most, SIGNED) if signed else (0.0, 100.0, SEQUENTIAL)
    if is_score:
        low, high, scale = 0.0, 1.0, SIGNED
    figure = grid(across, down, axis="severity")
    figure.add_trace(heat(matrix(cells, len(across), len(down)), scale, low=low, high=high))
    write_cells(figure, cells, quiet=[c["x"] == 0 for c in cells])
    table = pd.DataFrame(
        [(r.label, r.severity, r.words, v) for r, v in zip(readings, values, strict=True)],
        columns=["what", "severity", "step", "value"],
    )
    said = "; ".join(
        f"{name} " + ", ".join(c["words"] for c in cells if c["y"] == y)
        for y, name in enumerate(down)
    )
    return Drawn(
        key=key,
        title=title,
        alt=f"{title}, clean then by severity. {said}.",
        table=table,
        figure=figure,
    )


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float, np.number)) and bool(np.isfinite(value))
