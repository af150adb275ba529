import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import repair
from data.repair import Unusable

HEIGHT, WIDTH = 24, 40


def scene() -> np.ndarray:
    """(24, 40, 3) uint8: smooth, so that JPEG keeps it within a few levels; no symmetry."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + 4 * x, 30 + 5 * y, 220 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_chunks(header: bytes, rows: bytes) -> bytes:
    """A PNG put together by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16-bit values (H, W, channels), of PNG's colour type `colour`."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_chunks(struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0), rows)


def decoded_by_tensorflow(data: bytes) -> np.ndarray:
    return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()


def near(pixels: np.ndarray, expected: np.ndarray, levels: float = 4.0) -> bool:
    return pixels.shape == expected.shape and np.abs(pixels.astype(float) - expected).mean() < levels


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


RGB = Image.fromarray(scene())
GREY = RGB.convert("L")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(RGB, "JPEG"), "a.jpg"),
        (encoded(RGB, "JPEG", progressive=True), "a.JPEG"),
        (encoded(GREY, "JPEG"), "a.jpg"),
        (encoded(RGB, "JPEG", exif=exif(1)), "a.jpg"),
        (encoded(RGB, "JPEG") + b"trailing", "a.jpg"),
        (encoded(RGB, "JPEG"), "a.png"),
        (encoded(RGB, "MPO", save_all=True, append_images=[GREY.convert("RGB")]), "a.jpg"),
        (encoded(RGB, "PNG"), "a.png"),
        (encoded(GREY, "PNG"), "a.png"),
    ],
    ids=["baseline", "progressive", "grey", "upright", "trailing", "jpeg-named-png", "mpo", "png", "grey-png"],
)
def test_sound_files_keep_their_bytes(data, name):
    picture = repair.repair(data, name)
    assert picture.encoded == data
    assert picture.done is None
    assert picture.format == ("PNG" if data.startswith(b"\x89PNG") else "JPEG")
    assert near(decoded_by_tensorflow(data), picture.pixels, 2.0)


OVER_WHITE = np.concatenate([scene()[:, :20], np.full((HEIGHT, 20, 3), 255)], axis=1)
ALPHA = Image.fromarray(
    np.dstack([scene(), np.where(np.arange(WIDTH) < 20, 255, 0) * np.ones((HEIGHT, 1))]).astype("u1")
)
SIXTEEN = scene().astype(np.uint16) * 257


@pytest.mark.parametrize(
    ("data", "name", "form", "done", "expected"),
    [
        (encoded(RGB.convert("CMYK"), "JPEG", quality=95), "a.jpg", "JPEG", "CMYK converted to RGB", scene()),
        (encoded(RGB, "PNG"), "a.JPEG", "JPEG", "PNG stored as JPEG", scene()),
        (encoded(RGB, "BMP"), "a.jpg", "JPEG", "BMP stored as JPEG", scene()),
        (encoded(RGB, "BMP"), "a.bmp", "PNG", "BMP stored as PNG", scene()),
        (encoded(RGB, "TIFF"), "a.tif", "PNG", "TIFF stored as PNG", scene()),
        (encoded(RGB, "WEBP", lossless=True), "a.jpg", "JPEG", "WEBP stored as JPEG", scene()),
        (encoded(RGB, "WEBP", lossless=True), "a.webp", "JPEG", "WEBP stored as JPEG", scene()),
        (
            encoded(GREY, "GIF", save_all=True, append_images=[Image.new("L", GREY.size)]),
            "a.jpg",
            "JPEG",
            "GIF stored as JPEG; palette converted to RGB",
            np.asarray(GREY.convert("RGB")),
        ),
        (encoded(ALPHA, "PNG"), "a.png", "PNG", "transparency laid on white", OVER_WHITE),
        (
            encoded(GREY.convert("P"), "PNG"),
            "a.png",
            "PNG",
            "palette converted to RGB",
            np.asarray(GREY.convert("P").convert("RGB")),
        ),
        (encoded(RGB, "PNG")[:-12], "a.png", "PNG", "PNG of a rare kind encoded anew", scene()),
        (png16(SIXTEEN, 2), "a.png", "PNG", "16 bits reduced to 8", scene()),
        (png16(SIXTEEN[..., :1], 0), "a.png", "PNG", "16 bits reduced to 8", np.repeat(scene()[..., :1], 3, -1)),
        (
            encoded(GREY.point(lambda v: 255 * (v > 100)).convert("1"), "PNG"),
            "a.png",
            "PNG",
            "1 converted to RGB",
            np.repeat(255 * (np.asarray(GREY)[..., None] > 100), 3, -1),
        ),
    ],
    ids=[
        "cmyk",
        "png-jpg",
        "bmp-jpg",
        "bmp",
        "tiff",
        "webp-jpg",
        "webp",
        "gif-jpg",
        "alpha",
        "palette",
        "png-cut",
        "rgb16",
        "grey16",
        "bilevel",
    ],
)
def test_repaired_files(data, name, form, done, expected):
    picture = repair.repair(data, name)
    assert picture.done == done
    assert picture.format == form
    assert near(picture.pixels, expected, 4.0 if form == "JPEG" else 0.01)
    assert near(decoded_by_tensorflow(picture.encoded), picture.pixels, 2.0)


