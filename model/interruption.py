"""Ctrl-C and SIGTERM during a training: noted at once, obeyed between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is open, a signal only sets `asked`, so that a step is never cut in two.

    In a thread that is not the main one Python cannot catch signals: nothing is caught then.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def obey(self, words: str) -> NoReturn:
        """Do what the signal would have done, with `words` for the user.

        A handler that was there (the command line's) decides what to raise; without one, Ctrl-C
        raises KeyboardInterrupt and SIGTERM leaves with exit code 143.
        """
        number = self.asked or int(signal.SIGINT)
        handler = self._before.get(number)
        self._restore()
        if callable(handler):
            try:
                handler(number, None)
            except KeyboardInterrupt as interrupt:
                interrupt.args = (words,)
                raise
        if number == signal.SIGTERM:
            raise SystemExit(128 + number)
        raise KeyboardInterrupt(words)
