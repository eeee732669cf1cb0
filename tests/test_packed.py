"""Tables of sums: dense and sparse alike, and as an independent judge adds them up."""

import numpy as np
import pandas as pd
import pytest

from audit.packed import NOTHING, ONE, Key, Made, Sums, add_up, no_rows
from audit.source import open_source

ROWS = 3000


@pytest.fixture(scope="module")
def frame():
    """Rows with numbers of every kind that a sum may meet."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": rng.integers(0, 5, ROWS),
            "b": rng.integers(-3, 4, ROWS),
            "small": rng.integers(-9, 10, ROWS),
            "huge": rng.integers(-(2**52), 2**52, ROWS),  # sums beyond what float64 holds exactly
            "gaps": np.where(rng.random(ROWS) < 0.3, np.nan, rng.integers(0, 9, ROWS)),
        }
    )


@pytest.fixture(scope="module")
def source(frame):
    return open_source(frame)


KEYS = (Key("a", "c0", 5), Key("b", "c1", 7, least=-3))
ADDS = {"small": "c2", "huge": "c3", "gaps": "c4::BIGINT"}
ALL = Sums(KEYS, ADDS)
SOME = Sums(KEYS[:1], {"small": "c2"}, where="c4 > 4")
FLAGS = {"low": "(c2 < -3)::TINYINT", "even": "(c0 % 2 = 0)::TINYINT", "few": "(c4 < 2)::TINYINT"}
STEPS = Sums(
    (KEYS[1], Key("step", "c2", 4, cuts=(-5, 0.5, 9))),
    {**FLAGS, "small": "c2"},
    where="c0 < 4",
    flags=tuple(FLAGS),
)
FIFTHS = Sums((Key("fifth", "c2 / 5.0", 3, least=-1, ends=True), Key("square", "c0 * c0", 17)), {})
FREE = Sums(KEYS[1:], {"each": ONE, "none": NOTHING}, where="c4 > 4")
MADE = {"c0 * c0": Made("c0", np.square)}


def added(source, count):
    """All tables; `count` decides which of them are dense."""
    rows = "(SELECT * REPLACE (CASE WHEN isnan(c4) THEN NULL ELSE c4 END AS c4) FROM raw)"
    tables = {"all": ALL, "some": SOME, "steps": STEPS, "fifths": FIFTHS, "free": FREE}
    return add_up(source, tables, rows, count=count, made=MADE)


@pytest.fixture(params=["dense", "sparse"])
def tables(request, source, monkeypatch):
    if request.param == "sparse":
        monkeypatch.setattr("audit.packed._FREE", 0)
    return added(source, 10**6 if request.param == "dense" else 0)


def test_sums_are_those_of_pandas_exact_beyond_float64(tables, frame):
    judge = frame.assign(n=1, gaps=frame.gaps.fillna(0).astype(np.int64)).groupby(["a", "b"])
    judge = judge[["n", "small", "huge", "gaps"]].sum().reset_index()
    assert judge["huge"].abs().max() > 2**53
    pd.testing.assert_frame_equal(tables["all"], judge, check_dtype=False)


def test_rows_that_do_not_fulfil_the_condition_count_nowhere(tables, frame):
    judge = frame[frame.gaps > 4].assign(n=1).groupby("a")[["n", "small"]].sum().reset_index()
    pd.testing.assert_frame_equal(tables["some"], judge, check_dtype=False)


def test_keys_that_count_cuts_and_flags_that_share_a_number_are_those_of_pandas(tables, frame):
    step = np.searchsorted([-5, 0.5, 9], frame.small, side="right")
    flags = {"low": frame.small < -3, "even": frame.a % 2 == 0, "few": frame.gaps < 2}
    judge = frame.assign(step=step, n=1, **flags)[frame.a < 4].groupby(["b", "step"])
    judge = judge[["n", *flags, "small"]].sum().reset_index()
    assert set(judge["step"]) == {0, 1, 2, 3}
    pd.testing.assert_frame_equal(tables["steps"], judge, check_dtype=False)


def test_the_ends_of_a_key_hold_all_beyond_and_columns_made_by_numpy_count_alike(tables, frame):
    fifth = np.floor(frame.small / 5).clip(-1, 1).astype(int)
    assert (np.floor(frame.small / 5) < -1).any()
    judge = frame.assign(fifth=fifth, square=frame.a**2, n=1).groupby(["fifth", "square"])
    judge = judge[["n"]].sum().reset_index()
    pd.testing.assert_frame_equal(tables["fifths"], judge, check_dtype=False)


def test_what_every_row_adds_is_their_number(tables):
    free = tables["free"]
    assert free["n"].sum() < ROWS
    assert (free["each"] == free["n"]).all()
    assert (free["none"] == 0).all()


def test_dense_and_sparse_tables_are_equal_in_type_too(source, monkeypatch):
    dense = added(source, 10**6)
    monkeypatch.setattr("audit.packed._FREE", 0)
    sparse = added(source, 0)
    for name, table in dense.items():
        pd.testing.assert_frame_equal(table, sparse[name])


def test_several_batches_add_up_to_the_same(source, monkeypatch):
    whole = added(source, 10**6)
    monkeypatch.setattr("audit.packed._BATCH", 700)
    monkeypatch.setattr("audit.packed._FULL", 2**11 - 1)  # carried over after two batches
    monkeypatch.setattr("audit.packed._LANE", 11)
    for name, table in added(source, 10**6).items():
        pd.testing.assert_frame_equal(table, whole[name])


def test_a_table_of_no_rows_has_the_same_columns(source):
    none = no_rows(ALL)
    pd.testing.assert_frame_equal(none, added(source, 10**6)["all"][:0])


def test_more_keys_than_one_number_holds_are_packed_in_several(source, frame, monkeypatch):
    monkeypatch.setattr("audit.packed._ROOM", 10)
    monkeypatch.setattr("audit.packed._FREE", 0)
    packed = added(source, 0)["all"]
    judge = frame.groupby(["a", "b"]).size()
    assert packed.set_index(["a", "b"])["n"].to_dict() == judge.to_dict()
