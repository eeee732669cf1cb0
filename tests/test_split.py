"""The split: nobody on two sides, every stratum its share, order and paths without a say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import InputError
from model.split import AGE_EDGES, AGE_GROUPS, age_group, split_faces


def crowd(n, *, people=None, seed=0, race=True):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "subject_id": rng.integers(0, people or 10 * n, n).astype(str),
            "age": rng.integers(0, 100, n),
            "gender": rng.choice(["female", "male"], n),
            "content_hash": [f"{x:016x}" for x in rng.integers(0, 2**62, n)],
        }
    )
    if race:
        rows["race"] = rng.choice(["A", "B", None], n)
    return rows


def test_age_groups_are_left_closed():
    ages = pd.Series([0, 2.99, 3, 9, 10, 69.9, 70, 120])
    expected = ["0-2", "0-2", "3-9", "3-9", "10-19", "60-69", "70+", "70+"]
    assert age_group(ages).tolist() == expected
    assert len(AGE_EDGES) == len(AGE_GROUPS)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 5), st.booleans())
def test_no_person_is_ever_on_two_sides(n, people, seed, race):
    faces = crowd(n, people=people, seed=seed, race=race)
    split = split_faces(faces, seed=seed)
    assert all(len(set(sides)) == 1 for _, sides in split.groupby(faces["subject_id"]))
    assert set(split) <= {"train", "valid", "test"}
    assert split.index.equals(faces.index)


@settings(max_examples=20)
@given(st.integers(3, 400), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(n, random):
    faces = crowd(n, people=n // 2 + 1)
    order = list(range(n))
    random.shuffle(order)
    shuffled = faces.iloc[order]
    assert split_faces(shuffled).sort_index().equals(split_faces(faces))


@pytest.mark.parametrize(("test", "valid"), [(0.2, 0.1), (0.5, 0.25), (0.0, 0.1), (0.3, 0.0)])
def test_the_whole_gets_exactly_its_shares(test, valid):
    faces = crowd(1000).drop_duplicates("subject_id")
    sides = split_faces(faces, test=test, valid=valid).value_counts()
    assert sides.get("test", 0) == round(test * len(faces))
    assert sides.get("valid", 0) == round(valid * len(faces))


def test_every_stratum_gets_its_share_to_within_one_person():
    faces = crowd(5000).drop_duplicates("subject_id")
    split = split_faces(faces)
    strata = [age_group(faces["age"]), faces["gender"], faces["race"].fillna("unknown")]
    counts = pd.crosstab(strata, split)
    size = counts.sum(axis=1)
    assert len(counts) == 9 * 2 * 3
    assert (counts["test"] - 0.2 * size).abs().max() <= 1
    assert (counts["valid"] - 0.1 * size).abs().max() <= 1.6  # taken from what test left over


def test_the_seed_decides_and_nothing_else():
    faces = crowd(500)
    assert split_faces(faces, seed=1).equals(split_faces(faces, seed=1))
    assert not split_faces(faces, seed=1).equals(split_faces(faces, seed=2))


def test_seeds_put_everybody_on_the_test_side_equally_often():
    faces = crowd(60).drop_duplicates("subject_id")
    chosen = sum((split_faces(faces, seed=seed) == "test").to_numpy() for seed in range(150))
    assert chosen.min() > 10  # 30 expected, standard deviation 5
    assert chosen.max() < 50


def test_the_split_of_a_known_table_stays_what_it_was():
    """A changed rule would silently mix test faces of old runs into the training of new ones."""
    faces = pd.DataFrame(
        {"subject_id": [str(i) for i in range(20)], "age": range(0, 80, 4), "gender": "female"}
    )
    expected = {"test": "1 6 11 16", "valid": "3 13"}
    split = split_faces(faces, seed=0)
    found = {side: " ".join(faces["subject_id"][split == side]) for side in expected}
    assert found == expected


def test_three_people_are_enough_for_three_sides():
    assert set(split_faces(crowd(3).assign(subject_id=["a", "b", "c"]))) == {
        "train",
        "valid",
        "test",
    }


@pytest.mark.parametrize(
    ("test", "valid"), [(0.9, 0.1), (-0.1, 0.1), (0.1, -0.1), (float("nan"), 0)]
)
def test_shares_that_leave_nothing_to_learn_from_are_refused(test, valid):
    with pytest.raises(InputError, match="less than 1"):
        split_faces(crowd(10), test=test, valid=valid)
