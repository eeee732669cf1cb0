"""What a picture is like: planted light comes out, and a changed copy moves the measure meant."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms, ImageFilter

from audit.config import AuditSettings
from audit.contract import CONDITIONS
from audit.errors import InputError
from audit.predictions import open_predictions
from model.conditions import (
    MEASURED,
    SKIN_TONES,
    conditions_of,
    lightness_and_yellow,
    measure_pixels,
    photo_boxes,
    skin_tones,
)
from model.drawn_faces import draw_faces
from model.face_lots import deal_traits
from model.faces import read_faces
from model.pictures import decode_picture

SEED, FACES = 11, 240


@pytest.fixture(scope="module")
def drawn():
    return draw_faces(FACES, seed=SEED, size=128)


@pytest.fixture(scope="module")
def even(drawn):
    """Drawn faces in even light, with room below and above: no change of theirs is clipped."""
    pictures = drawn.pictures[(drawn.labels["light"] == "even").to_numpy()][:40]
    return (40 + pictures.astype(float) * 0.6).round().astype(np.uint8)


def changed(pictures, change):
    return np.stack([np.asarray(change(Image.fromarray(p)).convert("RGB")) for p in pictures])


def moved(before, after):
    """How far each measure moved on average, in spreads of the measure over the faces."""
    a, b = measure_pixels(before), measure_pixels(after)
    return {name: np.nanmean(b[name] - a[name]) / np.nanstd(a[name]) for name in MEASURED}


def test_the_planted_dim_light_comes_out_dark_and_the_even_one_bright(drawn):
    found, light = pd.DataFrame(measure_pixels(drawn.pictures)), drawn.labels["light"]
    by_light = found["brightness"].groupby(light.to_numpy())
    assert by_light.max()["dim"] < by_light.min()["even"]
    assert (
        found["ita"].groupby(light.to_numpy()).mean()["dim"] < -20
    )  # light is not tone: the limit


def test_a_grey_laid_over_a_picture_moves_its_brightness_alone(even):
    a, b = measure_pixels(even), measure_pixels(even + np.uint8(20))
    assert b["brightness"] - a["brightness"] == pytest.approx(20 / 255, abs=1e-4)
    for name in ("contrast", "sharpness", "colourfulness"):
        assert b[name] == pytest.approx(a[name], abs=2e-4)


def test_half_the_coded_light_halves_all_but_sharpness(even):
    whole = even // 2 * 2
    a, b = measure_pixels(whole), measure_pixels(whole // 2)
    for name in ("brightness", "contrast", "colourfulness"):
        assert b[name] == pytest.approx(a[name] / 2, abs=2e-4)
    assert b["sharpness"] == pytest.approx(a["sharpness"], abs=2e-4)


def test_a_flatter_copy_moves_contrast_before_everything_else(even):
    def flatter(image):
        pixels = np.asarray(image).astype(float)
        luma = pixels @ [0.299, 0.587, 0.114]
        lower = luma.mean() + 0.5 * (luma - luma.mean())
        return Image.fromarray((pixels + (lower - luma)[..., None]).round().astype(np.uint8))

    far = moved(even, changed(even, flatter))
    assert far["contrast"] < -1.5
    assert max(abs(far[name]) for name in ("brightness", "sharpness", "colourfulness")) < 0.2


def test_a_blurred_copy_moves_sharpness_before_everything_else(even):
    far = moved(even, changed(even, lambda i: i.filter(ImageFilter.GaussianBlur(2))))
    assert far.pop("sharpness") < -3
    assert max(map(abs, far.values())) < 0.6


def test_a_copy_without_colour_moves_colourfulness_alone_and_has_no_skin_tone(even):
    grey = changed(even, lambda i: i.convert("L"))
    a, b = measure_pixels(even), measure_pixels(grey)
    assert (b["colourfulness"] == 0).all()
    assert np.isnan(b["ita"]).all()
    for name in ("brightness", "contrast"):
        assert b[name] == pytest.approx(a[name], abs=3e-3)
    assert b["sharpness"] == pytest.approx(a["sharpness"], rel=0.06)


def test_a_stronger_compression_moves_the_bits_per_pixel_and_little_else(drawn, tmp_path):
    whole = Image.fromarray(drawn.pictures[0]).resize((300, 200))
    for quality in (95, 60, 15):
        whole.save(tmp_path / f"30_1_0_q{quality}.jpg", quality=quality)
    faces = read_faces(tmp_path).faces.sort_values("bytes")
    pictures = np.stack(
        [decode_picture((tmp_path / i).read_bytes(), size=128) for i in faces.image]
    )
    found = conditions_of(faces, measure_pixels(pictures))
    bits = found["picture_bits_per_pixel"].to_numpy()
    assert bits == pytest.approx(faces["bytes"].to_numpy() * 8 / (300 * 200), abs=1e-4)
    assert bits[0] < bits[1] < bits[2]
    assert (found["picture_side"] == 200).all()
    assert found["picture_brightness"].max() - found["picture_brightness"].min() < 0.01
    assert list(found["picture_copy"]) == ["near"] * 3


def test_copies_are_told_from_photos_that_stand_alone(drawn, tmp_path):
    a, b = (Image.fromarray(p) for p in drawn.pictures[:2])
    a.save(tmp_path / "20_0_0_a.png")
    a.save(tmp_path / "20_0_0_b.png")
    b.save(tmp_path / "20_0_0_c.png")
    faces = read_faces(tmp_path).faces
    found = conditions_of(faces, measure_pixels(drawn.pictures[[0, 0, 1]]))
    assert list(found["picture_copy"]) == ["identical", "identical", "none"]


# Colour ---------------------------------------------------------------------------------------


def test_lab_agrees_with_little_cms():
    """Judge: the colour engine behind ImageCms, whose Lab is of D50; grey to red to blue."""
    rgb = np.random.default_rng(0).integers(20, 250, (1, 400, 3), dtype=np.uint8)
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), to_lab)).astype(float)
    light, yellow = lightness_and_yellow(rgb)
    assert light == pytest.approx(lab[..., 0] * 100 / 255, abs=2.5)
    assert yellow == pytest.approx((lab[..., 2] + 128) % 256 - 128, abs=6)
    skin = np.array([[[222, 180, 150], [150, 105, 80], [90, 60, 45]]], dtype=np.uint8)
    lab = np.asarray(ImageCms.applyTransform(Image.fromarray(skin), to_lab)).astype(float)
    theirs = np.degrees(np.arctan2(lab[..., 0] * 100 / 255 - 50, lab[..., 2]))
    light, yellow = lightness_and_yellow(skin)
    assert np.degrees(np.arctan2(light - 50, yellow)) == pytest.approx(theirs, abs=3)


@pytest.mark.parametrize(
    ("rgb", "light", "yellow"),  # published values of sRGB's corners under D65 (Lindbloom)
    [((255, 255, 255), 100, 0), ((0, 0, 0), 0, 0), ((255, 0, 0), 53.24, 67.2),
     ((0, 0, 255), 32.3, -107.86), ((128, 128, 128), 53.59, 0)],
)  # fmt: skip
def test_lab_of_the_corners_is_as_published(rgb, light, yellow):
    found = lightness_and_yellow(np.array([rgb], dtype=np.uint8))
    assert found[0][0] == pytest.approx(light, abs=0.02)
    assert found[1][0] == pytest.approx(yellow, abs=0.02)


def test_the_typology_angle_of_drawn_skin_is_within_a_few_degrees_of_its_colour(drawn):
    """The painter knows the skin's colour; shade, blush and beards lie over it."""
    traits = deal_traits(FACES, seed=SEED)
    skin = np.clip(traits.skin * 255, 0, 255).astype(np.uint8)
    light, yellow = lightness_and_yellow(skin)
    true = np.degrees(np.arctan2(light - 50, yellow))
    even = (drawn.labels["light"] == "even").to_numpy()
    error = (measure_pixels(drawn.pictures)["ita"] - true)[even]
    assert np.isfinite(error).all()
    assert abs(np.median(error)) < 5
    assert np.percentile(np.abs(error), 90) < 12
    assert true[even].min() < -40
    assert true[even].max() > 60  # over the whole scale


