"""An exported network's preprocessing in NumPy and Pillow alone: what a program without TensorFlow has to do.

docs/weights.md prints what is needed of it for a network that was trained here. It gives what `resampling` gives: to a
hundredth of a grey level, and for imported weights, whose pictures are rounded, to one level here and there.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def shares(old: int, new: int, area: bool) -> np.ndarray:
    """(new, old): how much of every old row goes into each new one, resizing by areas or bilinearly."""
    edges, rows = np.arange(new + 1) * old / new, np.arange(old)
    if area:
        share = np.minimum.outer(edges[1:], rows + 1) - np.maximum.outer(edges[:-1], rows)
    else:
        share = 1 - np.abs(np.subtract.outer(np.clip((edges[:-1] + edges[1:] - 1) / 2, 0, old - 1), rows))
    share = np.maximum(share, 0)
    return share / share.sum(1, keepdims=True)


def bicubic_shares(old: int, new: int) -> np.ndarray:
    """(new, old): the same for OpenCV's bicubic."""
    place, a = (np.arange(new) + 0.5) * old / new - 0.5, -0.75
    matrix = np.zeros((new, old))
    for pixel in np.floor(place).astype(int) + np.arange(-1, 3)[:, None]:
        far = np.abs(place - pixel)
        near = ((a + 2) * far - (a + 3)) * far**2 + 1
        weight = np.where(far <= 1, near, a * (((far - 5) * far + 8) * far - 4))
        np.add.at(matrix, (np.arange(new), np.clip(pixel, 0, old - 1)), weight)
    return matrix


def crop(file: str | Path, how: dict) -> np.ndarray:
    """An image file -> (S, S, 3) float32 RGB, 0..255; `how` is "preprocessing" of model.json."""
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    image, size = np.asarray(picture, np.float32), how["image_size"]
    old, interpolation = np.array(image.shape[:2]), how.get("interpolation", "lab")
    if interpolation != "lab":
        new = old * how["resize"] // old.min()
        if interpolation == "pil_bilinear":
            first = np.rint((new - size) / 2).astype(int)
            resized = np.asarray(picture.resize((new[1], new[0]), Image.Resampling.BILINEAR), np.float32)
            return resized[first[0] : first[0] + size, first[1] : first[1] + size]
        down, across = (bicubic_shares(old[i], new[i])[(new[i] - size) // 2 :][:size] for i in (0, 1))
        found = np.einsum("ih,hwc,jw->ijc", down, image, across, optimize=True)
        return np.clip(np.floor(found + 0.5), 0, 255).astype(np.float32)
    new = np.rint(old.astype(np.float32) * (np.float32(how["resize"]) / np.float32(old.min()))).astype(int)
    first, area = (new - size) // 2, bool((old >= 2 * new).all())
    down, across = (shares(old[i], new[i], area)[first[i] : first[i] + size] for i in (0, 1))
    return np.einsum("ih,hwc,jw->ijc", down, image, across, optimize=True).astype(np.float32)


def normalise(crop: np.ndarray, how: dict, folder: str | Path) -> np.ndarray:
    """A crop as model.keras takes it; `folder` holds model.json and the mean image, where there is one."""
    mean = np.load(Path(folder) / how["mean_image"]) if how["mean_image"] else how["mean"]
    normal = ((crop - mean) / how["std"]).astype(np.float32)
    return normal[..., ::-1] if how["channels"] == "bgr" else normal
