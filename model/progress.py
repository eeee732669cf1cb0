"""How a training shows where it stands: a live line, `history.csv`, TensorBoard's scalars."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

from audit.files import write_text
from model.state import State


class Progress:
    """One line on stderr, rewritten as the training goes; nothing when stderr is no terminal."""

    def __init__(self, epochs: int, steps: int, *, show: bool) -> None:
        self.epochs, self.steps = epochs, steps
        self.show = show and sys.stderr.isatty()
        self._start = self._last = time.monotonic()
        self._done = 0  # steps taken since the start of this process
        self._faces = 0.0
        self._row: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.show:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def step(self, state: State) -> None:
        """Count a step; write the line at most four times a second."""
        self._done += 1
        now = time.monotonic()
        if not self.show or now - self._last < 0.25:
            return
        self._last = now
        seen = max(1.0, state.sums["faces"])
        pace = (now - self._start) / self._done
        left = pace * ((self.epochs - state.epoch) * self.steps - state.step)
        words = [
            f"epoch {state.epoch + 1}/{self.epochs} step {state.step}/{self.steps}",
            f"{seen / max(1, state.step) / pace:.0f} images/s",
            f"loss {state.sums['loss'] / seen:.2f}",
        ]
        if self._row:
            words.append(_valid_words(self._row))
        words.append(f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left")
        sys.stderr.write("\r" + " · ".join(words) + "\x1b[K")
        sys.stderr.flush()

    def epoch(self, row: dict[str, float]) -> None:
        """Remember the figures of a finished epoch for the line."""
        self._row = row


def _valid_words(row: dict[str, float]) -> str:
    return (
        f"valid: loss {row['loss_valid']:.2f}, MAE {row['age_mae_valid']:.2f} years, "
        f"gender {100 * row['gender_accuracy_valid']:.1f} %"
    )


def write_rows(history: Sequence[dict[str, float]], out: Path) -> None:
    """`history.csv`, whole."""
    text = pd.DataFrame(history).to_csv(index=False, lineterminator="\n")
    write_text(out / "history.csv", text)


def write_history(history: Sequence[dict[str, float]], out: Path) -> None:
    """`history.csv`, whole, and the last row as TensorBoard scalars where tensorboard is there."""
    write_rows(history, out)
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional package
    except ImportError:
        return
    row = history[-1]
    with SummaryWriter(str(out / "tensorboard"), purge_step=int(row["epoch"])) as writer:
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, int(row["epoch"]))
