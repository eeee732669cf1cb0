"""Any kind of picture is predicted as its plain RGB version, or left out for a named reason."""

import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile, ImageOps
from tiny_faces import picture
from tiny_training import tiny_faces, tiny_settings

from audit import cli
from model.faces import read_faces
from model.pictures import GROUND, MAX_BYTES, MIN_SIDE, pillow_silent
from model.predict import predict
from model.train import train

READ = ["age_pred", "age_low", "age_high", "gender_score"]


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def again(data):
    """Pillow's own reading of a file, in full and as plain as can be."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, *, depth, colour, rows=b""):
    """A PNG written by hand: Pillow writes no 16-bit colour, and no header without a picture."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def sixteen(image, colour):
    """`image` as a PNG of 16 bits a channel: v·257 is to 65,535 what v is to 255."""
    pixels = np.asarray(image)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    deep = (pixels.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    return png(image.width, image.height, depth=16, colour=colour, rows=rows)


def upright(kind, orientation, **options):
    def pair(image):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(image, kind, exif=exif, **options)
        return data, ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")

    return pair


def converted(mode, kind="PNG", **options):
    def pair(image):
        data = encoded(image.convert(mode), kind, **options)
        return data, again(data)

    return pair


def opaque(mode):
    def pair(image):
        plain = image.convert(mode.removesuffix("A") if mode == "LA" else "RGB")
        clear = plain.copy()
        clear.putalpha(255)
        return encoded(clear, "PNG"), plain.convert("RGB")

    return pair


def half_hidden(image):
    """Holes in the alpha channel show the neutral ground."""
    hole = np.zeros((image.height, image.width), bool)
    hole[: image.height // 2] = True
    clear = image.copy()
    clear.putalpha(Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)))
    plain = np.where(hole[..., None], np.array(GROUND, np.uint8), np.asarray(image))
    return encoded(clear, "PNG"), Image.fromarray(plain)


def palette(image):
    drawn = image.quantize(64)
    return encoded(drawn, "PNG"), drawn.convert("RGB")


def hidden_colour(image):
    """A palette with one colour that is transparent."""
    drawn = image.quantize(16)
    data = encoded(drawn, "PNG", transparency=3)
    hole = np.asarray(drawn) == 3
    plain = np.asarray(drawn.convert("RGB")).copy()
    plain[hole] = GROUND
    assert hole.any()
    return data, Image.fromarray(plain)


def moving(kind, **options):
    def pair(image):
        first = image.quantize(32).convert("RGB")
        frames = [picture(900, size=image.size), picture(901, size=image.size)]
        return encoded(first, kind, save_all=True, append_images=frames, **options), first

    return pair


def small(image):
    tiny = image.resize((MIN_SIDE, MIN_SIDE))
    return encoded(tiny.quantize(16), "PNG"), tiny.quantize(16).convert("RGB")


