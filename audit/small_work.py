"""How thousands of small tables and products are worked through."""

from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
from threadpoolctl import threadpool_limits


@contextmanager
def small_work() -> Iterator[None]:
    """Without what costs small work more to set going than it saves; figures are the same.

    Arrow's strings: each selection from a short table takes a third longer. Threads of BLAS: they
    wait for the next product in a busy loop, on a core that others need. Both hold for the whole
    process, so this is for a command, which has one of its own, and not for a library.
    """
    with (
        pd.option_context("mode.string_storage", "python"),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        yield
