"""Learning rates: warm-up and cosine, or the notebook's stacked plateaus."""

import math
from dataclasses import dataclass

FLOOR = 1e-6  # the notebook's lowest rate


def warmup_cosine(step: int, *, steps: int, warmup: float, peak: float) -> float:
    """Rate of step `step` (0-based) of `steps`: a line up, then a half cosine down.

    The line takes the share `warmup` of the steps; the cosine ends at a hundredth of the peak.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


@dataclass
class Plateau:
    """Keras' ReduceLROnPlateau (mode `min`, min_delta 1e-4, no cooldown), state and all."""

    monitor: str  # column of the history
    factor: float
    patience: int
    best: float = math.inf
    wait: int = 0

    def next_rate(self, rate: float, value: float) -> float:
        """The rate after an epoch whose monitored loss was `value`."""
        if value < self.best - 1e-4:
            self.best, self.wait = value, 0
            return rate
        self.wait += 1
        if self.wait < self.patience:
            return rate
        self.wait = 0
        return max(rate * self.factor, FLOOR) if rate > FLOOR else rate


def notebook_plateaus() -> list[Plateau]:
    """The notebook's four schedules; each acts on the rate that the one before it left."""
    return [
        Plateau("loss_train", 0.98, 1),
        Plateau("loss_train", 0.95, 3),
        Plateau("loss_train", 0.80, 7),
        Plateau("loss_valid", 0.50, 20),
    ]
