"""Who is drawn: labels, and the look that follows from them, for many faces at once.

A face is one row of uniform numbers. Every label and every trait is a function of that row, so a
face depends on the seed and on its own number only: the first hundred of ten thousand faces are
the hundred faces. Looks follow from age and gender through *cues* (proportions, wrinkles, grey
hair, beards, hair length, ...), each with a scatter of its own: no picture gives its label away,
and a network has to weigh them.

The planted weakness is in the cues alone. Faces of `PLANTED_GROUP` show their age through cues
faded to `FADED` of their strength, while the scatter stays. It is a fault of the drawing, planted
so that an audit has something true to find; the groups are fiction, share one palette of skin and
hair, and say nothing about people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from model.face_shapes import Floats

RACES = ("White", "Black", "Asian", "Indian", "Other")  # the names the file format gives 0..4
RACE_SHARES = (0.26, 0.22, 0.18, 0.16, 0.18)
LIGHTS = ("even", "side", "dim")
LIGHT_SHARES = (0.58, 0.24, 0.18)
POSES = ("front", "left", "right")

PLANTED_GROUP = "Other"  # the code that names no people
PLANTED_LIGHT = "dim"
FADED = 0.6  # strength of the age cues in the planted group, 1 in all others

_COLUMNS = 128  # uniform numbers a face; a trait more does not change the traits before it
# Ages: share of faces below each age, straight lines between (many young adults, few very old).
_AGE_SHARES = ((0.0, 0), (0.07, 3), (0.17, 10), (0.29, 20), (0.49, 30), (0.65, 40), (0.77, 50),
               (0.87, 60), (0.94, 70), (1.0, 91))  # fmt: skip

_SKIN = ((1.0, 0.89, 0.81), (0.98, 0.83, 0.72), (0.94, 0.76, 0.62), (0.87, 0.67, 0.51),
         (0.76, 0.55, 0.40), (0.63, 0.44, 0.32), (0.50, 0.34, 0.25), (0.41, 0.27, 0.20))  # fmt: skip
_HAIR = ((0.11, 0.09, 0.10), (0.19, 0.12, 0.09), (0.32, 0.20, 0.13), (0.45, 0.26, 0.15),
         (0.60, 0.31, 0.16), (0.72, 0.52, 0.29), (0.90, 0.75, 0.47))  # fmt: skip
_IRIS = ((0.24, 0.14, 0.09), (0.38, 0.24, 0.13), (0.47, 0.40, 0.20), (0.33, 0.49, 0.36),
         (0.30, 0.50, 0.66), (0.45, 0.53, 0.58))  # fmt: skip
_SHIRT = ((0.22, 0.44, 0.60), (0.30, 0.53, 0.43), (0.90, 0.69, 0.30), (0.53, 0.36, 0.56),
          (0.84, 0.44, 0.36))  # fmt: skip
_BACK = ((0.80, 0.89, 0.95), (0.83, 0.93, 0.87), (0.98, 0.92, 0.78), (0.98, 0.86, 0.80),
         (0.90, 0.86, 0.95), (0.90, 0.91, 0.90), (0.75, 0.86, 0.88))  # fmt: skip


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
    blotch: Floats  # and of noise in spots of four pixels
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
        cut = {f.name: getattr(self, f.name)[start:stop] for f in fields(self)}
        return Traits(
            **{
                k: v.reshape(*v.shape, *(1,) * (4 - v.ndim if v.ndim > 1 else 2))
                for k, v in cut.items()
            }
        )


class _Deal:
    """Rows of uniform numbers, dealt out column by column."""

    def __init__(self, n: int, seed: int) -> None:
        self._rows = np.random.default_rng(seed).random((n, _COLUMNS))
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        column = self._rows[:, self._next]
        self._next += 1
        return low + (high - low) * column

    def normal(self, spread: float) -> NDArray[np.float64]:
        """Normal, cut at 2.5 standard deviations so that no face falls apart."""
        return spread * np.clip(ndtri(self.uniform(1e-9, 1 - 1e-9)), -2.5, 2.5)

    def mark(self, share: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return (self.uniform() < share).astype(np.float64)

    def choice(self, shares: tuple[float, ...]) -> NDArray[np.int64]:
        return np.searchsorted(np.cumsum(shares)[:-1], self.uniform(), side="right")


def _along(
    palette: tuple[tuple[float, ...], ...], place: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Colours [n, 3] at `place` (0..1) along a palette, mixed between its entries."""
    colours = np.array(palette)
    at = np.clip(place, 0, 1) * (len(colours) - 1)
    below = np.minimum(at.astype(int), len(colours) - 2)
    share = (at - below)[:, None]
    return colours[below] * (1 - share) + colours[below + 1] * share


