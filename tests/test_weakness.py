"""The slices table: planted weak subgroups of either head, told the right way round."""

import numpy as np
import pytest
from pandas_tally import some_faces, tally_of

from audit.config import AuditSettings
from audit.result import COLUMNS, table
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
