"""A corruption does what its name says, more with every severity, alike for the same face."""

import numpy as np
import pytest
from PIL import Image

from audit.errors import InputError
from model.conditions import measure_pixels, photo_boxes
from model.corruptions import CORRUPTIONS, SEVERITIES, corrupt, step_words
from model.drawn_faces import draw_faces

KINDS = list(CORRUPTIONS)


@pytest.fixture(scope="module")
def faces():
    return draw_faces(12, seed=4, size=96).pictures


@pytest.fixture(scope="module")
def conditions(faces):
    """Mean conditions of the faces by (corruption, severity); severity 0 is clean."""

    def mean(pictures):
        found = measure_pixels(np.stack(pictures))
        return {name: found[name].mean() for name in ("brightness", "sharpness")}

    found = {(k, s): mean([corrupt(f, k, s) for f in faces]) for k in KINDS for s in SEVERITIES}
    return found | {(k, 0): mean(list(faces)) for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_takes_a_face_further_from_its_clean_picture(kind, faces):
    far = [
        np.mean([np.abs(corrupt(f, kind, s).astype(float) - f).mean() for f in faces])
        for s in SEVERITIES
    ]
    assert far == sorted(far)
    assert far[0] > 0.5
    assert far[4] > 1.5 * far[0]


@pytest.mark.parametrize(
    ("kind", "measure", "sign"),
    [("darkness", "brightness", -1), ("overexposure", "brightness", 1), ("blur", "sharpness", -1),
     ("noise", "sharpness", 1), ("downscale", "sharpness", -1)],
)  # fmt: skip
def test_a_corruption_moves_the_condition_it_is_named_after(kind, measure, sign, conditions):
    path = [sign * conditions[kind, s][measure] for s in (0, *SEVERITIES)]
    assert path == sorted(path)
    assert path[5] - path[0] > 0.05


def test_a_stop_of_darkness_is_half_the_light(faces):
    """Judge: sRGB's curve as Pillow's colour engine would undo it, by hand."""

    def light(pixels):
        x = pixels / 255
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).mean()

    for stops in (1, 2, 3):
        assert light(corrupt(faces[0], "darkness", stops)) == pytest.approx(
            light(faces[0]) / 2**stops, rel=0.02
        )


def test_a_box_covers_the_share_it_states(faces):
    for severity, share in zip(SEVERITIES, CORRUPTIONS["occlusion"].steps, strict=True):
        touched = (corrupt(faces[1], "occlusion", severity) != faces[1]).any(axis=2).mean()
        assert touched == pytest.approx(share, abs=0.02)


def test_noise_has_the_spread_it_states():
    grey = np.full((96, 96, 3), 120, dtype=np.uint8)
    found = corrupt(grey, "noise", 2).astype(float) - 120
    assert found.std() / 255 == pytest.approx(0.08, rel=0.03)
    assert abs(found.mean()) < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("severity", [1, 5])
def test_the_same_face_gives_the_same_bytes_in_any_order_and_batch(kind, severity, faces):
    alone = corrupt(faces[7].copy(), kind, severity)
    again = [corrupt(f, kind, severity) for f in faces[::-1]][4]
    assert (alone == again).all()
    view = np.asfortranarray(faces[7])
    assert (corrupt(view, kind, severity) == alone).all()


def test_faces_differ_in_their_lots_and_seeds_draw_others(faces):
    grey = np.full((32, 32, 3), 100, dtype=np.uint8)
    almost = grey.copy()
    almost[0, 0] = 101
    noise = corrupt(grey, "noise", 3)
    assert (corrupt(almost, "noise", 3)[5:] != noise[5:]).mean() > 0.5
    assert (corrupt(grey, "noise", 3, seed=1) != noise).mean() > 0.5
    sides = {(corrupt(f, "tilt", 5) == np.asarray(_turned(f, 45))).all() for f in faces}
    assert sides == {True, False}


def _turned(face, degrees):
    return Image.fromarray(face).rotate(
        degrees, resample=Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
    )


def test_severities_differ_in_degree_not_in_luck(faces):
    """The box of a higher severity lies where the lower one's does, only larger."""
    low, high = ((corrupt(faces[2], "occlusion", s) != faces[2]).any(axis=2) for s in (2, 5))
    assert (low & high).sum() > 0.8 * low.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoders_grey_bars_stay(kind, faces):
    barred = np.full((96, 96, 3), 128, dtype=np.uint8)
    barred[20:70] = faces[3][20:70]
    found = corrupt(barred, kind, 4)
    assert (found[:20] == 128).all()
    assert (found[70:] == 128).all()
    assert photo_boxes(barred[None]).tolist() == [[20, 70, 0, 96]]
    blank = np.full((96, 96, 3), 128, dtype=np.uint8)
    assert (corrupt(blank, kind, 4) == blank).all()


def test_the_picture_given_is_left_as_it_was(faces):
    before = faces.copy()
    for kind in KINDS:
        assert corrupt(faces[0], kind, 3).flags.writeable
    assert (faces == before).all()


def test_words_that_do_not_exist_are_refused(faces):
    with pytest.raises(InputError, match="no corruption 'fog'; there are: darkness"):
        corrupt(faces[0], "fog", 1)
    with pytest.raises(InputError, match="no severity 6"):
        corrupt(faces[0], "blur", 6)
    assert step_words("darkness", 2) == "2 EV less light"


def test_a_share_is_written_as_everywhere_else():
    assert step_words("occlusion", 1) == "a box over 5\u00a0% of the area"
    assert step_words("noise", 1) == "Gaussian, σ 4\u00a0% of full range"
