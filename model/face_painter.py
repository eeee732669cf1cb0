"""How a face is drawn: one function a layer, back to front, on a batch of faces at once."""

from __future__ import annotations

import numpy as np

from model.face_shapes import Floats, Patch, ellipse, glow, new_canvas, rounded_box, stroke
from model.face_traits import Traits


def paint_faces(traits: Traits, *, size: int) -> Floats:
    """Paint a batch of `Traits.part_of` shape: pictures [b, 3, size, size], about 0..1, no noise."""
    t = traits
    canvas = new_canvas(size, scale=t.scale, tilt=t.tilt, shift_x=t.shift_x, shift_y=t.shift_y)
    _background(canvas, t)
    _body(canvas, t)
    _hair_behind(canvas, t)
    _neck(canvas, t)
    _ears(canvas, t)
    _head(canvas, t)
    _lines_of_age(canvas, t)
    _eyes(canvas, t)
    _brows(canvas, t)
    _nose(canvas, t)
    _beard(canvas, t)
    _mouth(canvas, t)
    _hair(canvas, t)
    _glasses(canvas, t)
    _bow(canvas, t)
    _light(canvas, t)
    return canvas.picture


def _inner(t: Traits, patch: Patch) -> tuple[Floats, Floats]:
    """Coordinates of the features: turned with the head, the far side a little narrower."""
    x = patch.x - t.turn
    return x * (1 + 1.6 * t.turn * np.sign(x)), patch.y


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


def _strands(t: Traits, patch: Patch) -> Floats:
    """Light and dark strands, curlier where the hair is."""
    bend = np.sin((4 + 9 * t.curl) * patch.y + t.wave)
    bend *= 1.5 + 2.5 * t.curl
    fine = np.sin(61 * patch.x + bend + t.wave)
    fine += np.sin(37 * patch.x + bend)
    return 1 + 0.05 * fine


def _curled(t: Traits, patch: Patch) -> Floats:
    """How far curls push the outline of the hair outwards."""
    return 0.022 * t.curl * (np.sin(17 * patch.x + t.wave) + np.sin(15 * patch.y + 2 * t.wave))


def _hair_behind(canvas: Patch, t: Traits) -> None:
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


def _neck(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.5, 0.2, 0.5, 1.1)
    bottom = 0.80
    outline = rounded_box(patch.x, patch.y - bottom + 0.4, t.neck, 0.4, t.neck * 0.9)
    collar = patch.edge(outline - 0.045) * patch.edge(0.71 - patch.y + 0.3 * np.abs(patch.x), 3.0)
    patch.paint(collar, np.clip(t.shirt * 1.25, 0, 1))
    neck = patch.edge(outline)
    patch.paint(neck, t.skin * 0.90)
    shadow = glow(patch.x, patch.y - t.head_h + 0.03, t.head_w * 0.9, 0.22)
    patch.paint(neck * shadow * 0.55, t.skin * 0.62)


def _ears(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.75, -0.35, 0.75, 0.55)
    x = np.abs(patch.x + 0.3 * t.turn)
    long = 0.105 + 0.018 * t.droop
    ear = patch.edge(ellipse(x - t.head_w * 1.0, patch.y - t.eye_y - 0.10, 0.060, long))
    patch.paint(ear, t.skin * 0.95)
    inner = glow(x - t.head_w * 1.02, patch.y - t.eye_y - 0.09, 0.040, 0.075)
    patch.paint(inner * 0.55, t.skin * 0.70)
    jewel = patch.edge(ellipse(x - t.head_w * 1.03, patch.y - t.eye_y - 0.245, 0.026, 0.030))
    gold = np.array([0.95, 0.80, 0.36], dtype=np.float32)[None, :, None, None]
    patch.paint(jewel * t.earring, gold)


def _jaw_x(t: Traits, patch: Patch) -> Floats:
    """`x` as it would be on a plain ellipse: squarer or rounder in the lower half."""
    low = np.clip(patch.y / t.head_h, 0, 1)
    return patch.x / (1 + (t.jaw + t.cheeks) * low * (1.6 - low * 0.9))


