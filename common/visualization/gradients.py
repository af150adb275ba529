"""What a class's score depends on, pixel by pixel, by its gradient: four methods.

K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2013, https://arxiv.org/abs/1312.6034
D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, https://arxiv.org/abs/1706.03825
J. Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2014, https://arxiv.org/abs/1412.6806
M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", 2017, https://arxiv.org/abs/1703.01365
"""

from dataclasses import dataclass

import keras
import numpy as np

from common.visualization import scores
from common.visualization.guided import guided
from common.visualization.scores import Report, silent

SAMPLES, NOISE = 25, 0.15  # SmoothGrad, section 4.2: 10 to 20 % of noise; more than 50 samples add little
TOLERANCE = 0.01  # share of the scores' difference by which integrated gradients may miss it
LEAST_STEPS, MOST_STEPS = 32, 512


def gradient(
    model: keras.Model, inputs: np.ndarray, classes: np.ndarray, at_once: int = 32, report: Report = silent
) -> np.ndarray:
    """The gradient of each input's score of a class: inputs (N, S, S, 3), classes (N,) -> (N, S, S, 3) float32."""
    return scores.in_batches(scores.gradient_function(model), at_once, inputs, classes.astype(np.int32), report=report)


def saliency(gradients: np.ndarray) -> np.ndarray:
    """How much each pixel matters: the largest absolute value over channels (Simonyan et al. 2013, section 3.1).

    (N, S, S, 3) -> (N, S, S), not negative.
    """
    return np.abs(gradients).max(-1)


def smooth_gradient(
    model: keras.Model,
    inputs: np.ndarray,
    classes: np.ndarray,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    at_once: int = 32,
    report: Report = silent,
) -> np.ndarray:
    """The mean gradient at noisy copies of each input (SmoothGrad): (N, S, S, 3) float32.

    Args:
        model, inputs, classes: of `gradient`.
        samples: noisy copies of each input.
        noise: standard deviation of the Gaussian noise, as a share of the input's range, its maximum minus its minimum.
        seed: with the place of an input it decides on its noise.
        at_once: copies in a batch.
        report: is told of copies.
    """
    compute, means = scores.gradient_function(model), []
    for place, (picture, label) in enumerate(zip(inputs, classes, strict=True)):
        draw = np.random.default_rng([seed, place])
        deviation = np.float32(noise * (picture.max() - picture.min()))
        noisy = picture + deviation * draw.standard_normal((samples, *picture.shape), np.float32)
        found = scores.in_batches(compute, at_once, noisy, np.full(samples, label, np.int32))
        means.append(found.mean(0))
        report((place + 1) * samples, len(inputs) * samples)
    return np.stack(means)


def guided_backpropagation(
    model: keras.Model, inputs: np.ndarray, classes: np.ndarray, at_once: int = 32, report: Report = silent
) -> np.ndarray:
    """The gradient with negative parts set to zero at every activation on its way back: (N, S, S, 3) float32.

    Springenberg et al. 2014, section 3.4. guided.py says what that means for activations other than ReLU.
    """
    return gradient(guided(model), inputs, classes, at_once, report)


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients.

    Attributes:
        attributions: (N, S, S, 3) float32; their sum is nearly the difference of the scores.
        difference: (N,) score of the input minus that of the baseline.
        gap: (N,) sum of the attributions minus that difference.
        steps: (N,) points on the straight line at which the gradient was taken.
    """

    attributions: np.ndarray
    difference: np.ndarray
    gap: np.ndarray
    steps: np.ndarray


def integrated_gradients(
    model: keras.Model,
    inputs: np.ndarray,
    classes: np.ndarray,
    baseline: np.ndarray,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
    at_once: int = 32,
    report: Report = silent,
) -> Integrated:
    """The gradient along the line from a baseline to the input, integrated, times the distance of each value.

    Sundararajan et al. 2017, equations 1 and 3. The integral is taken by the midpoint rule, with twice as many points
    until the attributions add up to the difference of the scores (completeness) or there are `most_steps`.

    Args:
        model, inputs, classes: of `gradient`.
        baseline: (S, S, 3), a picture without content, as the network takes it, such as a black one.
        tolerance: largest gap, as a share of the difference.
        most_steps: of the integral.
        at_once: points in a batch.
        report: is told of inputs.
    """
    compute = scores.gradient_function(model)
    both = scores.predict(model, np.concatenate([inputs, baseline[None]]).astype(np.float32), at_once)
    difference = both[:-1][np.arange(len(inputs)), classes] - both[-1][classes]
    attributions, gaps, counts = [], [], []
    for place, (picture, label) in enumerate(zip(inputs, classes, strict=True)):
        way, steps = (picture - baseline).astype(np.float32), min(LEAST_STEPS, most_steps)
        while True:
            total = np.zeros(way.shape, np.float64)
            shares = (np.arange(steps, dtype=np.float32) + 0.5) / steps
            for begin in range(0, steps, at_once):
                points = baseline + shares[begin : begin + at_once, None, None, None] * way
                labels = np.full(len(points), label, np.int32)
                total += scores.in_batches(compute, at_once, points.astype(np.float32), labels).sum(0)
            found = way * total / steps
            gap = found.sum() - difference[place]
            if abs(gap) <= tolerance * abs(difference[place]) or 2 * steps > most_steps:
                break
            steps *= 2
        attributions.append(found.astype(np.float32))
        gaps.append(gap)
        counts.append(steps)
        report(place + 1, len(inputs))
    return Integrated(np.stack(attributions), difference, np.array(gaps), np.array(counts))
