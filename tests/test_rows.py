"""The faces behind a figure: pandas on the same rows is the judge."""

import errno

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_result import example_faces
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import InputError
from audit.rows import (
    SORTS,
    count_rows,
    draw_points,
    find_row,
    open_rows,
    page_of_rows,
    quantiles,
    rows_of,
    sorts_of,
)
from audit.source import ROWS_KEY
from audit.where import AREA, DERIVED, Area, Members, Span

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


@settings(max_examples=25)
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
    assert set(SORTS) == {"error", "old", "young", "gender", "wide", "conflict", "id"}


def test_a_folder_without_rows_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no predictions.parquet .* run the audit again"):
        open_rows(tmp_path)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({}, False),  # of a version that wrote no hash
        ({ROWS_KEY: "ours"}, False),
        ({ROWS_KEY: "theirs"}, True),
        ({"faceaudit.recalibration": "..."}, True),  # the table of another command
    ],
)
def test_rows_of_another_audit_than_the_result_beside_them_are_refused(tmp_path, said, refused):
    table = pa.Table.from_pandas(FACES).replace_schema_metadata(said)
    pq.write_table(table, tmp_path / "predictions.parquet")
    if refused:
        with pytest.raises(InputError, match=r"is not of the audit .* run the audit again"):
            open_rows(tmp_path, hash_of_rows="ours")
    else:
        assert open_rows(tmp_path, hash_of_rows="ours").total == len(FACES)


def test_a_file_that_one_may_not_read_is_not_called_damaged(tmp_path, monkeypatch):
    def denied(path, **_):  # as Arrow words it; a mode of 000 keeps no root out
        raise PermissionError(errno.EACCES, f"Failed to open local file '{path}'")

    FACES.to_parquet(tmp_path / "predictions.parquet")
    monkeypatch.setattr("audit.checksums.pq.ParquetFile", denied)
    with pytest.raises(InputError, match=r"denied; make it readable$"):
        open_rows(tmp_path)


def test_a_file_cut_short_is_named_not_read(tmp_path):
    path = tmp_path / "predictions.parquet"
    FACES.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"cannot read .*predictions\.parquet"):
        open_rows(tmp_path)


# Spans and outlines --------------------------------------------------------------------------


@settings(max_examples=25)
@given(ends=st.tuples(st.floats(-30, 120), st.floats(-30, 120)).map(sorted))
def test_a_span_keeps_the_numbers_between_its_ends_both_included(rows, ends):
    low, high = (round(x, 2) for x in ends)
    wanted = FACES.age_pred.between(low, high).sum()
    assert count_rows(rows, where={"age_pred": Span(low, high)}) == wanted


def inside(x, y, corners):
    """Matplotlib-free even-odd rule, one point at a time."""
    found = False
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (x1 - x0) / (y1 - y0) * (y - y0):
            found = not found
    return found


corner = st.tuples(st.integers(0, 100), st.integers(0, 100))


@settings(max_examples=25)
@given(corners=st.lists(corner, min_size=3, max_size=9))
def test_an_outline_keeps_the_faces_within_it(rows, corners):
    corners = tuple((float(x) + 0.013, float(y) + 0.017) for x, y in corners)
    area = Area("age_true", "age_pred", corners)
    pairs = zip(FACES.age_true, FACES.age_pred, strict=True)
    wanted = sum(inside(x, y, corners) for x, y in pairs)
    assert count_rows(rows, where={AREA: area}) == wanted


def test_a_span_or_an_outline_over_an_unknown_column_is_refused(rows):
    for where in (
        {"x": Span(0, 1)},
        {AREA: Area('a"; DROP', "age_pred", ((0, 0), (1, 0), (1, 1)))},
    ):
        with pytest.raises(InputError, match="no column"):
            count_rows(rows, where=where)


def test_members_are_the_faces_of_their_ids_within_what_else_is_asked(rows):
    some = FACES.iloc[5:60]
    where = {"mine": Members(("a",), tuple(some.sample_id)), "race": ("Black",)}
    assert count_rows(rows, where=where) == (some.race == "Black").sum()
    assert set(page_of_rows(rows, where=where).sample_id) <= set(some.sample_id)
    assert count_rows(rows, where={"mine": Members((), ())}) == 0


def test_the_rows_say_which_columns_hold_numbers_and_which_words(rows):
    assert rows.numbers["age_true"] == Span(FACES.age_true.min(), FACES.age_true.max())
    assert set(rows.words) == {"race", "gender_true", "gender_pred", "age_group", "age_group_pred"}
    assert rows.words["gender_pred"] == ("female", "male")


def test_quantiles_are_those_of_the_faces_asked_for(rows):
    scores = FACES.gender_score[FACES.race == "Black"].sort_values()
    low, high = quantiles(rows, "gender_score", [0, 1], where={"race": ("Black",)})
    assert (low, high) == (scores.iloc[0], scores.iloc[-1])
    assert quantiles(rows, "gender_score", [0.5], where={"race": ("Martian",)}) is None


def test_points_are_drawn_by_lot_and_are_always_the_same(rows):
    points = draw_points(rows, "age_true", "age_pred", most=50)
    assert points.equals(draw_points(rows, "age_true", "age_pred", most=50))
    assert len(points) == 50
    named = FACES.set_index("sample_id").loc[points.sample_id]
    assert np.array_equal(named.age_pred, points.y)


def test_copies_of_one_photo_whose_labels_differ_stand_side_by_side(tmp_path):
    faces = FACES.assign(subject_id=FACES.sample_id, picture_copy="none")
    for first, kind in ((10, "identical"), (20, "near"), (30, "near")):
        faces.loc[[first, first + 1], ["subject_id", "picture_copy"]] = [f"p{first}", kind]
        faces.loc[first + 1, ["age_true", "gender_true"]] = [
            faces.age_true[first] + (7 if first != 30 else 0),
            faces.gender_true[first],
        ]
    faces.to_parquet(tmp_path / "predictions.parquet")
    rows = open_rows(tmp_path)
    assert "conflict" in sorts_of(rows)
    assert count_rows(rows, sort="conflict") == 4
    found = page_of_rows(rows, sort="conflict").sample_id.tolist()
    assert found == [*faces.sample_id[10:12], *faces.sample_id[20:22]]
    assert find_row(rows, found[1], sort="conflict").previous == found[0]
