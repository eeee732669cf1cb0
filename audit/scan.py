"""A table scanned: checked and added up. All that an audit needs of DuckDB, without its statistics.

Apart from `audit.run`, so that a command can scan while fairlearn and scipy are being loaded.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.config import AuditSettings
from audit.predictions import Predictions, open_predictions
from audit.tally import Tally, tally_predictions


@dataclass(frozen=True)
class Scan:
    """A predictions table under some settings, and its tally. started: `time.perf_counter()`."""

    source: Path | pd.DataFrame
    settings: AuditSettings
    predictions: Predictions
    tally: Tally
    started: float


def scan(source: Path | str | pd.DataFrame, settings: AuditSettings | None = None) -> Scan:
    """Check and add up a predictions table. Raises InputError as `open_predictions` does."""
    started = time.perf_counter()
    settings = settings or AuditSettings()
    source = Path(source) if isinstance(source, str) else source
    predictions = open_predictions(source, settings)
    return Scan(source, settings, predictions, tally_predictions(predictions, settings), started)
