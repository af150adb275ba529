"""Which record comes when: a function of (seed, epoch, position) alone, the same for any number of workers."""

import tensorflow as tf

from common.errors import UserError
from common.input.splits import Split

_NEVER = 2**40  # epochs: an endless run
_BLOCK = 4096  # numbers of records that are looked through at once


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
    workers each has its part of every batch: it goes through the numbers of all records, and reads its own. So it is
    with the rest of an epoch that a resumed run begins with; whole epochs are read by one worker file by file.
    """
    steps = split.examples // batch_size
    if not steps:
        raise UserError(f"--batch_size={batch_size} is more than the {split.examples} training images")
    first, done = divmod(start_step, steps)
    share, block = batch_size // workers, max(1, _BLOCK // batch_size)

    def key_of(epoch):
        return tf.random.stateless_uniform([], tf.stack([tf.cast(seed, tf.int64), epoch]), None, None, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def own_part(epoch):
        ranks = split.ranks(key_of(epoch)).take(steps * batch_size)
        ranks = ranks.skip(tf.where(epoch == first, tf.cast(done * batch_size, tf.int64), 0))
        own = ranks.batch(block * batch_size).map(lambda some: tf.reshape(some, [-1, workers, share])[:, worker])
        return own.map(lambda some: tf.reshape(some, [-1])).unbatch()

    @tf.autograph.experimental.do_not_convert
    def whole(epoch):
        return split.serialized(key_of(epoch)).take(steps * batch_size)

    @tf.autograph.experimental.do_not_convert
    def own_numbers(some):
        return tf.reshape(some[:, None] * batch_size + worker * share + tf.range(share, dtype=tf.int64), [-1])

    if workers > 1:
        numbers = tf.data.Dataset.range(start_step, _NEVER).batch(block).map(own_numbers).unbatch()
        elements = split.fetch(tf.data.Dataset.range(first, _NEVER).flat_map(own_part))
        return tf.data.Dataset.zip(numbers, elements)
    begun = first + (done > 0)
    elements = tf.data.Dataset.range(begun, _NEVER).flat_map(whole)
    if done:
        elements = split.fetch(tf.data.Dataset.range(first, begun).flat_map(own_part)).concatenate(elements)
    return elements.enumerate(start_step * batch_size)
