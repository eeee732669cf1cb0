"""The `faceaudit` command: parse, call one function, turn failures into exit codes."""

import argparse
import atexit
import gc
import signal
import sys
import threading
from collections.abc import Sequence
from difflib import get_close_matches
from types import FrameType
from typing import Any, NoReturn

from audit import commands, options
from audit.errors import InputError
from audit.exit_codes import EXPECTED, INPUT_WRONG, Terminated, exit_code
from audit.terminal import say_plainly
from audit.words import nearest, own_version


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line and name the nearest right word."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and leaving."""
        see = " See" if message.endswith("?") else "; see"
        raise InputError(f"{message}{see} `{self.prog} --help`")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # `--out "$OUT"` of a shell that knows no OUT: Path("") is the folder one stands in
        if "" in arg_strings and not isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(action, "is empty; give a value")
        return super()._get_values(action, arg_strings)

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
    parser.add_argument("--version", action="version", version=f"faceaudit {own_version()}")
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
        say_plainly()
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

    command, main_thread = None, threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if main_thread else None
    try:
        args = parse(argv)
        command = args.command
        if command is None:
            build_parser().print_help(sys.stderr)
            return INPUT_WRONG
        code: int = args.function(args)
        sys.stdout.flush()
    except EXPECTED as failure:
        return exit_code(failure, command)
    except RuntimeError as failure:
        # what DuckDB makes of a signal in the midst of a query
        asked = str(failure) == "Query interrupted"
        return exit_code(stopped() if asked else failure, command)
    finally:  # a program that calls `main` keeps its own way with signals
        if main_thread:  # no other hears of signals
            signal.signal(signal.SIGTERM, before)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
