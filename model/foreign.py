"""What an `.onnx` of other people takes and gives, as a TOML file says it. docs/models.md.

[input] says how a picture becomes numbers; [age], [gender] and [age_std] which output holds what.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from audit.age_bins import bin_years
from audit.errors import InputError
from audit.files import read_toml
from audit.words import nearest
from model.pictures import FIT, RESIZES

T = TypeVar("T")
LAYOUTS, COLOURS, SEXES = ("NCHW", "NHWC"), ("RGB", "BGR"), ("female", "male")
YEARS, BINS, EACH_YEAR = AGE_KINDS = ("years", "bins", "each year")
PROBABILITY, LOGIT, CLASSES = GENDER_KINDS = ("probability", "logit", "classes")
STD, VARIANCE, LOG_VARIANCE = STD_KINDS = ("std", "variance", "log variance")


@dataclass(frozen=True)
class Input:
    """[input]: (pixel × scale - mean) / std, channel by channel in the model's own order.

    size: side of the square in pixels. name: of the model's input, where it has several. resize:
    one of `model.pictures.RESIZES`. mirror: average with the mirror image.
    """

    size: int
    name: str = ""
    layout: str = "NCHW"
    colours: str = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = FIT
    mirror: bool = False

    def __post_init__(self) -> None:
        """Refuse what no picture could be brought to."""
        _need(8 <= self.size <= 4096, f"size is {self.size}; it lies in 8 to 4096 pixels")
        _one_of("layout", self.layout, LAYOUTS)
        _one_of("colours", self.colours, COLOURS)
        _one_of("resize", self.resize, RESIZES)
        for name in ("mean", "std"):
            n = len(getattr(self, name))
            _need(n in {1, 3}, f"{name} has {n} numbers; one for all colours, or three")
        _need(self.scale != 0, "scale is 0, by which every picture is black")
        _need(all(part != 0 for part in self.std), "std holds a 0, by which nothing is divided")


@dataclass(frozen=True)
class Age:
    """[age]: `years` (a number), `bins` (a share of each) or `each year` (a share of each year).

    first: the first column of `output` that is meant, where it holds more. softmax: it gives
    logits. bins are named by `bins` (`0-2`, `70+`), by their `edges` in whole years or by `centres`
    in years. times: years to a unit of the output. youngest: first year of `each year`.
    """

    output: str
    kind: str = YEARS
    first: int | None = None
    softmax: bool = False
    times: float = 1.0
    bins: tuple[str, ...] = ()
    edges: tuple[int, ...] = ()
    centres: tuple[float, ...] = ()
    youngest: int = 0

    def __post_init__(self) -> None:
        """Refuse kinds that lack their words, and words that lack their kind."""
        _one_of("kind", self.kind, AGE_KINDS)
        _check_first(self.first)
        given = [name for name in ("bins", "edges", "centres") if getattr(self, name)]
        if self.kind == BINS:
            _need(len(given) == 1, 'kind = "bins" wants one of bins, edges and centres')
        else:
            _need(not given, f'{", ".join(given)}: only with kind = "bins"')
        _need(self.kind != YEARS or not self.softmax, 'softmax: not with kind = "years"')
        _need(self.kind == YEARS or self.times == 1, 'times: only with kind = "years"')
        _need(0 < self.times < math.inf, "times must be above 0")
        _need(self.kind == EACH_YEAR or self.youngest == 0, "youngest: not with this kind")
        _need(self.youngest >= 0, f"youngest is {self.youngest}; nobody is younger than 0")
        _need(len(self.edges) != 1, "edges: two are needed for one bin")
        _need(all(a < b for a, b in pairwise(self.edges)), "edges must rise from left to right")
        if self.labels:
            bin_years(self.labels)

    @property
    def labels(self) -> list[str]:
        """Names of the bins as `audit.age_bins` reads them; none for centres."""
        if self.edges:
            return [f"{low}-{high - 1}" for low, high in pairwise(self.edges)]
        return list(self.bins)

    @property
    def width(self) -> int | None:
        """How many columns of the output belong here; None: all."""
        return {YEARS: 1, BINS: len(self.labels) or len(self.centres)}.get(self.kind)


@dataclass(frozen=True)
class Gender:
    """[gender]: `probability` or `logit` of `of`, or two `classes`, of which one is `female`."""

    output: str
    kind: str = PROBABILITY
    of: str = "female"
    female: int | None = None
    softmax: bool = False
    first: int | None = None

    def __post_init__(self) -> None:
        """Refuse what leaves open who is who."""
        _one_of("kind", self.kind, GENDER_KINDS)
        _one_of("of", self.of, SEXES)
        _check_first(self.first)
        if self.kind == CLASSES:
            _need(self.female in {0, 1}, 'kind = "classes" wants female = 0 or female = 1')
            _need(self.of == "female", 'of: not with kind = "classes", where female says it')
        else:
            _need(self.female is None and not self.softmax, 'female, softmax: only with "classes"')

    @property
    def width(self) -> int:
        """How many columns of the output belong here."""
        return 2 if self.kind == CLASSES else 1


@dataclass(frozen=True)
class Std:
    """[age_std]: the spread of the age in years, as `std`, `variance` or `log variance`."""

    output: str
    kind: str = STD
    times: float = 1.0
    first: int | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        _one_of("kind", self.kind, STD_KINDS)
        _check_first(self.first)
        _need(0 < self.times < math.inf, "times must be above 0")

    @property
    def width(self) -> int:
        """How many columns of the output belong here."""
        return 1


@dataclass(frozen=True)
class Foreign:
    """The whole file; either head may be missing. `name` is the model's, for titles."""

    input: Input
    age: Age | None = None
    gender: Gender | None = None
    age_std: Std | None = None
    name: str = ""

    @property
    def heads(self) -> dict[str, Age | Gender | Std]:
        """The sections that say what an output is, by their names."""
        named = {"age": self.age, "gender": self.gender, "age_std": self.age_std}
        return {name: head for name, head in named.items() if head is not None}


