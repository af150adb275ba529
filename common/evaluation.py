"""Testing: exact top-1, top-5 and loss over a whole split."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common import faults, losses
from common.distribution import Devices
from common.splits import Split


@dataclass(frozen=True)
class Metrics:
    """Result of one pass over a split.

    Attributes:
        top1, top5: share of images whose label is the first, or among the first five, of the scores.
        loss: mean cross-entropy in nats.
        images: how many were counted.
        seconds: wall time of the pass.
    """

    top1: float
    top5: float
    loss: float
    images: int
    seconds: float

    def line(self, split: str) -> str:
        """`test top1 0.9972 top5 1.0000 loss 0.0123 images 360`."""
        return f"{split} top1 {self.top1:.4f} top5 {self.top5:.4f} loss {self.loss:.4f} images {self.images}"


def main_logits(outputs) -> tf.Tensor:
    """The network's own logits, where auxiliary classifiers stand beside them."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def correct(labels: tf.Tensor, scores: tf.Tensor, k: int) -> tf.Tensor:
    """(N,) bool: label among the k largest scores. A tie goes to the lower class, as with argsort."""
    found = tf.math.top_k(scores, min(k, scores.shape[-1])).indices
    return tf.reduce_any(found == labels[:, None], axis=-1)


def make_eval_step(model, devices: Devices, jit: bool = False):
    """A traced function (images, labels, valid, index) -> sums over the valid images: loss, top1, top5, images.

    With `jit` XLA compiles it, for one device.
    """

    def replica_step(images, labels, valid, _):
        logits = main_logits(model(images, training=False))
        counted = tf.cast(valid, tf.float32)
        return tf.stack(
            [
                tf.reduce_sum(losses.cross_entropy(labels, logits) * counted),
                tf.reduce_sum(tf.cast(correct(labels, logits, 1), tf.float32) * counted),
                tf.reduce_sum(tf.cast(correct(labels, logits, 5), tf.float32) * counted),
                tf.reduce_sum(counted),
            ]
        )

    @tf.function(jit_compile=jit or None)
    def step(*batch):
        return devices.strategy.reduce("SUM", devices.strategy.run(replica_step, args=batch), axis=None)

    return step


def evaluate(step, batches: Iterable, split: Split) -> Metrics:
    """Runs an eval step over a finite, distributed data set. Sums are kept in float64 over the batches.

    Raises UserError that names the file where `split`, which the batches come from, cannot be read.
    """
    start = time.perf_counter()
    total = np.zeros(4, np.float64)
    iterator = iter(batches)
    while True:
        with faults.named(split):
            batch = next(iterator, None)
        if batch is None:
            break
        total += step(*batch).numpy()
    loss, top1, top5, images = total.tolist()
    count = max(images, 1.0)
    return Metrics(top1 / count, top5 / count, loss / count, int(images), time.perf_counter() - start)
