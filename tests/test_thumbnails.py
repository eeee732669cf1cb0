"""Where the pictures of an audit lie, and the thumbnails made of them."""

import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import EpsImagePlugin, Image

from reports import thumbnails
from reports.thumbnails import images_folder, picture_path
from reports.thumbnails import thumbnails as make_thumbnails


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    Image.new("RGB", (400, 300), (200, 30, 30)).save(folder / "a.jpg")
    Image.new("RGB", (40, 40)).save(tmp_path / "secret.jpg")
    return folder


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "a.jpg/../../secret.jpg", "x\0.jpg", "x" * 300, ".", "", "none.jpg"]
)
def test_a_picture_outside_the_folder_is_not_shown(images, name):
    assert picture_path(images, name) is None
    assert make_thumbnails(images, [name], cache=None) == [None]


def test_neither_a_whole_path_nor_a_link_leads_out_of_the_folder(images):
    secret = images.parent / "secret.jpg"
    (images / "link.jpg").symlink_to(secret)
    assert picture_path(images, str(secret)) is None
    assert picture_path(images, "link.jpg") is None
    assert picture_path(images, "a.jpg") == images / "a.jpg"


@pytest.mark.parametrize("name", ["ünï—cødé 😀.jpg", "new\nline.jpg", "<b>&.jpg", "sub/é.jpg"])
def test_a_picture_may_bear_any_name(images, name):
    (images / name).parent.mkdir(exist_ok=True)
    (images / name).write_bytes((images / "a.jpg").read_bytes())
    assert make_thumbnails(images, [name], cache=None)[0].startswith("data:image/jpeg;base64,")


def test_a_thumbnail_is_made_once_and_read_from_the_cache_ever_after(images, tmp_path, monkeypatch):
    cache = tmp_path / "audit" / "cache"
    first = make_thumbnails(images, ["a.jpg"], cache=cache)
    assert len(list(cache.rglob("*.jpg"))) == 1
    thumbnails._kept.cache_clear()  # another process
    monkeypatch.setattr(thumbnails, "_encode", lambda *_: pytest.fail("encoded again"))
    assert make_thumbnails(images, ["a.jpg"], cache=cache) == first


def test_a_changed_picture_has_a_new_thumbnail(images, tmp_path):
    first = make_thumbnails(images, ["a.jpg"], cache=tmp_path / "cache")
    Image.new("RGB", (400, 300), (0, 0, 250)).save(images / "a.jpg")
    os.utime(images / "a.jpg", (1, 1))
    assert make_thumbnails(images, ["a.jpg"], cache=tmp_path / "cache") != first


def test_a_folder_that_cannot_be_written_costs_only_the_cache(images, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert make_thumbnails(images, ["a.jpg"], cache=tmp_path / "file" / "cache")[0]


def test_broken_and_huge_pictures_are_no_pictures(images, monkeypatch):
    (images / "cut.jpg").write_bytes((images / "a.jpg").read_bytes()[:400])
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.jpg").write_text("not a picture")
    names = ["cut.jpg", "empty.jpg", "text.jpg"]
    assert make_thumbnails(images, names, cache=None) == [None] * 3
    (images / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("was run"))
    assert make_thumbnails(images, ["script.jpg"], cache=None) == [None]
    with tarfile.open(images / "faces.tar", "w") as tar:
        tar.add(images / "a.jpg", "a.jpg")
    assert make_thumbnails(images, ["faces.tar/a.jpg"], cache=None)[0]
    thumbnails._kept.cache_clear()
    monkeypatch.setattr(thumbnails, "MAX_BYTES", 100)  # told by the tar, before it is unpacked
    assert make_thumbnails(images, ["faces.tar/a.jpg"], cache=None) == [None]
    monkeypatch.setattr(thumbnails, "MOST_PIXELS", 100)
    thumbnails._kept.cache_clear()
    assert make_thumbnails(images, ["a.jpg"], cache=None) == [None]


def test_a_turned_picture_stands_upright_and_carries_no_metadata(images):
    picture = Image.new("RGB", (80, 40), (250, 250, 250))
    picture.paste((0, 0, 0), (0, 0, 40, 40))  # left half black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right: black on top
    picture.save(images / "turned.jpg", exif=exif)
    data = thumbnails._encode(images / "turned.jpg", 80)
    (images / "out.jpg").write_bytes(data)
    with Image.open(images / "out.jpg") as shown:
        assert shown.size == (40, 80)
        assert max(shown.getpixel((20, 10))) < 40
        assert min(shown.getpixel((20, 70))) > 200
        assert not shown.getexif()


def test_pictures_are_found_beside_the_audit_and_where_it_was_run(tmp_path, monkeypatch):
    result = SimpleNamespace(info={"run": {"paths": {"images": "out/faces"}}})
    monkeypatch.chdir(tmp_path)
    assert images_folder(result, tmp_path / "out") is None
    run_here = tmp_path / "out" / "faces"
    run_here.mkdir(parents=True)
    assert images_folder(result, Path("out")).resolve() == run_here
    beside = tmp_path / "out" / "out" / "faces"
    beside.mkdir(parents=True)
    assert images_folder(result, tmp_path / "out") == beside
