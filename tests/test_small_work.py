"""What makes small work quick holds while it lasts, and is taken back."""

import gc

import numpy as np  # noqa: F401  # brings a BLAS
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from audit.cli import main
from audit.small_work import small_work


def ways():
    blas = {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
    return pd.get_option("mode.string_storage"), blas


@small_work()
def failing():
    storage, threads = ways()
    assert storage == "python"
    assert set(threads.values()) == {1}
    raise KeyError


def test_ways_of_small_work_end_with_it():
    before = ways()
    with pytest.raises(KeyError):
        failing()
    assert ways() == before


def test_words_of_a_table_are_words_either_way():
    with small_work():
        inside = pd.DataFrame({"group": ["a", None]})
    outside = pd.DataFrame({"group": ["a", None]})
    assert [d == "str" for f in (inside, outside) for d in f.dtypes] == [True, True]
    assert inside.group.isna().tolist() == outside.group.isna().tolist()


def test_a_program_that_calls_main_keeps_its_garbage_collection(capsys):
    before = gc.get_threshold()
    assert main(["audit", "nowhere.csv"]) == 2
    assert gc.get_threshold() == before
    capsys.readouterr()
