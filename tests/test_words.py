"""Numbers as people read them."""

import math

import pytest

from audit import words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.count(18911), "18 911"),
        (words.counted_faces(1), "1 face"),
        (words.counted_faces(1200), "1 200 faces"),
        (words.counted_people(1), "1 person"),
        (words.counted_people(0), "0 people"),
        (words.years(4.06), "4.1"),
        (words.years(-0.04), "0.0"),
        (words.years(-1.96, signed=True), "−2.0"),
        (words.years(2.1, signed=True), "+2.1"),
        (words.years(0.04, signed=True), "0.0"),
        (words.years(-0.04, signed=True), "0.0"),
        (words.with_sign(-0.0004, 3), "0.000"),
        (words.with_sign(-12.35, 1), "−12.3"),
        (words.years(math.nan), "–"),
        (words.percent(0.91234), "91.2 %"),
        (words.score(0.0584), ".058"),
        (words.score(1.0), "1.000"),
        (words.p_value(0.0004), "p < .001"),
        (words.p_value(0.003), "p = .003"),
        (words.p_value(1.0), "p = 1.000"),
        (words.gap(4.12, "years", signed=True), "+4.1"),
        (words.gap(-0.0231, "share"), "−2.3"),
        (words.gap(0.0584, "score", signed=True), "+.058"),
        (words.gap(10.05, "score"), "10.050"),
        (words.gap(-0.00001, "score", signed=True), ".000"),
        (words.gap(math.nan, "share"), "–"),
        (words.gap_words(0.123, "share"), "12.3 points"),
        (words.gap_words(0.012, "score"), ".012"),
        (words.gap_interval(-0.3, 4.84, "years", signed=True), "[−0.3, +4.8]"),
        (words.interval(3.44, 4.84, "years"), "[3.4, 4.8]"),
        (words.interval(0.1, 0.2, "share"), "[10.0 %, 20.0 %]"),
    ],
)
def test_numbers_are_written_one_way(said, expected):
    assert said.replace("\u202f", " ").replace("\u00a0", " ") == expected
