"""Top-1, top-5 and loss: how they are computed, and the result of a pass."""

from dataclasses import dataclass

import tensorflow as tf

TOP = 5  # scores that count as the first few


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

    def figures(self, classes: int) -> dict[str, float]:
        """top1, top5 and loss; of so few classes that the first five are all of them, without top5."""
        return {"top1": self.top1} | ({"top5": self.top5} if classes > TOP else {}) | {"loss": self.loss}

    def line(self, split: str, classes: int) -> str:
        """`test top1 0.9972 top5 1.0000 loss 0.0123 images 360`."""
        figures = " ".join(f"{name} {value:.4f}" for name, value in self.figures(classes).items())
        return f"{split} {figures} images {self.images}"


def main_logits(outputs) -> tf.Tensor:
    """The network's own logits, where auxiliary classifiers stand beside them."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def correct(labels: tf.Tensor, scores: tf.Tensor, k: int) -> tf.Tensor:
    """(N,) bool: label among the k largest scores. A tie goes to the lower class, as with argsort."""
    found = tf.math.top_k(scores, min(k, scores.shape[-1])).indices
    return tf.reduce_any(found == labels[:, None], axis=-1)
