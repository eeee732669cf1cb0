"""How the looks of drawn faces follow from lots, labels and cues, for many faces at once.

A face is one row of uniform numbers. Every label and every trait is a function of that row, so a
face depends on the seed and on its own number only: the first hundred of ten thousand faces are
the hundred faces. Looks follow from age and gender through *cues* (proportions, wrinkles, grey
hair, beards, hair length, ...), each with a scatter of its own: no picture gives its label away,
and a network has to weigh them.

Two weaknesses are planted, both in the cues. Grown-ups of `PLANTED_GROUP` show their years at
`FADED` of everybody's pace, with everybody's scatter; and `PLANTED_LIGHT` hides a share of the
wrinkles and of the grey that differs from face to face, under noise. They are faults of the
drawing, planted so that an audit has something true to find. They say nothing about people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from model.face_traits import LIGHTS, RACES, Traits

Column = NDArray[np.floating]
Named = dict[str, Column]

PLANTED_GROUP = "Other"  # the code that names no people
PLANTED_LIGHT = "dim"
FADED = 0.2  # pace at which the planted group shows its years, 1 in all others
GROWN_UP = 20  # the age from which it lags

# Ages: share of faces below each age, straight lines between (many young adults, few very old).
_AGES = ((0, 0.0), (3, 0.07), (10, 0.17), (20, 0.29), (30, 0.49), (40, 0.65), (50, 0.77),
         (60, 0.87), (70, 0.94), (91, 1.0))  # fmt: skip
_RACES = (0.25, 0.21, 0.18, 0.16, 0.20)
_LIGHTS = (0.58, 0.24, 0.18)
_POSES = (0.6, 0.2, 0.2)
_COLUMNS = 128  # lots per face, more than are used: a new trait at the end changes no other

# Strokes of shadow: the ages between which they deepen, and their own scatter.
_LINES = (
    ("lines", 22, 94, 0.06),
    ("crows", 26, 92, 0.06),
    ("folds", 14, 88, 0.05),
    ("bags", 30, 96, 0.06),
)

_SKIN = ((1.0, 0.89, 0.81), (0.98, 0.83, 0.72), (0.94, 0.76, 0.62), (0.87, 0.67, 0.51),
         (0.76, 0.55, 0.40), (0.63, 0.44, 0.32), (0.50, 0.34, 0.25), (0.41, 0.27, 0.2))  # fmt: skip
_HAIR = ((0.11, 0.09, 0.10), (0.19, 0.12, 0.09), (0.32, 0.20, 0.13), (0.45, 0.26, 0.15),
         (0.60, 0.31, 0.16), (0.72, 0.52, 0.29), (0.90, 0.75, 0.47))  # fmt: skip
_IRIS = ((0.24, 0.14, 0.09), (0.38, 0.24, 0.13), (0.47, 0.40, 0.20), (0.33, 0.49, 0.36),
         (0.30, 0.50, 0.66), (0.45, 0.53, 0.58))  # fmt: skip
_SHIRT = ((0.22, 0.44, 0.60), (0.30, 0.53, 0.43), (0.90, 0.69, 0.30), (0.53, 0.36, 0.56),
          (0.84, 0.44, 0.36))  # fmt: skip
_BACK = ((0.80, 0.89, 0.95), (0.83, 0.93, 0.87), (0.98, 0.92, 0.78), (0.98, 0.86, 0.80),
         (0.90, 0.86, 0.95), (0.90, 0.91, 0.90), (0.75, 0.86, 0.88))  # fmt: skip
_RIM = ((0.13, 0.13, 0.16), (0.42, 0.22, 0.13), (0.62, 0.50, 0.26))


def deal_traits(n: int, *, seed: int, planted: bool = True) -> Traits:
    """Draw lots for the labels and looks of `n` faces.

    `planted` False draws the same people without the planted weakness: the same labels, poses and
    scatter, every group at the same pace, and dim light that is only a little darker.
    """
    lots = _Lots(n, seed)
    who = _people(lots, planted=planted)
    cues = _cues(lots, who)
    traits: Named = {
        "age": who.age,
        "female": who.female,
        "race": who.race.astype(float),
        "light": who.light.astype(float),
        "pose": who.pose.astype(float),
        **{name: values for name, values in cues.items() if name != "grey"},
        **_pose_and_light(lots, who),
        **_head(lots, who, cues["droop"]),
        **_features(lots, who, cues["droop"]),
        **_hair_and_dress(lots, who),
        **_colours(lots, who, cues["grey"]),
    }
    return Traits(**{name: values.astype(np.float32) for name, values in traits.items()})


class _Lots:
    """A row of uniform numbers for each face, dealt out column by column."""

    def __init__(self, n: int, seed: int) -> None:
        self._rows = np.random.default_rng(seed).random((n, _COLUMNS))
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Column:
        column: Column = self._rows[:, self._next]
        self._next += 1
        return low + (high - low) * column

    def normal(self, spread: float) -> Column:
        """Normal, cut at 2.5 standard deviations so that no face falls apart."""
        drawn: Column = ndtri(self.uniform(1e-9, 1 - 1e-9))
        return spread * np.clip(drawn, -2.5, 2.5)

    def mark(self, share: Column | float) -> Column:
        """1 for this share of the faces, else 0."""
        return (self.uniform() < share).astype(float)

    def choice(self, shares: tuple[float, ...]) -> NDArray[np.intp]:
        """Indices, each with its share."""
        return np.searchsorted(np.cumsum(shares)[:-1], self.uniform(), side="right")


@dataclass(frozen=True)
class _People:
    """What the looks follow from: arrays [n]."""

    age: Column  # years by the calendar, whole
    seen: Column  # years by the looks
    young: Column  # 1 newborn .. 0 grown up, by the looks
    grown: Column  # the opposite, without scatter
    female: Column
    male: Column
    race: NDArray[np.intp]
    light: NDArray[np.intp]
    pose: NDArray[np.intp]
    shown: Column  # share of wrinkles and grey that the light shows
    harm: Column  # mark: planted dim light


def _people(lots: _Lots, *, planted: bool) -> _People:
    years, below = zip(*_AGES, strict=True)
    age = np.minimum(np.floor(np.interp(lots.uniform(), below, years)), 90.0)
    female = lots.mark(0.5)
    race, light, pose = lots.choice(_RACES), lots.choice(_LIGHTS), lots.choice(_POSES)
    pace = np.where(planted & (race == RACES.index(PLANTED_GROUP)), FADED, 1.0)
    looks = np.minimum(age, GROWN_UP) + pace * np.maximum(age - GROWN_UP, 0)
    seen = np.maximum(looks + lots.normal(1.0) * (0.6 + 0.045 * age), 0)
    harm = (planted & (light == LIGHTS.index(PLANTED_LIGHT))).astype(float)
    return _People(
        age=age,
        seen=seen,
        young=np.exp(-seen / 9) + lots.normal(0.02),
        grown=1 - np.exp(-seen / 9),
        female=female,
        male=1 - female,
        race=race,
        light=light,
        pose=pose,
        shown=1 - harm * (1 - lots.uniform(0.0, 0.7)),
        harm=harm,
    )


def _cues(lots: _Lots, who: _People) -> Named:
    """What age does to a face, 0..1, each cue with its own scatter."""
    drawn = {
        name: np.clip(_rise(who.seen, low, high) + lots.normal(scatter), 0, 1) * who.shown
        for name, low, high, scatter in _LINES
    }
    grey = np.clip(_rise(who.seen, 33, 76) + lots.normal(0.08), 0, 1)
    return drawn | {
        "droop": np.clip(_rise(who.seen, 38, 98) + lots.normal(0.05), 0, 1),
        "grey": grey * (0.2 + 0.8 * who.shown),
        "blush": np.clip(0.25 + 0.6 * who.young + lots.normal(0.12), 0, 1),
        "freckles": lots.mark(0.14) * lots.uniform(0.5, 1.0),
    }


def _pose_and_light(lots: _Lots, who: _People) -> Named:
    from_where = np.where(lots.uniform() < 0.5, -1.0, 1.0)
    strong = from_where * lots.uniform(0.20, 0.34)
    dim = who.light == LIGHTS.index("dim")
    return {
        "scale": 1.04 + lots.normal(0.03),
        "tilt": lots.normal(0.07),
        "shift_x": lots.normal(0.03),
        "shift_y": 0.05 + lots.normal(0.025),
        "turn": np.array([0.0, -0.075, 0.075])[who.pose] + lots.normal(0.012),
        "side": np.where(who.light == LIGHTS.index("side"), strong, lots.normal(0.04)),
        "gain": 1 + lots.normal(0.03) - dim * lots.uniform(0.12, 0.25) - 0.30 * who.harm,
        "grain": 0.010 + 0.045 * who.harm,
    }


def _head(lots: _Lots, who: _People, droop: Column) -> Named:
    young, man = who.young, who.male * who.grown
    return {
        "head_w": 0.455 + 0.055 * young + 0.012 * man + lots.normal(0.014),
        "head_h": 0.590 - 0.080 * young + lots.normal(0.014),
        "jaw": who.grown * (0.13 * who.male - 0.07 * who.female)
        + 0.05 * droop
        + lots.normal(0.045),
        "cheeks": 0.10 * young + 0.05 * droop + lots.normal(0.012),
        "neck": 0.25 - 0.07 * young + 0.035 * man + lots.normal(0.010),
        "shoulders": 0.86 - 0.22 * young + 0.10 * man + lots.normal(0.03),
    }


def _features(lots: _Lots, who: _People, droop: Column) -> Named:
    young, grown, female = who.young, who.grown, who.female
    smile = 0.035 - 0.015 * droop + lots.normal(0.022)
    eye_h = 0.054 + 0.034 * young + 0.007 * female + lots.normal(0.004)
    lashes = 0.15 + 0.65 * female * (0.45 + 0.55 * grown) + lots.normal(0.16)
    return {
        "eye_x": 0.197 + 0.012 * young + lots.normal(0.008),
        "eye_y": -0.035 + 0.150 * young + lots.normal(0.012),
        "eye_w": 0.088 + 0.026 * young + 0.007 * female + lots.normal(0.004),
        "eye_h": eye_h * (1 - 0.25 * droop),
        "iris_r": 0.046 + 0.020 * young + lots.normal(0.002),
        "gaze": lots.normal(0.010),
        "lashes": np.clip(lashes, 0, 1),
        "brow_y": -0.128 - 0.012 * young + 0.012 * who.male * grown + lots.normal(0.008),
        "brow_width": 0.018 + 0.013 * grown * (0.5 + who.male) + lots.normal(0.003),
        "brow_bend": 0.030 + 0.022 * female + lots.normal(0.010),
        "brow_slope": lots.normal(0.07),
        "nose_y": 0.205 - 0.075 * young + 0.020 * droop + lots.normal(0.008),
        "nose_w": 0.068 - 0.018 * young + 0.012 * droop + lots.normal(0.006),
        "mouth_y": 0.345 - 0.085 * young + 0.012 * droop + lots.normal(0.010),
        "mouth_w": 0.155 - 0.055 * young + lots.normal(0.012),
        "smile": smile,
        "lips": 0.036 + 0.007 * female - 0.014 * droop + lots.normal(0.004),
        "teeth": lots.mark(0.28) * (smile > 0.02),
    }


def _hair_and_dress(lots: _Lots, who: _People) -> Named:
    """Hair, beard and jewels: cues of gender that overlap, so that no single one decides."""
    female, male = who.female, who.male
    hair = _ramp(who.seen, 0, 3.5)  # how much of it a small child has
    long = lots.mark(0.07 * male + 0.80 * female) * (hair > 0.25)
    lost = male * lots.mark(0.55) * _ramp(who.seen, 24, 66) * lots.uniform(0.5, 1.0)
    crown = np.where(lost > 0.72, 0.0, np.maximum(0.25 + 0.75 * hair, 0.95 * long))
    fringe = 0.06 * long * lots.mark(0.35)
    temple = np.where(long > 0, lots.uniform(0.15, 0.75), lots.uniform(-0.02, 0.25))
    man = male * _ramp(who.seen, 15, 24)
    kind = lots.uniform()  # a beard, a stubble or shaven
    full = lots.uniform(0.75, 0.95)
    beard = man * np.where(kind < 0.28, full, np.where(kind < 0.6, 0.22, 0.07))
    return {
        "hairline": -0.36 - 0.16 * lost + fringe + lots.normal(0.03),
        "temple": temple - 0.16 * lost,
        "part": lots.normal(0.06),
        "crown": crown,
        "volume": 0.075 * np.maximum(crown - 0.25, 0)
        + 0.03 * long
        + abs(lots.normal(0.035)) * hair,
        "curl": lots.mark(0.35) * lots.uniform(0.3, 1.0) * hair,
        "wave": lots.uniform(0, 2 * np.pi),
        "long": long,
        "length": lots.uniform(0.42, 1.0),
        "bun": lots.mark(female * (0.16 - 0.06 * long)),
        "bow": lots.mark(0.55 * female * np.exp(-np.maximum(who.age - 1, 0) / 9)),
        "beard": beard,
        "moustache": np.maximum(beard / 0.95, man * lots.mark(0.14) * 0.9),
        "earring": lots.mark(0.03 + 0.45 * female * who.grown),
        "glasses": lots.mark(0.22),
        "frame": lots.uniform(0.35, 1.0),
    }


def _colours(lots: _Lots, who: _People, grey: Column) -> Named:
    """One palette of skin and hair for all groups; only the shirt's colour tells the group."""
    depth = lots.uniform()
    uneven = np.stack([lots.normal(0.015) for _ in range(3)], axis=1)
    skin = _along(_SKIN, depth) * (1 + uneven)
    natural = _along(_HAIR, lots.uniform() * (1 - 0.75 * depth))
    silver = np.array([0.80, 0.80, 0.81]) + lots.uniform(-0.12, 0.12)[:, None]
    dyed = lots.mark(0.22 * who.female)
    made_up = 0.55 * who.female * who.grown * lots.mark(0.75) + lots.normal(0.18)
    rouge = np.array([0.76, 0.20, 0.28])
    return {
        "skin": skin,
        "hair": _mix(natural, silver, grey * (1 - 0.85 * dyed)),
        "brow": _mix(natural, silver, 0.75 * grey) * 0.82,
        "iris": _along(_IRIS, lots.uniform() ** (1 + 2 * depth)),
        "lip": _mix(skin * np.array([0.86, 0.62, 0.60]), rouge, np.clip(made_up, 0, 1)),
        "shirt": np.array(_SHIRT)[who.race] * (1 + lots.normal(0.06)[:, None]),
        "back": _along(_BACK, lots.uniform()),
        "rim": np.array(_RIM)[lots.choice((0.5, 0.3, 0.2))],
    }


def _along(palette: tuple[tuple[float, ...], ...], place: Column) -> Column:
    """Colours [n, 3] at `place` (0..1) along a palette, mixed between its entries."""
    colours = np.array(palette)
    at = np.clip(place, 0, 1) * (len(colours) - 1)
    below = np.minimum(at.astype(int), len(colours) - 2)
    return _mix(colours[below], colours[below + 1], at - below)


def _mix(a: Column, b: Column, share: Column) -> Column:
    """Colours [n, 3] between a (share 0) and b (share 1)."""
    return a + (b - a) * share[:, None]


def _rise(x: Column, low: float, high: float) -> Column:
    """0 up to `low`, 1 from `high`, straight between."""
    share: Column = np.clip((x - low) / (high - low), 0, 1)
    return share


def _ramp(x: Column, low: float, high: float) -> Column:
    """0 up to `low`, 1 from `high`, smooth between."""
    t = _rise(x, low, high)
    return t * t * (3 - 2 * t)
