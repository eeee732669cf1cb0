"""The settings of an audit: what may be chosen, from Python, a TOML file or the command line."""

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, fields
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

from audit.errors import InputError
from audit.files import read_toml
from audit.metrics import METRICS
from audit.words import nearest

OLDEST = 120  # years; the contract's last true age
NOMINAL = 0.9  # share of true ages that the contract takes age_low..age_high to be meant to hold
MOST_THREADS = 1024  # beyond, a machine has none left
SPLITS = ("train", "valid", "test", "judge", "all")  # judge: of a recalibrated table
SCORE_METHODS = ("temperature", "platt", "isotonic")  # how scores and ages are recalibrated
AGE_METHODS = ("linear", "isotonic")
NONE, BEST = "none", "best"
# What `faceaudit recalibrate` offers for each head.
RECALIBRATIONS: Mapping[str, tuple[str, ...]] = {
    "gender": (*SCORE_METHODS, NONE, BEST),
    "age": (*AGE_METHODS, NONE, BEST),
    "interval": ("conformal", "mondrian", NONE, BEST),
}


@dataclass(frozen=True)
class AuditSettings:
    """What an audit is asked to do. Every field has a default; a wrong one raises InputError.

    by: features to audit, in the order their crossings are joined; None: the table's own columns,
        then `gender_true` and `age_group`.
    control: features within whose levels groups are also compared.
    depth: how many features a crossing may join (1 to 3).
    age_groups: left edges, in years, of the left-closed age groups; the first is 0.
    cuts: inner edges per numeric feature, in its own unit.
    split: which rows to audit (`train`, `valid`, `test`, `judge`, `all`); None: all but training
        rows.
    columns: our column name -> the table's own name for it.
    threshold: called female from this P(female) on.
    max_groups: most levels a feature may have.
    check_ids: check that `sample_id` is unique at any size (always done up to 5 M rows).
    strict: rows that would be left out are an error instead.
    seed: seed of everything drawn by lot.
    alpha: family-wise error of all claims together.
    margins: metric key -> difference of practical importance, in the metric's unit.
    model: the model's name, for titles.
    threads: threads of the scan; None: all cores. Never changes a figure.
    without_marked: file of marks (`audit.marked`) whose faces are left out; None: none are.
    given: names of the fields that somebody set, at their default or not; no setting itself.
    """

    by: tuple[str, ...] | None = None
    control: tuple[str, ...] = ()
    depth: int = 2
    age_groups: tuple[int, ...] = (0, 3, 10, 20, 30, 40, 50, 60, 70)
    cuts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    threshold: float = 0.5
    max_groups: int = 50
    check_ids: bool = False
    strict: bool = False
    seed: int = 0
    alpha: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    threads: int | None = None
    without_marked: str | None = None
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        """Bring every field to its type; refuse what no audit could be run with."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _FIELDS and not (value is None and one.default is None):
                object.__setattr__(self, one.name, _typed(one.name, value))
        _check_names("by", self.by or ())
        _check_names("control", self.control)
        _need(self.by is None or len(self.by) > 0, "by names no feature; leave it out for all")
        _need(1 <= self.depth <= 3, f"depth is {self.depth}; it can be 1, 2 or 3")
        _check_edges("age_groups", self.age_groups)
        _need(self.age_groups[0] == 0, "age_groups must start at 0, so that every age has a group")
        _need(self.age_groups[-1] <= OLDEST, f"age_groups end above {OLDEST} years")
        for name, edges in self.cuts.items():
            _check_edges(f"cuts of {name!r}", edges)
        _need(
            self.split is None or self.split in SPLITS,
            f"split is {self.split!r}; it can be {', '.join(SPLITS)}",
        )
        _need(0 < self.threshold <= 1, f"threshold is {self.threshold}; it lies in (0, 1]")
        _need(self.max_groups >= 2, f"max_groups is {self.max_groups}; it must be at least 2")
        _need(0 <= self.seed < 2**32, f"seed is {self.seed}; it lies from 0 to {2**32 - 1}")
        _need(0 < self.alpha < 0.5, f"alpha is {self.alpha}; it lies between 0 and 0.5")
        _need(
            self.threads is None or 1 <= self.threads <= MOST_THREADS,
            f"threads is {self.threads}; it lies from 1 to {MOST_THREADS}",
        )
        for key, margin in self.margins.items():
            _known(key, METRICS, "margins name", "a metric")
            _need(margin > 0, f"the margin of {key} is {margin}; it must be above 0")

    @property
    def age_labels(self) -> tuple[str, ...]:
        """Names of the age groups: `0-2`, `3-9`, ..., `70+`; a group of one year is its year."""
        names = (
            f"{low}-{high - 1}" if high - low > 1 else f"{low}"
            for low, high in pairwise(self.age_groups)
        )
        return (*names, f"{self.age_groups[-1]}+")

    def margin(self, key: str) -> float:
        """The difference of practical importance of metric `key`, in its unit."""
        return float(self.margins.get(key, METRICS[key].margin))

    def replace(self, **changes: Any) -> Self:
        """These settings with some fields changed, noted in `given`.

        Raises InputError for an unknown field.
        """
        for name in changes:
            _known(name, _FIELDS, "there is no setting", None)
        return dataclasses.replace(self, **changes, given=self.given | {*changes})

    def as_json(self) -> dict[str, Any]:
        """Plain values of every field that can change a figure or a word, but for paths.

        Not `threads`; nor `without_marked`, of which the result says what it did, row by row.
        """
        plain = {name: _plain(getattr(self, name)) for name in _FIELDS}
        own = ("threads", "without_marked")
        return {name: value for name, value in plain.items() if name not in own}

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Settings from a TOML file whose keys are the fields of this class.

        `cuts`, `columns` and `margins` are tables. Raises InputError, naming file and key, for a
        file that cannot be read, an unknown key (with the nearest known one) or a wrong type.
        """
        raw = read_toml(path, option="--config")
        try:
            return cls.from_plain(raw)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Settings from plain values by field, as `as_json` gives them; null is the default."""
        given = {name: value for name, value in raw.items() if value is not None}
        return cls().replace(**given)


_FIELDS = tuple(f.name for f in fields(AuditSettings) if f.name != "given")
_WORDS = {"by", "control"}
_MAPS = {"columns", "cuts", "margins"}
_KINDS: Mapping[str, tuple[type, str]] = {
    "depth": (int, "a whole number"),
    "max_groups": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "threads": (int, "a whole number"),
    "threshold": (float, "a number"),
    "alpha": (float, "a number"),
    "check_ids": (bool, "true or false"),
    "strict": (bool, "true or false"),
    "split": (str, "text"),
    "model": (str, "text"),
    "without_marked": (str, "text"),
}


_BROAD: Mapping[type, type] = {int: Integral, float: Real}  # numpy's are numbers too


def _typed(name: str, value: Any) -> Any:
    """A value as the type of field `name`; InputError when it is of another kind."""
    if name in _WORDS:
        words = [value] if isinstance(value, str) else value
        return _list(name, words, str, "a list of names")
    if name == "age_groups":
        return _list(name, value, int, "a list of whole numbers")
    if name in _MAPS:
        _need(isinstance(value, Mapping), f"{name} must be a table, as in [{name}]")
        if name == "cuts":
            return {k: _list(f"cuts.{k}", v, float, "a list of numbers") for k, v in value.items()}
        kind, words = (str, "text") if name == "columns" else (float, "a number")
        return {k: _one(f"{name}.{k}", v, kind, words) for k, v in value.items()}
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    return _one(name, value, *_KINDS[name])


def _one(name: str, value: Any, kind: type, words: str) -> Any:
    fits = isinstance(value, _BROAD.get(kind, kind))
    if kind is not bool:
        fits = fits and not isinstance(value, bool)
    _need(fits, f"{name} is {value!r}, not {words}")
    try:
        return kind(value)
    except OverflowError as error:
        raise InputError(f"{name} is too large a number") from error


def _list(name: str, value: Any, kind: type, words: str) -> tuple[Any, ...]:
    # a set has no order, and the order of features is that of their crossings
    many = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, Set))
    _need(many, f"{name} is {value!r}, not {words}")
    return tuple(_one(name, item, kind, words) for item in value)


def _known(name: str, known: Any, what: str, kind: str | None) -> None:
    if name in known:
        return
    raise InputError(f"{what} {name!r}{f', not {kind}' if kind else ''}; {nearest(name, [*known])}")


def _check_names(name: str, words: tuple[str, ...]) -> None:
    twice = sorted({w for w in words if words.count(w) > 1})
    _need(not twice, f"{name} names {', '.join(map(repr, twice))} twice")


def _check_edges(name: str, edges: tuple[float, ...]) -> None:
    _need(len(edges) > 0, f"{name}: no edge given")
    rising = all(low < high for low, high in pairwise(edges))
    shown = ",".join(f"{e:g}" for e in edges)
    _need(all(map(math.isfinite, edges)), f"{name} are {shown}; they must be finite")
    _need(rising, f"{name} are {shown}; they must rise from left to right")


def _need(holds: bool, words: str) -> None:  # noqa: FBT001  (a condition is what it is about)
    if not holds:
        raise InputError(words)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(value[k]) for k in sorted(value)}
    return list(value) if isinstance(value, tuple) else value


def read_pairs(words: Iterable[str], option: str, form: str) -> dict[str, str]:
    """The pairs `NAME=THEIRS` of a command line. form: how one looks, for the error."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, theirs = word.partition("=")
        if not (equals and name and theirs):
            raise InputError(f"{option} {word!r} is not of the form {form}")
        if name in pairs:
            raise InputError(f"{option} names {name!r} twice")
        pairs[name] = theirs
    return pairs
