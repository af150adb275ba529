"""Which record comes when: a function of (seed, epoch, position) alone, the same for any number of workers."""

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.input.augmentation import stream_key
from common.input.splits import Split

_NEVER = 2**40  # epochs: an endless run
_BLOCK = 4096  # numbers of records that are looked through at once
_OF_EACH = 64  # images of each class in a round of the balanced order


def share_of(batch_size: int, worker: int, workers: int) -> int:
    """How much of a batch one worker has. Raises UserError where it does not divide."""
    if batch_size % workers:
        raise UserError(f"--batch_size={batch_size} does not divide among {workers} workers")
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} of {workers}")
    return batch_size // workers


def order(
    split: Split, *, batch_size: int, seed: int, start_step: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """The endless order of training: (number, element), number = global step * batch_size + place in the batch.

    An epoch is examples // batch_size full batches in an order of its own; the remainder sits it out. Of several
    workers each has its part of every batch, and reads the records that are there. So it is with the rest of an epoch
    that a resumed run begins with; whole epochs are read by one worker file by file.
    """
    steps = _steps(split, batch_size)
    first, done = divmod(start_step, steps)
    share, ranks = batch_size // workers, split.ranks
    assert ranks is not None  # splits for training have them

    def key_of(epoch):
        return tf.random.stateless_uniform([], tf.stack([tf.cast(seed, tf.int64), epoch]), None, None, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def own_part(epoch):
        begin = tf.where(epoch == first, tf.constant(done, tf.int64), 0)
        positions = _numbers(tf.range(begin, steps, dtype=tf.int64), batch_size, worker, share)
        return tf.data.Dataset.from_tensor_slices(ranks(key_of(epoch), positions))

    @tf.autograph.experimental.do_not_convert
    def whole(epoch):
        return split.serialized(key_of(epoch)).take(steps * batch_size)

    if workers > 1:
        numbers = _own_numbers(batch_size, start_step, worker, workers).unbatch()
        elements = split.fetch(tf.data.Dataset.range(first, _NEVER).flat_map(own_part))
        return tf.data.Dataset.zip(numbers, elements)
    begun = first + (done > 0)
    elements = tf.data.Dataset.range(begun, _NEVER).flat_map(whole)
    if done:
        elements = split.fetch(tf.data.Dataset.range(first, begun).flat_map(own_part)).concatenate(elements)
    return elements.enumerate(start_step * batch_size)


def balanced_order(
    split: Split,
    labels: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """As `order`, but every class comes equally often, and an epoch is no more than a number of steps.

    A round has `_OF_EACH` places for each class, in random order. At its end no image of a class has come more than
    once oftener than another of that class: they are gone through in random orders, a new one when all were seen. So
    the images of a small class come more often.

    Args:
        split, batch_size, seed, start_step, worker, workers: as in `order`.
        labels: (examples,) integers, the label of every element in the stored order.
    """
    _steps(split, batch_size)
    present, sizes = np.unique(labels, return_counts=True)
    classes, by_class = len(present), tf.constant(np.argsort(labels, kind="stable"), tf.int64)
    sizes, begins = tf.constant(sizes, tf.int64), tf.constant(np.cumsum(sizes) - sizes, tf.int64)
    places, keys = classes * _OF_EACH, [stream_key(seed, name) for name in ("balanced_classes", "balanced_images")]

    def shuffled(numbers, key, of, turn, count):
        """A place in 0..count - 1 for each number there, in an order of its own for each `of` and `turn`."""
        seeds = tf.stack([tf.fill(tf.shape(turn), tf.constant(key, tf.int64)), of, turn], 1)
        mixed = tf.raw_ops.RandomIndexShuffle(index=numbers, seed=seeds, max_index=tf.maximum(count - 1, 1), rounds=4)
        return tf.where(count > 1, mixed, 0)

    @tf.autograph.experimental.do_not_convert
    def ranks(numbers):
        turn, zeros = numbers // places, tf.zeros_like(numbers)
        place = shuffled(numbers % places, keys[0], zeros, turn, zeros + places)
        of, seen = place % classes, turn * _OF_EACH + place // classes
        size = tf.gather(sizes, of)
        return tf.gather(by_class, tf.gather(begins, of) + shuffled(seen % size, keys[1], of, seen // size, size))

    numbers = _own_numbers(batch_size, start_step, worker, workers)
    return tf.data.Dataset.zip(numbers.unbatch(), split.fetch(numbers.map(ranks).unbatch()))


def _steps(split: Split, batch_size: int) -> int:
    """Steps in an epoch. Raises UserError where there is none."""
    if split.examples < batch_size:
        raise UserError(f"--batch_size={batch_size} is more than the {split.examples} training images")
    return split.examples // batch_size


def _own_numbers(batch_size: int, start_step: int, worker: int, workers: int) -> tf.data.Dataset:
    """The numbers of a worker's examples from a step on, in vectors (n,) int64."""
    share, block = batch_size // workers, max(1, _BLOCK // batch_size)

    @tf.autograph.experimental.do_not_convert
    def numbers(some):
        return _numbers(some, batch_size, worker, share)

    return tf.data.Dataset.range(start_step, _NEVER).batch(block).map(numbers)


def _numbers(steps: tf.Tensor, batch_size: int, worker: int, share: int) -> tf.Tensor:
    """int64 (n,) -> int64 (n share,): of these steps the numbers of a worker's examples."""
    return tf.reshape(steps[:, None] * batch_size + worker * share + tf.range(share, dtype=tf.int64), [-1])
