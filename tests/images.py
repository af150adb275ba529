"""Small images and what is in a prepared data set, for the tests of data/."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from common.input import records
from data import prepare


def jpeg(seed: int, height: int = 12, width: int = 16, form: str = "JPEG", **settings) -> bytes:
    """The bytes of an image of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize((width, height)).save(buffer, form, **settings)
    return buffer.getvalue()


def tree(root: Path, classes: dict[str, int], seed: int = 0) -> Path:
    """A tree of class folders: name -> number of JPEGs, called 000.jpg ..."""
    for name, count in classes.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            seed += 1
            (folder / f"{index:03d}.jpg").write_bytes(jpeg(seed))
    return root


def stored(folder: Path, split: str) -> dict[str, tuple[int, bytes]]:
    """File name -> (label, encoded image) of every record of a split, in the stored order."""
    files = [str(folder / shard.file) for shard in records.read_info(folder).splits[split].shards]
    rows = tf.data.TFRecordDataset(files).map(records.parse_example).as_numpy_iterator()
    return {name.decode("utf-8", "surrogateescape"): (int(label), encoded) for encoded, label, name in rows}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run_prepare(*arguments) -> int:
    """prepare.py in this process, writing shards in this process too."""
    return prepare.main([*map(str, arguments), *(() if "--verify" in arguments else ("--workers", "0"))])
