"""Who is drawn: the labels of drawn faces, and the traits that the painter needs.

The groups are fiction. They carry the names that the file format gives to the codes 0..4, share one
palette of skin and hair, and can be told apart by the colour of the shirt alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from model.face_shapes import Floats, Patch

RACES = ("White", "Black", "Asian", "Indian", "Other")  # the names the file format gives 0..4
LIGHTS = ("even", "side", "dim")
POSES = ("front", "left", "right")


@dataclass(frozen=True)
class Traits:
    """Labels and looks of n faces: arrays [n] (colours [n, 3], 0..1), lengths in face units."""

    age: Floats  # whole years, 0..90
    female: Floats  # 1 or 0, as all marks below
    race: Floats  # index into RACES
    light: Floats  # index into LIGHTS
    pose: Floats  # index into POSES
    glasses: Floats
    # pose and light
    scale: Floats
    tilt: Floats  # radians
    shift_x: Floats
    shift_y: Floats
    turn: Floats  # how far the features sit right of the head's middle
    side: Floats  # light falls from the right (> 0) or the left
    gain: Floats  # brightness
    grain: Floats  # standard deviation of pixel noise
    # head
    head_w: Floats
    head_h: Floats
    jaw: Floats  # > 0 square, < 0 pointed
    cheeks: Floats  # roundness of the lower face
    neck: Floats
    shoulders: Floats
    # features
    eye_x: Floats
    eye_y: Floats
    eye_w: Floats
    eye_h: Floats
    iris_r: Floats
    gaze: Floats
    lashes: Floats
    brow_y: Floats
    brow_width: Floats
    brow_bend: Floats
    brow_slope: Floats
    nose_y: Floats
    nose_w: Floats
    mouth_y: Floats
    mouth_w: Floats
    smile: Floats
    lips: Floats
    teeth: Floats
    # age cues, 0..1
    lines: Floats  # forehead
    crows: Floats  # beside the eyes
    folds: Floats  # from nose to mouth
    bags: Floats  # under the eyes
    droop: Floats  # of lids and cheeks
    blush: Floats
    freckles: Floats
    # hair
    hairline: Floats  # y of the hairline in the middle
    temple: Floats  # how much lower it is at the temples
    part: Floats  # how much it slants
    crown: Floats  # 0: no hair on top
    volume: Floats
    curl: Floats
    wave: Floats  # phase of curls and strands
    long: Floats  # mark: hair behind the head
    length: Floats  # y where it ends
    bun: Floats
    bow: Floats
    beard: Floats
    moustache: Floats
    earring: Floats
    frame: Floats  # roundness of the glasses
    # colours
    skin: Floats
    hair: Floats
    brow: Floats
    iris: Floats
    lip: Floats
    shirt: Floats
    back: Floats
    rim: Floats

    def __len__(self) -> int:
        return len(self.age)

    def part_of(self, start: int, stop: int) -> Traits:
        """The faces start..stop, shaped to meet pixels: [b, 1, 1], colours [b, 3, 1, 1]."""
        cut = {}
        for name in (field.name for field in fields(self)):
            rows: Floats = getattr(self, name)[start:stop]
            cut[name] = rows.reshape(*rows.shape, *(1,) * (4 - rows.ndim if rows.ndim > 1 else 2))
        return Traits(**cut)

    def turned(self, patch: Patch) -> Floats:
        """`x` of the features: turned with the head, the far side a little narrower."""
        x = patch.x - self.turn
        return x * (1 + 1.6 * self.turn * np.sign(x))

    def on_jaw(self, patch: Patch) -> Floats:
        """`x` as it would be on a plain ellipse: the lower half is squarer or rounder."""
        low = np.clip(patch.y / self.head_h, 0, 1)
        return patch.x / (1 + (self.jaw + self.cheeks) * low * (1.6 - low * 0.9))
