"""What happens to pictures: less light, too much, blur, noise, JPEG, fewer pixels, a thing in the
way, a tilted head; each at five severities.

Applied to decoded pixels, so that everything downstream is as it was for the clean picture; the
grey bars the decoder added stay as they are. What is drawn by lot (noise, place, side) follows
from the picture's own pixels and a seed: the same face is changed alike in any order and any
batch, and severities of one corruption differ in degree, not in luck. After ImageNet-C (Hendrycks
& Dietterich 2019), with steps that have a unit. Docs: docs/stress.md.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from audit.errors import InputError
from model.conditions import photo_boxes
from model.pictures import GROUND

Pixels = npt.NDArray[np.uint8]
Lots = np.random.Generator
Change = Callable[[Pixels, float, Lots], Pixels]

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE = 128  # pixels a side: lengths are meant at this size and scale with the picture


@dataclass(frozen=True)
class Corruption:
    """One way to harm a picture: what it is called, its five steps, and their unit in words."""

    label: str
    steps: tuple[float, float, float, float, float]
    unit: str  # a format of the step
    change: Change


def corrupt(picture: Pixels, corruption: str, severity: int, *, seed: int = 0) -> Pixels:
    """The picture, uint8 [S, S, 3], as `corruption` leaves it at `severity` 1 to 5.

    Depends on the picture's pixels, the corruption, the severity and the seed alone. Raises
    InputError for a corruption or severity that does not exist.
    """
    kind = CORRUPTIONS.get(corruption)
    if kind is None:
        raise InputError(f"no corruption {corruption!r}; there are: {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise InputError(f"no severity {severity}; there are: {', '.join(map(str, SEVERITIES))}")
    top, bottom, left, right = photo_boxes(picture[None])[0]
    if top == bottom:
        return picture.copy()
    whole = picture.copy()
    photo = np.ascontiguousarray(picture[top:bottom, left:right])
    step = kind.steps[severity - 1]
    whole[top:bottom, left:right] = kind.change(photo, step, _lots(picture, corruption, seed))
    return whole


def step_words(corruption: str, severity: int) -> str:
    """`2 EV less light`: what a severity means; an EV is a halving or doubling."""
    kind = CORRUPTIONS[corruption]
    return kind.unit.format(kind.steps[severity - 1]).replace("%", "\u00a0%")


def _lots(picture: Pixels, corruption: str, seed: int) -> Lots:
    """Lots of this picture and this corruption; every severity meets the same."""
    digest = hashlib.sha256(f"{seed} {corruption} {picture.shape} ".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest.digest()[:16], "big")))


# The changes: photo uint8 [h, w, 3], step, lots -> photo of the same size -------------------------


def _exposed(photo: Pixels, stops: float, _lots: Lots) -> Pixels:
    """Light times 2^stops, through sRGB's curve (IEC 61966-2-1), clipped at white."""
    x = np.arange(256) / 255
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) * 2.0**stops
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.floor(np.clip(coded, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.asarray(table[photo], dtype=np.uint8)


def _darkened(photo: Pixels, stops: float, lots: Lots) -> Pixels:
    return _exposed(photo, -stops, lots)


def _blurred(photo: Pixels, sigma: float, _lots: Lots) -> Pixels:
    radius = sigma * max(photo.shape[:2]) / REFERENCE
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))


def _noisy(photo: Pixels, share: float, lots: Lots) -> Pixels:
    """Gaussian noise of every channel, its standard deviation a share of the full range."""
    noise = lots.standard_normal(photo.shape, dtype=np.float32)
    noise *= 255 * share
    noise += photo
    noise += 0.5
    return np.floor(np.clip(noise, 0, 255)).astype(np.uint8)


def _compressed(photo: Pixels, quality: float, _lots: Lots) -> Pixels:
    data = io.BytesIO()
    Image.fromarray(photo).save(data, "JPEG", quality=int(quality))
    with Image.open(data, formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


def _shrunk(photo: Pixels, factor: float, _lots: Lots) -> Pixels:
    """Fewer pixels by averaging, brought back to size as the decoder does."""
    high, wide = photo.shape[:2]
    small = (max(1, round(wide / factor)), max(1, round(high / factor)))
    image = Image.fromarray(photo).resize(small, Image.Resampling.BOX)
    return np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC))


def _covered(photo: Pixels, share: float, lots: Lots) -> Pixels:
    """A box of one colour, the photo's shape, somewhere inside, over this share of the area."""
    high, wide = photo.shape[:2]
    down, across, *colour = lots.random(5)
    box_high, box_wide = round(high * share**0.5), round(wide * share**0.5)
    top, left = round((high - box_high) * down), round((wide - box_wide) * across)
    covered = photo.copy()
    covered[top : top + box_high, left : left + box_wide] = (np.array(colour) * 255).astype(
        np.uint8
    )
    return covered


def _tilted(photo: Pixels, degrees: float, lots: Lots) -> Pixels:
    """Turned about the middle, to a side drawn by lot; the corners that open are ground."""
    side = 1 if lots.random() < 0.5 else -1
    turned = Image.fromarray(photo).rotate(
        side * degrees, resample=Image.Resampling.BICUBIC, fillcolor=GROUND
    )
    return np.asarray(turned)


CORRUPTIONS: Mapping[str, Corruption] = {
    "darkness": Corruption("Darkness", (1, 2, 3, 4, 5), "{:g} EV less light", _darkened),
    "overexposure": Corruption(
        "Over-exposure", (0.5, 1, 1.5, 2, 2.5), "{:g} EV more light", _exposed
    ),
    "blur": Corruption("Blur", (1, 1.5, 2.5, 4, 6), "Gaussian, σ {:g} px of 128", _blurred),
    "noise": Corruption(
        "Noise", (0.04, 0.08, 0.12, 0.18, 0.26), "Gaussian, σ {:.0%} of full range", _noisy
    ),
    "jpeg": Corruption("JPEG", (40, 25, 15, 10, 5), "quality {:g}", _compressed),
    "downscale": Corruption("Fewer pixels", (2, 3, 4, 6, 8), "1/{:g} of the side", _shrunk),
    "occlusion": Corruption(
        "Occlusion", (0.05, 0.1, 0.2, 0.3, 0.4), "a box over {:.0%} of the area", _covered
    ),
    "tilt": Corruption("Tilt", (5, 10, 20, 30, 45), "{:g}° to one side", _tilted),
}
