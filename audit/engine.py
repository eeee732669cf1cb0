"""Another engine than DuckDB: the same questions put to it in its own words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from audit.translate import order_of, relations_in, translated

TABLE = "table:"  # what stands before the name of an engine's own table, where a path could stand


@dataclass(frozen=True)
class Engine:
    """An engine that holds a table, and the relations laid over it.

    name: with its version, for `info.run`. dialect: of sqlglot. run: a query in that dialect ->
    its rows; raises InputError for a table that cannot be read. stop: end what is running. raw: a
    query, in the engine's own words, that is the relation `raw`; None where it stands there by
    that name. doubles: see `audit.translate.translated`. laid: relation -> SQL, in the order laid.

    Nothing is written to the engine: relations stand before each query that reads them.
    """

    name: str
    dialect: Any
    run: Callable[[str], pa.Table]
    stop: Callable[[], None]
    raw: str | None = None
    doubles: frozenset[str] = frozenset()
    laid: dict[str, str] = field(default_factory=dict)

    def lay(self, relation: str, sql: str) -> None:
        """Let `relation` be the rows of a query in DuckDB's SQL, in every query from now on."""
        self.laid[relation] = sql

    def ask(self, sql: str) -> tuple[pa.Table, list[tuple[int, bool]]]:
        """The rows of a query in DuckDB's SQL, and what it sorts them by (see `order_of`).

        The caller sorts again: some engines sort, but then hand the rows over in pieces that arrive
        in any order.
        """
        return self.run(self.written(sql)), order_of(sql)

    def written(self, sql: str) -> str:
        """A query in the engine's own words, with the relations that it reads before it."""
        needed = [f"{self._named(n)} AS ({self._body(n)})" for n in self._needed(sql)]
        with_ = f"WITH {', '.join(needed)} " if needed else ""
        return with_ + self._said(sql)

    def _needed(self, sql: str) -> list[str]:
        known = [*(["raw"] if self.raw is not None else []), *self.laid]
        found: set[str] = set()
        rest = relations_in(sql, known)
        while rest:
            found |= rest
            rest = set().union(*(relations_in(self.laid[n], known) for n in rest - {"raw"})) - found
        return [name for name in known if name in found]

    def _body(self, name: str) -> str:
        return self.raw if name == "raw" and self.raw is not None else self._said(self.laid[name])

    def _named(self, name: str) -> str:
        return translated(f"SELECT {name}", self.dialect).removeprefix("SELECT ")

    def _said(self, sql: str) -> str:
        return translated(sql, self.dialect, doubles=self.doubles)
