"""The options of each command, and the settings made from them."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audit.config import BEST, RECALIBRATIONS, SPLITS, AuditSettings, read_pairs
from audit.errors import InputError

DEFAULT_OUT = Path("faceaudit-out")
FACES_HELP = "folder of faces, label table, .tar or Parquet shards"
SCAN_THREADS = "threads of the scan (all cores)"

EXAMPLES: Mapping[str, str] = {
    "demo": "faceaudit demo --out faceaudit-out/demo",
    "run": "faceaudit run faces/ --out audit/",
    "check": "faceaudit check faces/ --out check/",
    "train": "faceaudit train faces/ --out run/ --quick",
    "predict": "faceaudit predict run/ faces/ --out predictions.parquet",
    "export": "faceaudit export run/ --to model.onnx",
    "audit": "faceaudit audit predictions.csv --out audit/ --by race gender_true "
    "--column age_pred=their_age",
    "tally": "faceaudit tally predictions.csv --out site.parquet --by race gender_true age_group",
    "merge": "faceaudit merge north.parquet south.parquet --out all.parquet",
    "recalibrate": "faceaudit recalibrate predictions.parquet --out recalibrated/ --per race",
    "report": "faceaudit report audit/",
    "stress": "faceaudit stress audit/run/ faces/ --out audit/ --by race gender_true",
    "dashboard": "faceaudit dashboard audit/",
}


def pictures(text: str) -> Path:
    """A folder of pictures, or a tar or Parquet that holds them: one that is there."""
    path = Path(text)
    if not os.path.exists(path):  # noqa: PTH110  (a name too long is not there; Path raises)
        raise argparse.ArgumentTypeError(f"{text!r} is not there; it is the folder of the pictures")
    return path


def audited(text: str) -> Path:
    """The folder of an audit, also by its `result.json` or `report.html`."""
    path = Path(text)
    return path.parent if path.name in {"result.json", "report.html"} and path.is_file() else path


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not 0, 1, 2 ...")
    return int(text)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT / "demo", help="output folder (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of faces and training")
    parser.add_argument("--threads", type=int, help="threads of the training (all cores)")
    parser.add_argument(
        "--unplanted", action="store_true", help="draw the twin in which no group is read worse"
    )


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, metavar="FACES", help=FACES_HELP)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--embeddings", action="store_true", help="also write what the network holds of each face"
    )
    parser.add_argument("--strict", action="store_true", default=None, help="left-out faces fail")
    _train_options(parser, threads=False)
    parser.add_argument("--engine", choices=("duckdb",), default="duckdb", help="(duckdb)")
    _audit_options(parser, threads="threads of the training and of the scan (all cores)")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, metavar="FACES", help=FACES_HELP)
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT / "check", help="output folder (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample and the split")
    parser.add_argument("--strict", action="store_true", help="left-out files are an error")
    _label_option(parser)


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, metavar="FACES", help=FACES_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--strict", action="store_true", help="left-out files are an error")
    _label_option(parser)
    _train_options(parser)


def _label_option(parser: argparse.ArgumentParser) -> None:
    from model.options import add_label_option

    add_label_option(parser)


def _train_options(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    from model.options import add_train_options

    add_train_options(parser, threads=threads)


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    from model.options import add_predict_options

    add_predict_options(parser)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder of a training")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="model.onnx or model.pt2"
    )


def _predictions_argument(parser: argparse.ArgumentParser, *, also: str = "") -> None:
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help=f"table of predictions: CSV or Parquet, a file, a glob or a folder of Parquet{also}",
    )


def _audit_arguments(parser: argparse.ArgumentParser) -> None:
    _predictions_argument(parser, also="; or a tally")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--images",
        type=pictures,
        help="folder that `image` is relative to (as `predict` stored it, or the table's)",
    )
    parser.add_argument("--history", type=Path, help="history.csv of a training, for its curves")
    parser.add_argument("--seed", type=int, help="seed of everything drawn by lot (0)")
    _row_options(parser)
    _audit_options(parser)


def _row_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", default="duckdb", help="where rows are read: duckdb, spark or ibis:URL (duckdb)"
    )
    parser.add_argument("--master", metavar="URL", help="Spark's cluster (this machine)")
    parser.add_argument("--strict", action="store_true", default=None, help="left-out rows fail")
    parser.add_argument(
        "--without-marked", metavar="MARKS", help="leave out the faces marked in this marks.jsonl"
    )


def _audit_options(parser: argparse.ArgumentParser, *, threads: str = SCAN_THREADS) -> None:
    _reading_options(parser, threads=threads)
    _control_option(parser)
    parser.add_argument("--depth", type=int, help="cross up to this many features (2)")
    parser.add_argument(
        "--thumbnails", type=whole, default=0, metavar="N", help="put N faces into the report"
    )


def _tally_arguments(parser: argparse.ArgumentParser) -> None:
    _predictions_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="site.parquet")
    parser.add_argument(
        "--min-cell",
        type=int,
        default=1,
        metavar="N",
        help="withhold the rows of a cell (one level of every feature) of fewer than N people",
    )
    parser.add_argument(
        "--faces",
        action="store_true",
        help="give the lists of the worst faces along, which are rows",
    )
    _row_options(parser)
    _reading_options(parser)
    _control_option(parser)


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tallies", type=Path, nargs="+", metavar="TALLY", help="one of each site")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="all.parquet")


_SEVERAL: Mapping[str, Any] = {"nargs": "+", "action": "extend"}


def _control_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--control", **_SEVERAL, metavar="FEATURE", help="compare within these")


def _reading_options(parser: argparse.ArgumentParser, *, threads: str = SCAN_THREADS) -> None:
    """How a predictions table is read: names, groups, parts."""
    parser.add_argument(
        "--column", **_SEVERAL, metavar="NAME=THEIRS", help="read our NAME from their column"
    )
    parser.add_argument("--by", **_SEVERAL, metavar="FEATURE", help="features to audit by")
    parser.add_argument("--age-groups", metavar="0,3,10,...", help="left edges of age groups")
    parser.add_argument(
        "--cuts", **_SEVERAL, metavar="FEATURE=a,b,c", help="cut a numeric feature at these"
    )
    parser.add_argument("--split", choices=SPLITS, help="which rows")
    parser.add_argument("--threshold", type=float, help="called female from this score on (0.5)")
    parser.add_argument("--max-groups", type=int, metavar="N", help="most levels of a feature (50)")
    parser.add_argument("--check-ids", action="store_true", default=None, help="at any size")
    parser.add_argument("--model", help="the model's name, for the title")
    parser.add_argument("--threads", type=int, help=threads)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options win")


def _recalibrate_arguments(parser: argparse.ArgumentParser) -> None:
    _predictions_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    for head, methods in RECALIBRATIONS.items():
        parser.add_argument(
            f"--{head}", choices=methods, default=BEST, help=f"map of the {head} ({BEST})"
        )
    parser.add_argument("--per", metavar="FEATURE", help="a map for each group of this feature")
    parser.add_argument("--run", type=Path, help="run folder that shall carry the map")
    parser.add_argument("--strict", action="store_true", default=None, help="left-out rows fail")
    _reading_options(parser)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=audited, metavar="DIR", help="folder of an audit")
    parser.add_argument("--images", type=pictures, help="folder that `image` is relative to")
    parser.add_argument(
        "--thumbnails", type=whole, default=0, metavar="N", help="put N faces into the report"
    )


def _stress_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, or an exported .onnx")
    parser.add_argument("faces", type=Path, metavar="FACES", help=FACES_HELP)
    parser.add_argument("--out", type=Path, required=True, help="output folder, an audit's or new")
    parser.add_argument("--strict", action="store_true", help="left-out files are an error")
    parser.add_argument(
        "--by", **_SEVERAL, metavar="FEATURE", help="compare these (race, gender_true, age_group)"
    )
    parser.add_argument("--corruptions", **_SEVERAL, metavar="NAME", help="these only (all eight)")
    parser.add_argument(
        "--severities", **_SEVERAL, type=int, metavar="N", help="these only (1 2 3 4 5)"
    )
    parser.add_argument(
        "--split", choices=("train", "valid", "test", "all"), default="test", help="(%(default)s)"
    )
    parser.add_argument(
        "--sample", type=int, default=1000, metavar="N", help="people read, 0: all (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of sample, lots and replicates")
    parser.add_argument(
        "--pre-processing", type=Path, metavar="MODEL.toml", help="as in `faceaudit predict`"
    )
    _label_option(parser)


def _dashboard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=audited, metavar="DIR", help="folder of an audit")
    parser.add_argument(
        "--run", type=Path, help="run folder or .onnx that reads a face again (the audit's own)"
    )
    parser.add_argument(
        "--images", type=pictures, help="folder that `image` is relative to (as the audit noted it)"
    )
    parser.add_argument("--port", type=int, help="port (the next free one from 8501)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


ARGUMENTS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "demo": _demo_arguments,
    "run": _run_arguments,
    "check": _check_arguments,
    "train": _train_arguments,
    "predict": _predict_arguments,
    "export": _export_arguments,
    "audit": _audit_arguments,
    "tally": _tally_arguments,
    "merge": _merge_arguments,
    "recalibrate": _recalibrate_arguments,
    "report": _report_arguments,
    "stress": _stress_arguments,
    "dashboard": _dashboard_arguments,
}


def audit_settings(args: argparse.Namespace) -> AuditSettings:
    """The settings of an audit: the config file's, overruled by what the command line names.

    A command without some of the audit's options leaves those as they are.

    Raises InputError for an option that cannot be read, naming it.
    """
    base = AuditSettings.load(args.config) if args.config else AuditSettings()
    given: dict[str, Any] = {
        "by": tuple(args.by) if args.by else None,
        "control": tuple(getattr(args, "control", None) or ()) or None,
        "columns": read_pairs(args.column, "--column", "NAME=THEIRS") if args.column else None,
        "cuts": _cuts(args.cuts) if args.cuts else None,
        "age_groups": _numbers(args.age_groups, "--age-groups", int) if args.age_groups else None,
    }
    plain = ("depth", "split", "threshold", "max_groups", "check_ids", "model", "threads")
    own = ("seed", "strict", "without_marked")
    given |= {name: getattr(args, name, None) for name in (*plain, *own)}
    return base.replace(**{k: v for k, v in given.items() if v is not None})


def _cuts(words: list[str]) -> dict[str, tuple[float, ...]]:
    pairs = read_pairs(words, "--cuts", "FEATURE=a,b,c")
    return {name: _numbers(text, f"--cuts {name}", float) for name, text in pairs.items()}


def _numbers(text: str, option: str, kind: type) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in text.split(","))
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option} {text!r} is not a list of {what} such as 0,20,40") from error
