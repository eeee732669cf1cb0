"""A canvas for a batch of drawn faces and the few shapes they are made of, in numpy alone.

Every shape is a *coverage*: an array [faces, rows, columns] in 0..1 that says how much of a pixel
it takes, with an edge one pixel wide. A coverage is exactly 0 outside the shape, so a shape may be
computed in a window only, and a face does not depend on the faces drawn beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 at work; the stubs lose sight of it
Size = Floats | float  # one for each face, [faces, 1, 1], or the same for all


@dataclass(frozen=True)
class Patch:
    """A window of the canvas: views of the pictures and the coordinates of their pixels.

    Coordinates are face units: 0 is the middle of the head, the picture of an upright, unscaled
    head reaches from -1 to 1; `x` grows to the right, `y` downwards. `pixel` is a pixel's width.
    """

    picture: Floats  # [faces, 3, rows, columns], 0..1, painted in place
    x: Floats  # [faces, rows, columns]
    y: Floats  # [faces, rows, columns]
    pixel: Floats  # [faces, 1, 1]

    def window(self, left: float, top: float, right: float, bottom: float) -> Patch:
        """Cut the smallest rectangle of pixels that holds this part of every face of the batch."""
        inside = (self.x >= left) & (self.x <= right) & (self.y >= top) & (self.y <= bottom)
        rows = np.flatnonzero(inside.any(axis=(0, 2)))
        columns = np.flatnonzero(inside.any(axis=(0, 1)))
        if not len(rows):
            return self
        cut = np.s_[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Patch(self.picture[cut], self.x[cut], self.y[cut], self.pixel)

    def paint(self, coverage: Floats, colour: Size) -> None:
        """Lay `colour` [faces, 3, 1, 1] (or one a pixel, or a grey) over what is there."""
        layer = colour - self.picture
        layer *= coverage[:, None]
        np.add(self.picture, layer, out=self.picture)

    def shade(self, factor: Floats) -> None:
        """Multiply what is there by `factor` [faces, rows, columns]."""
        np.multiply(self.picture, factor[:, None], out=self.picture)

    def edge(self, distance: Floats, softness: float = 1.0) -> Floats:
        """Turn a signed distance (negative inside) into a coverage."""
        distance *= -1.0 / (softness * self.pixel)
        distance += 0.5
        return np.clip(distance, 0.0, 1.0, out=distance)


def new_canvas(
    size: int, *, scale: Floats, tilt: Floats, shift_x: Floats, shift_y: Floats
) -> Patch:
    """An empty canvas for faces in the given poses: arrays [faces, 1, 1], tilt in radians."""
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / size) - 1
    across = axis[None, None, :] - shift_x
    down = axis[None, :, None] - shift_y
    cos, sin = np.cos(tilt) / scale, np.sin(tilt) / scale
    x = cos * across + sin * down
    y = cos * down - sin * across
    picture = np.zeros((len(scale), 3, size, size), dtype=np.float32)
    return Patch(picture, x, y, np.float32(2 / size) / scale)


def ellipse(x: Floats, y: Floats, wide: Size, high: Size) -> Floats:
    """Approximate signed distance to an ellipse about 0 (first order, exact on the outline)."""
    a, b = x / wide, y / high
    radius: Floats = np.sqrt(a * a + b * b)
    a /= wide
    b /= high
    slope = np.sqrt(a * a + b * b)
    slope += 1e-6
    radius *= radius - 1.0
    radius /= slope
    return radius


def rounded_box(x: Floats, y: Floats, wide: Size, high: Size, corner: Size) -> Floats:
    """Signed distance to a box of half sizes `wide` and `high` about 0 with round corners."""
    a, b = np.abs(x) - (wide - corner), np.abs(y) - (high - corner)
    inner = np.minimum(np.maximum(a, b), 0.0)
    np.maximum(a, 0.0, out=a)
    np.maximum(b, 0.0, out=b)
    outer: Floats = np.sqrt(a * a + b * b)
    return outer + inner - corner


def stroke(
    patch: Patch, along: Floats, across: Floats, *, half: Size, bend: Size, width: Size
) -> Floats:
    """Coverage of a tapered brush stroke about 0, of half length `half`, along a parabola.

    The ends lie `bend` further along `across` than the middle; `width` is half the stroke's
    breadth in the middle.
    """
    t = along / half
    t *= t
    distance = np.abs(across - bend * t)
    distance -= width * (1.0 - t)
    coverage = patch.edge(distance)
    t *= -4.0
    t += 4.0
    coverage *= np.clip(t, 0.0, 1.0, out=t)
    return coverage


def glow(x: Floats, y: Floats, wide: Size, high: Size) -> Floats:
    """A soft spot about 0: 1 in the middle, 0 on and beyond the ellipse."""
    a, b = x / wide, y / high
    a *= a
    b *= b
    a += b
    np.subtract(1.0, a, out=a)
    np.maximum(a, 0.0, out=a)
    a *= a
    return a


def tint(red: float, green: float, blue: float) -> Floats:
    """One colour for all faces, or a factor a channel: [1, 3, 1, 1]."""
    return np.array([red, green, blue], dtype=np.float32)[None, :, None, None]
