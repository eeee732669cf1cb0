"""How a face is drawn: layer by layer, back to front, on a batch of faces at once."""

from __future__ import annotations

import numpy as np

from model.face_features import (
    paint_brows,
    paint_ears,
    paint_eyes,
    paint_freckles,
    paint_glasses,
    paint_lines,
    paint_mouth,
    paint_nose,
)
from model.face_hair import paint_beard, paint_bow, paint_hair, paint_hair_behind
from model.face_shapes import Floats, Patch, ellipse, glow, new_canvas, rounded_box, tint
from model.face_traits import Traits


def paint_faces(traits: Traits, *, size: int) -> Floats:
    """Paint a batch in the shape of `Traits.part_of`: [b, 3, size, size], about 0..1, no noise."""
    t = traits
    canvas = new_canvas(size, scale=t.scale, tilt=t.tilt, shift_x=t.shift_x, shift_y=t.shift_y)
    _background(canvas, t)
    _body(canvas, t)
    paint_hair_behind(canvas, t)
    _neck(canvas, t)
    paint_ears(canvas, t)
    _head(canvas, t)
    paint_lines(canvas, t)
    paint_freckles(canvas, t)
    paint_eyes(canvas, t)
    paint_brows(canvas, t)
    paint_nose(canvas, t)
    paint_beard(canvas, t)
    paint_mouth(canvas, t)
    paint_hair(canvas, t)
    paint_glasses(canvas, t)
    paint_bow(canvas, t)
    _light(canvas, t)
    return canvas.picture


def _background(canvas: Patch, t: Traits) -> None:
    canvas.picture[:] = t.back
    rim = canvas.x * canvas.x + canvas.y * canvas.y
    canvas.shade(1.06 - 0.07 * rim)
    disc = canvas.edge(np.sqrt(rim) - 0.86, 2.0)
    canvas.paint(0.22 * disc, 1.0)


def _body(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-2, 0.5, 2, 3)
    body = patch.edge(rounded_box(patch.x, patch.y - 1.62, t.shoulders, 0.9, 0.45))
    patch.paint(body, t.shirt)
    fold = glow(patch.x, patch.y - 0.72, t.shoulders * 0.7, 0.5)
    patch.paint(body * fold * 0.35, t.shirt * 0.6)


def _neck(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.5, -0.05, 0.5, 1.1)
    bottom = 0.80
    outline = rounded_box(patch.x, patch.y - bottom + 0.4, t.neck, 0.4, t.neck * 0.9)
    collar = patch.edge(outline - 0.045) * patch.edge(0.71 - patch.y + 0.3 * np.abs(patch.x), 3.0)
    patch.paint(collar, np.clip(t.shirt * 1.25, 0, 1))
    neck = patch.edge(outline)
    patch.paint(neck, t.skin * 0.90)
    shadow = glow(patch.x, patch.y - t.head_h + 0.03, t.head_w * 0.9, 0.22)
    patch.paint(neck * shadow * 0.55, t.skin * 0.62)


def _head(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.7, -0.75, 0.7, 0.75)
    face = patch.edge(ellipse(t.on_jaw(patch), patch.y, t.head_w, t.head_h))
    patch.paint(face, t.skin)
    # a rounded look: darker towards the rim, a glow on forehead and nose
    a, b = patch.x / t.head_w, patch.y / t.head_h
    rim = np.clip(a * a * a * a + b * b * b * b, 0, 1)
    patch.paint(
        face * rim * 0.34,
        t.skin * tint(0.80, 0.68, 0.62),
    )
    x, y = t.turned(patch), patch.y
    light = glow(x, y + 0.16, 0.30, 0.26)
    patch.paint(light * 0.16, 1.0)
    x = np.abs(x)
    red = t.skin * tint(1.02, 0.66, 0.64)
    cheek = glow(x - 0.27, y - t.mouth_y * 0.62 - t.eye_y * 0.9, 0.16, 0.13)
    patch.paint(cheek * t.blush * 0.8, red)


def _light(canvas: Patch, t: Traits) -> None:
    across = np.clip(canvas.x * 1.6, -1, 1)
    across *= 1.5 - 0.5 * across * across  # falls off around the head, even beside it
    canvas.shade(t.gain * (1 + t.side * across - 0.75 * np.abs(t.side)))
