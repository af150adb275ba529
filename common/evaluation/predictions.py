"""What was predicted for the pictures of a split, and by whom."""

from dataclasses import dataclass

import numpy as np

from common.nn.metrics import Metrics, of_classes


@dataclass(frozen=True)
class Predictions:
    """What was predicted for N pictures, in their stored order.

    Attributes:
        labels: (N,) int32.
        top: (N, k) int32, the k = min(5, classes) most probable classes in this order; of equals the lower first.
        probability: (N, k) float32, theirs, 0..1.
        truth: (N,) float32, the natural logarithm of the label's probability.
    """

    labels: np.ndarray
    top: np.ndarray
    probability: np.ndarray
    truth: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: the most probable class is the label."""
        return self.top[:, 0] == self.labels

    def metrics(self, seconds: float) -> Metrics:
        """Top-1, balanced accuracy, top-5 and the mean cross-entropy in nats."""
        top5 = float((self.top == self.labels[:, None]).any(1).mean())
        loss = -float(np.mean(self.truth, dtype=np.float64))
        each = np.bincount(self.labels[self.correct], minlength=self.labels.max() + 1), np.bincount(self.labels)
        return of_classes(*each, top5, loss, seconds)


@dataclass(frozen=True)
class Pass:
    """One pass over a split: the predictions of each member, those of all together (of one: its own), and the time.

    `images_per_second` leaves out the first batch, which holds the tracing, where there is more than one. `places`,
    (N,) int64 and ascending, says which images of the split the N predictions are of: all but those left out.
    """

    members: tuple[Predictions, ...]
    together: Predictions
    seconds: float
    images_per_second: float
    places: np.ndarray
