import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.age_bins import ages_of_bins, bin_years
from audit.errors import InputError

LABELS = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]


def by_years(row, coverage):
    """The same from the distribution over single years, added up one by one."""
    mass = np.zeros(101)
    for p, (first, last) in zip(row, bin_years(LABELS), strict=True):
        mass[first : last + 1] += p / (last - first + 1)
    up = np.cumsum(mass) + 1e-9
    tail = (1 - coverage) / 2
    return mass @ np.arange(101), (up >= tail).argmax(), (up >= 1 - tail).argmax()


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9, 0.99]))
def test_ages_and_intervals_are_those_of_the_distribution_over_single_years(seed, coverage):
    p = np.random.default_rng(seed).dirichlet(np.full(len(LABELS), 0.3), 20)
    got = ages_of_bins(pd.DataFrame(p, columns=LABELS), coverage=coverage)
    expected = np.array([by_years(row, coverage) for row in p])
    np.testing.assert_allclose(got.to_numpy(), expected, atol=1e-6)


def test_ages_drawn_from_the_probabilities_lie_in_their_intervals_as_often_as_stated():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(len(LABELS), 0.5), 20_000)
    years = np.array(bin_years(LABELS))
    place = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 8)
    age = rng.integers(years[place, 0], years[place, 1] + 1)
    got = ages_of_bins(pd.DataFrame(p, columns=LABELS))
    assert 0.9 <= ((got["age_low"] <= age) & (age <= got["age_high"])).mean() < 0.93
    assert (age - got["age_pred"]).mean() == pytest.approx(0, abs=0.5)


def test_bins_may_stand_in_any_order_and_a_gap_is_no_age():
    table = pd.DataFrame({"10+": [1.0, np.nan], "0-4": [0.0, 0.5], "5-9": [0.0, 0.5]}, index=[7, 8])
    got = ages_of_bins(table, oldest=20)
    assert list(got.index) == [7, 8]
    assert got.loc[7].tolist() == [15.0, 10.0, 20.0]
    assert got.loc[8].isna().all()


@pytest.mark.parametrize(
    ("label", "years"),
    [("(25, 32)", (25, 32)), ("25 to 32", (25, 32)), ("7", (7, 7)), ("70+", (70, 100))],
)
def test_bins_are_read_as_models_name_them(label, years):
    assert bin_years([label]) == [years]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["young"], "age bin 'young' is not of the form"),
        (["30-20"], "'30-20' is not of the form"),
        (["20-29+"], "is not of the form"),
        (["under 18"], "'under 18' says how it ends alone: name both years, as in 0-17"),
        (["<10"], "'<10' says how it ends alone"),
        (["0-99", "101+"], r"'101\+' begins above 100 years"),
        (["0-9", "9-19"], "overlap: one ends at 9 years, the next starts at 9"),
    ],
)
def test_bins_that_make_no_scale_are_refused(labels, words):
    with pytest.raises(InputError, match=words):
        bin_years(labels)


@pytest.mark.parametrize("row", [[1.2, -0.2], [2.0, 3.0], [0.3, 0.3]])
def test_logits_are_no_probabilities(row):
    table = pd.DataFrame([[0.5, 0.5], row], columns=["0-9", "10+"])
    with pytest.raises(InputError, match=r"1 rows are no probabilities.*row 2.*softmax"):
        ages_of_bins(table)


@pytest.mark.parametrize(
    ("table", "coverage", "words"),
    [
        ({}, 0.9, "no column of an age bin"),
        ({"0-9": ["a"], "10+": [0.5]}, 0.9, "column '0-9' of an age bin holds no numbers"),
        ({"0-9": [0.5], "10+": [0.5]}, 90, "coverage 90: must lie between 0 and 1"),
    ],
)
def test_what_gives_no_ages_is_refused(table, coverage, words):
    with pytest.raises(InputError, match=words):
        ages_of_bins(pd.DataFrame(table), coverage=coverage)
