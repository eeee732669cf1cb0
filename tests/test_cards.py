"""A face's card in the gallery: what it says, to the eye and to the ear."""

from importlib.resources import files

import pytest

from reports.gallery import age_words, card, error_words, gender_words, spoken

FACE = {
    "sample_id": "s1",
    "age_true": 23.0,
    "age_pred": 31.25,
    "error": 8.25,
    "age_low": 20.0,
    "age_high": 45.0,
    "gender_true": "female",
    "gender_pred": "male",
    "gender_score": 0.12,
    "race": "Black",
}


def drawn_card(face, **options):
    return card(face, picture=None, features=["race"], missing="no picture", **options)


def test_a_card_says_truth_reading_error_call_and_score():
    shown = drawn_card(FACE)
    assert (shown["age"], shown["error"]) == ("23 → 31.2", "+8.2")
    assert (shown["gender"], shown["score"], shown["wrong"]) == ("female → male", ".120", True)
    assert shown["groups"] == "Black"


def test_the_interval_stands_in_percent_of_its_axis_and_says_whether_it_holds_the_truth():
    assert drawn_card(FACE)["interval"] == [20.0, 45.0, 23.0]
    assert drawn_card(FACE)["covered"]
    assert not drawn_card(FACE | {"age_true": 60.0})["covered"]
    assert drawn_card(FACE, oldest=125.0)["interval"] == [16.0, 36.0, 18.4]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_card_leaves_out_what_a_row_lacks(missing):
    bare = {"sample_id": "s1"} | dict.fromkeys([c for c in FACE if c != "sample_id"], missing)
    shown = drawn_card(bare)
    assert (shown["age"], shown["error"], shown["gender"], shown["score"]) == ("", "", "", "")
    assert shown["interval"] is None
    assert spoken(bare) == "Face s1"


def test_a_card_is_a_sentence_for_those_who_hear_it():
    assert spoken(FACE) == (
        "Face s1; aged 23, read 31.2, 8.2 years too old; gender female called male, wrong; "
        "P(female) .120"
    )
    right = spoken({"sample_id": "s1", "age_true": 23.0, "age_pred": 23.0, "error": 0.0})
    assert right == "Face s1; aged 23, read 23.0, right to a tenth"


@pytest.mark.parametrize(("label", "wrong"), [("female", False), ("male", True), ("other", False)])
def test_a_call_is_wrong_only_against_one_of_two_labels(label, wrong):
    assert gender_words({"gender_true": label, "gender_pred": "female"})[1] is wrong


def test_minus_signs_are_minus_signs():
    assert error_words({"error": -8.0}) == "−8.0"
    assert age_words({"age_true": 1.5, "age_pred": -3.0}) == "1.5 → −3.0"


def test_the_gallery_sets_words_as_text_never_as_markup():
    script = files("reports").joinpath("gallery.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert way not in script
