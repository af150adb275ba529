"""Pictures as text that stands in a page: data URIs."""

import base64
import io

import numpy as np
from PIL import Image

_ACCENT = (0, 114, 178)


def jpeg(picture: np.ndarray, side: int) -> str:
    """A picture (H, W, 3) uint8, made no larger than `side`, as a JPEG."""
    image = Image.fromarray(picture)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _encoded(image, "JPEG", quality=78, optimize=True)


def png(picture: np.ndarray) -> str:
    """A picture (H, W, 3) or (H, W, 4) uint8, without loss."""
    return _encoded(Image.fromarray(picture), "PNG", optimize=True)


def matrix(counts: np.ndarray) -> str:
    """A confusion matrix (classes, classes) of counts, one pixel a cell, on a transparent ground.

    Opacity is the square root of the share of the row's images, which brings out the rare mistakes; what is not zero
    has at least a quarter.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    opacity = np.where(counts > 0, 64 + np.rint(191 * np.sqrt(shares)), 0).astype(np.uint8)
    picture = np.zeros((*counts.shape, 4), np.uint8)
    picture[counts > 0, :3] = _ACCENT
    picture[..., 3] = opacity
    return png(picture)


def _encoded(image: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
