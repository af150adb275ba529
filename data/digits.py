"""scikit-learn's 1,797 handwritten digits (UCI, 8x8): real images that need no download.

    python data/prepare.py --source digits --out datasets/digits

The grey values 0..16 become 0..255, repeated over R, G and B, stored as lossless PNG. 1,257 / 180 / 360 images for
train / validation / test, stratified, by a fixed seed. A mirrored digit is no digit, so `flip` is False.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from common.input import records
from data import npz, writer
from data.source import Item, Source

# So few images make few steps: a small batch for more of them, and the average of the last fifty or so in place of the
# drops of the learning rate that a run of fourteen epochs does not reach. A crop that only shifts: scale and inception
# would leave a fraction of a digit, which need not be that digit any more.
SUGGESTED = {"batch_size": 64, "epochs": 14, "ema": 0.98, "crop": "random"}


@functools.cache
def load() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8, 3) uint8 and labels (1797,) int."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), digits.target


def read(items: Sequence[Item]) -> Iterator[tuple[Item, bytes]]:
    """Items whose offset is the row."""
    for item in items:
        yield item, npz.png(load()[0][item.offset])


def open_source() -> Source:
    """Lists the digits: 1,257 / 180 / 360, stratified, always the same."""
    from sklearn.model_selection import train_test_split

    labels = load()[1]
    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)
    splits = {
        name: [Item(f"digits/{row:04d}.png", int(labels[row]), offset=int(row)) for row in rows]
        for name, rows in (("train", train), ("validation", validation), ("test", test))
    }
    return Source("digits", "digits", tuple("0123456789"), splits, read, flip=False, suggested=SUGGESTED)


def prepare(folder: Path) -> None:
    """Writes the digits to `folder`; does nothing where they are whole. Safe to call from several processes at once."""
    folder = Path(folder)
    if records.is_whole(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".digits-", dir=folder.parent))
    try:
        writer.write(open_source(), work, writer.Options())
        put_in_place(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def put_in_place(work: Path, folder: Path) -> None:
    """Moves a finished data set from a folder beside `folder` into it, where another process may do the same.

    Every process has the same bytes, and dataset.json comes last: whoever is first, nothing is half there.
    """
    folder.mkdir(exist_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name == records.INFO_FILE):
        os.replace(path, folder / path.name)
