"""The command-line options of `model`'s commands, and the training settings they ask for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.config import read_pairs
from audit.errors import InputError
from model.settings import (
    AGE_WEIGHTS,
    NETWORKS,
    PRECISIONS,
    QUICK,
    SEVERAL,
    TrainSettings,
    read_settings,
    settings_for,
)

_FEATURES = {"nargs": "+", "action": "extend", "metavar": "FEATURE"}
_WHOLE: dict[str, Any] = {"type": int, "metavar": "N"}
_NUMBER: dict[str, Any] = {"type": float, "metavar": "X"}
_SHARE: dict[str, Any] = {"type": float, "metavar": "FRACTION"}
_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--network", "network", {"choices": NETWORKS, "help": "which network (compact)"}),
    ("--epochs", "epochs", {**_WHOLE, "help": "times through the faces (the network's own)"}),
    ("--batch", "batch", {**_WHOLE, "help": "faces per step (64)"}),
    ("--learning-rate", "learning_rate", {**_NUMBER, "help": "peak rate (the network's own)"}),
    ("--size", "size", {**_WHOLE, "help": "side of the pictures in pixels (128)"}),
    ("--holdout", "test", {**_SHARE, "help": "test share (0.2)"}),
    ("--valid", "valid", {**_SHARE, "help": "validation share (0.1)"}),
    ("--precision", "precision", {"choices": PRECISIONS, "help": "(auto: by the machine)"}),
    ("--device", "device", {"choices": ("auto", "cpu", "cuda"), "help": "(auto)"}),
    ("--weights", "weights", {"metavar": "FILE", "help": "start from these weights"}),
    ("--head-epochs", "head_epochs", {**_WHOLE, "help": "first epochs of the heads alone"}),
    ("--body-rate", "body_rate", {**_NUMBER, "help": "share of the rate for the body"}),
    ("--balance", "balance", {**_FEATURES, "help": "draw their groups equally often"}),
    ("--age-weights", "age_weights", {"choices": AGE_WEIGHTS, "help": "rare ages weigh more"}),
    ("--group-dro", "group_dro", {**_FEATURES, "help": "their worst group pulls hardest"}),
    ("--dro-rate", "dro_rate", {**_NUMBER, "help": "how fast its pull grows (0.01)"}),
)


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add `--column`, which names the columns of a label file."""
    parser.add_argument(
        "--column",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=THEIRS",
        help="read the label NAME from their column of a label file",
    )


def label_columns_from(args: argparse.Namespace) -> dict[str, str]:
    """What `--column` names: our names of labels -> theirs."""
    return read_pairs(args.column, "--column", "NAME=THEIRS")


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """Add what `faceaudit predict` and `python -m model.predict` ask for to `parser`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run folder of a training, or an .onnx"
    )
    parser.add_argument(
        "faces", type=Path, metavar="FACES", help="folder of faces, label table, tar or Parquet"
    )
    parser.add_argument("--out", type=Path, required=True, help="predictions.parquet (or .csv)")
    parser.add_argument(
        "--embeddings", action="store_true", help="also write what the network holds of each face"
    )
    parser.add_argument(
        "--no-recalibration", action="store_true", help="leave off the map that RUN carries"
    )
    parser.add_argument(
        "--pre-processing",
        type=Path,
        metavar="MODEL.toml",
        help="what RUN, an .onnx of other people, takes and gives",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep finished pieces, go on with those there are"
    )
    parser.add_argument("--strict", action="store_true", help="left-out files are an error")
    add_label_option(parser)


def add_train_options(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """Add the options of a training to `parser`; what is not given stays None.

    Without `threads` the parser has a `--threads` of its own, which the training takes too.
    """
    group = parser.add_argument_group("training")
    for option, name, how in _OPTIONS:
        group.add_argument(option, dest=f"train_{name}", **how)
    group.add_argument("--pretrained", action="store_true", help="start from ImageNet weights")
    group.add_argument("--quick", action="store_true", help="a short recipe, under ten minutes")
    group.add_argument("--resume", action="store_true", help="go on where a training was stopped")
    group.add_argument("--seed", type=int, help="seed of split, order, weights and changes (0)")
    if threads:
        group.add_argument("--threads", type=int, help="threads of the training (all cores)")


def train_settings_from(args: argparse.Namespace) -> TrainSettings:
    """The settings that the options ask for.

    With `--resume` those of the stopped training, and InputError for an option that differs.
    """
    given = {n: getattr(args, f"train_{n}") for _, n, _ in _OPTIONS}
    given |= {"seed": args.seed, "pretrained": args.pretrained or None, "threads": args.threads}
    given = {
        name: tuple(value) if name in SEVERAL else value
        for name, value in given.items()
        if value is not None
    }
    folder = args.out / "run" if getattr(args, "command", None) == "run" else args.out
    stored = read_settings(folder) if args.resume else None
    if stored is None:
        return settings_for(given.pop("network", "compact"), quick=args.quick, **given)
    refuse_changed(stored, given, folder=folder)
    if args.quick:
        _refuse_long(stored, given, folder=folder)
    return stored


def _refuse_long(stored: TrainSettings, given: Mapping[str, Any], *, folder: Path) -> None:
    """Raise InputError when `stored` was begun by the long recipe, where `--quick` is asked for."""
    long, quick = settings_for(stored.network), settings_for(stored.network, quick=True)
    for name in QUICK[stored.network].keys() - given.keys():
        if getattr(stored, name) == getattr(long, name) != getattr(quick, name):
            raise InputError(
                f"--resume in {folder}: --quick (was not given): leave it as it was, "
                "or train anew in another --out"
            )


def refuse_changed(stored: TrainSettings, given: Mapping[str, Any], *, folder: Path) -> None:
    """Raise InputError that names what of `given` is not as `stored`."""
    options = {name: option for option, name, _ in _OPTIONS}
    was = stored.to_dict()
    asked = {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}
    changed = [
        f"{options.get(name, '--' + name.replace('_', '-'))} {_shown(value)} "
        f"(was {_shown(was[name])})"
        for name, value in asked.items()
        if was[name] != value
    ]
    if changed:
        raise InputError(
            f"--resume in {folder}: {'; '.join(changed)}: leave it as it was, "
            "or train anew in another --out"
        )


def _shown(value: object) -> str:
    """A value as it is typed."""
    if value is None or value == []:
        return "not given"
    return " ".join(value) if isinstance(value, list) else str(value)
