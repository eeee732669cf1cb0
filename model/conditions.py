"""What a picture is like: brightness, contrast, sharpness, colour, skin tone, size, copies.

Measured once, at predict time, on the pixels the network sees (bars that the decoder added left
out); resolution and compression are the file's. Nothing here knows a label or a reading, and
numpy is all it needs. Docs: docs/conditions.md.

Laws that tests hold to: adding a grey moves `brightness` alone; less light (a gain) scales
brightness, contrast and colourfulness and leaves sharpness; a face's figures do not depend on the
faces beside it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.contract import CONDITIONS
from model.pictures import GROUND

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

MEASURED = ("brightness", "contrast", "sharpness", "colourfulness", "ita")
ITA_EDGES = (-30.0, 10.0, 28.0, 41.0, 55.0)  # degrees; a class takes its upper edge
SKIN_TONES = ("6 dark", "5 brown", "4 tan", "3 intermediate", "2 light", "1 very light")
LEAST_SKIN = 0.1  # of the region; below, the picture has no skin tone to tell
_AT_ONCE = 8  # faces measured together: their layers stay in the processor's cache
_REGION = (0.36, 0.74, 0.32, 0.68)  # top, bottom, left, right: eyes to mouth, of the photo's sides
_POINTS = 20  # of the region, a side: more pixels do not change a median
_DIGITS = 4
_WHITE = 255_000.0  # luma in thousandths: whole numbers add up exactly in any order
_FLAT = 500.0  # half a grey level; below, there is no contrast that edges could be weighed by


def measure_pixels(pictures: Pixels) -> dict[str, Floats]:
    """MEASURED of decoded pictures uint8 [n, S, S, 3], each float64 [n], to four decimals.

    brightness
        Mean luma (Rec. 601, of the coded values), 0 black to 1 white.
    contrast
        Standard deviation of luma over its range (RMS contrast, Peli 1990), 0 to .5.
    sharpness
        Root mean square of the luma's Laplacian, over its contrast and √20: 1 for pixel noise
        without any form, near 0 for a blurred picture. The energy of the Laplacian (Pertuz et al.
        2013) made free of gain. NaN where the picture is flat.
    colourfulness
        Hasler & Süsstrunk (2003): σ of the opponent channels rg = R − G and yb = (R + G)/2 − B
        plus .3 of the length of their mean, in grey levels; 0 grey, 15 slightly, 45 quite, 109
        extremely colourful.
    ita
        Individual typology angle in degrees, see `_typology_angle`; NaN where too little skin is
        seen.

    NaN throughout for a picture that is nothing but ground.
    """
    out = np.full((len(pictures), len(MEASURED)), np.nan)
    boxes, kind = np.unique(photo_boxes(pictures), axis=0, return_inverse=True)
    for number, (top, bottom, left, right) in enumerate(boxes):
        if top == bottom:
            continue
        rows = np.flatnonzero(kind.ravel() == number)
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            out[part] = _measure(pictures[part, top:bottom, left:right])
    # -0.0 would be another word in a CSV
    return dict(zip(MEASURED, np.round(out, _DIGITS).T + 0.0, strict=True))


def photo_boxes(pictures: Pixels) -> npt.NDArray[np.int64]:
    """(top, bottom, left, right) of what is photo and not the decoder's grey bars, int64 [n, 4].

    All zero for a picture that is nothing but ground. A photo's own rows of exactly that grey at
    its edge are taken for a bar.
    """
    n, high, wide, _ = pictures.shape
    boxes = np.tile(np.array([0, high, 0, wide], dtype=np.int64), (n, 1))
    ground = np.array(GROUND, dtype=np.uint8)
    edges = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    barred = np.any([(edge == ground).all(axis=(1, 2)) for edge in edges], axis=0)
    for i in np.flatnonzero(barred):
        photo = (pictures[i] != ground).any(axis=2)
        rows, columns = np.flatnonzero(photo.any(axis=1)), np.flatnonzero(photo.any(axis=0))
        boxes[i] = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else 0
    return boxes


def _measure(pixels: Pixels) -> Floats:
    """MEASURED [b, 5] of photos of one size, uint8 [b, h, w, 3]."""
    b, high, wide, _ = pixels.shape
    red, green, blue = pixels.transpose(3, 0, 1, 2).astype(np.float32, order="C")
    luma = 587 * green
    luma += 299 * red
    luma += 114 * blue
    mean, spread = _moments(luma)
    sharp = np.full(b, np.nan)
    if min(high, wide) > 2:
        np.divide(_edge_energy(luma), np.sqrt(20) * spread, out=sharp, where=spread > _FLAT)
    rg = _moments(red - green)
    red += green
    blue *= 2
    red -= blue
    yb = [moment / 2 for moment in _moments(red)]
    colour = np.hypot(rg[1], yb[1]) + 0.3 * np.hypot(rg[0], yb[0])
    angle = _typology_angle(pixels)
    return np.column_stack([mean / _WHITE, spread / _WHITE, sharp, colour, angle])


def _edge_energy(luma: Singles) -> Floats:
    """Root mean square of the four-neighbour Laplacian [b]."""
    inner = 4 * luma[:, 1:-1, 1:-1]
    inner -= luma[:, :-2, 1:-1]
    inner -= luma[:, 2:, 1:-1]
    inner -= luma[:, 1:-1, :-2]
    inner -= luma[:, 1:-1, 2:]
    return np.asarray(np.sqrt(_squares(inner.reshape(len(inner), -1)) / inner[0].size))


def _moments(x: Singles) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each picture [b, h, w] of whole numbers."""
    flat = x.reshape(len(x), -1)
    n = flat.shape[1]
    mean = flat.sum(axis=1, dtype=np.float64) / n
    return mean, np.sqrt(np.maximum(_squares(flat) / n - mean * mean, 0))