@pytest.mark.parametrize(
    ("ita", "word"),
    [(80, "1 very light"), (55.01, "1 very light"), (55, "2 light"), (41, "3 intermediate"),
     (28, "4 tan"), (10, "5 brown"), (-29.99, "5 brown"), (-30, "6 dark"), (-80, "6 dark"),
     (np.nan, None)],
)  # fmt: skip
def test_the_six_classes_take_their_upper_edge(ita, word):
    assert skin_tones(np.array([ita])) == [word]


def test_the_words_sort_from_light_to_dark():
    assert sorted(SKIN_TONES) == list(reversed(SKIN_TONES))


def test_a_picture_without_skin_has_no_skin_tone():
    leaf = np.full((2, 64, 64, 3), (40, 120, 50), dtype=np.uint8)
    assert np.isnan(measure_pixels(leaf)["ita"]).all()


# Pixels ---------------------------------------------------------------------------------------


def test_a_face_is_measured_alike_alone_and_among_others(drawn):
    together = measure_pixels(drawn.pictures[:21])
    for i in (0, 7, 20):
        alone = measure_pixels(drawn.pictures[i : i + 1])
        assert {name: alone[name][0] for name in MEASURED} == {
            name: together[name][i] for name in MEASURED
        }


def test_the_decoders_grey_bars_are_no_part_of_the_photo(drawn):
    photo = Image.fromarray(drawn.pictures[3])
    wide = photo.resize((128, 80))
    data = io.BytesIO()
    wide.save(data, "PNG")
    padded = decode_picture(data.getvalue(), size=128)
    assert photo_boxes(padded[None]).tolist() == [[24, 104, 0, 128]]
    bare = np.asarray(wide)
    a, b = measure_pixels(padded[None]), measure_pixels(bare[None])
    assert {k: v[0] for k, v in a.items()} == {k: v[0] for k, v in b.items()}


