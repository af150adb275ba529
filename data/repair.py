"""One image file's bytes -> bytes that the training pipeline can decode, or the reason why not.

What is kept as it is: JPEGs (baseline or progressive, RGB or grey) and PNGs (8 bits a channel, RGB or grey) that are
whole, opaque and upright. Readers ask for three channels, which turns grey into RGB.

What is repaired:

    CMYK, palette, 16 bits a channel ...   converted to RGB with 8 bits a channel
    transparency                           laid on white
    EXIF orientation                       applied
    GIF, WebP, BMP, TIFF, AVIF, PPM        first frame; PNG where the name is not a JPEG's, except lossy WebP and AVIF
    PNG under a JPEG's name                JPEG

Whatever is encoded anew as JPEG has quality 95. Everything else is refused, and the reason is one short phrase.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000  # more are refused by the header alone: such a file is an accident or an attack
QUALITY = 95
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF")
_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")
_JPEG_NAMES = (".jpg", ".jpeg", ".jpe", ".jfif")
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_PNG_END = b"IEND\xaeB`\x82"
_CODINGS = (0xC0, 0xC1, 0xC2)  # start-of-frame markers of Huffman-coded JPEGs with 8 bits: every decoder reads them


class Unusable(Exception):  # noqa: N818
    """The image cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Picture:
    """A usable image.

    Attributes:
        encoded: JPEG or PNG, to be read as RGB.
        format: "JPEG" or "PNG".
        pixels: what `encoded` decodes to, (height, width, 3) uint8.
        done: what was repaired, or None.
    """

    encoded: bytes
    format: str
    pixels: np.ndarray
    done: str | None


def repair(data: bytes, name: str, resize: int | None = None) -> Picture:
    """The usable image in the bytes of a file.

    Args:
        data: the file's content.
        name: its name; only the ending matters.
        resize: length of the short side in pixels. A larger image is scaled down to it (bicubic, antialiased) and
            becomes a JPEG; a smaller one stays as it is.

    Raises:
        Unusable: empty, not an image, truncated, damaged, without pixels, or above `MAX_PIXELS`.
    """
    if not data:
        raise Unusable("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                return _repair(image, data, name, resize)
    except Unusable:
        raise
    except UnidentifiedImageError:
        if data.startswith(b"\x89PNG") and bytes(4) in (data[16:20], data[20:24]):
            raise Unusable("zero-size image") from None
        known = data.startswith(_BEGINNINGS)
        raise Unusable("truncated or damaged in the header" if known else "not an image") from None
    except Image.DecompressionBombError:
        raise Unusable(f"declares more than {MAX_PIXELS // 10**6} megapixels") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        text = " ".join(str(error).split()) or type(error).__name__
        raise Unusable("truncated" if "truncated" in text.lower() else f"damaged: {text}") from None


def _repair(image: Image.Image, data: bytes, name: str, resize: int | None) -> Picture:
    width, height = image.size
    short = min(width, height)
    if not short:
        raise Unusable("zero-size image")
    if width * height > MAX_PIXELS:
        raise Unusable(f"declares {width}x{height} pixels, more than {MAX_PIXELS // 10**6} megapixels")
    shrink = resize is not None and short > resize
    short_side = resize or short
    found = "JPEG" if image.format == "MPO" else str(image.format)
    stored = "JPEG" if found in _LOSSY or name.lower().endswith(_JPEG_NAMES) else "PNG"
    done = [f"{found} stored as {stored}"] if found != stored else []
    if shrink:
        stored = "JPEG"
        if found == "JPEG":  # lets the decoder skip most of what scaling down would throw away
            image.draft(None, (2 * width * short_side // short, 2 * height * short_side // short))
    image.load()
    rgb, converted = _to_rgb(image, data)
    done += converted
    if not (done or shrink):
        if _readable(data, found):
            return Picture(data, found, np.asarray(rgb), None)
        done.append(f"{found} of a rare kind encoded anew")
    if shrink:
        # The size follows from the header's, which `draft` may have rounded; EXIF may have turned the image since.
        size = [max(1, round(side * short_side / short)) for side in (width, height)]
        turned = (rgb.width > rgb.height) != (width > height) and width != height
        rgb = rgb.resize(size[::-1] if turned else size, Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    # Through an array, so that no metadata comes along.
    Image.fromarray(np.asarray(rgb)).save(encoded, stored, **({"quality": QUALITY} if stored == "JPEG" else {}))
    with Image.open(encoded) as again:
        return Picture(encoded.getvalue(), stored, np.asarray(again), "; ".join(done) or None)


def _to_rgb(image: Image.Image, data: bytes) -> tuple[Image.Image, list[str]]:
    """The loaded image as 8-bit RGB, upright and opaque, and what had to be done beyond repeating grey."""
    done = []
    orientation = _orientation(image)
    if orientation:
        image = ImageOps.exif_transpose(image)
        done.append(f"EXIF orientation {orientation} applied")
    if image.mode == "F":
        raise Unusable("floating-point pixels")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise Unusable("32-bit pixels")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
        done.append("16 bits reduced to 8")
    elif data.startswith(b"\x89PNG") and data[24] == 16:  # Pillow has reduced it already
        done.append("16 bits reduced to 8")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
        done.append("transparency laid on white")
    elif image.mode not in ("RGB", "L"):
        done.append(f"{'palette' if image.mode == 'P' else image.mode} converted to RGB")
    return image.convert("RGB"), done


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation where it is one of the seven that need turning; broken EXIF data counts as none."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # as for the decoders
        return None
    return value if value in range(2, 9) else None


def _readable(data: bytes, form: str) -> bool:
    """Whether TensorFlow's decoders read these bytes too: Pillow is the more patient of the two."""
    if form == "PNG":
        depth, colour = data[24], data[25]
        return data.endswith(_PNG_END) and depth == 8 and colour in (0, 2)
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker in _CODINGS
        filler = marker == 0xFF
        position += 1 if filler else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
