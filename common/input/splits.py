"""`Split` and `Dataset`: what every kind of source is to the pipeline, and the reading of TFRecord files."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import color_statistics, images, record_order
from common.input.file_list import FileList
from common.input.record_index import RecordFiles
from common.input.records import DatasetInfo

SHUFFLE_BYTES = 256 * 2**20
OPEN_SHARDS = 16
UNKNOWN = 0  # examples of a split that is known at its end only
TURN = 4  # records that are taken from each open shard at a time
MEASURED = 2000  # training images that stand for all, where the colours of a data set are not known

Parse = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
Ranks = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        examples: how many; `UNKNOWN` where that is known at the end only: then it can be passed over once, by one
            worker, in the stored order.
        serialized: `serialized(seed)` -> data set of scalars to be handed to `parse`. `seed` is an int64 scalar tensor:
            an order that is a function of it alone, in bounded memory. None: the stored order.
        parse: element -> (encoded bytes, label int32, file name), scalar tensors.
        files: what it is read from.
        records: True: `files` are TFRecord files. False: `files[i]` is the image file of element i.
        drawn: the data set does not say what belongs to it; a seed drew it.
        counts: records in each of `files`, also those that do not belong to the split; of image files none.
        ranks: `ranks(seed, positions)`, int64 (n,) -> int64 (n,): which elements, by their place in the stored order,
            `serialized(seed)` gives at these positions. Nothing is read for it, and no data set is gone through.
            None: it is not for training.
        record_files: reads single records; of image files None, an element is its place.
        ids: (examples,) int64, which of the records in `files` each element is; None: all, in their order.
    """

    examples: int
    serialized: Callable[[tf.Tensor | None], tf.data.Dataset]
    parse: Parse
    files: Sequence[str]
    records: bool = True
    drawn: bool = False
    counts: tuple[int, ...] = ()
    ranks: Ranks | None = None
    record_files: RecordFiles | None = None
    ids: np.ndarray | None = None

    def fetch(self, ranks: tf.data.Dataset) -> tf.data.Dataset:
        """Places in the stored order -> the elements there; reads these and no others."""
        return ranks if self.record_files is None else self.record_files.fetch(ranks, self.ids)


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


def _file_order(seed: tf.Tensor, files: int) -> tf.Tensor:
    """(files,) int32: which file is opened when, in the training order of `seed`, int64."""
    return tf.argsort(tf.random.stateless_uniform([files], tf.stack([seed, 0])))