def test_nothing_but_ground_has_no_figures_and_a_flat_picture_no_sharpness():
    assert all(
        np.isnan(v).all() for v in measure_pixels(np.full((1, 32, 32, 3), 128, np.uint8)).values()
    )
    flat = measure_pixels(np.full((1, 32, 32, 3), 200, np.uint8))
    assert flat["brightness"] == pytest.approx(200 / 255, abs=1e-4)
    assert flat["contrast"] == 0
    assert np.isnan(flat["sharpness"]).all()


def test_colourfulness_is_hasler_and_suesstrunks_formula(drawn):
    picture = drawn.pictures[5].astype(float)
    r, g, b = np.moveaxis(picture, 2, 0)
    rg, yb = r - g, (r + g) / 2 - b
    formula = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert measure_pixels(drawn.pictures[5:6])["colourfulness"][0] == pytest.approx(
        formula, abs=1e-3
    )


def test_pixel_noise_has_sharpness_one():
    noise = np.random.default_rng(0).integers(60, 200, (1, 128, 128, 1), dtype=np.uint8)
    assert measure_pixels(noise.repeat(3, axis=3))["sharpness"][0] == pytest.approx(1, abs=0.02)


# In an audit ----------------------------------------------------------------------------------


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame({"age_true": rng.integers(0, 90, n), "site": rng.choice(["a", "b"], n)})
    table["age_pred"] = table["age_true"] + rng.normal(0, 5, n).round(2)
    table["picture_brightness"] = rng.random(n).round(3)
    table["picture_ita"] = rng.normal(20, 30, n).round(1)
    table["picture_skin_tone"] = skin_tones(table["picture_ita"].to_numpy())
    return table


def features(table, **settings):
    found = open_predictions(table, AuditSettings(**settings))
    return [f.name for f in found.features], found.notes


def test_conditions_are_features_only_when_an_option_names_them(predictions):
    names, notes = features(predictions)
    assert names == ["site", "age_group"]
    assert [n for n in notes if "picture_brightness" in n and "--by" in n]
    names, notes = features(predictions, by=("picture_skin_tone", "picture_brightness"))
    assert names == ["picture_skin_tone", "picture_brightness"]
    assert not [n for n in notes if "--by" in n]
    assert "picture_brightness" in features(predictions, control=("picture_brightness",))[0]
    named = features(predictions, cuts={"picture_ita": (-30, 10, 28, 41, 55)})[0]
    assert named == ["site", "picture_ita", "age_group"]


def test_a_number_is_cut_at_quintiles_and_skin_tones_keep_their_order(predictions):
    found = open_predictions(
        predictions, AuditSettings(by=("picture_brightness", "picture_skin_tone"))
    )
    light, tone = found.features
    assert len(light.levels) == 5
    assert light.ordered
    assert list(tone.levels) == sorted(tone.levels)
    assert tone.levels[0] == "1 very light"


def test_a_misspelt_condition_is_refused_with_the_right_word(predictions):
    with pytest.raises(InputError, match="did you mean 'picture_brightness'"):
        features(predictions, by=("picture_brightnes",))


def test_every_condition_has_a_column(drawn, tmp_path):
    Image.fromarray(drawn.pictures[0]).save(tmp_path / "20_0_0_a.png")
    faces = read_faces(tmp_path).faces
    assert tuple(conditions_of(faces, measure_pixels(drawn.pictures[:1]))) == CONDITIONS
