"""Keras-style .npz files: x_train, y_train and, where they exist, x_val, y_val, x_test, y_test and class names.

    python data/prepare.py --source cifar10.npz --out DIR

Images are uint8, (N, H, W, 3), (N, H, W, 1) or (N, H, W); labels are whole numbers from 0, (N,) or (N, 1). Class names,
if any, stand under classes, class_names or label_names. Images are stored as PNG, without loss.
"""

import functools
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import UserError
from data.source import Item, Shares, Source, complete

SUFFIXES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
NAMES = ("classes", "class_names", "label_names")


@functools.lru_cache(maxsize=3)
def _array(path: str, key: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[key]


def png(pixels: np.ndarray) -> bytes:
    """An image, (H, W, 3), (H, W, 1) or (H, W) uint8, as an RGB PNG."""
    encoded = io.BytesIO()
    grey = pixels.ndim == 2 or pixels.shape[-1] == 1
    Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels).convert("RGB").save(encoded, "PNG")
    return encoded.getvalue()


def read(items: Sequence[Item]) -> Iterator[tuple[Item, bytes]]:
    """Items whose path is FILE:KEY and whose offset is the row."""
    for item in items:
        path, _, key = item.path.rpartition(":")
        yield item, png(_array(path, key)[item.offset])


def _labels(where: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))):
        raise UserError(
            f"{where}: images are {images.dtype} {images.shape}; they must be uint8 (N, H, W), (N, H, W, 1 or 3)", 1
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != len(images) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{where}: labels are {labels.dtype} {labels.shape} for {len(images)} images; (N,) whole numbers needed",
            1,
        )
    if len(labels) and labels.min() < 0:
        raise UserError(f"{where}: the label {labels.min()}; labels must run from 0", 1)
    return labels


def open_source(path: str, shares: Shares, seed: int) -> Source:
    """Lists the rows of an .npz. Raises UserError where it is no such file or its arrays do not fit."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            keys = arrays.files
            names = next((arrays[key] for key in NAMES if key in keys), None)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as .npz ({error})", 1) from error
    splits: dict[str, list[Item]] = {}
    for split, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            if f"x_{suffix}" in keys and f"y_{suffix}" in keys:
                images, labels = _array(path, f"x_{suffix}"), _array(path, f"y_{suffix}")
                labels = _labels(f"{path}: {suffix}", images, labels)
                place = f"{path}:x_{suffix}"
                splits[split] = [
                    Item(f"{suffix}/{row:06d}.png", int(label), place, row, images[row].nbytes)
                    for row, label in enumerate(labels)
                ]
    if not splits.get("train"):
        raise UserError(f"{path}: no x_train and y_train with images in it, only {', '.join(keys) or 'nothing'}", 1)
    highest = max(item.label for items in splits.values() for item in items)
    if names is None:
        names = [str(label) for label in range(highest + 1)]
    names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(names))
    if highest >= len(names):
        raise UserError(f"{path}: the label {highest} is beyond the {len(names)} class names", 1)
    splits, settings = complete(splits, shares, seed)
    return Source("npz", Path(path).stem, names, splits, read, settings)