def _head(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.7, -0.75, 0.7, 0.75)
    face = patch.edge(ellipse(_jaw_x(t, patch), patch.y, t.head_w, t.head_h))
    patch.paint(face, t.skin)
    # a rounded look: darker towards the rim, a glow on forehead and nose
    a, b = patch.x / t.head_w, patch.y / t.head_h
    rim = np.clip(a * a * a * a + b * b * b * b, 0, 1)
    patch.paint(
        face * rim * 0.34,
        t.skin * np.array([0.80, 0.68, 0.62], dtype=np.float32)[None, :, None, None],
    )
    x, y = _inner(t, patch)
    light = glow(x, y + 0.16, 0.30, 0.26)
    patch.paint(light * 0.16, 1.0)
    x = np.abs(x)
    red = t.skin * np.array([1.02, 0.66, 0.64], dtype=np.float32)[None, :, None, None]
    cheek = glow(x - 0.27, y - t.mouth_y * 0.62 - t.eye_y * 0.9, 0.16, 0.13)
    patch.paint(cheek * t.blush * 0.8, red)


def _lines_of_age(canvas: Patch, t: Traits) -> None:
    """Forehead lines, crow's feet, bags, folds: strokes of shadow as strong as the cue says."""
    shadow = t.skin * np.array([0.62, 0.50, 0.46], dtype=np.float32)[None, :, None, None]
    patch = canvas.window(-0.4, -0.55, 0.4, 0.0)
    x, y = _inner(t, patch)
    for step, at in enumerate((-0.215, -0.275, -0.335)):
        line = stroke(
            patch, x, y - t.eye_y * 0.6 - at, half=0.25 - 0.025 * step, bend=0.022, width=0.012
        )
        patch.paint(line * np.clip(1.25 * t.lines - 0.16 * step, 0, 1) * 0.62, shadow)
    frown = stroke(
        patch, y - t.eye_y + 0.12, np.abs(x) - 0.030, half=0.055, bend=-0.012, width=0.009
    )
    patch.paint(frown * t.lines * 0.5, shadow)

    patch = canvas.window(-0.55, -0.3, 0.55, 0.5)
    x, y = _inner(t, patch)
    x = np.abs(x)
    y = y - t.eye_y
    out = x - t.eye_x - t.eye_w - 0.062
    for slope in (-0.55, 0.0, 0.55):
        crow = stroke(
            patch,
            out,
            y - slope * out - 0.2 * slope * 0.25,
            half=0.052,
            bend=0.012 * np.sign(slope),
            width=0.010,
        )
        patch.paint(crow * t.crows * 0.62, shadow)
    bag = stroke(patch, x - t.eye_x, y - t.eye_h - 0.052, half=0.085, bend=-0.034, width=0.014)
    patch.paint(bag * t.bags * 0.62, shadow)
    puff = glow(x - t.eye_x, y - t.eye_h - 0.028, 0.09, 0.045)
    patch.paint(puff * t.bags * 0.28, shadow)
    hollow = glow(x - 0.33, y - 0.24, 0.08, 0.16)
    patch.paint(hollow * t.droop * 0.45, shadow)

    patch = canvas.window(-0.4, 0.0, 0.4, 0.65)
    x, y = _inner(t, patch)
    x = np.abs(x)
    y = y - t.eye_y
    middle = (t.nose_y + t.mouth_y) / 2 + 0.02
    fold = stroke(
        patch, y - middle, x - 0.150 - 0.42 * (y - middle), half=0.110, bend=-0.020, width=0.013
    )
    patch.paint(fold * t.folds * 0.66, shadow)
    sag = stroke(
        patch, y - t.mouth_y - 0.075, x - t.mouth_w - 0.030, half=0.070, bend=0.016, width=0.011
    )
    patch.paint(sag * t.droop * 0.75, shadow)


