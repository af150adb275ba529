"""Testing: exact top-1, top-5 and loss over a whole split."""

import time
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from common.distribution import Devices
from common.input import read_errors
from common.input.splits import Split
from common.nn import losses, metrics
from common.nn.normalization import BatchNorm
from common.training.run_state import as_they_are


def sums(labels: tf.Tensor, logits: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """(2 + 2 K,) float32, summed over the valid images of a batch of K classes.

    Loss, top-5, then of each class the images that were predicted correctly, and all its images.
    """
    counted = tf.cast(valid, tf.float32)
    correct, classes = tf.cast(metrics.correct(labels, logits, 1), tf.float32) * counted, logits.shape[-1]
    totals = [
        tf.reduce_sum(losses.cross_entropy(labels, logits) * counted),
        tf.reduce_sum(tf.cast(metrics.correct(labels, logits, 5), tf.float32) * counted),
    ]
    each = [tf.math.unsorted_segment_sum(values, labels, classes) for values in (correct, counted)]
    return tf.concat([tf.stack(totals), *each], 0)


def make_eval_step(model, devices: Devices, jit: bool = False, finish: Callable = as_they_are):
    """A traced function (images, labels, valid, index) -> `sums` over all replicas.

    `finish` does to the images what the pipeline left to the device. With `jit` XLA compiles it, for one device.
    """

    def replica_step(images, labels, valid, _):
        return sums(labels, metrics.main_logits(model(finish(images), training=False)), valid)

    @tf.function(jit_compile=jit or None)
    def step(*batch):
        return devices.strategy.reduce("SUM", devices.strategy.run(replica_step, args=batch), axis=None)

    return step


def evaluate(
    step: Callable, batches: Iterable, split: Split, stopping: Callable[[int], bool] = lambda number: False
) -> metrics.Metrics | None:
    """Runs an eval step over a finite, distributed data set.

    The sums are kept in float64, on the device, so that it need not wait between batches.

    Args:
        step: (images, labels, valid, index) -> `sums`.
        batches: the data set.
        split: what the batches come from, to name the file that cannot be read.
        stopping: asked before each batch, given its number from 0, whether to give up; then the result is None.

    Raises:
        UserError: the split cannot be read.
    """
    start = time.perf_counter()
    total, number = tf.zeros([], tf.float64), 0
    iterator = iter(batches)
    while not stopping(number):
        with read_errors.named(split):
            batch = next(iterator, None)
        if batch is None:
            loss, top5, *each = total.numpy().tolist()
            correct, images = np.split(np.array(each), 2)
            count, seconds = max(images.sum(), 1.0), time.perf_counter() - start
            return metrics.of_classes(correct, images, top5 / count, loss / count, seconds)
        total = total + tf.cast(step(*batch), tf.float64)
        number += 1
    return None


def settling_steps(model: keras.Model) -> int:
    """Steps of training after which the moving statistics of all batch norms follow the weights: 5 / (1 - momentum).

    The first batches' share in them is then below 1 %. 0 for a network that moves none.
    """
    moved = [layer.momentum for layer in model.layers if isinstance(layer, BatchNorm) and layer.trainable]
    return round(5.0 / (1.0 - max(moved))) if moved else 0