def _squares(flat: Singles) -> Floats:
    """Sum of squares of each row: whole numbers below 2^53, the same in whatever order."""
    return np.asarray(np.einsum("bp,bp->b", flat, flat, dtype=np.float64))


def _linear() -> Singles:
    """sRGB's coded value (0..255) as linear light (IEC 61966-2-1), float32 [256]."""
    x = np.arange(256) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear()


def lightness_and_yellow(pixels: Pixels) -> tuple[Singles, Singles]:
    """CIELAB L* and b* (D65) of sRGB pixels uint8 [..., 3]."""
    red, green, blue = (_LINEAR[pixels[..., c]] for c in range(3))
    y = _cube(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _cube((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / np.float32(1.08883))
    return 116 * y - 16, 200 * (y - z)


def _cube(t: Singles) -> Singles:
    """CIELAB's f: the cube root, straight near black."""
    return np.where(t > 216 / 24389, np.cbrt(t), t * np.float32(841 / 108) + np.float32(4 / 29))


def _typology_angle(pixels: Pixels) -> Floats:
    """ITA = arctan((L* − 50) / b*) · 180 / π of the median skin pixel, degrees [b].

    Chardon, Crétois & Hourseau (1991). The region is the middle of the photo, eyes to mouth, in
    which eyes, brows and lips are the minority; of its pixels count those that are neither black
    nor clipped and lie in the skin locus of Soriano et al. (2003), a band of chromaticities that
    holds for all tones and does not change with the amount of light. NaN where fewer than
    LEAST_SKIN of them do, or where skin is blue (b* ≤ 0).
    """
    b, high, wide, _ = pixels.shape
    ends = zip(_REGION, (high, high, wide, wide), strict=True)
    top, bottom, left, right = (int(share * side + 0.5) for share, side in ends)
    step = max(1, min(bottom - top, right - left) // _POINTS)
    region = pixels[:, top:bottom:step, left:right:step].reshape(b, -1, 3)
    if not region.size:
        return np.full(b, np.nan)
    skin = _is_skin(region)
    count = skin.sum(axis=1)
    light, yellow = (_median(x, skin, count) for x in lightness_and_yellow(region))
    usable = (count >= LEAST_SKIN * region.shape[1]) & (yellow > 0)
    return np.where(usable, np.degrees(np.arctan2(light - 50, yellow)), np.nan)


def _is_skin(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Whether sRGB pixels [b, p, 3] have a colour that skin has in some light."""
    rgb = pixels.astype(np.float32)
    total = np.maximum(rgb.sum(axis=2), 1)
    r, g = rgb[..., 0] / total, rgb[..., 1] / total
    upper = (-1.3767 * r + 1.0743) * r + 0.1452
    lower = (-0.7760 * r + 0.5601) * r + 0.1766
    coloured = (r - 0.33) ** 2 + (g - 0.33) ** 2 > 0.0004
    lit = (total > 3 * 12) & (pixels.max(axis=2) < 255)
    return np.asarray((g < upper) & (g > lower) & (r > g) & coloured & lit)


def _median(x: Singles, kept: npt.NDArray[np.bool_], count: npt.NDArray[np.intp]) -> Floats:
    """Median of the kept values of each row; of none of them it is infinite."""
    rising = np.sort(np.where(kept, x, np.inf), axis=1)
    rows = np.arange(len(x))
    last = x.shape[1] - 1
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, last)
    return np.asarray((rising[rows, low] + rising[rows, high]) / 2, dtype=np.float64)


def skin_tones(ita: Floats) -> list[str | None]:
    """The six classes of Chardon et al. (1991) and Del Bino & Bernerd (2013); None without an ITA.

    `1 very light` > 55° ≥ `2 light` > 41° ≥ `3 intermediate` > 28° ≥ `4 tan` > 10° ≥ `5 brown` >
    −30° ≥ `6 dark`. The digit keeps them in order where levels are sorted.
    """
    place = np.searchsorted(ITA_EDGES, np.nan_to_num(ita), side="left")
    return [None if np.isnan(x) else SKIN_TONES[i] for x, i in zip(ita, place, strict=True)]


def conditions_of(faces: pd.DataFrame, measured: Mapping[str, Floats]) -> pd.DataFrame:
    """The columns CONDITIONS of `faces`, rows of a face table, with `measure_pixels` of them."""
    width, height = (faces[name].to_numpy(dtype=np.float64) for name in ("width", "height"))
    bits = 8 * faces["bytes"].to_numpy(dtype=np.float64) / (width * height)
    columns = {
        **{f"picture_{name}": measured[name] for name in MEASURED},
        "picture_skin_tone": pd.array(skin_tones(measured["ita"]), dtype="str"),
        "picture_side": np.minimum(width, height).astype(np.int64),
        "picture_bits_per_pixel": np.round(bits, _DIGITS),
        "picture_copy": faces["copy_kind"].fillna("none").to_numpy(dtype=object),
    }
    return pd.DataFrame({name: columns[name] for name in CONDITIONS}, index=faces.index)
