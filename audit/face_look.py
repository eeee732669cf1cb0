"""What a second look at one picture gives: facts, handed from a network to who draws them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reading:
    """The face read once: age in years and P(female).

    corruption and severity (0: the clean picture); label and words say them to people.
    """

    corruption: str
    severity: int
    label: str
    words: str
    age: float
    female: float


@dataclass(frozen=True)
class Occlusion:
    """How the reading changes where a grey patch covers the picture: covered minus clear.

    years: change of the age read [S, S]; female: change of P(female) [S, S]; each pixel the mean
    over the patches that cover it. patch, stride: side and step in pixels.
    """

    years: NDArray[np.float64]
    female: NDArray[np.float64]
    patch: int
    stride: int


@dataclass(frozen=True)
class FaceLook:
    """A second look at one face: its picture as the network gets it, uint8 [S, S, 3].

    readings: the clean picture first, then every corruption by severity.
    """

    picture: NDArray[np.uint8]
    readings: tuple[Reading, ...]
    occlusion: Occlusion

    @property
    def clean(self) -> Reading:
        """The reading of the picture as it is."""
        return self.readings[0]
