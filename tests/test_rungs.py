"""Rungs and placements: tails of all faces, by shard, that add up and mean what they say."""

import numpy as np
import pytest
from pandas_tally import FEATURES, some_faces, tally_of

from audit.groups import gather
from audit.intervals import delong
from audit.rungs import far, placed

RACE = FEATURES[0]


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_about_a_tenth_of_all_faces_lies_beyond_the_rung_that_is_tested(scale):
    faces = some_faces(5000, seed=1)
    faces["error"] = np.round(faces["error"] * scale, 2)
    assert 1 / 16 < far(tally_of(faces)).sum() / 5000 < 1 / 6.5


def test_mean_placements_of_all_faces_are_the_area_under_the_curve():
    tally = tally_of(some_faces(5000, seed=2))
    groups = gather(tally, ())
    area = delong(groups.scores[:, 1], groups.scores[:, 0])[0][0]
    for who in ("female", "male"):
        mean = groups.totals(f"{who}_placed") / groups.totals(f"{who}_scored") / 1e6
        # coarse placements are scaled to vary as the faces' own
        assert mean[0] == pytest.approx(area, rel=0.15)


def test_coarse_placements_vary_as_those_of_the_faces_do():
    faces = some_faces(4000, seed=3)
    groups = gather(tally_of(faces), ())
    score, female = faces["score"].to_numpy(), (faces["gender_true"] == "female").to_numpy()
    below = (score[female][:, None] > score[~female]).mean(axis=1)
    n, place = (groups.sums[f"female_{of}"][0] for of in ("scored", "placed"))
    mean = place.sum() / n.sum()
    shards = ((place - mean * n) ** 2).sum() / 1e12
    assert shards == pytest.approx(below.var() * n.sum(), rel=0.2)


def test_groups_share_the_rung_and_the_placements_of_all_faces():
    tally = tally_of(some_faces(3000, seed=4))
    whole, parts = gather(tally, ()), gather(tally, (RACE,))
    for key in ("age_far", "female_placed", "male_placed", "female_scored", "male_scored"):
        np.testing.assert_array_equal(parts.sums[key].sum(axis=0), whole.sums[key][0])


def test_without_scores_there_is_nothing_to_place():
    tally = tally_of(some_faces(300, seed=5))
    empty = type(tally)(
        **{
            **vars(tally),
            "scores": tally.scores.iloc[:0],
            "cells": tally.cells.assign(**{c: 0 for c in tally.cells if c.startswith("score_")}),
        }
    )
    assert all((column == 0).all() for column in placed(empty).values())
