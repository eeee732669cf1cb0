"""Groups of a feature: whose sums they are, in what order, and how many people stand behind."""

import numpy as np
import pytest
from pandas_tally import AGES, FEATURES, RACES, some_faces, tally_of, with_groups

from audit.features import Feature
from audit.groups import OVERALL, crossings, gather, status, with_tails


@pytest.fixture(scope="module")
def faces():
    return some_faces(3000, seed=1)


@pytest.fixture(scope="module")
def tally(faces):
    return tally_of(faces)


def test_crossings_come_in_the_order_given():
    names = [[f.name for f in parts] for parts in crossings(FEATURES, depth=2)]
    assert names == [
        [],
        ["race"],
        ["gender_true"],
        ["age_group"],
        ["race", "gender_true"],
        ["race", "age_group"],
        ["gender_true", "age_group"],
    ]


def test_every_crossing_holds_every_face(tally, faces):
    for parts in crossings(FEATURES, depth=3):
        groups = gather(tally, parts)
        assert groups.totals("age_n").sum() == len(faces)
        assert groups.errors.sum() == groups.scores.sum() == len(faces)


def test_sums_are_those_of_the_rows(tally, faces):
    rows = with_groups(faces)
    groups = gather(tally, (FEATURES[0], FEATURES[2]))
    for i, (race, age) in enumerate(groups.levels):
        mine = rows[(rows.race == race) & (rows.age_group == age)]
        assert groups.names[i] == f"{race} × {age}"
        assert groups.totals("age_sq")[i] == mine.age_sq.sum()
        shards = np.bincount(mine.shard, weights=mine.age_abs, minlength=1000)
        np.testing.assert_array_equal(groups.sums["age_abs"][i], shards)


def test_groups_stand_in_the_features_own_order_not_in_spelling(tally):
    assert gather(tally, FEATURES[2:]).names == AGES
    assert gather(tally, ()).names == (OVERALL,)


def test_an_empty_crossing_is_absent(faces):
    kept = faces[~((faces.race == "Black") & (faces.gender_true == "male"))]
    groups = gather(tally_of(kept), FEATURES[:2])
    assert "Black × male" not in groups.names
    assert len(groups.names) == 5


def test_a_level_without_faces_is_absent(faces):
    more = Feature("race", (*RACES, "unknown"))
    assert gather(tally_of(faces, [more]), [more]).names == RACES


def test_telling_the_tails_changes_no_sum(tally):
    lean = with_tails(tally)
    for parts in crossings(FEATURES, depth=2):
        for key, sums in gather(tally, parts).sums.items():
            np.testing.assert_array_equal(sums, gather(lean, parts).sums[key])


def test_people_are_rows_when_nobody_has_two_photos(tally):
    groups = gather(tally, FEATURES[:1])
    np.testing.assert_array_equal(groups.people("age_n"), groups.totals("age_n"))


def test_a_share_of_people_with_one_photo_each_is_worth_its_rows():
    groups = gather(tally_of(some_faces(1200, seed=4)), FEATURES[:1])
    worth, n = groups.worth("gender_hit", "gender_n"), groups.totals("gender_n")
    np.testing.assert_allclose(worth, n, rtol=0.35)  # one variance estimated from its shards


@pytest.mark.parametrize("people", [60, 700, 2000, 40_000])
def test_people_are_estimated_from_shards_when_photos_repeat(people):
    groups = gather(tally_of(some_faces(people, photos=3)), FEATURES[:1])
    got = groups.people("age_n")
    truth = groups.totals("age_n") / 3
    assert (np.abs(got - truth) <= 4 + 0.06 * truth).all()
    assert gather(tally_of(some_faces(people, photos=3)), ()).people("age_n")[0] == pytest.approx(
        people, rel=0.06
    )


def test_status_follows_people_and_needs_rows():
    people = np.array([0, 5, 9.4, 9.6, 29.4, 30, 500])
    rows = np.array([0, 50, 50, 50, 50, 50, 500.0])
    assert list(status(people, rows)) == [
        "undefined",
        "suppressed",
        "suppressed",
        "few",
        "few",
        "ok",
        "ok",
    ]
