"""The `faceaudit` command: parse, call one function, turn failures into exit codes.

Exit codes: 0 done, 2 the input is wrong, 4 the machine failed, 130 and 143 interrupted; 1 (policy
not met) and 3 (not enough evidence) are kept for a gate; anything else shows its traceback: a bug.
"""

import argparse
import atexit
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from types import FrameType
from typing import Any, NoReturn

from audit import commands, options
from audit.errors import InputError, MachineError
from audit.words import nearest

EXTRAS = {
    "torch": "model",
    "torchvision": "model",
    "safetensors": "model",
    "streamlit": "dashboard",
    "pyspark": "spark",
    "sqlglot": "spark",
    "ibis": "ibis",
}
EXPECTED = (
    InputError, MachineError, MemoryError, OSError, KeyboardInterrupt, ModuleNotFoundError,
)  # fmt: skip
DONE, INPUT_WRONG, MACHINE_FAILED, INTERRUPTED, TERMINATED, PIPE_CLOSED = 0, 2, 4, 130, 143, 141


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C does, under another exit code."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line and name the nearest right word."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and leaving."""
        see = " See" if message.endswith("?") else "; see"
        raise InputError(f"{message}{see} `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(c) for c in action.choices]
            what = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
            self.error(f"unknown {what} {value!r}; {nearest(str(value), choices)}")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        "faceaudit",
        description="Audit models that read age and gender from a face: errors by subgroup, "
        "calibration, disparities with intervals.",
        epilog="Start with: faceaudit demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"faceaudit {version('faceaudit')}")
    add = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name in options.ARGUMENTS:
        function = getattr(commands, name)
        words = (function.__doc__ or "").strip()
        command = add.add_parser(
            name,
            help=words.splitlines()[0],
            description=words.splitlines()[0],
            epilog=f"example:\n  {options.EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        options.ARGUMENTS[name](command)
        command.add_argument("--quiet", action="store_true", help="no progress on stderr")
        command.set_defaults(function=function, parser=command)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse `argv`. Raises InputError that names the nearest known word for an unknown one."""
    parser = build_parser()
    args, unknown = parser.parse_known_args(list(argv))
    if unknown:
        known = [o for a in args.parser._actions for o in a.option_strings] if args.command else []
        word = unknown[0].split("=")[0]
        if word.startswith("-"):
            near = get_close_matches(word, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"see `faceaudit {args.command} --help`"
            )
            raise InputError(f"unknown option {word!r}; {hint}")
        raise InputError(f"one argument too many: {word!r}; see `faceaudit {args.command} --help`")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; only a bug leaves with a traceback."""
    if argv is None:  # the process is this command's own
        argv = sys.argv[1:]
        # Most of what is imported and read stays. Python would look through all of it for garbage
        # each time it has grown by a quarter, and at the very end: in all half a second of an
        # audit.
        gc.set_threshold(50_000, 20, 20)
        atexit.register(gc.freeze)
    stopped: type[KeyboardInterrupt] = KeyboardInterrupt

    def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        nonlocal stopped
        stopped = Terminated
        raise Terminated

    before, command = signal.signal(signal.SIGTERM, terminate), None
    try:
        args = parse(argv)
        command = args.command
        if command is None:
            build_parser().print_help(sys.stderr)
            return INPUT_WRONG
        code: int = args.function(args)
        sys.stdout.flush()
    except EXPECTED as failure:
        return _exit_code(failure, command)
    except RuntimeError as failure:
        # what DuckDB makes of a signal in the midst of a query
        asked = str(failure) == "Query interrupted"
        return _exit_code(stopped() if asked else failure, command)
    finally:  # a program that calls `main` keeps its own way with signals
        signal.signal(signal.SIGTERM, before)
    return code


_NAMED_WRONG = (  # a path that no command can use
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
)
_FEWER = ": audit fewer features at once (--by)"
_SMALLER = ": try a smaller --batch or --size"
_RELIEF = {
    **dict.fromkeys(("audit", "tally", "merge", "recalibrate", "report"), _FEWER),
    **dict.fromkeys(("train", "run"), _SMALLER),
}


def _exit_code(failure: BaseException, command: str | None = None) -> int:
    """Say in one line on stderr what failed; return its exit code. Raises what is a bug."""
    if isinstance(failure, InputError):
        return _fail(failure, INPUT_WRONG)
    if isinstance(failure, MachineError):
        return _fail(failure, MACHINE_FAILED)
    if isinstance(failure, MemoryError):
        return _fail("out of memory" + _RELIEF.get(str(command), ""), MACHINE_FAILED)
    if type(failure).__name__ == "OutOfMemoryError":  # torch's, which is not loaded for its name
        words = "the GPU is out of memory: free it, or set CUDA_VISIBLE_DEVICES= to do without"
        return _fail(words, MACHINE_FAILED)
    if isinstance(failure, KeyboardInterrupt):
        words = " ".join(str(a) for a in failure.args)
        code = TERMINATED if isinstance(failure, Terminated) else INTERRUPTED
        return _fail(f"interrupted; {words}" if words else "interrupted", code)
    if isinstance(failure, ModuleNotFoundError) and failure.name in EXTRAS:
        extra = f'pip install "faceaudit[{EXTRAS[failure.name]}]"'
        return _fail(f"this needs {failure.name}: {extra}", INPUT_WRONG)
    if isinstance(failure, BrokenPipeError):  # `faceaudit check | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        where = f" while writing {failure.filename}" if failure.filename else ""
        return _fail(f"{failure.strerror}{where}", MACHINE_FAILED)
    if isinstance(failure, OSError) and failure.filename and failure.errno in _NAMED_WRONG:
        return _fail(f"{failure.filename}: {failure.strerror}", INPUT_WRONG)
    raise failure


def _fail(error: object, code: int) -> int:
    line = " ".join(str(error).split())  # one line, whatever a file name holds
    print(f"faceaudit: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
