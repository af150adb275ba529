"""An exported network's preprocessing in NumPy and Pillow alone: what a program without TensorFlow has to do.

docs/weights.md prints the three functions to be copied. They give what `images` and `crops` give, to a hundredth of a
grey level.
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


def crop(file: str | Path, how: dict) -> np.ndarray:
    """An image file -> (S, S, 3) float32 RGB, 0..255; `how` is "preprocessing" of model.json."""
    image = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"), np.float32)
    old, size = np.array(image.shape[:2]), how["image_size"]
    new = np.rint(old.astype(np.float32) * (np.float32(how["resize"]) / np.float32(old.min()))).astype(int)
    first, area = (new - size) // 2, bool((old >= 2 * new).all())
    down, across = (shares(old[i], new[i], area)[first[i] : first[i] + size] for i in (0, 1))
    return np.einsum("ih,hwc,jw->ijc", down, image, across, optimize=True).astype(np.float32)


def normalise(crop: np.ndarray, how: dict, folder: str | Path) -> np.ndarray:
    """A crop as model.keras takes it; `folder` holds model.json and the mean image, where there is one."""
    mean = np.load(Path(folder) / how["mean_image"]) if how["mean_image"] else how["mean"]
    normal = ((crop - mean) / how["std"]).astype(np.float32)
    return normal[..., ::-1] if how["channels"] == "bgr" else normal
