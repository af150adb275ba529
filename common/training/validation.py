"""Testing: exact top-1, top-5 and loss over a whole split."""

import time
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from common.distribution import Devices
from common.input import read_errors
from common.input.splits import Split
from common.nn import losses, metrics


def make_eval_step(model, devices: Devices, jit: bool = False):
    """A traced function (images, labels, valid, index) -> sums over the valid images: loss, top1, top5, images.

    With `jit` XLA compiles it, for one device.
    """

    def replica_step(images, labels, valid, _):
        logits = metrics.main_logits(model(images, training=False))
        counted = tf.cast(valid, tf.float32)
        return tf.stack(
            [
                tf.reduce_sum(losses.cross_entropy(labels, logits) * counted),
                tf.reduce_sum(tf.cast(metrics.correct(labels, logits, 1), tf.float32) * counted),
                tf.reduce_sum(tf.cast(metrics.correct(labels, logits, 5), tf.float32) * counted),
                tf.reduce_sum(counted),
            ]
        )

    @tf.function(jit_compile=jit or None)
    def step(*batch):
        return devices.strategy.reduce("SUM", devices.strategy.run(replica_step, args=batch), axis=None)

    return step


def evaluate(step, batches: Iterable, split: Split) -> metrics.Metrics:
    """Runs an eval step over a finite, distributed data set. Sums are kept in float64 over the batches.

    Raises UserError that names the file where `split`, which the batches come from, cannot be read.
    """
    start = time.perf_counter()
    total = np.zeros(4, np.float64)
    iterator = iter(batches)
    while True:
        with read_errors.named(split):
            batch = next(iterator, None)
        if batch is None:
            break
        total += step(*batch).numpy()
    loss, top1, top5, images = total.tolist()
    count = max(images, 1.0)
    return metrics.Metrics(top1 / count, top5 / count, loss / count, int(images), time.perf_counter() - start)
