"""The faces behind a figure: pandas on the same rows is the judge."""

import numpy as np
import pandas as pd
import pytest
from example_result import example_faces
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import InputError
from audit.rows import (
    DERIVED,
    SORTS,
    count_rows,
    find_row,
    open_rows,
    page_of_rows,
    rows_of,
    sorts_of,
)

FACES = example_faces(400)
LEVELS = {c: sorted(set(FACES[c])) for c in ("race", "gender_true", "age_group")}
LEVELS |= {name: sorted(d.levels) for name, d in DERIVED.items()}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit [1] * ?")  # a folder's name is no pattern
    FACES.sample(frac=1, random_state=3).to_parquet(folder / "predictions.parquet")
    return open_rows(folder)


def derived(faces):
    """The derived columns, computed by pandas."""
    reading = np.select([faces.error > 5, faces.error < -5], ["old", "young"], "close")
    call = np.where(faces.gender_true == faces.gender_pred, "right", "wrong")
    return faces.assign(age_reading=reading, gender_call=call)


def judged(where):
    faces = derived(FACES)
    for column, levels in where.items():
        if levels:
            faces = faces[faces[column].isin(levels)]
    return faces


wheres = st.dictionaries(st.sampled_from(sorted(LEVELS)), st.just(()), max_size=3).flatmap(
    lambda columns: st.fixed_dictionaries(
        {c: st.lists(st.sampled_from(LEVELS[c]), unique=True).map(tuple) for c in columns}
    )
)


@settings(max_examples=25, deadline=None)
@given(where=wheres)
def test_a_filter_keeps_the_faces_that_pandas_keeps(rows, where):
    wanted = judged(where)
    assert count_rows(rows, where=where) == len(wanted)
    shown = page_of_rows(rows, where=where, sort="id", size=1000)
    assert shown.sample_id.tolist() == sorted(wanted.sample_id)


@pytest.mark.parametrize(
    ("sort", "key", "only"),
    [
        ("error", lambda f: -f.error.abs(), lambda f: f.error.notna()),
        ("old", lambda f: -f.error, lambda f: f.error > 0),
        ("young", lambda f: f.error, lambda f: f.error < 0),
        ("gender", lambda f: -(f.gender_score - 0.5).abs(), lambda f: f.gender_call == "wrong"),
        ("wide", lambda f: f.age_low - f.age_high, lambda f: f.age_high.notna()),
    ],
)
def test_an_order_lists_the_faces_as_pandas_sorts_them(rows, sort, key, only):
    faces = derived(FACES)
    faces = faces[only(faces)]
    wanted = faces.assign(key=key(faces)).sort_values(["key", "sample_id"]).sample_id.tolist()
    assert page_of_rows(rows, sort=sort, size=1000).sample_id.tolist() == wanted
    assert count_rows(rows, sort=sort) == len(wanted)


def test_the_pages_hold_every_face_once(rows):
    pages = [page_of_rows(rows, page=i, size=24) for i in range(1, 19)]
    assert [len(p) for p in pages] == [24] * 16 + [16, 0]
    assert sorted(pd.concat(pages).sample_id) == sorted(FACES.sample_id)


def test_a_face_knows_its_place_and_its_neighbours(rows):
    where = {"race": ("Black", "Asian")}
    order = page_of_rows(rows, where=where, sort="error", size=1000)
    ids = order.sample_id.tolist()
    for place in (0, 7, len(ids) - 1):
        found = find_row(rows, ids[place], where=where, sort="error")
        assert found.place == place + 1
        assert found.previous == (ids[place - 1] if place else None)
        assert found.following == (ids[place + 1] if place + 1 < len(ids) else None)
        error = order.error.iloc[place]
        assert found.row["error"] == error
        assert found.larger_than == pytest.approx((FACES.error.abs() < abs(error)).mean())


def test_a_face_outside_the_filter_has_no_place_but_is_found(rows):
    one = FACES[FACES.race == "White"].sample_id.iloc[0]
    found = find_row(rows, one, where={"race": ("Black",)})
    assert (found.place, found.previous, found.following) == (None, None, None)
    assert found.row["sample_id"] == one


def test_a_face_that_is_not_there_is_none(rows):
    assert find_row(rows, "nobody") is None


def test_faces_come_in_the_order_their_ids_were_given(rows):
    ids = [FACES.sample_id[9], FACES.sample_id[2], "nobody", FACES.sample_id[5]]
    assert rows_of(rows, ids).sample_id.tolist() == [ids[0], ids[1], ids[3]]
    assert rows_of(rows, []).empty


@pytest.mark.parametrize("level", ["Black') OR ('1'='1", "'; DROP VIEW faces; --", '"', "%", "\0"])
def test_a_level_is_data_never_sql(rows, level):
    assert count_rows(rows, where={"race": (level,)}) == 0


def test_a_column_may_bear_any_name(tmp_path):
    name = 'site "A"; --'
    FACES.assign(**{name: FACES.race}).to_parquet(tmp_path / "predictions.parquet")
    wanted = int((FACES.race == "Black").sum())
    assert count_rows(open_rows(tmp_path), where={name: ("Black",)}) == wanted


def test_a_column_that_is_not_there_is_named(rows):
    with pytest.raises(InputError, match="no column 'hair'"):
        count_rows(rows, where={"hair": ("red",)})


def test_orders_that_need_a_missing_column_are_not_offered(tmp_path):
    FACES[["sample_id", "gender_true", "gender_pred"]].to_parquet(tmp_path / "predictions.parquet")
    assert sorts_of(open_rows(tmp_path)) == ["id"]
    assert set(SORTS) == {"error", "old", "young", "gender", "wide", "id"}


def test_a_folder_without_rows_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no predictions.parquet .* run the audit again"):
        open_rows(tmp_path)


def test_a_file_cut_short_is_named_not_read(tmp_path):
    path = tmp_path / "predictions.parquet"
    FACES.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"cannot read .*predictions\.parquet"):
        open_rows(tmp_path)