# Where the stored picture's rows and columns go when it is put upright, as the EXIF standard draws them.
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_exif_orientation_is_applied_and_dropped(orientation):
    data = encoded(RGB, "JPEG", quality=95, exif=exif(orientation))
    picture = repair.repair(data, "a.jpg")
    assert picture.done == f"EXIF orientation {orientation} applied"
    assert near(picture.pixels, UPRIGHT[orientation](scene()))
    assert repair.repair(picture.encoded, "a.jpg").done is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, world", "not an image"),
        (b"%PDF-1.4 ...", "not an image"),
        (encoded(RGB, "JPEG")[:-60], "truncated"),
        (encoded(RGB, "JPEG")[:-1], "truncated"),
        (b"II*\0\x08\0", "truncated or damaged in the header"),
        (encoded(RGB, "PNG")[:-30], "truncated"),
        (encoded(RGB, "GIF")[:-60], "truncated"),
        (png_chunks(struct.pack(">IIBBBBB", 0, 7, 8, 2, 0, 0, 0), b""), "zero-size image"),
        (
            png_chunks(struct.pack(">IIBBBBB", 12000, 10000, 8, 2, 0, 0, 0), b"\0"),
            "declares 12000x10000 pixels, more than 100 megapixels",
        ),
        (
            png_chunks(struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b"\0"),
            "declares more than 100 megapixels",
        ),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point pixels"),
    ],
    ids=["empty", "text", "pdf", "cut", "cut-1", "header", "png", "gif", "zero", "large", "bomb", "float"],
)
def test_refused_files_name_the_reason(data, reason):
    with pytest.raises(Unusable) as caught:
        repair.repair(data, "a.jpg")
    assert str(caught.value) == reason


def test_resize_scales_the_short_side_down_only():
    picture = repair.repair(encoded(RGB, "JPEG", quality=95), "a.jpg", resize=12)
    assert picture.pixels.shape == (12, 20, 3)  # 24x40 halved
    assert (picture.format, picture.done) == ("JPEG", None)
    halved = scene().reshape(12, 2, 20, 2, 3).mean(axis=(1, 3))
    assert near(picture.pixels, halved)
    assert near(decoded_by_tensorflow(picture.encoded), picture.pixels, 2.0)
    for size in (24, 256):  # already as small
        data = encoded(RGB, "JPEG")
        assert repair.repair(data, "a.jpg", resize=size).encoded == data
    assert repair.repair(encoded(RGB, "PNG"), "a.png", resize=12).format == "JPEG"


def test_resize_of_a_large_and_turned_image():
    large = Image.fromarray(np.repeat(np.repeat(scene(), 21, 0), 21, 1))  # 504x840: decoded at a fraction of its size
    picture = repair.repair(encoded(large, "JPEG", quality=95, exif=exif(6)), "a.jpg", resize=24)
    assert picture.pixels.shape == (40, 24, 3)
    assert near(picture.pixels, UPRIGHT[6](scene()))


def test_broken_exif_counts_as_none():
    data = encoded(RGB, "JPEG", exif=b"Exif\0\0MM\0*garbage")
    assert repair.repair(data, "a.jpg").encoded == data


def test_arithmetic_coding_is_encoded_anew():
    """Pillow reads it, not every decoder does; here only the frame's marker is changed, so look at the rule itself."""
    data = encoded(RGB, "JPEG")
    position = data.index(b"\xff\xc0")
    assert repair._readable(data, "JPEG")
    assert not repair._readable(data[: position + 1] + b"\xc9" + data[position + 2 :], "JPEG")


REAL = {
    "cmyk.jpg": "CMYK converted to RGB",
    "empty.jpg": Unusable("empty file"),
    "exif_orientation_6.jpg": "EXIF orientation 6 applied",
    "gif_named.jpg": "GIF stored as JPEG; palette converted to RGB",
    "gray.jpg": None,
    "png_16bit.png": "16 bits reduced to 8; transparency laid on white",
    "text_named.jpg": Unusable("not an image"),
    "truncated.jpg": Unusable("truncated"),
    "webp_named.jpg": "WEBP stored as JPEG",
}


@pytest.mark.skipif("REAL_DATA_DIR" not in os.environ, reason="REAL_DATA_DIR names no folder with odd_images")
@pytest.mark.parametrize("name", REAL)
def test_real_odd_images(name):
    data = (Path(os.environ["REAL_DATA_DIR"]) / "odd_images" / name).read_bytes()
    if isinstance(REAL[name], Unusable):
        with pytest.raises(Unusable) as caught:
            repair.repair(data, name)
        assert str(caught.value) == str(REAL[name])
        return
    picture = repair.repair(data, name)
    assert picture.done == REAL[name]
    assert (picture.encoded == data) == (REAL[name] is None)
    assert near(decoded_by_tensorflow(picture.encoded), picture.pixels)
