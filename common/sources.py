"""Sources (first form)."""
from dataclasses import dataclass
from pathlib import Path
import tensorflow as tf
from common import records


@dataclass(frozen=True)
class Split:
    examples: int
    serialized: object
    parse: object
    files: tuple = ()


@dataclass(frozen=True)
class Dataset:
    info: object
    splits: dict
    path: str


def open_dataset(path, seed=0):
    info = records.read_info(Path(path))

    def make(s):
        files = [str(Path(path) / x.file) for x in s.shards]

        def ser(seed):
            ds = tf.data.TFRecordDataset(files)
            return ds if seed is None else ds.shuffle(s.examples, seed=seed, reshuffle_each_iteration=False)

        return Split(s.examples, ser, records.parse_example, tuple(files))

    return Dataset(info, {k: make(s) for k, s in info.splits.items()}, path)
