"""Copies are found, strangers are not, and labels that clash are told apart."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from tiny_faces import picture

from model import duplicates
from model.duplicates import (
    chained,
    components,
    mark_copies,
    mirrored_dhash,
    near_pairs,
    resolve_conflicts,
)
from model.faces import read_faces
from model.scan import THUMB, fingerprint

ONE = picture(7, size=(128, 128))
CHANGES = {
    "saved again at quality 30": lambda image: jpeg(image, quality=30),
    "half the size": lambda image: image.resize((64, 64)),
    "twice the size": lambda image: image.resize((256, 256)),
    "grey": lambda image: image.convert("L"),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "mirrored": ImageOps.mirror,
}


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def prints(images, folder):
    found = []
    for i, image in enumerate(images):
        image.save(folder / f"{i}.png")
        found.append(fingerprint(folder / f"{i}.png"))
    dhashes = np.array([one.dhash for one in found], dtype=np.uint64)
    return dhashes, np.stack([one.thumb for one in found])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(tmp_path, change):
    dhashes, thumbs = prints([ONE, CHANGES[change](ONE)], tmp_path)
    assert near_pairs(dhashes, thumbs).tolist() == [[0, 1]]


def test_different_pictures_are_never_taken_for_copies(tmp_path):
    dhashes, thumbs = prints([picture(seed) for seed in range(80)], tmp_path)
    assert near_pairs(dhashes, thumbs).tolist() == []


def test_an_equal_hash_alone_makes_no_copy():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (30, THUMB, THUMB), dtype=np.uint8)
    assert near_pairs(np.full(30, 12345, dtype=np.uint64), thumbs).tolist() == []


def test_plain_pictures_are_not_all_copies_of_each_other():
    thumbs = np.full((20, THUMB, THUMB), 200, dtype=np.uint8)
    assert near_pairs(np.zeros(20, dtype=np.uint64), thumbs).tolist() == []


def test_one_placeholder_saved_many_times_is_one_group(tmp_path):
    dhash, thumb = (np.repeat(one, 500, axis=0) for one in prints([ONE], tmp_path))
    assert len(set(components(500, near_pairs(dhash, thumb)))) == 1


def bits(n):
    return np.array([int(x).bit_count() for x in n])


def test_no_pair_within_seven_bits_escapes_the_search(monkeypatch):
    """Judge: all pairs, one by one. Every pair that the search offers is accepted here."""
    monkeypatch.setattr(duplicates, "NEAR_COARSE", -2.0)
    monkeypatch.setattr(duplicates, "_alike", lambda a, b, pairs: np.ones(len(pairs), dtype=bool))
    monkeypatch.setattr(duplicates, "_AT_ONCE", 50)  # many small parts
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2**63, 120, dtype=np.uint64)
    close = base.copy()
    for i in range(len(close)):
        for bit in rng.choice(64, size=i % 10, replace=False):
            close[i] ^= np.uint64(1) << np.uint64(bit)
    dhashes = np.concatenate([base, close, mirrored_dhash(close[:20])])
    thumbs = rng.integers(0, 256, (len(dhashes), THUMB, THUMB), dtype=np.uint8)
    mirrored = mirrored_dhash(dhashes)
    expected = [
        [i, j]
        for i, j in itertools.combinations(range(len(dhashes)), 2)
        if min(bits([dhashes[i] ^ dhashes[j], dhashes[i] ^ mirrored[j]])) <= 7
    ]
    assert len(expected) >= 96 + 20
    assert near_pairs(dhashes, thumbs).tolist() == expected


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_mirroring_a_hash_twice_gives_it_back(values):
    dhashes = np.array(values, dtype=np.uint64)
    assert (mirrored_dhash(mirrored_dhash(dhashes)) == dhashes).all()


def test_the_hash_of_a_mirrored_picture_is_the_mirrored_hash(tmp_path):
    images = [picture(seed, size=(90, 80)) for seed in range(20)]
    straight, _ = prints(images, tmp_path)
    turned, _ = prints([ImageOps.mirror(image) for image in images], tmp_path)
    assert bits(mirrored_dhash(straight) ^ turned).max() <= 2  # neighbours that tie


@given(st.integers(1, 30), st.data())
def test_components_are_what_walking_along_the_pairs_reaches(n, data):
    node = st.integers(0, n - 1)
    drawn = data.draw(st.lists(st.tuples(node, node), max_size=20))
    pairs = np.array(drawn, dtype=int).reshape(-1, 2)
    label = list(range(n))
    for _ in range(n):  # judge: spread the smallest label until nothing changes
        for i, j in pairs:
            label[i] = label[j] = min(label[i], label[j])
    found = components(n, pairs)
    for i, j in itertools.combinations(range(n), 2):
        assert (found[i] == found[j]) == (label[i] == label[j])


def test_rows_with_one_key_are_chained_and_rows_without_are_free():
    keys = pd.Series(["x", None, "y", "x", None, "x"], dtype="str")
    assert chained(keys).tolist() == [[0, 3], [0, 5]]


def faces(rows):
    """A table of faces from (content, age, gender); equal content is an equal picture."""
    table = pd.DataFrame(rows, columns=["content_hash", "age", "gender"])
    table["image"] = [f"{i}.jpg" for i in range(len(table))]
    table["dhash"] = np.zeros(len(table), dtype=np.uint64)
    return table


def marked(rows):
    table = faces(rows)
    noise = np.random.default_rng(0).integers(0, 256, (len(table), THUMB, THUMB), dtype=np.uint8)
    return mark_copies(table, noise)


def test_copies_are_numbered_in_table_order_and_the_rest_has_no_number():
    table = marked([("b", 20, "male"), ("a", 30, "male"), ("c", 9, "male"), ("a", 30, "male")])
    assert table["copy_group"].tolist() == [pd.NA, 0, pd.NA, 0]
    assert table["copy_kind"].isna().tolist() == [True, False, True, False]
    assert set(table["copy_kind"].dropna()) == {"identical"}
    assert not table["conflict"].any()


@pytest.mark.parametrize(
    ("labels", "conflict"),
    [
        ([(30, "male"), (30, "male")], False),
        ([(30, "male"), (33, "male")], False),
        ([(30, "male"), (34, "male")], True),
        ([(30, "male"), (30, "female")], True),
        ([(30, "male"), (32, "male"), (34, "male")], True),
    ],
)
def test_labels_contradict_by_gender_or_by_more_than_three_years(labels, conflict):
    table = marked([("a", *label) for label in labels] + [("b", 80, "female")])
    assert table["conflict"].tolist() == [conflict] * len(labels) + [False]


def test_what_is_learned_from_is_each_photo_once_with_the_median_age():
    table = marked(
        [
            ("a", 30, "male"), ("a", 31, "male"), ("a", 33, "male"),  # agree: one face of 31
            ("b", 20, "male"), ("b", 60, "male"),  # contradict: none
            ("c", 50, "female"),
        ]
    )  # fmt: skip
    kept = resolve_conflicts(table)
    assert kept["age"].to_dict() == {0: 31.0, 5: 50.0}
    assert kept["image"].to_dict() == {0: "0.jpg", 5: "5.jpg"}


def test_near_and_identical_copies_are_one_group_in_a_folder(tmp_path):
    ONE.save(tmp_path / "30_0_0_a.jpg", quality=95)
    (tmp_path / "30_0_1_b.jpg").write_bytes((tmp_path / "30_0_0_a.jpg").read_bytes())
    ONE.save(tmp_path / "45_0_0_c.jpg", quality=40)
    picture(8).save(tmp_path / "20_1_0_d.jpg")
    table = read_faces(tmp_path).faces.set_index("image")
    assert table["copy_kind"].dropna().to_dict() == {
        "30_0_0_a.jpg": "identical",
        "30_0_1_b.jpg": "identical",
        "45_0_0_c.jpg": "near",
    }
    assert table["subject_id"].nunique() == 2
    assert table["conflict"].sum() == 3
