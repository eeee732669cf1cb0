"""Drawn faces: the same for the same seed, readable as a face folder, with the planted truth."""

import errno
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import Ridge, RidgeClassifier

from audit import cli
from audit.errors import InputError
from model.drawn_faces import contact_sheet, draw_faces, planted_truth, write_drawn_faces
from model.face_lots import GROWN_UP, PLANTED_GROUP, PLANTED_LIGHT, deal_traits
from model.face_painter import paint_faces
from model.face_shapes import Patch, ellipse, glow, new_canvas, rounded_box, stroke
from model.face_traits import LIGHTS, RACES

N = 2400
SMALL = 32


@pytest.fixture(scope="module")
def planted():
    return draw_faces(N, seed=7, size=SMALL)


@pytest.fixture(scope="module")
def twin():
    return draw_faces(N, seed=7, size=SMALL, planted=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_drawn_faces(tmp_path_factory.mktemp("faces") / "drawn", n=20, seed=3)


def pixels(faces):
    """Pictures as rows of numbers, each picture brought to the same brightness and contrast."""
    halved = faces.pictures.reshape(-1, SMALL // 2, 2, SMALL // 2, 2, 3).mean(axis=(2, 4))
    rows = halved.reshape(len(halved), -1)
    return (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)


def age_errors(faces):
    """Absolute age errors of a ridge regression on pixels, two halves crossed over."""
    rows, age = pixels(faces), faces.labels["age"].to_numpy(float)
    errors = np.empty(len(age))
    half = np.arange(len(age)) % 2 == 0
    for fit in (half, ~half):
        guess = Ridge(alpha=300.0).fit(rows[fit], age[fit]).predict(rows[~fit])
        errors[~fit] = np.abs(guess - age[~fit])
    return pd.Series(errors)


# The same for the same seed --------------------------------------------------------------------


def test_a_seed_draws_the_same_faces_again_and_another_seed_others(planted):
    again = draw_faces(100, seed=7, size=SMALL)
    assert np.array_equal(again.pictures, planted.pictures[:100])
    other = draw_faces(100, seed=8, size=SMALL)
    assert not np.array_equal(other.pictures, again.pictures)
    assert not other.labels.equals(again.labels)


@pytest.mark.parametrize("n", [1, 7, 8, 13])
def test_a_face_does_not_depend_on_how_many_are_drawn_with_it(planted, n):
    few = draw_faces(n, seed=7, size=SMALL)
    assert np.array_equal(few.pictures, planted.pictures[:n])
    pd.testing.assert_frame_equal(few.labels, planted.labels[:n])


def test_a_face_painted_alone_is_the_face_painted_in_a_batch():
    traits = deal_traits(12, seed=1)
    together = paint_faces(traits.part_of(0, 12), size=128)
    alone = np.concatenate([paint_faces(traits.part_of(i, i + 1), size=128) for i in range(12)])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_no_window_cuts_off_a_part_of_a_face(monkeypatch):
    traits = deal_traits(120, seed=5).part_of(0, 120)
    windowed = paint_faces(traits, size=48)
    monkeypatch.setattr(Patch, "window", lambda page, *_: page)
    np.testing.assert_allclose(windowed, paint_faces(traits, size=48), atol=1e-5)


# Labels ----------------------------------------------------------------------------------------


def test_file_names_say_what_the_labels_say(planted):
    genders = {"0": "male", "1": "female"}
    for row in planted.labels.itertuples():
        age, gender, race, number = re.fullmatch(
            r"(\d+)_([01])_([0-4])_(\d+)\.jpg", row.image
        ).groups()
        assert (int(age), genders[gender], RACES[int(race)]) == (row.age, row.gender, row.race)
        assert int(number) == row.Index


def test_labels_are_spread_as_in_a_real_set(planted):
    labels = planted.labels
    assert labels["age"].between(0, 90).all()
    assert {0, 1, 5, 12, 25, 50, 75} <= set(labels["age"])
    assert labels["age"].median() == pytest.approx(31, abs=3)
    assert labels["gender"].eq("female").mean() == pytest.approx(0.5, abs=0.04)
    shares = labels["race"].value_counts(normalize=True)
    assert set(shares.index) == set(RACES)
    assert shares.min() > 0.08
    assert shares.max() > 1.3 * shares.min()
    assert set(labels["light"]) == set(LIGHTS)
    assert set(labels["pose"]) == {"front", "left", "right"}
    assert set(labels["glasses"]) == {"yes", "no"}


def test_groups_differ_in_neither_age_nor_palette():
    traits = deal_traits(20_000, seed=2)
    for values in (traits.age, traits.female, traits.skin[:, 0], traits.glasses, traits.tilt):
        means = pd.Series(values).groupby(traits.race).agg(["mean", "sem"])
        z = (means["mean"] - values.mean()) / means["sem"]
        assert z.abs().max() < 4


# Cues ------------------------------------------------------------------------------------------


def test_pixels_tell_age_and_gender_but_not_surely(planted, twin):
    age = twin.labels["age"]
    blind = (age - age.median()).abs().mean()
    assert age_errors(twin).mean() < 0.6 * blind
    rows, female = pixels(planted), planted.labels["gender"].eq("female")
    half = np.arange(N) % 2 == 0
    right = (
        RidgeClassifier(alpha=300.0).fit(rows[half], female[half]).score(rows[~half], female[~half])
    )
    assert 0.80 < right < 0.99


def test_age_is_read_worse_in_the_planted_group_and_light_and_in_no_twin(planted, twin):
    grown = planted.labels["age"] >= GROWN_UP
    for feature, weak in (("race", PLANTED_GROUP), ("light", PLANTED_LIGHT)):
        ratio = {}
        for name, faces in (("planted", planted), ("twin", twin)):
            errors = age_errors(faces)[grown]
            is_weak = faces.labels[feature][grown] == weak
            ratio[name] = errors[is_weak].mean() / errors[~is_weak].mean()
        assert ratio["planted"] > 1.15, feature
        assert ratio["twin"] == pytest.approx(1, abs=0.13), feature


def test_the_twin_is_the_same_people_without_the_weakness(planted, twin):
    pd.testing.assert_frame_equal(planted.labels, twin.labels)
    grown = (planted.labels["age"] > GROWN_UP) & planted.labels["race"].eq(PLANTED_GROUP)
    touched = grown | planted.labels["light"].eq(PLANTED_LIGHT)
    same = (planted.pictures == twin.pictures).all(axis=(1, 2, 3))
    assert np.array_equal(same, ~touched)


def test_years_show_in_every_cue():
    traits = deal_traits(4000, seed=4, planted=False)
    for cue in ("lines", "crows", "folds", "bags", "droop"):
        assert np.corrcoef(traits.age, getattr(traits, cue))[0, 1] > 0.7, cue
    assert np.corrcoef(traits.age, traits.hair.mean(axis=1))[0, 1] > 0.5  # greying
    baby, adult = traits.age < 2, traits.age > 25
    assert traits.eye_h[baby].min() > np.median(traits.eye_h[adult])
    assert traits.eye_y[baby].min() > np.median(traits.eye_y[adult])


def test_no_picture_is_blank_or_burnt_out(planted):
    bright = planted.pictures.mean(axis=(1, 2, 3))
    assert bright.min() > 25
    assert bright.max() < 245
    assert planted.pictures.std(axis=(1, 2, 3)).min() > 10


# On disk ---------------------------------------------------------------------------------------


def test_a_folder_holds_pictures_labels_and_the_planted_truth(folder):
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels) == ["image", "age", "gender", "race", "light", "glasses", "pose"]
    assert {p.name for p in folder.glob("*.jpg")} == set(labels["image"])
    drawn = draw_faces(20, seed=3)
    pd.testing.assert_frame_equal(labels, drawn.labels)
    for name, picture in zip(labels["image"], drawn.pictures, strict=True):
        with Image.open(folder / name) as stored:
            assert stored.format == "JPEG"
            assert stored.size == (128, 128)
            far = np.abs(np.asarray(stored).astype(int) - picture)
        assert far.mean() < 12  # JPEG is not exact; noise in dim light less so
    truth = json.loads((folder / "truth.json").read_text())
    assert truth == planted_truth(3, planted=True)
    assert [(w["feature"], w["group"]) for w in truth["planted"]] == [
        ("race", PLANTED_GROUP),
        ("light", PLANTED_LIGHT),
    ]


def test_a_twin_says_that_nothing_is_planted(tmp_path):
    write_drawn_faces(tmp_path / "twin", n=2, seed=0, planted=False)
    assert json.loads((tmp_path / "twin" / "truth.json").read_text())["planted"] == []


def test_drawing_again_replaces_the_old_faces_byte_for_byte(tmp_path):
    folder = write_drawn_faces(tmp_path / "faces", n=12, seed=1)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    write_drawn_faces(folder, n=9, seed=2)
    write_drawn_faces(folder, n=12, seed=1)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("mine", ["holiday.jpg", "31_1_0_me.jpg"])
def test_a_folder_of_somebody_elses_files_is_refused_and_left_alone(tmp_path, mine):
    (tmp_path / mine).write_bytes(b"mine")
    with pytest.raises(InputError, match=r"1 files that are not all drawn faces"):
        write_drawn_faces(tmp_path, n=2, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == [mine]


def test_a_foreign_file_among_drawn_faces_is_not_deleted(tmp_path):
    folder = write_drawn_faces(tmp_path / "faces", n=3, seed=0)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="name a new or an empty folder"):
        write_drawn_faces(folder, n=2, seed=0)
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(list(folder.glob("*.jpg"))) == 3


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "faces").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_drawn_faces(tmp_path / "faces", n=2, seed=0)