def _eyes(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.45, -0.3, 0.45, 0.35)
    x, y = _inner(t, patch)
    side = np.sign(x)
    x = np.abs(x) - t.eye_x
    y = y - t.eye_y
    white = patch.edge(ellipse(x, y, t.eye_w, t.eye_h))
    socket = glow(x, y + 0.02, t.eye_w * 1.7, t.eye_h * 2.1)
    patch.paint(socket * 0.22, t.skin * 0.62)
    patch.paint(white, 0.97)
    at = x - side * t.gaze
    up = y + 0.004
    iris = patch.edge(ellipse(at, up, t.iris_r, t.iris_r)) * white
    patch.paint(iris, t.iris)
    ring = glow(at, up - 0.012, t.iris_r, t.iris_r)
    patch.paint(iris * ring * 0.35, np.clip(t.iris * 1.8, 0, 1))
    patch.paint(patch.edge(ellipse(at, up, t.iris_r * 0.52, t.iris_r * 0.52)) * white, 0.05)
    spark = patch.edge(ellipse(at - side * 0.016, up + 0.018, 0.015, 0.015))
    patch.paint(spark * white * 0.95, 1.0)
    # lids: skin that comes down with age, then the lash line and its wing
    lid = np.clip((-y / t.eye_h - 0.62 + 0.55 * t.droop) * 6, 0, 1) * white
    patch.paint(lid, t.skin * 0.88)
    dark = t.skin * 0.18
    line = stroke(
        patch,
        x,
        y + t.eye_h * (1.0 - 0.25 * t.droop),
        half=t.eye_w * 1.12,
        bend=t.eye_h * 0.85,
        width=0.011 + 0.012 * t.lashes,
    )
    patch.paint(line * (0.55 + 0.45 * t.lashes), dark)
    wing = stroke(
        patch,
        x - t.eye_w * 1.05,
        y + t.eye_h * 0.55 + (x - t.eye_w) * 0.8,
        half=0.040,
        bend=0.0,
        width=0.016 * t.lashes,
    )
    patch.paint(wing * np.clip(1.8 * t.lashes - 0.6, 0, 1), dark)
    low = stroke(patch, x, y - t.eye_h, half=t.eye_w, bend=-t.eye_h * 0.8, width=0.007)
    patch.paint(low * 0.35, dark)
    crease = stroke(
        patch, x, y + t.eye_h + 0.030, half=t.eye_w * 1.05, bend=t.eye_h * 0.55, width=0.008
    )
    patch.paint(crease * 0.40, t.skin * 0.55)


def _brows(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.5, -0.4, 0.5, 0.15)
    x, y = _inner(t, patch)
    x = np.abs(x) - t.eye_x - 0.008
    y = y - t.eye_y - t.brow_y - t.brow_slope * x
    brow = stroke(patch, x, y, half=0.125, bend=t.brow_bend, width=t.brow_width + 0.008)
    patch.paint(brow * 0.9, t.brow)


def _nose(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.25, -0.15, 0.25, 0.45)
    x, y = _inner(t, patch)
    y = y - t.eye_y
    shadow = t.skin * np.array([0.74, 0.60, 0.56], dtype=np.float32)[None, :, None, None]
    bridge = stroke(
        patch,
        y - t.nose_y * 0.55,
        x - 0.62 * t.nose_w,
        half=t.nose_y * 0.50,
        bend=0.012,
        width=0.010,
    )
    patch.paint(bridge * 0.40, shadow)
    ball = glow(x, y - t.nose_y + 0.015, t.nose_w * 1.3, t.nose_w * 1.1)
    patch.paint(ball * 0.30, np.clip(t.skin * 1.12, 0, 1))
    base = stroke(patch, x, y - t.nose_y - 0.024, half=t.nose_w, bend=-0.030, width=0.011)
    patch.paint(base * 0.8, shadow)
    nostril = glow(np.abs(x) - t.nose_w * 0.52, y - t.nose_y - 0.012, 0.020, 0.013)
    patch.paint(np.clip(nostril * 1.6, 0, 1) * 0.6, t.skin * 0.35)