_SECTIONS: Mapping[str, type] = {"input": Input, "age": Age, "gender": Gender, "age_std": Std}


def read_foreign(path: Path) -> Foreign:
    """The description in `path`. InputError, naming file, section and key, for what is wrong."""
    raw = read_toml(path, option="--pre-processing")
    try:
        return _foreign(raw)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _foreign(raw: Mapping[str, Any]) -> Foreign:
    for key in raw:
        _known(key, ("name", *_SECTIONS), "there is no key or section")
    name = raw.get("name", "")
    _need(isinstance(name, str), f"name is {name!r}, not text")
    _need("input" in raw, "section [input] is missing: it says at least size")
    _need("age" in raw or "gender" in raw, "neither [age] nor [gender] says which output is read")
    _need("age" in raw or "age_std" not in raw, "[age_std] without [age]")
    parts: dict[str, Any] = {
        key: _section(key, kind, raw[key]) for key, kind in _SECTIONS.items() if key in raw
    }
    return Foreign(name=name, **parts)


def _section(section: str, kind: type[T], raw: Any) -> T:
    _need(isinstance(raw, dict), f"{section} must be a section, as in [{section}]")
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    try:
        for key in raw:
            _known(key, tuple(types), "there is no key")
        for field in fields(kind):  # type: ignore[arg-type]
            _need(field.name in raw or field.default is not MISSING, f"{field.name} is missing")
        return kind(**{key: _typed(key, types[key], value) for key, value in raw.items()})
    except InputError as error:
        raise InputError(f"[{section}] {error}") from error


_PLAIN: Mapping[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    int | None: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "text"),
}
_LISTS: Mapping[Any, Any] = {
    tuple[float, ...]: float, tuple[int, ...]: int, tuple[str, ...]: str,
}  # fmt: skip


def _typed(key: str, kind: Any, value: Any) -> Any:
    """A TOML value as the type of a field; a single number also where there may be three."""
    if kind in _LISTS:
        values = value if isinstance(value, list) else [value]
        return tuple(_typed(key, _LISTS[kind], part) for part in values)
    types, words = _PLAIN[kind]
    fits = isinstance(value, types) and (kind is bool or not isinstance(value, bool))
    if fits and kind is float:
        _need(math.isfinite(value), f"{key} is {value}, not a finite number")
    _need(fits, f"{key} is {value!r}, not {words}")
    return float(value) if kind is float else value


def _known(key: str, known: Sequence[str], what: str) -> None:
    if key not in known:
        raise InputError(f"{what} {key!r}; {nearest(key, known)}")


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    _need(value in known, f"{key} is {value!r}; it can be {', '.join(known)}")


def _check_first(first: int | None) -> None:
    _need(first is None or first >= 0, f"first is {first}; columns are counted from 0")


def _need(holds: bool, words: str) -> None:  # noqa: FBT001  (a condition is what it is about)
    if not holds:
        raise InputError(words)
