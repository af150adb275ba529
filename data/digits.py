"""scikit-learn's 1,797 handwritten digits (UCI, 8x8): real images that need no download.

    python data/prepare.py --source digits --out datasets/digits

The grey values 0..16 become 0..255, repeated over R, G and B, stored as lossless PNG. 1,257 / 180 / 360 images for
train / validation / test, stratified, by a fixed seed. A mirrored digit is no digit, so `flip` is False.
"""

import hashlib
import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from common import records
from data import statistics


def load() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8, 3) uint8 and labels (1797,) int."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), digits.target


def split(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Indices of each split: 1,257 / 180 / 360, stratified, always the same."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)
    return {"train": train, "validation": validation, "test": test}


def prepare(folder: Path) -> None:
    """Writes the digits to `folder`; does nothing where they are whole. Safe to call from several processes at once."""
    folder = Path(folder)
    if records.is_whole(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".digits-", dir=folder.parent))
    try:
        _write(work)
        folder.mkdir(exist_ok=True)
        # Every process writes the same bytes, and dataset.json comes last: whoever is first, nothing is half there.
        for path in sorted(work.iterdir(), key=lambda path: path.name == records.INFO_FILE):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(folder: Path) -> None:
    import tensorflow as tf

    images, labels = load()
    splits = {}
    for name, chosen in split(labels).items():
        path = folder / records.shard_name(name, 0, 1)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index in chosen:
                png = io.BytesIO()
                Image.fromarray(images[index]).save(png, "PNG")
                label = int(labels[index])
                writer.write(
                    records.encode_example(png.getvalue(), label, str(label), 8, 8, f"digits/{index:04d}.png", "PNG")
                )
        data = path.read_bytes()
        shard = records.Shard(path.name, len(chosen), len(data), hashlib.sha256(data).hexdigest())
        splits[name] = records.SplitInfo((shard,), tuple(int(n) for n in np.bincount(labels[chosen], minlength=10)))
    colours = statistics.summarise(statistics.measure(images[split(labels)["train"]]))
    records.write_info(
        folder,
        records.DatasetInfo(
            "digits", tuple("0123456789"), splits, colours.mean, colours.std, colours.eigenvalues, colours.eigenvectors,
            flip=False, epochs=16,
        ),
    )  # fmt: skip
