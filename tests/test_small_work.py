"""What makes small work quick holds while it lasts, and a program keeps its own ways."""

import atexit
import gc

import numpy as np  # noqa: F401  # brings a BLAS
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from audit.cli import main
from audit.result import COLUMNS, AuditResult
from audit.run import run_audit
from audit.small_work import small_work
from audit.synthetic import synthetic_predictions


def ways():
    blas = {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
    return pd.get_option("mode.string_storage"), blas


@small_work()
def failing():
    storage, threads = ways()
    assert storage == "python"
    assert set(threads.values()) <= {1}  # a BLAS that nobody can ask is not there
    raise KeyError


def test_ways_of_small_work_end_with_it():
    with threadpool_limits(2, user_api="blas"):
        before = ways()
        with pytest.raises(KeyError):
            failing()
        assert ways() == before


def test_a_result_is_the_one_that_is_read_later_and_no_way_of_the_process_has_changed():
    before = ways()
    result = run_audit(synthetic_predictions(300, seed=1))
    assert ways() == before
    read = AuditResult.from_json(result.to_json())
    for name in COLUMNS:
        pd.testing.assert_frame_equal(getattr(result, name), getattr(read, name))


def test_a_program_that_calls_main_keeps_its_garbage_collection(capsys):
    before = gc.get_threshold(), atexit._ncallbacks()
    assert main(["audit", "nowhere.csv"]) == 2
    assert (gc.get_threshold(), atexit._ncallbacks()) == before
    capsys.readouterr()
