"""What a drawn face looks with: ears, lines of age, eyes, brows, nose, mouth, glasses."""

from __future__ import annotations

import numpy as np

from model.face_shapes import Patch, ellipse, glow, rounded_box, stroke, tint
from model.face_traits import Traits


def paint_ears(canvas: Patch, t: Traits) -> None:
    """Ears beside the head, longer with age, and what hangs from them."""
    patch = canvas.window(-0.75, -0.35, 0.75, 0.55)
    x = np.abs(patch.x + 0.3 * t.turn)
    long = 0.105 + 0.018 * t.droop
    ear = patch.edge(ellipse(x - t.head_w * 1.0, patch.y - t.eye_y - 0.10, 0.060, long))
    patch.paint(ear, t.skin * 0.95)
    inner = glow(x - t.head_w * 1.02, patch.y - t.eye_y - 0.09, 0.040, 0.075)
    patch.paint(inner * 0.55, t.skin * 0.70)
    jewel = patch.edge(ellipse(x - t.head_w * 1.03, patch.y - t.eye_y - 0.245, 0.026, 0.030))
    gold = tint(0.95, 0.80, 0.36)
    patch.paint(jewel * t.earring, gold)


def paint_lines(canvas: Patch, t: Traits) -> None:
    """Forehead lines, crow's feet, bags, folds: strokes of shadow as strong as the cue says."""
    shadow = t.skin * tint(0.62, 0.50, 0.46)
    patch = canvas.window(-0.45, -0.6, 0.45, 0.25)
    x, y = t.turned(patch), patch.y
    for step, at in enumerate((-0.215, -0.275, -0.335)):
        line = stroke(
            patch, x, y - t.eye_y * 0.6 - at, half=0.25 - 0.025 * step, bend=0.022, width=0.012
        )
        patch.paint(line * np.clip(1.25 * t.lines - 0.16 * step, 0, 1) * 0.72, shadow)
    frown = stroke(
        patch, y - t.eye_y + 0.12, np.abs(x) - 0.030, half=0.055, bend=-0.012, width=0.009
    )
    patch.paint(frown * t.lines * 0.5, shadow)

    patch = canvas.window(-0.55, -0.3, 0.55, 0.5)
    x, y = t.turned(patch), patch.y
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
        patch.paint(crow * t.crows * 0.72, shadow)
    bag = stroke(patch, x - t.eye_x, y - t.eye_h - 0.052, half=0.085, bend=-0.034, width=0.014)
    patch.paint(bag * t.bags * 0.72, shadow)
    puff = glow(x - t.eye_x, y - t.eye_h - 0.028, 0.09, 0.045)
    patch.paint(puff * t.bags * 0.28, shadow)
    hollow = glow(x - 0.33, y - 0.24, 0.08, 0.16)
    patch.paint(hollow * t.droop * 0.45, shadow)

    patch = canvas.window(-0.4, 0.0, 0.4, 0.65)
    x, y = t.turned(patch), patch.y
    x = np.abs(x)
    y = y - t.eye_y
    middle = (t.nose_y + t.mouth_y) / 2 + 0.02
    fold = stroke(
        patch, y - middle, x - 0.150 - 0.42 * (y - middle), half=0.110, bend=-0.020, width=0.013
    )
    patch.paint(fold * t.folds * 0.75, shadow)
    sag = stroke(
        patch, y - t.mouth_y - 0.075, x - t.mouth_w - 0.030, half=0.070, bend=0.016, width=0.011
    )
    patch.paint(sag * t.droop * 0.75, shadow)


def paint_freckles(canvas: Patch, t: Traits) -> None:
    """Dots on cheeks and nose, where two waves meet."""
    patch = canvas.window(-0.45, -0.1, 0.45, 0.35)
    x, y = t.turned(patch), patch.y - t.eye_y
    dots = np.sin(74 * x + 5 * t.wave) * np.sin(68 * y + 9 * x + 3 * t.wave)
    where = glow(np.abs(x) - 0.19, y - 0.155, 0.17, 0.085)
    spots = np.clip(2.5 * dots - 1.1, 0, 1) * np.clip(2 * where, 0, 1)
    patch.paint(spots * t.freckles * 0.55, t.skin * tint(0.66, 0.50, 0.42))


def paint_eyes(canvas: Patch, t: Traits) -> None:
    """White, iris, pupil and spark; lids that come down with age; lashes."""
    patch = canvas.window(-0.45, -0.3, 0.45, 0.35)
    x, y = t.turned(patch), patch.y
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


def paint_brows(canvas: Patch, t: Traits) -> None:
    """Brows, as heavy as their traits say."""
    patch = canvas.window(-0.5, -0.4, 0.5, 0.15)
    x, y = t.turned(patch), patch.y
    x = np.abs(x) - t.eye_x - 0.008
    y = y - t.eye_y - t.brow_y - t.brow_slope * x
    brow = stroke(patch, x, y, half=0.125, bend=t.brow_bend, width=t.brow_width)
    patch.paint(brow * 0.9, t.brow)


def paint_nose(canvas: Patch, t: Traits) -> None:
    """Bridge, tip and nostrils in light and shadow."""
    patch = canvas.window(-0.25, -0.15, 0.25, 0.45)
    x, y = t.turned(patch), patch.y
    y = y - t.eye_y
    shadow = t.skin * tint(0.74, 0.60, 0.56)
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


def paint_mouth(canvas: Patch, t: Traits) -> None:
    """Lips, their parting, and teeth in a grin."""
    patch = canvas.window(-0.35, 0.05, 0.35, 0.65)
    x, y = t.turned(patch), patch.y
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


def paint_glasses(canvas: Patch, t: Traits) -> None:
    """Frame, bridge and arms, and a trace of glass."""
    patch = canvas.window(-0.65, -0.35, 0.65, 0.45)
    x, y = t.turned(patch), patch.y
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
