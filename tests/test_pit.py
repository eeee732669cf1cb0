"""Where true ages lie in the stated normal: flat when it is right, a U when it is too narrow."""

import numpy as np
import pandas as pd
import pytest
from pandas_tally import FEATURES, some_faces, tally_of, with_groups
from scipy import stats

from audit.groups import gather
from audit.pit import PIT_BINS, pit_counts

RACE = FEATURES[:1]


def table_of(faces, *, scale=1.0, parts=RACE, seed=0):
    """The PIT of faces whose errors are normal with `scale` times the stated deviation."""
    rng = np.random.default_rng(seed)
    std = with_groups(faces)["std"]
    faces = faces.assign(error=np.round(scale * std * rng.standard_normal(len(faces)), 2))
    tally = tally_of(faces)
    return faces, pd.DataFrame(pit_counts(gather(tally, parts), tally, parts))


def test_shares_are_those_of_the_rows_within_the_width_of_a_bin():
    faces, table = table_of(some_faces(20_000, seed=1))
    pit = stats.norm.cdf(-faces.error / with_groups(faces)["std"])
    for name, rows in table.groupby("group"):
        mine = pit[(faces.race == name).to_numpy()]
        expected = np.histogram(mine, np.linspace(0, 1, PIT_BINS + 1))[0] / len(mine)
        np.testing.assert_allclose(rows["value"], expected, atol=0.006)
        assert rows["value"].sum() == pytest.approx(1)
        assert rows["n"].sum() == pytest.approx(len(mine), abs=PIT_BINS / 2)


def test_a_calibrated_model_lies_in_its_band():
    inside = [
        ((t["value_low"] <= t["value"]) & (t["value"] <= t["value_high"])).mean()
        for seed in range(8)
        for _, t in [table_of(some_faces(3000, seed=seed), seed=seed)]
    ]
    assert 0.93 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize(("scale", "way"), [(1.6, 1), (0.5, -1)])
def test_too_narrow_is_a_u_and_too_wide_a_hill(scale, way):
    _, table = table_of(some_faces(4000, seed=2), scale=scale, parts=())
    ends = table["value"].iloc[[0, -1]].mean()
    assert way * (ends - 0.05) > 0.02
    outside = (table["value"] < table["value_low"]) | (table["value"] > table["value_high"])
    assert outside.iloc[[0, -1]].all()


def test_photos_that_repeat_leave_the_band_as_wide():
    faces = some_faces(400, seed=5)
    bands = [
        pd.DataFrame(pit_counts(gather(tally, ()), tally, ()))["value_high"]
        for tally in (tally_of(faces), tally_of(pd.concat([faces] * 4)))
    ]
    np.testing.assert_allclose(*bands)
