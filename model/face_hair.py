"""What grows on a drawn face: hair behind the head and on it, beard and moustache; and a bow."""

from __future__ import annotations

import numpy as np

from model.face_shapes import Floats, Patch, ellipse, glow, rounded_box, stroke, tint
from model.face_traits import Traits


def paint_hair_behind(canvas: Patch, t: Traits) -> None:
    """Long hair and a bun, behind head and neck."""
    patch = canvas.window(-0.95, -1.1, 0.95, 1.25)
    top = -t.head_h * (1 + t.volume) + 0.02
    wide = t.head_w * (1.16 + 1.6 * t.volume)
    high = (t.length - top) / 2
    away = rounded_box(
        patch.x, patch.y - (t.length + top) / 2, wide, high, np.minimum(wide, high) * 0.85
    )
    away -= _curled(t, patch)
    hair = patch.edge(away) * t.long
    strands = _strands(t, patch)
    patch.paint(hair, (t.hair * 0.84) * strands[:, None])
    bun = patch.window(-0.5, -1.2, 0.5, -0.3)
    ball = ellipse(bun.x, bun.y + t.head_h + 0.10, 0.19, 0.16)
    bun.paint(bun.edge(ball) * t.bun, t.hair * 0.90 * _strands(t, bun)[:, None])


def paint_hair(canvas: Patch, t: Traits) -> None:
    """The cap of hair down to the hairline, and its sides down to the ears."""
    patch = canvas.window(-0.85, -1.0, 0.85, 0.7)
    x, y = patch.x, patch.y
    outer = ellipse(
        x,
        y + 0.03,
        t.head_w * (1.01 + 0.03 * t.crown + t.volume),
        t.head_h * (1.01 + 0.02 * t.crown + t.volume),
    )
    outer -= _curled(t, patch)
    cap = patch.edge(outer)
    across = (x - 0.5 * t.turn) / t.head_w
    line = t.hairline + t.temple * across * across + t.part * across
    line += 0.012 * np.sin(30 * x + t.wave) + 1.4 * _curled(t, patch)
    top = patch.edge(y - line, 1.5) * cap * t.crown
    # sides: between the hair's outline and the face, down to the ears
    beside = patch.edge(-0.030 - ellipse(x, y, t.head_w, t.head_h), 1.5)
    sides = (
        np.clip(beside + 2.2 * (np.abs(across) - 0.90), 0, 1)
        * cap
        * patch.edge(y - t.eye_y - 0.05, 4.0)
    )
    hair = np.maximum(top, sides * np.clip(t.crown * 2, 0.6, 1))
    strands = _strands(t, patch)
    shine = glow(x + 0.10, y + t.head_h * 0.86, 0.42, 0.13)
    strands += 0.30 * shine
    patch.paint(hair, t.hair * strands[:, None])


def paint_beard(canvas: Patch, t: Traits) -> None:
    """A beard below the cheeks and a moustache, from a shadow to full."""
    patch = canvas.window(-0.65, 0.0, 0.65, 0.75)
    x, y = t.turned(patch), patch.y
    face = patch.edge(ellipse(t.on_jaw(patch), patch.y, t.head_w * 1.01, t.head_h * 1.02))
    start = t.eye_y + t.mouth_y + 0.055 - 1.15 * x * x  # climbs from the chin to the ears
    grown = patch.edge(start - y, 3.0) * face
    colour = t.hair * 0.80 * _strands(t, patch)[:, None]
    patch.paint(grown * t.beard, colour)
    above = y - t.eye_y - (t.nose_y + t.mouth_y) / 2 - 0.012
    over = stroke(patch, x, above, half=t.mouth_w * 1.08, bend=0.050, width=0.036)
    patch.paint(over * t.moustache, t.hair * 0.80)


def paint_bow(canvas: Patch, t: Traits) -> None:
    """A small girl's bow."""
    patch = canvas.window(-0.1, -0.95, 0.7, -0.2)
    x, y = patch.x - 0.27, patch.y + t.head_h * 0.92
    wing = patch.edge(np.maximum(np.abs(x) - 0.15, np.abs(y) - 0.02 - 0.55 * np.abs(x)))
    knot = patch.edge(ellipse(x, y, 0.042, 0.046))
    colour = tint(0.93, 0.36, 0.50)
    patch.paint(wing * t.bow, colour)
    patch.paint(knot * t.bow, colour * 0.78)


def _strands(t: Traits, patch: Patch) -> Floats:
    """Light and dark strands, curlier where the hair is."""
    bend = np.sin((4 + 9 * t.curl) * patch.y + t.wave)
    bend *= 1.5 + 2.5 * t.curl
    fine: Floats = np.sin(61 * patch.x + bend + t.wave)
    fine += np.sin(37 * patch.x + bend)
    fine *= 0.05
    fine += 1
    return fine


def _curled(t: Traits, patch: Patch) -> Floats:
    """How far curls push the outline of the hair outwards."""
    out: Floats = np.sin(17 * patch.x + t.wave) + np.sin(15 * patch.y + 2 * t.wave)
    return 0.022 * t.curl * out
