"""`Split` and `Dataset`: what every kind of source is to the pipeline, and the reading of TFRecord files."""

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import color_statistics, images
from common.input.records import DatasetInfo

SHUFFLE_BYTES = 256 * 2**20
OPEN_SHARDS = 16
MEASURED = 2000  # training images that stand for all, where the colours of a data set are not known

Parse = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        examples: how many.
        serialized: `serialized(seed)` -> data set of scalars to be handed to `parse`. `seed` is an int64 scalar tensor:
            an order that is a function of it alone, in bounded memory. None: the stored order.
        parse: element -> (encoded bytes, label int32, file name), scalar tensors.
        files: what it is read from.
        records: True: `files` are TFRecord files. False: `files[i]` is the image file of element i.
        drawn: the data set does not say what belongs to it; a seed drew it.
        counts: records in each of `files`, also those that do not belong to the split; of image files none.
    """

    examples: int
    serialized: Callable[[tf.Tensor | None], tf.data.Dataset]
    parse: Parse
    files: tuple[str, ...]
    records: bool = True
    drawn: bool = False
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A data set that was opened.

    Attributes:
        info: what is known of it.
        splits: by name.
        path: where it lies.
        notes: lines a person should see: what was assumed, measured or left out.
    """

    info: DatasetInfo
    splits: dict[str, Split]
    path: str
    notes: tuple[str, ...] = ()


def _shuffle(dataset: tf.data.Dataset, buffer: int, seed: tf.Tensor) -> tf.data.Dataset:
    """As `Dataset.shuffle`, but the order depends on `seed` alone, not on TensorFlow's global seed beside it."""
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seed,
        seed2=tf.constant(1, tf.int64),
        output_types=[dataset.element_spec.dtype],
        output_shapes=[dataset.element_spec.shape],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def record_split(
    files: Sequence[str],
    counts: Sequence[int],
    parse: Parse,
    record_bytes: float,
    chosen: np.ndarray | None = None,
) -> Split:
    """A split kept in TFRecord files.

    The training order: files in random order, `OPEN_SHARDS` of them read in turns, then a shuffle buffer of serialized
    records. The buffer holds the whole split where that fits into `SHUFFLE_BYTES`, else as many records as do.

    Args:
        files: paths in their order.
        counts: records in each.
        parse: reads one record.
        record_bytes: mean size of a record, for the buffer.
        chosen: (sum of counts,) bool; the records that belong to the split. None: all.
    """
    paths = tf.constant([os.fsencode(file) for file in files])
    starts = tf.constant(np.cumsum([0, *counts[:-1]]), tf.int64)
    mask = None if chosen is None else tf.constant(chosen)
    examples = int(sum(counts) if chosen is None else chosen.sum())
    buffer = max(1, min(examples, int(SHUFFLE_BYTES / max(record_bytes, 1.0))))

    def read(file: tf.Tensor) -> tf.data.Dataset:
        stored = tf.data.TFRecordDataset(paths[file])
        if mask is None:
            return stored
        numbered = stored.enumerate(starts[file]).filter(lambda number, _: mask[number])
        return numbered.map(lambda _, record: record)

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is None:
            return tf.data.Dataset.range(len(files)).flat_map(read)
        seed = tf.cast(seed, tf.int64)
        order = tf.argsort(tf.random.stateless_uniform([len(files)], tf.stack([seed, 0])))
        open_files = min(OPEN_SHARDS, len(files))
        in_turns = tf.data.Dataset.from_tensor_slices(order).interleave(
            read, open_files, block_length=4, num_parallel_calls=min(machine.cores(), open_files)
        )
        return _shuffle(in_turns, buffer, seed)

    return Split(examples, serialized, parse, tuple(files), counts=tuple(counts))


def with_held_out(
    files: Sequence[str],
    counts: Sequence[int],
    parse: Parse,
    record_bytes: float,
    *,
    seed: int,
    share: float,
    notes: list[str],
) -> dict[str, Split]:
    """Splits train and validation out of training records: a share of them, drawn by place, becomes validation."""
    examples = sum(counts)
    out = np.zeros(examples, bool)
    # RandomState's numbers are frozen; those of numpy's newer generators may change with its version.
    out[np.random.RandomState(seed % 2**32).permutation(examples)[: max(1, round(share * examples))]] = True
    notes.append(f"no validation split: {int(out.sum()):,} training images drawn by seed {seed} are held out")
    chosen = {"train": ~out, "validation": out}
    opened = {name: record_split(files, counts, parse, record_bytes, mask) for name, mask in chosen.items()}
    return {name: replace(split, drawn=True) for name, split in opened.items()}


def joined(one: Split, other: Split) -> Split:
    """Two splits of one data set as one, in the stored order the first before the second.

    In a random order the images of both are mixed: which of the two comes next is itself drawn, each as often as it has
    images. So an order that is uniform in both is uniform here.
    """
    examples = one.examples + other.examples

    def second(seed: tf.Tensor | None) -> tf.data.Dataset:
        elements = other.serialized(seed)
        return elements if other.records else elements.map(lambda place: place + one.examples)

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is None:
            return one.serialized(None).concatenate(second(None))
        keys = tf.random.stateless_uniform([2], tf.stack([tf.cast(seed, tf.int64), 1]), None, None, tf.int32)
        places = tf.data.Dataset.range(examples).map(
            lambda place: tf.random.experimental.index_shuffle(place, keys, examples - 1)
        )
        which = places.map(lambda place: tf.cast(place >= one.examples, tf.int64))
        parts = [one.serialized(seed), second(seed)]
        return tf.data.Dataset.choose_from_datasets(parts, which, stop_on_empty_dataset=False)

    def parse(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = place < one.examples
        return tf.cond(first, lambda: one.parse(place), lambda: other.parse(place - one.examples))

    counts = dict(zip((*one.files, *other.files), (*one.counts, *other.counts), strict=False))
    return Split(
        examples,
        serialized,
        one.parse if one.records else parse,
        tuple(counts) if one.records else (*one.files, *other.files),
        one.records,
        one.drawn,
        tuple(counts.values()),
    )


def count_records(path: str) -> int:
    """Records in a TFRecord file, from the lengths before each of them. Raises UserError where they lead astray.

    A record is 8 bytes of length, 4 of checksum, the data, 4 of checksum. No data is read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size, place, count = os.fstat(file.fileno()).st_size, 0, 0
            while place < size:
                header = os.pread(file.fileno(), 12, place)
                if len(header) == 12:
                    place += 16 + struct.unpack("<Q", header[:8])[0]
                if len(header) < 12 or place > size:
                    raise UserError(f"{path}: truncated or damaged in record {count}; fetch the file again", 1)
                count += 1
            return count
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", 1) from error


def measure_colours(encoded: tf.data.Dataset) -> color_statistics.Statistics:
    """Mean, std and principal components of some images, given as bytes. Raises UserError where there are none.

    Over the pixels of a regular grid in each, 64 to 127 along its shorter side. An image that cannot be decoded is
    passed over here; training names it.
    """

    def grid(content):
        image = images.decode(content)
        apart = tf.maximum(tf.reduce_min(tf.shape(image)[:2]) // 64, 1)
        return image[::apart, ::apart]

    pixels = machine.parallel_map(encoded, grid).prefetch(2).ignore_errors()
    sums = color_statistics.total(map(color_statistics.measure, pixels.as_numpy_iterator()))
    if not sums.pixels:
        raise UserError("none of the training images can be decoded; look at them with data/prepare.py", 1)
    return color_statistics.summarise(sums)