# Shapes ----------------------------------------------------------------------------------------


def canvas(size=64):
    one, nought = np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    return new_canvas(size, scale=one, tilt=nought, shift_x=nought, shift_y=nought)


def test_the_coverage_of_a_shape_adds_up_to_its_area():
    page = canvas()
    pixel = (2 / 64) ** 2
    disc = page.edge(ellipse(page.x, page.y, 0.6, 0.4))
    assert disc.sum() * pixel == pytest.approx(np.pi * 0.6 * 0.4, rel=0.01)
    box = page.edge(rounded_box(page.x, page.y, 0.5, 0.3, 0.1))
    assert box.sum() * pixel == pytest.approx(4 * 0.5 * 0.3 - (4 - np.pi) * 0.1**2, rel=0.01)


def test_soft_shapes_are_nothing_outside_their_bounds():
    page = canvas()
    outside = (page.x / 0.5) ** 2 + (page.y / 0.2) ** 2 > 1
    spot = glow(page.x, page.y, 0.5, 0.2)
    assert not spot[outside].any()
    assert spot.max() == pytest.approx(1, abs=0.02)
    line = stroke(page, page.x, page.y, half=0.5, bend=0.0, width=0.05)
    assert not line[np.abs(page.x) > 0.5].any()
    assert not line[np.abs(page.y) > 0.05 + 2 / 64].any()


