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
        begin = tf.where(epoch == first, tf.cast(done, tf.int64), 0)

        def own(number, ranks):
            mine = tf.reshape(ranks, [-1, workers, share])[:, worker]
            step = epoch * steps + begin + number * block + tf.range(tf.shape(mine, tf.int64)[0])
            numbers = step[:, None] * batch_size + worker * share + tf.range(share, dtype=tf.int64)
            return tf.reshape(numbers, [-1]), tf.reshape(mine, [-1])

        ranks = split.ranks(key_of(epoch)).take(steps * batch_size).skip(begin * batch_size)
        return ranks.batch(block * batch_size).enumerate().map(own).unbatch()

    @tf.autograph.experimental.do_not_convert
    def whole(epoch):
        return split.serialized(key_of(epoch)).take(steps * batch_size)

    if workers > 1:
        return split.fetch(tf.data.Dataset.range(first, _NEVER).flat_map(own_part))
    begun = first + (done > 0)
    epochs = tf.data.Dataset.range(begun, _NEVER).flat_map(whole).enumerate(begun * steps * batch_size)
    return split.fetch(tf.data.Dataset.range(first, begun).flat_map(own_part)).concatenate(epochs) if done else epochs