KINDS = {
    **{f"exif {n} in a JPEG": upright("JPEG", n, quality=95) for n in range(1, 9)},
    "exif 6 in a PNG": upright("PNG", 6),
    "exif 8 in a WebP": upright("WEBP", 8, lossless=True),
    "grey JPEG": converted("L", "JPEG", quality=95),
    "grey PNG": converted("L"),
    "black and white": converted("1"),
    "CMYK": converted("CMYK", "JPEG", quality=95),
    "palette": palette,
    "palette with a transparent colour": hidden_colour,
    "opaque alpha": opaque("RGBA"),
    "opaque alpha, grey": opaque("LA"),
    "alpha with holes": half_hidden,
    "16-bit grey": lambda image: (sixteen(image.convert("L"), 0), image.convert("L")),
    "16-bit grey with alpha": lambda image: (
        sixteen(image.convert("L").convert("LA"), 4), image.convert("L"),
    ),
    "16-bit colour": lambda image: (sixteen(image, 2), image),
    "16-bit colour with alpha": lambda image: (sixteen(image.convert("RGBA"), 6), image),
    "animated GIF": moving("GIF"),
    "animated PNG": moving("PNG"),
    "animated WebP": moving("WEBP", lossless=True),
    "progressive JPEG": converted("RGB", "JPEG", quality=95, progressive=True),
    "8 pixels a side": small,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    table = tiny_faces(tmp_path_factory.mktemp("faces"))
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(table, out=out, settings=tiny_settings(epochs=4, average=0.9))


@pytest.fixture(scope="module")
def read(run, tmp_path_factory):
    """Kind -> what is predicted of the odd file, and of its plain version of the same name."""
    folder = tmp_path_factory.mktemp("kinds")
    names = {kind: f"{20 + number}_1_0_{number:02}.png" for number, kind in enumerate(KINDS)}
    for number, (kind, pair) in enumerate(KINDS.items()):
        odd, plain = pair(picture(100 + number, size=(40, 56)))
        for place, data in (("odd", odd), ("plain", encoded(plain.convert("RGB"), "PNG"))):
            (folder / place).mkdir(exist_ok=True)
            (folder / place / names[kind]).write_bytes(data)
    tables = {}
    for place in ("odd", "plain"):
        out = folder / "out" / place / "p.parquet"
        rows = pd.read_parquet(predict(run, read_faces(folder / place), out=out)).set_index("image")
        assert not (out.parent / "left_out.csv").exists()
        tables[place] = {kind: rows.loc[name, READ].to_list() for kind, name in names.items()}
    return tables


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_any_kind_is_predicted_as_its_plain_version(kind, read):
    assert read["odd"][kind] == read["plain"][kind]


def test_the_predictions_tell_pictures_apart_so_that_equal_ones_mean_something(read):
    values = list(map(tuple, read["plain"].values()))
    assert len(set(values)) == len(values)


def test_turning_a_picture_without_saying_so_changes_what_is_predicted(run, tmp_path):
    image = picture(100, size=(40, 56))
    for name, turned in (("20_1_0_a.png", image), ("20_1_0_b.png", image.rotate(90, expand=True))):
        turned.save(tmp_path / name)
    rows = pd.read_parquet(predict(run, read_faces(tmp_path), out=tmp_path / "o" / "p.parquet"))
    assert rows[READ].iloc[0].to_list() != rows[READ].iloc[1].to_list()


def test_a_large_jpeg_is_predicted_as_the_same_picture_decoded_in_full(run, tmp_path):
    """Above four times the network's size a JPEG is decoded at half or less: alike, not equal."""
    differences = []
    for number in range(6):
        data = encoded(picture(number, size=(1000, 1400)), "JPEG", quality=95)
        for place, content in (("odd", data), ("plain", encoded(again(data), "PNG"))):
            (tmp_path / place).mkdir(exist_ok=True)
            (tmp_path / place / f"30_0_0_{number}.png").write_bytes(content)
    odd, plain = (
        pd.read_parquet(predict(run, read_faces(tmp_path / p), out=tmp_path / "o" / f"{p}.parquet"))
        for p in ("odd", "plain")
    )
    differences = (odd[READ] - plain[READ]).abs().max()
    assert differences["age_pred"] < 0.2
    assert differences["gender_score"] < 0.005


# What cannot be read -------------------------------------------------------------------------


@pytest.fixture
def unreadable(tmp_path):
    """One good face among files that cannot be predicted, and the status of each."""
    folder = tmp_path / "faces"
    folder.mkdir()
    good = picture(1)
    good.save(folder / "30_0_0_good.png")
    (folder / "31_0_0_pixels.png").write_bytes(png(9000, 9000, depth=8, colour=2))
    with (folder / "32_0_0_bytes.jpg").open("wb") as handle:
        handle.truncate(MAX_BYTES + 1)  # a hole: takes no room on the disk
    (folder / "33_0_0_small.png").write_bytes(encoded(good.resize((7, 40)), "PNG"))
    (folder / "34_0_0_empty.jpg").touch()
    (folder / "35_0_0_cut.jpg").write_bytes(encoded(good, "JPEG")[:500])
    (folder / "36_0_0_text.jpg").write_text("no picture")
    return folder, {
        "31_0_0_pixels.png": ("too_large", "9,000 × 9,000 pixels; at most 64,000,000 are decoded"),
        "32_0_0_bytes.jpg": ("too_large", "268,435,457 bytes"),
        "33_0_0_small.png": ("too_small", "7 × 40 pixels"),
        "34_0_0_empty.jpg": ("empty", "0 bytes"),
        "35_0_0_cut.jpg": ("decode_error", "cannot be decoded"),
        "36_0_0_text.jpg": ("decode_error", "not a picture"),
    }


def test_what_cannot_be_read_is_left_out_by_name_and_the_rest_is_predicted(
    unreadable, run, tmp_path, capsys, monkeypatch
):
    folder, reasons = unreadable
    plain = ImageFile.ImageFile.load

    def load(self, *args):
        assert self.size[0] < 9000, "the header was enough to refuse it"
        return plain(self, *args)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    out = tmp_path / "out" / "p.csv"
    assert cli.main(["predict", str(run), str(folder), "--out", str(out)]) == 0
    told = capsys.readouterr().err.splitlines()  # one line of ours, and nothing of Pillow's
    assert [line.partition(" (")[0] for line in told] == [f"{len(reasons)} left out"]
    assert list(pd.read_csv(out)["image"]) == ["30_0_0_good.png"]
    left_out = pd.read_csv(out.with_name("left_out.csv")).set_index("image")
    assert left_out["status"].to_dict() == {name: status for name, (status, _) in reasons.items()}
    for name, (_, words) in reasons.items():
        assert words in left_out["reason"][name]


def test_a_broken_exif_block_is_passed_over_in_silence(run, tmp_path, capfd):
    image = picture(7, size=(40, 56))
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken"
    data = encoded(image, "JPEG", quality=95, exif=broken)
    with pillow_silent():
        whole = again(data)
    for place, content in (("odd", data), ("plain", encoded(whole, "PNG"))):
        (tmp_path / place).mkdir()
        (tmp_path / place / "30_0_0_x.jpg").write_bytes(content)
    odd, plain = (
        pd.read_parquet(predict(run, read_faces(tmp_path / p), out=tmp_path / "o" / f"{p}.parquet"))
        for p in ("odd", "plain")
    )
    assert odd[READ].to_numpy().tolist() == plain[READ].to_numpy().tolist()
    assert capfd.readouterr().err == ""
