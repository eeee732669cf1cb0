"""One decoder, one resize, one cache: any file gives the same picture or a named reason."""

import contextlib
import errno
import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from tiny_faces import picture, save_face

from audit.errors import InputError, MachineError
from audit.picture_limits import VARIABLE, pixel_limit
from model import pictures
from model.pictures import (
    GROUND,
    PictureError,
    decode_picture,
    open_cache,
    pillow_silent,
    read_picture,
)

SIZE = 32


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image, kind, **options):
    return decode_picture(encoded(image, kind, **options), size=SIZE).astype(int)


def distance(a, b):
    return np.abs(a - b).mean()


PLAIN = picture(1)
REFERENCE = decoded(PLAIN, "PNG")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_a_lossless_file_gives_the_same_pixels_in_every_format(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (decoded(PLAIN, kind, **options) == REFERENCE).all()


def test_a_file_is_read_by_its_content_whatever_its_suffix(tmp_path):
    path = tmp_path / "20_0_0_x.jpg"
    path.write_bytes(encoded(PLAIN, "PNG"))
    assert (read_picture(path, size=SIZE) == REFERENCE).all()


def test_grey_palette_and_opaque_alpha_equal_their_rgb_version():
    grey = PLAIN.convert("L")
    assert (decoded(grey, "PNG") == decoded(grey.convert("RGB"), "PNG")).all()
    palette = PLAIN.quantize(64)
    assert (decoded(palette, "PNG") == decoded(palette.convert("RGB"), "PNG")).all()
    opaque = PLAIN.copy()
    opaque.putalpha(255)
    assert (decoded(opaque, "PNG") == REFERENCE).all()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 48 * 48).reshape(48, 48).astype(np.uint16)
    eight = Image.fromarray((ramp >> 8).astype(np.uint8)).convert("RGB")
    assert (decoded(Image.fromarray(ramp), "PNG") == decoded(eight, "PNG")).all()


def test_cmyk_comes_out_close_to_rgb():
    assert distance(decoded(PLAIN.convert("CMYK"), "JPEG", quality=98), REFERENCE) < 3


def test_transparency_is_laid_on_the_neutral_ground():
    hidden = Image.new("RGBA", (48, 48), (255, 0, 0, 0))
    assert (decoded(hidden, "PNG") == GROUND).all()
    flat = Image.new("P", (48, 48), 0)
    assert (decoded(flat, "PNG", transparency=0) == GROUND).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_applies_it(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PLAIN, "JPEG", quality=95, exif=exif)
    judge = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (decode_picture(data, size=SIZE) == decoded(judge, "PNG")).all()


