"""Top-1, top-5, balanced accuracy and loss: how they are computed, and the result of a pass."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

TOP = 5  # scores that count as the first few
UNEQUAL = 2.0  # a split whose largest class has more than so many times the images of its smallest


@dataclass(frozen=True)
class Metrics:
    """Result of one pass over a split.

    Attributes:
        top1, top5: share of images whose label is the first, or among the first five, of the scores.
        loss: mean cross-entropy in nats.
        images: how many were counted.
        seconds: wall time of the pass.
        balanced_accuracy: mean over the classes that have images of the share of theirs that was predicted correctly.
        unequal: the classes differ so much in size that top1 alone misleads (`UNEQUAL`).
    """

    top1: float
    top5: float
    loss: float
    images: int
    seconds: float
    balanced_accuracy: float = 0.0
    unequal: bool = False

    def figures(self, classes: int) -> dict[str, float]:
        """top1, balanced_accuracy, top5, loss; of so few classes that the first five are all of them, without top5."""
        found = {"top1": self.top1, "balanced_accuracy": self.balanced_accuracy}
        return found | ({"top5": self.top5} if classes > TOP else {}) | {"loss": self.loss}

    def shown(self, classes: int) -> dict[str, float]:
        """The figures that are printed: of classes of about the same size without balanced_accuracy, which is top1."""
        figures = self.figures(classes)
        return {name: value for name, value in figures.items() if self.unequal or name != "balanced_accuracy"}

    def line(self, split: str, classes: int) -> str:
        """`test top1 0.9972 top5 1.0000 loss 0.0123 images 360`."""
        figures = " ".join(f"{name} {value:.4f}" for name, value in self.shown(classes).items())
        return f"{split} {figures} images {self.images}"


def of_classes(correct: np.ndarray, images: np.ndarray, top5: float, loss: float, seconds: float) -> Metrics:
    """The result of a pass that found `correct` of the `images` of each class, (K,) numbers."""
    present = images > 0
    recalls, sizes = correct[present] / images[present], images[present]
    unequal = bool(len(sizes)) and bool(sizes.max() > UNEQUAL * sizes.min())
    balanced = float(np.mean(recalls)) if len(recalls) else 0.0
    count = int(images.sum())
    return Metrics(float(correct.sum()) / max(count, 1), top5, loss, count, seconds, balanced, unequal)


def main_logits(outputs) -> tf.Tensor:
    """The network's own logits, where auxiliary classifiers stand beside them."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def largest_share(labels: tf.Tensor) -> tf.Tensor:
    """(N,) integers: the labels, or of the classes' shares (N, K) the class of the largest; of equals the lower."""
    return tf.argmax(labels, -1, tf.int32) if len(labels.shape) == 2 else labels


def correct(labels: tf.Tensor, scores: tf.Tensor, k: int) -> tf.Tensor:
    """(N,) bool: label among the k largest scores. A tie goes to the lower class, as with argsort."""
    found = tf.math.top_k(scores, min(k, scores.shape[-1])).indices
    return tf.reduce_any(found == labels[:, None], axis=-1)