def _mouth(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.35, 0.05, 0.35, 0.65)
    x, y = _inner(t, patch)
    y = y - t.eye_y - t.mouth_y
    bend = -t.smile * 1.3
    lower = stroke(
        patch, x, y - t.lips * 0.45, half=t.mouth_w * 0.92, bend=bend * 1.15, width=t.lips * 1.05
    )
    patch.paint(lower, t.lip)
    upper = stroke(patch, x, y + t.lips * 0.30, half=t.mouth_w, bend=bend, width=t.lips * 0.75)
    patch.paint(upper, t.lip * 0.90)
    shine = stroke(
        patch, x, y - t.lips * 0.85, half=t.mouth_w * 0.5, bend=bend * 0.4, width=t.lips * 0.22
    )
    patch.paint(shine * 0.35, np.clip(t.lip * 1.5, 0, 1))
    grin = stroke(patch, x, y, half=t.mouth_w * 0.86, bend=bend * 0.75, width=t.lips * 0.75)
    patch.paint(grin * t.teeth, 0.97)
    gap = stroke(patch, x, y, half=t.mouth_w * 1.05, bend=bend, width=0.008)
    patch.paint(gap * (0.85 - 0.85 * t.teeth), t.lip * 0.42)


def _beard(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.65, 0.0, 0.65, 0.75)
    x, y = _inner(t, patch)
    face = patch.edge(ellipse(_jaw_x(t, patch), patch.y, t.head_w * 1.01, t.head_h * 1.02))
    start = t.eye_y + t.mouth_y + 0.055 - 1.15 * x * x  # climbs from the chin to the ears
    grown = patch.edge(start - y, 3.0) * face
    colour = t.hair * 0.80 * _strands(t, patch)[:, None]
    patch.paint(grown * t.beard, colour)
    above = y - t.eye_y - (t.nose_y + t.mouth_y) / 2 - 0.012
    over = stroke(patch, x, above, half=t.mouth_w * 1.08, bend=0.050, width=0.036)
    patch.paint(over * t.moustache, t.hair * 0.80)


def _hair(canvas: Patch, t: Traits) -> None:
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


def _glasses(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.65, -0.35, 0.65, 0.45)
    x, y = _inner(t, patch)
    y = y - t.eye_y - 0.012
    away = rounded_box(np.abs(x) - t.eye_x - 0.008, y, 0.160, 0.118, 0.118 * t.frame)
    lens = patch.edge(away.copy())
    rim = patch.edge(np.abs(away) - 0.013)
    patch.paint(lens * t.glasses * 0.13, 1.0)
    bridge = stroke(patch, x, y + 0.030, half=0.062, bend=0.016, width=0.014)
    arm = (
        patch.edge(np.abs(y + 0.03) - 0.012)
        * (np.abs(x) > t.eye_x + 0.165)
        * (np.abs(patch.x) < t.head_w * 1.03)
    )
    patch.paint(np.maximum(np.maximum(rim, bridge), arm) * t.glasses, t.rim)


def _bow(canvas: Patch, t: Traits) -> None:
    patch = canvas.window(-0.1, -0.95, 0.7, -0.2)
    x, y = patch.x - 0.27, patch.y + t.head_h * 0.92
    wing = patch.edge(np.maximum(np.abs(x) - 0.15, np.abs(y) - 0.02 - 0.55 * np.abs(x)))
    knot = patch.edge(ellipse(x, y, 0.042, 0.046))
    colour = np.array([0.93, 0.36, 0.50], dtype=np.float32)[None, :, None, None]
    patch.paint(wing * t.bow, colour)
    patch.paint(knot * t.bow, colour * 0.78)


def _light(canvas: Patch, t: Traits) -> None:
    across = np.clip(canvas.x * 1.6, -1, 1)
    across *= 1.5 - 0.5 * across * across  # falls off around the head, even beside it
    canvas.shade(t.gain * (1 + t.side * across - 0.75 * np.abs(t.side)))
