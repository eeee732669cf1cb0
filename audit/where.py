"""Which faces are asked for: levels, spans of numbers, outlines; and the SQL that finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.columns import identifier
from audit.errors import InputError

AREA = "area"  # where an outline stands in a `Where`: it is of two columns


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Area:
    """The inside of a polygon over two columns of numbers; `corners` are (x, y), three or more."""

    x: str
    y: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Members:
    """Faces known one by one: those of `ids`, which `levels` call by name."""

    levels: tuple[str, ...]
    ids: tuple[str, ...]


# What is asked for: column -> levels, any of which will do, or a span; AREA -> an outline; any
# name -> members. All must hold.
Asked = tuple[str, ...] | Span | Area | Members
Where = Mapping[str, Asked]


@dataclass(frozen=True)
class Derived:
    """A column computed in the query: `sql` over `needs`, with its levels and their words."""

    label: str
    levels: Mapping[str, str]
    needs: tuple[str, ...]
    sql: str


DERIVED: Mapping[str, Derived] = {
    "age_reading": Derived(
        "age reading",
        {"close": "within 5 years", "old": "more than 5 too old", "young": "more than 5 too young"},
        ("error",),
        "CASE WHEN error > 5 THEN 'old' WHEN error < -5 THEN 'young' WHEN error IS NOT NULL "
        "THEN 'close' END",
    ),
    "gender_call": Derived(
        "gender call",
        {"right": "right", "wrong": "wrong"},
        ("gender_true", "gender_pred"),
        "CASE WHEN gender_true IN ('female', 'male') AND gender_pred IN ('female', 'male') "
        "THEN CASE WHEN gender_pred = gender_true THEN 'right' ELSE 'wrong' END END",
    ),
}


def columns_of(where: Where) -> set[str]:
    """The columns that decide: an outline is of two; members are known by the name they go by."""
    areas = [asked for asked in where.values() if isinstance(asked, Area)]
    return {*where} - {AREA} | {column for area in areas for column in (area.x, area.y)}


Value = str | float | list[str]


def condition_of(columns: Sequence[str], where: Where) -> tuple[str, list[Value]]:
    """The SQL of `where` with a placeholder per value: names are quoted, values never spliced.

    `columns` are those of the faces. Raises InputError for any other column.
    """
    parts = ["true"]
    values: list[Value] = []
    for column, asked in where.items():
        if isinstance(asked, Area):
            part, given = _inside(asked, column_sql(columns, asked.x), column_sql(columns, asked.y))
        elif isinstance(asked, Span):
            part, given = f"{column_sql(columns, column)} BETWEEN ? AND ?", [asked.low, asked.high]
        elif isinstance(asked, Members):
            part, given = "sample_id IN (SELECT unnest(?))", [list(asked.ids)]
        elif asked:
            marks = ", ".join("?" * len(asked))
            part, given = f"({column_sql(columns, column)}) IN ({marks})", list[Value](asked)
        else:
            continue
        parts.append(part)
        values += given
    return " AND ".join(parts), values


def _inside(area: Area, x: str, y: str) -> tuple[str, list[Value]]:
    """SQL of the even-odd rule: how many edges a ray to the right of the point would cross."""
    crossed, values = [], list[Value]()
    for (x0, y0), (x1, y1) in zip(area.corners, area.corners[1:] + area.corners[:1], strict=True):
        if y0 == y1:
            continue
        crossed.append(f"((? > {y}) <> (? > {y}) AND {x} < ? + ? * ({y} - ?))::INT")
        values += [y0, y1, x0, (x1 - x0) / (y1 - y0), y0]
    return f"coalesce(({' + '.join(crossed) or '0'}) % 2 = 1, false)", values


def column_sql(columns: Sequence[str], column: str) -> str:
    """SQL of a column of the rows or of DERIVED. Raises InputError for any other name."""
    if column in DERIVED:
        return DERIVED[column].sql
    if column not in columns:
        raise InputError(f"the faces of this audit have no column {column!r}")
    return identifier(column)
