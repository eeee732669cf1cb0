"""A second look at one face: networks whose reading is known tell whether the maps are right."""

import numpy as np
import pytest
from tiny_faces import picture, save_face
from tiny_training import tiny_faces, tiny_settings

from audit.errors import InputError
from model.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from model.face_look import look_at, occlusion_map, read_worse
from model.pictures import read_picture
from model.predict import open_model
from model.ready import Ready
from model.train import train

SIZE = 64
RULE = {"age": "value", "interval": {"correction": 1.0}}
EYE = (slice(16, 24), slice(40, 48))


def planted(score):
    """A model whose age is what `score` says of each picture, and P(female) a hundredth of it."""

    def both(pictures):
        ages = np.array([score(p.astype(float)) for p in pictures], dtype=np.float32)
        return ages, ages / 100

    return Ready({"size": SIZE, "decode": RULE}, None, both)


def face(seed=3):
    return np.asarray(picture(seed, size=(SIZE, SIZE)))


def test_the_map_is_nothing_but_where_the_network_looks():
    model = planted(lambda p: p[EYE].mean() / 4)
    found = occlusion_map(model, face(), patch=8, stride=4)
    near = np.zeros((SIZE, SIZE), dtype=bool)
    near[16 - 7 : 24 + 7, 40 - 7 : 48 + 7] = True
    assert np.abs(found.years[~near]).max() == 0
    whole = (128 - face()[EYE].astype(float).mean()) / 4  # one patch covers just the eye
    assert np.sign(found.years[EYE]) == pytest.approx(np.sign(whole))
    top = np.unravel_index(np.abs(found.years).argmax(), found.years.shape)
    assert 16 <= top[0] < 24
    assert 40 <= top[1] < 48
    assert found.female == pytest.approx(found.years / 100, abs=1e-6)


def test_every_pixel_is_covered_equally_often_so_a_flat_network_has_a_flat_map():
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    grey[..., 0] = 228  # covering takes 100 off one channel of every pixel it covers
    found = occlusion_map(planted(lambda p: p[..., 0].sum() / 1000), grey, patch=16, stride=8)
    inner = found.years[16:-16, 16:-16]
    assert inner == pytest.approx(-100 * 16 * 16 / 1000, abs=0.01)
    assert found.years.min() >= inner.min() - 0.01


def test_worse_pictures_are_the_corruptions_read_in_order_clean_first():
    model = planted(lambda p: p.mean() / 3)
    found = read_worse(model, face())
    assert [(r.corruption, r.severity) for r in found] == [
        ("clean", 0),
        *((name, s) for name in CORRUPTIONS for s in SEVERITIES),
    ]
    for r in found[1::7]:
        wanted = corrupt(face(), r.corruption, r.severity).mean() / 3
        assert r.age == pytest.approx(wanted, abs=1e-3)
        assert r.female == pytest.approx(wanted / 100, abs=1e-4)


def test_a_trained_network_looks_twice_and_sees_the_same(tmp_path):
    table = tiny_faces(tmp_path / "faces", 80)
    run = train(table, out=tmp_path / "run", settings=tiny_settings(epochs=1))
    model = open_model(run, threads=1)
    path = table.root / table.faces["image"].iloc[0]
    first, second = look_at(model, path), look_at(model, path)
    assert first.readings == second.readings
    assert np.array_equal(first.occlusion.years, second.occlusion.years)
    assert np.isfinite(first.occlusion.years).all()
    assert np.array_equal(first.picture, read_picture(path, size=32))
    age, female = model.score(first.picture[None])
    assert first.clean.female == pytest.approx(float(female[0]), abs=1e-5)
    assert age.shape == (1, 121)


def test_a_file_that_is_no_picture_is_said_to_be_none(tmp_path):
    broken = save_face(tmp_path / "x.jpg")
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(InputError, match="the picture"):
        look_at(planted(lambda p: p.mean()), broken)
