"""Exit codes of the commands, and the one line on stderr that stands for a failure.

0 done, 2 the input is wrong, 4 the machine failed, 130 and 143 interrupted; 1 (policy not met) and
3 (not enough evidence) are kept for a gate; anything else shows its traceback: a bug.
"""

import errno
import os
import sys

from audit.errors import InputError, MachineError
from audit.terminal import one_line

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


def exit_code(failure: BaseException, command: str | None = None) -> int:
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
    print(f"faceaudit: {one_line(line)}", file=sys.stderr)
    return code
