"""An `.onnx` of other people, run as a TOML file describes it (`model.foreign`)."""

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.age_bins import ages_of_bins
from audit.errors import InputError
from model.decode import Floats
from model.foreign import (
    CLASSES,
    EACH_YEAR,
    LOG_VARIANCE,
    LOGIT,
    STD,
    YEARS,
    Age,
    Foreign,
    Gender,
    Input,
    Std,
    read_foreign,
)
from model.pictures import GROUND, Pixels
from model.ready import Ready
from model.ready_onnx import onnx_session, sigmoid, softmax

_NUMBERS = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}  # fmt: skip
Outputs = Mapping[str, Floats]


def open_foreign(path: Path, described: Path, *, threads: int | None) -> Ready:
    """The model in `path`, tried on two pictures, so that a wrong description is found at once.

    Raises InputError: no such file, no onnxruntime, and what does not fit the model's own inputs
    and outputs, which the message lists.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    foreign, data = read_foreign(described), path.read_bytes()
    session = onnx_session(data, source=path, threads=threads)
    runner = _Runner(session, foreign, f"{described} does not fit {path.name}")
    size = foreign.input.size
    runner.refuse_no_numbers(*runner.score(_trial(size)))
    digest = hashlib.sha256(data + described.read_bytes()).hexdigest()
    config = {
        "network": foreign.name or path.stem,
        "run_id": digest[:12],
        "size": size,
        "decode": {
            "age": "columns", "columns": _age_columns(foreign), "gender": foreign.gender is not None
        },
        "sha256": digest,
    }  # fmt: skip
    return Ready(config, None, runner.score, resize=foreign.input.resize)


def _age_columns(foreign: Foreign) -> list[str]:
    """Columns of the table that the age head gives, in the order `_ages` makes them."""
    if foreign.age is None:
        return []
    interval = (
        ["age_low", "age_high"] if foreign.age.labels or foreign.age.kind == EACH_YEAR else []
    )
    return ["age_pred", *interval, *(["age_std"] if foreign.age_std else [])]


def _trial(size: int) -> Pixels:
    """Two pictures, half dark and half bright grey: of one colour has no spread to divide by."""
    pictures = np.full((2, size, size, 3), GROUND[0] - 64, dtype=np.uint8)
    pictures[:, :, size // 2 :] = GROUND[0] + 64
    return pictures


class _Runner:
    """The session, its description, and the words that every misfit begins with."""

    def __init__(self, session: Any, foreign: Foreign, misfit: str) -> None:
        self.session, self.foreign, self.misfit = session, foreign, misfit
        self.there = {o.name: o for o in session.get_outputs()}
        self.input = self._input()
        fixed = self.input.shape[0] if self.input.shape else None
        self.batch = fixed if isinstance(fixed, int) and fixed > 0 else None
        for section, head in foreign.heads.items():
            self._need_known(head.output, section, self.there)
            kind = self.there[head.output].type
            if not re.fullmatch(r"tensor\((u?int\d+|float(16)?|double|bool)\)", kind):
                raise InputError(
                    f"{self.misfit}: [{section}] output {head.output!r} is {kind}, no numbers "
                    f"({self._words()})"
                )

    def score(self, pictures: Pixels) -> tuple[Floats, Floats]:
        """Columns of the age head [N, K] and P(female) [N], NaN without a gender head."""
        views = [pictures]
        if self.foreign.input.mirror:
            views.append(np.ascontiguousarray(pictures[:, :, ::-1]))
        inputs = [to_input(view, self.foreign.input) for view in views]
        with np.errstate(all="ignore"):  # what is no number is refused or left empty, not warned of
            read = [self._read(self._run(x)) for x in inputs]
        age, gender = (np.mean(parts, axis=0) for parts in zip(*read, strict=True))
        return age, gender

    def refuse_no_numbers(self, age: Floats, female: Floats) -> None:
        """Raise InputError where a head that is described gives no number."""
        for section, found in {"age": age, "gender": female[:, None]}.items():
            if section in self.foreign.heads and not np.isfinite(found).all():
                raise InputError(
                    f"{self.misfit}: [{section}] gives {found[~np.isfinite(found)][0]} for a grey "
                    "picture, which is no number; look at scale, mean, std and the model itself"
                )

    def _run(self, x: npt.NDArray[np.float32]) -> dict[str, Floats]:
        """Every output that is asked for, [N, ...]; a model of fixed batch is given full ones."""
        names = list(dict.fromkeys(head.output for head in self.foreign.heads.values()))
        step = self.batch or len(x)
        kind = _NUMBERS[self.input.type]
        parts = []
        for start in range(0, len(x), step):
            part = x[start : start + step].astype(kind)
            full = np.concatenate([part, np.zeros((step - len(part), *part.shape[1:]), kind)])
            try:
                outputs = self.session.run(names, {self.input.name: full})
            except Exception as error:
                raise InputError(
                    f"{self.misfit}: it takes no input of shape {list(full.shape)} "
                    f"({self._words()}; onnxruntime: {' '.join(str(error).split())[:160]})"
                ) from error
            rows = [self._rows(*named, step) for named in zip(names, outputs, strict=True)]
            parts.append([found[: len(part)] for found in rows])
        joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return dict(zip(names, joined, strict=True))

    def _rows(self, name: str, output: "np.ndarray[Any, Any]", n: int) -> Floats:
        """An output as one row a face, [n, ...]; a batch of one may have lost its first axis."""
        if n == 1 and output.shape[:1] != (1,):
            return output.reshape(1, -1)
        if output.shape[:1] != (n,):
            raise InputError(
                f"{self.misfit}: output {name!r} has the shape {list(output.shape)} for {n} faces, "
                f"not one row a face ({self._words()})"
            )
        return output

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats]:
        n = len(next(iter(outputs.values())))
        foreign = self.foreign
        ages: Floats = np.empty((n, 0))
        if foreign.age is not None:
            ages = self._ages(foreign.age, self._columns(outputs, foreign.age, "age"))
        if foreign.age_std is not None:
            found = self._columns(outputs, foreign.age_std, "age_std")[:, 0]
            if (found < 0).any() and foreign.age_std.kind != LOG_VARIANCE:
                raise InputError(
                    f"{self.misfit}: [age_std] gives {found[found < 0][0]:.3g}, which is no "
                    f'{foreign.age_std.kind}; of a logarithm say kind = "{LOG_VARIANCE}"'
                )
            ages = np.column_stack([ages, _std(found, foreign.age_std)])
        if foreign.gender is None:
            return ages, np.full(n, np.nan)
        found = self._columns(outputs, foreign.gender, "gender")
        return ages, self._female(found, foreign.gender)

    def _columns(self, outputs: Outputs, head: Age | Gender | Std, section: str) -> Floats:
        """The columns of an output that belong to a head, float64 [N, K]."""
        found = np.asarray(outputs[head.output], dtype=np.float64)
        flat = found.reshape(len(found), -1)
        first = head.first or 0
        width = head.width or flat.shape[1] - first
        fits = first + width <= flat.shape[1] if head.first is not None else width == flat.shape[1]
        if not fits or width < 1:
            wanted = f"columns {first} to {first + width - 1}" if head.first else f"{width} columns"
            wanted = wanted if head.width else f"columns from {first} on"
            raise InputError(
                f"{self.misfit}: [{section}] wants {wanted} of output {head.output!r}, which gives "
                f"{flat.shape[1]} a face ({self._words()})"
            )
        return flat[:, first : first + width]

    def _ages(self, head: Age, found: Floats) -> Floats:
        """age_pred in years, and its interval where bins give one: [N, 1] or [N, 3]."""
        if head.kind == YEARS:
            return found * head.times
        shares = softmax(found) if head.softmax else found
        years = range(head.youngest, head.youngest + shares.shape[1])
        labels = [str(year) for year in years] if head.kind == EACH_YEAR else head.labels
        if not labels:
            self._refuse_no_shares(shares, "age", softmax=head.softmax)
            expected: Floats = shares @ np.array(head.centres)[:, None]
            return expected
        try:
            ages = ages_of_bins(pd.DataFrame(shares, columns=labels))
        except InputError as error:
            raise InputError(f"{self.misfit}: [age] {error} (softmax = true)") from error
        read: Floats = ages.to_numpy(dtype=np.float64)
        return read

    def _female(self, found: Floats, head: Gender) -> Floats:
        if head.kind == CLASSES:
            shares = softmax(found) if head.softmax else found
            self._refuse_no_shares(shares, "gender", softmax=head.softmax)
            female = shares[:, head.female]
        else:
            female = sigmoid(found[:, 0]) if head.kind == LOGIT else found[:, 0]
        odd = female[(female < 0) | (female > 1)]  # NaN is missing, as an age that is none
        if len(odd):
            raise InputError(
                f"{self.misfit}: [gender] gives {odd[0]:.3g}, which is no probability; of logits "
                'say kind = "logit"'
            )
        return 1 - female if head.of == "male" else female

    def _refuse_no_shares(self, shares: Floats, section: str, *, softmax: bool) -> None:
        good = (shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < 0.01)
        odd = shares[~good & ~np.isnan(shares).any(axis=1)]
        if len(odd):
            hint = "" if softmax else "; of logits say softmax = true"
            raise InputError(
                f"{self.misfit}: [{section}] gives {np.round(odd[0], 3).tolist()}, which are no "
                f"probabilities{hint}"
            )

    # What the model itself says.

    def _input(self) -> Any:
        there = {i.name: i for i in self.session.get_inputs()}
        name = self.foreign.input.name
        if not name and len(there) == 1:
            name = next(iter(there))
        elif not name:
            raise InputError(
                f"{self.misfit}: [input] name is missing, and it has several ({self._words()})"
            )
        self._need_known(name, "input", there)
        if there[name].type not in _NUMBERS:
            raise InputError(f"{self.misfit}: input {name!r} takes {there[name].type}, no pictures")
        how = self.foreign.input
        plain = (how.scale, set(how.mean), set(how.std)) == (1, {0}, {1})
        if not plain and "int" in there[name].type:
            raise InputError(
                f"{self.misfit}: [input] scale, mean and std make fractions, and input {name!r} "
                f"takes whole pixels ({there[name].type}): leave them out"
            )
        return there[name]

    def _need_known(self, name: str, section: str, there: Mapping[str, Any]) -> None:
        if name not in there:
            near = get_close_matches(name, list(there), n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"{self.misfit}: [{section}] names {name!r}; {hint}({self._words()})")

    def _words(self) -> str:
        """The model's inputs and outputs with their shapes, in one line."""
        sides = {"takes": self.session.get_inputs(), "gives": self.session.get_outputs()}
        return "; ".join(
            f"it {verb} " + ", ".join(f"{one.name} {_shape(one.shape)}" for one in those)
            for verb, those in sides.items()
        )


def _shape(shape: list[Any]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _std(found: Floats, head: Std) -> Floats:
    """Standard deviation in years, [N]."""
    if head.kind == STD:
        return found * head.times
    variance = np.exp(np.clip(found, -80, 80)) if head.kind == LOG_VARIANCE else found
    return np.sqrt(variance) * head.times


def to_input(pictures: Pixels, how: Input) -> npt.NDArray[np.float32]:
    """RGB uint8 [N, S, S, 3] -> what the model takes, float32: [N, 3, S, S] or [N, S, S, 3]."""
    ordered = pictures[..., ::-1] if how.colours == "BGR" else pictures
    mean, std = (np.array(part, dtype=np.float32) for part in (how.mean, how.std))
    x = (ordered.astype(np.float32) * np.float32(how.scale) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if how.layout == "NCHW" else x)
