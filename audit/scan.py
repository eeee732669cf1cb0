"""A table scanned: checked and added up. What an audit needs of an engine, not its statistics.

Apart from `audit.run`, so that a command can scan while fairlearn and scipy are being loaded.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.config import AuditSettings
from audit.engines import DUCKDB
from audit.errors import InputError
from audit.notes import Facts
from audit.predictions import Predictions, open_predictions
from audit.sites import SiteTally, settle
from audit.tally import Tally, tally_predictions
from audit.tally_file import is_tally, read_tally


@dataclass(frozen=True)
class Scan:
    """A predictions table under some settings, and its tally. started: `time.perf_counter()`.

    predictions: the rows; None where the source is a tally, which is `site` then.
    """

    source: Path | pd.DataFrame
    settings: AuditSettings
    tally: Tally
    facts: Facts
    started: float
    predictions: Predictions | None = None
    site: SiteTally | None = None


def scan(
    source: Path | str | pd.DataFrame,
    settings: AuditSettings | None = None,
    *,
    engine: str = DUCKDB,
) -> Scan:
    """Check and add up a predictions table, or read the tally of one.

    engine: where the table is read and added up, see `audit.engines`. Raises InputError as
    `open_predictions`, `read_tally` and `settle` do.
    """
    started = time.perf_counter()
    settings = settings or AuditSettings()
    source = Path(source) if isinstance(source, str) else source
    if isinstance(source, Path) and is_tally(source):
        if engine != DUCKDB:
            raise InputError(
                f"--engine {engine}: {source.name} is a tally, whose rows were counted where they "
                "are; leave --engine away"
            )
        site = settle(read_tally(source), settings, label=source.name)
        return Scan(source, site.settings, site.tally, site.facts, started, site=site)
    predictions = open_predictions(source, settings, engine=engine)
    tally = tally_predictions(predictions, settings)
    return Scan(source, settings, tally, predictions.facts, started, predictions=predictions)
