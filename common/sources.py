"""Opens a data set, whatever form it has: splits of serialized examples, and how to read one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from common import records


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        examples: how many.
        serialized: `serialized(seed)` -> data set of scalars to be handed to `parse`. `seed` is an int64 scalar tensor:
            an order that is a function of it alone, in bounded memory. None: the stored order.
        parse: element -> (encoded bytes, label int32, file name), scalar tensors.
        files: what it is read from.
    """

    examples: int
    serialized: Callable[[tf.Tensor | None], tf.data.Dataset]
    parse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A data set that was opened: what is known of it, its splits by name, where it lies."""

    info: records.DatasetInfo
    splits: dict[str, Split]
    path: str


SHUFFLE_BYTES = 256 * 2**20
OPEN_SHARDS = 16


def _shuffle(dataset: tf.data.Dataset, buffer: int, seed: tf.Tensor) -> tf.data.Dataset:
    """As `Dataset.shuffle`, but the order depends on `seed` alone, not on TensorFlow's global seed beside it."""
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seed,
        seed2=tf.constant(1, tf.int64),
        output_types=[spec.dtype for spec in tf.nest.flatten(dataset.element_spec)],
        output_shapes=[spec.shape for spec in tf.nest.flatten(dataset.element_spec)],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def record_split(
    files: tuple[str, ...], examples: int, parse: Callable[[tf.Tensor], tuple], mean_bytes: float
) -> Split:
    """A split kept in TFRecord files.

    The training order: shards in random order, `OPEN_SHARDS` of them read in turns, then a shuffle buffer of serialized
    records. The buffer holds the whole split where that fits into `SHUFFLE_BYTES`, else as many records as do.

    Args:
        files: paths in their order.
        examples: records in all of them.
        parse: reads one record.
        mean_bytes: of a record, to size the buffer.
    """
    names = tf.constant(files)
    shards = len(files)
    buffer = max(1, min(examples, int(SHUFFLE_BYTES / max(mean_bytes, 1.0))))

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is None:
            return tf.data.TFRecordDataset(names)
        seed = tf.cast(seed, tf.int64)
        order = tf.argsort(tf.random.stateless_uniform([shards], tf.stack([seed, 0])))
        ordered = tf.data.Dataset.from_tensor_slices(tf.gather(names, order))
        records_in_turns = ordered.interleave(tf.data.TFRecordDataset, cycle_length=OPEN_SHARDS, block_length=4)
        return _shuffle(records_in_turns, buffer, seed)

    return Split(examples, serialized, parse, tuple(files))


def _open_prepared(folder: Path) -> Dataset:
    info = records.read_info(folder)
    splits = {}
    for name, split in info.splits.items():
        files = tuple(str(folder / shard.file) for shard in split.shards)
        mean_bytes = sum(shard.bytes for shard in split.shards) / max(split.examples, 1)
        splits[name] = record_split(files, split.examples, records.parse_example, mean_bytes)
    return Dataset(info, splits, str(folder))


def open_dataset(path: str, seed: int = 0) -> Dataset:
    """Opens the data set at `path`."""
    return _open_prepared(Path(path))
