"""TFRecord files and prepared data sets, and what a split of them holds, for the tests of common/input."""

from pathlib import Path

import tensorflow as tf

from common.input import records
from images import jpeg


def names(split, seed=None) -> list[str]:
    """File names of a split's elements in the stored order, or in the order of a seed."""
    elements = split.serialized(None if seed is None else tf.constant(seed, tf.int64))
    return [name.decode(errors="surrogateescape") for _, _, name in elements.map(split.parse).as_numpy_iterator()]


def labels(split) -> list[int]:
    return [int(label) for _, label, _ in split.serialized(None).map(split.parse).as_numpy_iterator()]


def example(**features) -> bytes:
    """A serialized Example; `__` in a name stands for a slash."""

    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    named = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def write(path: Path, rows: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row)
    return path


def slim(label: int, name: str = "x.JPEG", **more) -> bytes:
    return example(image__encoded=jpeg(label), image__class__label=label, image__filename=name.encode(), **more)


def prepared(folder: Path, **counts: int) -> Path:
    """A prepared data set with two shards a split; a picture is called SPLIT/NUMBER and has label NUMBER % 2."""
    infos = {}
    for split, count in counts.items():
        shards = []
        for number in range(2):
            mine = range(number, count, 2)
            rows = [records.encode_example(jpeg(i), i % 2, "c", 12, 16, f"{split}/{i}", "JPEG") for i in mine]
            path = write(folder / records.shard_name(split, number, 2), rows)
            shards.append(records.Shard(path.name, len(rows), path.stat().st_size, records.checksum(path)))
        infos[split] = records.SplitInfo(tuple(shards), (count - count // 2, count // 2))
    records.write_info(folder, records.DatasetInfo("made", ("a", "b"), infos, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    return folder