def _record_ranks(seed: tf.Tensor, counts: np.ndarray, buffer: int) -> tf.Tensor:
    """(sum of counts,) int32: the order that `record_split` describes, for files with so many records of the split."""
    # The random numbers are those that ShuffleDataset draws with this seed and 1 as the second.
    key, counter = tf.bitcast(seed, tf.uint64)[None], tf.constant([0, 1], tf.uint64)
    random = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[counts.sum()], key=key, counter=counter, alg=1, dtype=tf.uint32
    )

    def all_of(order: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        ranks = record_order.interleaved(counts, order, min(OPEN_SHARDS, len(counts)), TURN)
        record_order.shuffle(ranks, buffer, numbers)
        return ranks

    return tf.ensure_shape(tf.numpy_function(all_of, [_file_order(seed, len(counts)), random], tf.int32), [None])


def record_split(
    files: Sequence[str],
    counts: Sequence[int],
    parse: Parse,
    record_bytes: float,
    chosen: np.ndarray | None = None,
    index: str | None = None,
) -> Split:
    """A split kept in TFRecord files.

    The training order: files in random order, `OPEN_SHARDS` of them interleaved, then a shuffle buffer of serialized
    records. The buffer holds the whole split where that fits into `SHUFFLE_BYTES`, else as many records as do.

    Args:
        files: paths in their order.
        counts: records in each.
        parse: reads one record.
        record_bytes: mean size of a record, for the buffer.
        chosen: (sum of counts,) bool; the records that belong to the split. None: all.
        index: where data/prepare.py wrote the index of these files.
    """
    paths = tf.constant([os.fsencode(file) for file in files])
    begins = np.cumsum([0, *counts])
    starts = tf.constant(begins[:-1], tf.int64)
    ids = None if chosen is None else np.flatnonzero(chosen)
    of_files = np.diff(begins if ids is None else np.searchsorted(ids, begins))  # records of the split in each
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
        seed, open_at_once = tf.cast(seed, tf.int64), min(OPEN_SHARDS, len(files))
        elements = tf.data.Dataset.from_tensor_slices(_file_order(seed, len(files))).interleave(
            read, open_at_once, block_length=TURN, num_parallel_calls=min(machine.cores(), open_at_once)
        )
        return _shuffle(elements, buffer, seed)

    def ranks(seed: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(_record_ranks(tf.cast(seed, tf.int64), of_files, buffer), positions), tf.int64)

    return Split(
        examples,
        serialized,
        parse,
        tuple(files),
        counts=tuple(counts),
        ranks=ranks,
        record_files=RecordFiles(files, counts, [index] if index else []),
        ids=ids,
    )


def with_held_out(
    files: Sequence[str],
    counts: Sequence[int],
    parse: Parse,
    record_bytes: float,
    *,
    seed: int,
    share: float,
    notes: list[str],
    index: str | None = None,
) -> dict[str, Split]:
    """Splits train and validation out of training records: a share of them, drawn by place, becomes validation."""
    examples = sum(counts)
    out = np.zeros(examples, bool)
    # RandomState's numbers are frozen; those of numpy's newer generators may change with its version.
    out[np.random.RandomState(seed % 2**32).permutation(examples)[: max(1, round(share * examples))]] = True
    notes.append(f"no validation split: {int(out.sum()):,} training images drawn by seed {seed} are held out")
    chosen = {"train": ~out, "validation": out}
    opened = {name: record_split(files, counts, parse, record_bytes, mask, index) for name, mask in chosen.items()}
    return {name: replace(split, drawn=True) for name, split in opened.items()}


def mixed(examples: int, seed: tf.Tensor, stream: int, positions: tf.Tensor) -> tf.Tensor:
    """int64 (n,) -> int64 (n,): what is at these positions of the numbers 0..examples - 1 in a random order.

    The order is one of `seed` and `stream`; it costs no memory.
    """
    if examples == 1:
        return positions
    keys = tf.random.stateless_uniform([2], tf.stack([tf.cast(seed, tf.int64), stream]), None, None, tf.int32)
    return tf.random.experimental.index_shuffle(positions, keys, examples - 1)


def in_blocks(examples: int, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
    """`function`, int64 (n,) -> (n,), of the numbers 0..examples - 1, as a data set of scalars."""
    places = tf.data.Dataset.range(examples).batch(4096)  # at once: a call for each would cost more than all else
    return places.map(function).unbatch()


def joined(one: Split, other: Split) -> Split:
    """Two splits of one data set as one, in the stored order the first before the second.

    In a random order the images of both are mixed: which of the two comes next is itself drawn, each as often as it has
    images. So an order that is uniform in both is uniform here.
    """
    examples, one_ranks, other_ranks = one.examples + other.examples, one.ranks, other.ranks
    assert one_ranks is not None  # splits for training have them
    assert other_ranks is not None

    def of_other(seed: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        return mixed(examples, seed, 1, positions) >= one.examples

    def ranks(seed: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        second = of_other(seed, tf.range(examples, dtype=tf.int64))
        before = tf.gather(tf.cumsum(tf.cast(second, tf.int32), exclusive=True), positions)
        before, second = tf.cast(before, tf.int64), tf.gather(second, positions)
        # Where it is the other's turn this one's place does not count, and may be past its end.
        mine = one_ranks(seed, tf.minimum(positions - before, one.examples - 1))
        others = one.examples + other_ranks(seed, tf.minimum(before, other.examples - 1))
        return tf.where(second, others, mine)

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        first, second = one.serialized(seed), other.serialized(seed)
        if not other.records:
            second = second.batch(4096).map(lambda some: some + one.examples).unbatch()
        if seed is None:
            return first.concatenate(second)
        which = in_blocks(examples, lambda some: tf.cast(of_other(seed, some), tf.int64))
        return tf.data.Dataset.choose_from_datasets([first, second], which, stop_on_empty_dataset=False)

    def parse(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = place < one.examples
        return tf.cond(first, lambda: one.parse(place), lambda: other.parse(place - one.examples))

    if one.record_files is None or other.record_files is None:
        assert isinstance(one.files, FileList)
        assert isinstance(other.files, FileList)
        files = one.files + other.files
        return Split(examples, serialized, parse, files, records=False, drawn=one.drawn, ranks=ranks)
    record_files = one.record_files.with_files_of(other.record_files)
    before = 0 if record_files is one.record_files else sum(one.counts)
    first, second = (np.arange(part.examples) if part.ids is None else part.ids for part in (one, other))
    return Split(
        examples,
        serialized,
        one.parse,
        record_files.files,
        drawn=one.drawn,
        counts=record_files.counts,
        ranks=ranks,
        record_files=record_files,
        ids=np.concatenate([first, second + before]),
    )


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
