"""The slices table: planted weak subgroups of either head, told the right way round."""

import numpy as np
import pytest
from pandas_tally import some_faces, tally_of

from audit.config import AuditSettings
from audit.result import COLUMNS, table
from audit.slices import Slice
from audit.weakness import slice_table


def slices_of(faces, **settings):
    return table("slices", slice_table(tally_of(faces), settings=AuditSettings(**settings)))


def planted(seed=0, n=8000):
    """Black women are read twice as far off, and called wrongly more often."""
    faces = some_faces(n, seed=seed)
    weak = ((faces["race"] == "Black") & (faces["gender_true"] == "female")).to_numpy()
    faces.loc[weak, "error"] *= 2
    wrong = weak & (np.random.default_rng(seed).random(n) < 0.4)
    faces.loc[wrong, "score"] = 1 - faces.loc[wrong, "score"]
    return faces, weak


@pytest.mark.parametrize(("metric", "sign"), [("age_mae", 1), ("gender_accuracy", -1)])
def test_a_planted_slice_heads_its_metric_with_its_own_figures(metric, sign):
    faces, weak = planted()
    first = slices_of(faces).query("metric == @metric").iloc[0]
    assert (first["feature"], first["group"]) == ("race × gender_true", "Black × female")
    assert first["confirmed"]
    assert first["p_adjusted"] < 0.01
    assert first["n"] == weak.sum()
    assert 0.4 < first["n_confirm"] / first["n"] < 0.6
    right = (faces["score"] >= 0.5) == (faces["gender_true"] == "female")
    value = faces["error"].abs() if metric == "age_mae" else right
    assert first["value"] == pytest.approx(value[weak].mean(), rel=0.1)
    assert first["complement_value"] == pytest.approx(value[~weak].mean(), rel=0.1)
    assert first["difference"] == pytest.approx(first["value"] - first["complement_value"])
    assert first["low"] < first["difference"] < first["high"]
    assert sign * first["low"] > 0 and sign * first["high"] > 0  # noqa: PT018


def test_slices_are_confirmed_below_their_part_of_alpha():
    strict, loose = (slices_of(planted(n=3000)[0], alpha=a) for a in (1e-40, 0.4))
    assert not strict["confirmed"].any()
    assert (loose["confirmed"] == (loose["p_adjusted"] < 0.08)).all()
    assert list(loose.columns) == list(COLUMNS["slices"])


def test_a_table_without_one_head_is_searched_for_the_other():
    tally = tally_of(some_faces(2000))
    for column in ("gender_n", "gender_hit"):
        tally.cells[column] = 0
    found = table("slices", slice_table(tally, settings=AuditSettings()))
    assert set(found["metric"]) <= {"age_mae"}


def with_slices(monkeypatch, found):
    """Let the search find these, by metric; what it was asked is returned."""
    asked = []

    def search(cells, *, levels):
        asked.extend(cells)
        return found

    monkeypatch.setattr("audit.weakness.weak_slices", search)
    return asked


def a_slice(level, difference, *, base=0.2):
    ends = (difference - 0.1, difference + 0.3)
    return Slice(((0, level),), base + difference, base, difference, *ends, 90.0, 40.0, 0.001)


def test_rows_are_searched_by_their_errors_and_by_what_was_called_wrong(monkeypatch):
    faces = some_faces(900, seed=1)
    asked = with_slices(monkeypatch, [[], []])
    assert slice_table(tally_of(faces), settings=AuditSettings()) == []
    years, calls = asked
    wrong = (faces["score"] >= 0.5) != (faces["gender_true"] == "female")
    error = (faces["error"] * 100).round()
    for cells, value in ((years, error.abs()), (calls, wrong)):
        assert cells.n.sum() == len(faces)
        assert cells.x.sum() == value.sum()
        assert cells.xx.sum() == (value.astype(float) ** 2).sum()


def test_slices_stand_by_their_p_then_by_their_size_and_below_alpha_alone_are_confirmed(
    monkeypatch,
):
    alpha = 0.05 * (1 - 0.8)
    years = [
        (a_slice(0, 900.0, base=400.0), 0.02),
        (a_slice(1, 200.0, base=400.0), 0.009),
        (a_slice(2, 300.0, base=400.0), 0.009),
    ]
    with_slices(monkeypatch, [years, [(a_slice(0, 0.1), alpha)]])
    frame = table("slices", slice_table(tally_of(some_faces(900)), settings=AuditSettings()))
    assert frame["group"].tolist() == ["White", "Black", "Asian", "Asian"]
    assert frame["confirmed"].tolist() == [True, True, False, False]
    worst, accuracy = frame.iloc[0], frame.iloc[3]
    keys = ["value", "complement_value", "difference", "low", "high", "n", "n_confirm"]
    assert worst[keys].tolist() == pytest.approx([7, 4, 3, 2.999, 3.003, 90, 40])
    assert accuracy[keys].tolist() == pytest.approx([0.7, 0.8, -0.1, -0.4, 0, 90, 40])


def test_three_features_are_joined_where_only_all_of_them_are_weak():
    faces = some_faces(12_000, seed=2)
    weak = (faces["race"] == "Black") & (faces["gender_true"] == "female")
    weak &= faces["age_true"].between(30, 39)
    faces.loc[weak, "error"] *= 5
    first = slices_of(faces).query("metric == 'age_mae'").iloc[0]
    assert first["group"] == "Black × female × 30-39"
    assert first["n"] == weak.sum()


def test_one_cell_without_ages_does_not_end_the_search_and_no_feature_does():
    tally = tally_of(planted()[0])
    tally.cells.loc[tally.cells.index[:5], ["age_n", "age_abs", "age_sq"]] = 0
    found = table("slices", slice_table(tally, settings=AuditSettings()))
    assert "age_mae" in set(found["metric"])
    bare = tally_of(some_faces(300), ())
    assert slice_table(bare, settings=AuditSettings()) == []