def test_a_window_holds_every_pixel_asked_for_and_paints_the_page():
    page = canvas()
    window = page.window(-0.5, 0.0, 0.25, 0.5)
    inside = (page.x >= -0.5) & (page.x <= 0.25) & (page.y >= 0) & (page.y <= 0.5)
    assert window.x.size == inside.sum()
    window.paint(np.ones_like(window.x), 0.5)
    assert np.array_equal(page.picture[:, 0] == 0.5, inside)


def test_a_contact_sheet_lays_pictures_row_by_row():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    sheet = contact_sheet(pictures, columns=3, gap=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert (sheet[2:6, 10:16] == 1).all()
    assert (sheet[8:12, 2:8] == 3).all()
    assert (sheet[8:12, 18:24] == 255).all()


def test_a_full_disk_is_told_with_the_picture_that_did_not_fit(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 4
    told = capsys.readouterr().err
    assert f"while writing {tmp_path / 'demo' / 'faces'}" in told
    assert ".jpg" in told


def test_a_demo_into_a_file_or_a_folder_of_others_says_so_in_a_line(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    for out, why in (
        (tmp_path / "notes.txt", "a file stands where a folder is needed"),
        (tmp_path, "no demo made"),
    ):
        assert cli.main(["demo", "--out", str(out)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert why in line