def test_a_broken_exif_block_does_not_cost_the_picture():
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken"
    data = encoded(PLAIN, "JPEG", quality=95, exif=broken)
    with pillow_silent():
        assert distance(decode_picture(data, size=SIZE), REFERENCE) < 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [PLAIN.quantize(32).convert("RGB"), picture(2), picture(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    moving = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert distance(moving, decoded(frames[0], "PNG")) < 3


@pytest.mark.parametrize("size", [(48, 24), (24, 48)])
def test_the_whole_picture_is_kept_and_the_rest_is_grey(size):
    found = decoded(picture(4, size=size), "PNG")
    found = found if size[0] > size[1] else found.transpose(1, 0, 2)
    assert (found[: SIZE // 4] == GROUND).all()
    assert (found[-SIZE // 4 :] == GROUND).all()
    inner = decode_picture(
        encoded(picture(4, size=size).resize((size[0], size[1])), "PNG"), size=SIZE
    )
    inner = inner if size[0] > size[1] else inner.transpose(1, 0, 2)
    assert inner[SIZE // 4 : -SIZE // 4].std() > 20


def test_a_large_jpeg_decoded_in_part_looks_like_the_same_picture_in_full():
    large = picture(5, size=(800, 800))
    assert distance(decoded(large, "JPEG", quality=95), decoded(large, "PNG")) < 1.5


@settings(max_examples=30)
@given(st.floats(0.05, 0.9))
def test_a_jpeg_cut_anywhere_is_named_broken_and_never_half_decoded(part):
    data = encoded(PLAIN, "JPEG")
    with pytest.raises(PictureError) as caught:
        decode_picture(data[: int(part * len(data))], size=SIZE)
    assert caught.value.status == "decode_error"


@settings(max_examples=60)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"])
)
def test_any_bytes_give_a_picture_or_a_picture_error(tail, head):
    with contextlib.suppress(PictureError):
        assert decode_picture(head + tail, size=SIZE).shape == (SIZE, SIZE, 3)


def test_a_decompression_bomb_is_refused_from_its_header(monkeypatch):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    def forbidden(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", forbidden)
    for side in (9_000, 12_000, 60_000):  # below Pillow's warning, above it, above its error
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
        with pytest.raises(PictureError) as caught:
            decode_picture(bomb, size=SIZE)
        assert caught.value.status == "too_large"
        assert "FACEAUDIT_MAX_PIXELS" in str(caught.value)


def test_the_limit_of_pixels_can_be_set():
    data = encoded(PLAIN, "PNG")
    assert decode_picture(data, size=SIZE, max_pixels=48 * 48).shape
    with pytest.raises(PictureError, match="2,303"):
        decode_picture(data, size=SIZE, max_pixels=48 * 48 - 1)


def test_a_picture_too_small_for_a_face_is_named():
    with pytest.raises(PictureError) as caught:
        decode_picture(encoded(PLAIN.resize((7, 30)), "PNG"), size=SIZE)
    assert caught.value.status == "too_small"


def test_files_that_are_no_files_are_named_without_a_hang(tmp_path):
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    expected = {
        "empty.jpg": "empty",
        "fifo.jpg": "not_a_file",
        "folder.jpg": "not_a_file",
        "loop.jpg": "unreadable",
        "gone.jpg": "unreadable",
        "nul\0.jpg": "unreadable",
        "long" * 100: "unreadable",
    }
    for name, status in expected.items():
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name, size=SIZE)
        assert caught.value.status == status, name


def faces_in(folder, n):
    images = [f"{i}.jpg" for i in range(n)]
    for i, image in enumerate(images):
        save_face(folder / image, i)
    hashes = [hashlib.sha256((folder / image).read_bytes()).hexdigest() for image in images]
    return pd.DataFrame({"image": images, "content_hash": hashes})


def test_the_cache_holds_exactly_what_the_decoder_gives_row_by_row(tmp_path):
    faces = faces_in(tmp_path, 70)
    shuffled = faces.sample(frac=1, random_state=0)
    cache = open_cache(shuffled, root=tmp_path, size=SIZE, folder=tmp_path / "cache")
    assert cache.shape == (70, SIZE, SIZE, 3)
    for row, image in enumerate(shuffled["image"]):
        assert (cache[row] == read_picture(tmp_path / image, size=SIZE)).all()
    with pytest.raises(ValueError, match="read-only"):
        cache[0] = 0


def test_the_cache_is_used_again_for_equal_content_only(tmp_path, monkeypatch):
    faces = faces_in(tmp_path, 5)
    folder = tmp_path / "cache"

    def opened(faces=faces, size=SIZE):
        return open_cache(faces, root=tmp_path, size=size, folder=folder)

    opened()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    opened()
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before
    opened(size=SIZE + 1)
    opened(faces.iloc[::-1])
    save_face(tmp_path / "0.jpg", 99)
    changed = faces.copy()
    changed.loc[0, "content_hash"] = hashlib.sha256((tmp_path / "0.jpg").read_bytes()).hexdigest()
    opened(changed)
    monkeypatch.setattr(pictures, "DECODE_RULE", "another")
    opened(changed)
    assert len(list(folder.glob("*.npy"))) == 5


def test_a_picture_changed_or_gone_since_the_scan_is_named_and_no_cache_is_left(tmp_path):
    faces = faces_in(tmp_path, 5)
    save_face(tmp_path / "3.jpg", 99)
    (tmp_path / "4.jpg").unlink()
    with pytest.raises(InputError, match=r"2 of 5 pictures .*3\.jpg: changed"):
        open_cache(faces, root=tmp_path, size=SIZE, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*pictures-*")) == []


def test_a_full_disk_is_said_before_any_picture_is_decoded(tmp_path, monkeypatch):
    faces = faces_in(tmp_path, 3)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(pictures, "decode_picture", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(MachineError, match=r"no space left .*bytes are needed"):
        open_cache(faces, root=tmp_path, size=SIZE, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*pictures-*")) == []


def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    faces = faces_in(tmp_path, 5)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "decode_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_cache(faces, root=tmp_path, size=SIZE, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*pictures-*")) == []


SLOW_BUILD = """
import sys, time
from pathlib import Path
import pandas as pd
from model import pictures
quick = pictures.decode_picture
def slow(data, **options):
    print("decoding", flush=True)
    time.sleep(60)
    return quick(data, **options)
pictures.decode_picture = slow
root = Path(sys.argv[1])
faces = pd.read_csv(root / "faces.csv", dtype=str)
pictures.open_cache(faces, root=root, size=32, folder=root / "cache")
"""


def test_a_build_killed_without_warning_leaves_no_cache_and_the_next_one_tidies_up(tmp_path):
    faces = faces_in(tmp_path, 5)
    faces.to_csv(tmp_path / "faces.csv", index=False)
    command = [sys.executable, "-c", SLOW_BUILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"decoding\n"
        child.send_signal(signal.SIGKILL)
    folder = tmp_path / "cache"
    assert list(folder.glob("pictures-*.npy")) == []
    assert len(list(folder.glob(".pictures-*.part"))) == 1
    open_cache(faces, root=tmp_path, size=SIZE, folder=folder)
    assert len(list(folder.glob("pictures-*.npy"))) == 1
    assert list(folder.glob(".pictures-*.part")) == []


def test_two_processes_that_want_one_cache_build_it_once(tmp_path):
    faces = faces_in(tmp_path, 5)
    faces.to_csv(tmp_path / "faces.csv", index=False)
    script = SLOW_BUILD.replace("sleep(60)", "sleep(.1)")
    command = [sys.executable, "-c", script, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum(output.count(b"decoding") for output in outputs) == 5


def test_a_strange_file_in_the_place_of_the_cache_is_named(tmp_path):
    faces = faces_in(tmp_path, 2)
    folder = tmp_path / "cache"
    open_cache(faces, root=tmp_path, size=SIZE, folder=folder)
    path = next(folder.glob("pictures-*.npy"))
    np.save(path, np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(InputError, match="delete it"):
        open_cache(faces, root=tmp_path, size=SIZE, folder=folder)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="delete it"):
        open_cache(faces, root=tmp_path, size=SIZE, folder=folder)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="delete it"):
        open_cache(faces, root=tmp_path, size=SIZE, folder=folder)


@pytest.mark.parametrize(("said", "limit"), [("", 64_000_000), ("100_000_000", 100_000_000)])
def test_the_environment_sets_how_large_a_picture_may_be(said, limit, monkeypatch):
    monkeypatch.setenv(VARIABLE, said)
    assert pixel_limit() == limit


@pytest.mark.parametrize("said", ["many", "-1", "0", "1e9"])
def test_a_limit_that_is_no_number_is_refused(said, monkeypatch):
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(InputError, match=VARIABLE):
        pixel_limit()