def _ramp(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """0 up to `low`, 1 from `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(
    a: NDArray[np.float64], b: NDArray[np.float64] | float, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Colours [n, 3] between a (share 0) and b (share 1)."""
    return a + (b - a) * share[:, None]


def deal_traits(n: int, *, seed: int, planted: bool = True) -> Traits:
    """Draw the labels and looks of `n` faces.

    `planted` False draws the same people without the planted weakness: the same labels, poses and
    scatter, cues at full strength in every group and dim light that is only a little darker.
    """
    deal = _Deal(n, seed)
    t: dict[str, NDArray[np.float64]] = {}

    # labels
    shares, ages = zip(*_AGE_SHARES, strict=True)
    age = np.minimum(np.floor(np.interp(deal.uniform(), shares, ages)), 90.0)
    female = deal.mark(0.5)
    race = deal.choice(RACE_SHARES)
    light = deal.choice(LIGHT_SHARES)
    pose = deal.choice((0.6, 0.2, 0.2))
    t |= {
        "age": age,
        "female": female,
        "race": race * 1.0,
        "light": light * 1.0,
        "pose": pose * 1.0,
    }
    t["glasses"] = deal.mark(0.22)

    # cues: what age does to a face, faded where planted, each with its own scatter
    faint = np.where(planted & (race == RACES.index(PLANTED_GROUP)), FADED, 1.0)
    middle = 30.0  # the age whose looks a faded face drifts towards
    seen = middle + faint * (age - middle) + deal.normal(1.0) * (0.6 + 0.045 * age)
    seen = np.maximum(seen, 0.0)
    young = np.exp(-seen / 9) + deal.normal(0.02)
    child = np.exp(-np.maximum(age - 1, 0) / 9)  # hair and dress follow the calendar, not the cue
    t["lines"] = np.clip(_ramp(seen, 24, 78) + deal.normal(0.07), 0, 1)
    t["crows"] = np.clip(_ramp(seen, 28, 75) + deal.normal(0.07), 0, 1)
    t["folds"] = np.clip(_ramp(seen, 16, 68) + deal.normal(0.06), 0, 1)
    t["bags"] = np.clip(_ramp(seen, 32, 85) + deal.normal(0.07), 0, 1)
    t["droop"] = np.clip(_ramp(seen, 38, 92) + deal.normal(0.05), 0, 1)
    grey = np.clip(1.1 * _ramp(seen, 33, 72) + deal.normal(0.10), 0, 1)
    t["blush"] = np.clip(0.25 + 0.6 * young + deal.normal(0.12), 0, 1)
    t["freckles"] = deal.mark(0.12) * deal.uniform(0.4, 1.0)
    male = 1 - female
    grown = 1 - np.clip(np.exp(-np.maximum(seen, 0) / 9), 0, 1)

    # pose and light
    t["scale"] = 1.04 + deal.normal(0.03)
    t["tilt"] = deal.normal(0.07)
    t["shift_x"] = deal.normal(0.03)
    t["shift_y"] = 0.05 + deal.normal(0.025)
    t["turn"] = np.array([0.0, -0.075, 0.075])[pose] + deal.normal(0.012)
    from_right = np.where(deal.uniform() < 0.5, -1.0, 1.0)
    t["side"] = np.where(light == 1, from_right * deal.uniform(0.22, 0.38), deal.normal(0.04))
    dim = (light == LIGHTS.index(PLANTED_LIGHT)).astype(float)
    harm = dim * float(planted)
    t["gain"] = 1 + deal.normal(0.03) - dim * deal.uniform(0.12, 0.25) - harm * 0.30
    t["grain"] = 0.010 + 0.045 * harm
    t["blotch"] = 0.045 * harm

    # head
    t["head_w"] = 0.455 + 0.055 * young + 0.012 * male * grown + deal.normal(0.014)
    t["head_h"] = 0.590 - 0.080 * young + deal.normal(0.014)
    t["jaw"] = grown * (0.13 * male - 0.07 * female) + deal.normal(0.045) + 0.05 * t["droop"]
    t["cheeks"] = 0.10 * young + 0.05 * t["droop"] + deal.normal(0.012)
    t["neck"] = 0.25 - 0.07 * young + 0.035 * male * grown + deal.normal(0.010)
    t["shoulders"] = 0.86 - 0.22 * young + 0.10 * male * grown + deal.normal(0.03)

    # features
    t["eye_x"] = 0.197 + 0.012 * young + deal.normal(0.008)
    t["eye_y"] = -0.035 + 0.150 * young + deal.normal(0.012)
    t["eye_w"] = 0.088 + 0.026 * young + 0.007 * female + deal.normal(0.004)
    t["eye_h"] = (0.054 + 0.034 * young + 0.007 * female + deal.normal(0.004)) * (
        1 - 0.25 * t["droop"]
    )
    t["iris_r"] = 0.046 + 0.020 * young + deal.normal(0.002)
    t["gaze"] = deal.normal(0.010)
    t["lashes"] = np.clip(0.15 + 0.65 * female * (0.45 + 0.55 * grown) + deal.normal(0.16), 0, 1)
    t["brow_y"] = -0.128 - 0.012 * young + 0.012 * male * grown + deal.normal(0.008)
    t["brow_width"] = 0.010 + 0.013 * grown * (0.5 + male) + deal.normal(0.003)
    t["brow_bend"] = 0.030 + 0.022 * female + deal.normal(0.010)
    t["brow_slope"] = deal.normal(0.07)
    t["nose_y"] = 0.205 - 0.075 * young + 0.020 * t["droop"] + deal.normal(0.008)
    t["nose_w"] = (
        0.068 - 0.018 * young + 0.008 * male * grown + 0.012 * t["droop"] + deal.normal(0.006)
    )
    t["mouth_y"] = 0.345 - 0.085 * young + 0.012 * t["droop"] + deal.normal(0.010)
    t["mouth_w"] = 0.155 - 0.055 * young + deal.normal(0.012)
    t["smile"] = 0.035 + deal.normal(0.022) - 0.015 * t["droop"]
    t["lips"] = 0.036 + 0.007 * female - 0.014 * t["droop"] + deal.normal(0.004)
    t["teeth"] = deal.mark(0.28) * (t["smile"] > 0.02)

    _dress(t, deal, male, female, grown, child, seen)
    _colour(t, deal, grey, female, grown, race)
    return Traits(**{name: values.astype(np.float32) for name, values in t.items()})


def _dress(
    t: dict[str, NDArray[np.float64]],
    deal: _Deal,
    male: NDArray[np.float64],
    female: NDArray[np.float64],
    grown: NDArray[np.float64],
    child: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> None:
    """Hair, beard and jewels: cues of gender that overlap, so that no single one decides."""
    baby = _ramp(seen, 0, 3.5)  # how much hair a small child has
    t["long"] = deal.mark(np.where(female > 0, 0.80, 0.07)) * (baby > 0.25)
    t["length"] = deal.uniform(0.42, 1.0)
    losing = male * deal.mark(0.55) * _ramp(seen, 24, 66) * deal.uniform(0.5, 1.0)
    t["crown"] = np.where(losing > 0.72, 0.0, 0.25 + 0.75 * baby)
    t["hairline"] = -0.36 - 0.16 * losing + deal.normal(0.03) + 0.06 * t["long"] * deal.mark(0.35)
    t["temple"] = (
        np.where(t["long"] > 0, deal.uniform(0.15, 0.75), deal.uniform(-0.02, 0.25)) - 0.16 * losing
    )
    t["part"] = deal.normal(0.09)
    t["volume"] = 0.055 * t["crown"] + 0.03 * t["long"] + np.abs(deal.normal(0.035)) * baby
    t["curl"] = deal.mark(0.35) * deal.uniform(0.3, 1.0) * baby
    t["wave"] = deal.uniform(0, 6.28)
    t["bun"] = deal.mark(0.16 * female) * (1 - t["long"]) + deal.mark(0.10 * female) * t["long"]
    t["bow"] = deal.mark(0.55 * female * child)
    man = male * _ramp(seen, 15, 24)
    kind = deal.uniform()
    t["beard"] = man * np.where(
        kind < 0.28, deal.uniform(0.75, 0.95), np.where(kind < 0.6, 0.22, 0.07)
    )
    t["moustache"] = man * np.maximum(t["beard"] / 0.95, deal.mark(0.14) * 0.9)
    t["earring"] = deal.mark(0.03 + 0.45 * female * grown)
    t["frame"] = deal.uniform(0.35, 1.0)


def _colour(
    t: dict[str, NDArray[np.float64]],
    deal: _Deal,
    grey: NDArray[np.float64],
    female: NDArray[np.float64],
    grown: NDArray[np.float64],
    race: NDArray[np.int64],
) -> None:
    """One palette of skin and hair for all groups; only the shirt's colour tells the group."""
    depth = deal.uniform()
    t["skin"] = _along(_SKIN, depth) * (
        1 + np.stack([deal.normal(0.015) for _ in range(3)], axis=1)
    )
    natural = _along(_HAIR, deal.uniform() * (1 - 0.75 * depth))
    dyed = deal.mark(0.22 * female)
    silver = np.array([0.80, 0.80, 0.81]) + deal.uniform(-0.12, 0.12)[:, None]
    t["hair"] = _mix(natural, silver, grey * (1 - 0.85 * dyed))
    t["brow"] = _mix(natural, silver, 0.75 * grey) * 0.82
    t["iris"] = _along(_IRIS, deal.uniform() ** (1 + 2 * depth))
    t["shirt"] = np.array(_SHIRT)[race] * (1 + deal.normal(0.06)[:, None])
    t["back"] = _along(_BACK, deal.uniform())
    t["rim"] = np.array([[0.13, 0.13, 0.16], [0.42, 0.22, 0.13], [0.62, 0.50, 0.26]])[
        deal.choice((0.5, 0.3, 0.2))
    ]
    made_up = np.clip(deal.normal(0.18) + 0.55 * female * grown * deal.mark(0.75), 0, 1)
    bare = t["skin"] * np.array([0.86, 0.62, 0.60])
    t["lip"] = _mix(bare, np.array([0.76, 0.20, 0.28]), made_up)
