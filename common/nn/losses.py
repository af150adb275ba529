"""Losses from logits, with auxiliary classifiers, and the explicit penalty on the weights.

The loss of a step is L = L_data + lambda/2 ||W||^2 + l1 ||W||_1, W being the weights alone (the slides' weight decay).
With both terms it is the elastic net.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    tf = lazy("tensorflow")  # the names in LOSSES cost nothing to import


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy of each example in nats, float32 whatever the logits' precision.

    With smoothing e the target is (1 - e) one-hot + e / K (Szegedy et al. 2016, section 7). It is computed as
    (1 - e) CE(label) + e CE(uniform), and CE(uniform) = log sum exp z - mean z.

    Args:
        labels: (N,) integers in [0, K), or targets (N, K) with rows of sum 1.
        logits: (N, K), any float type.
        label_smoothing: e in [0, 1).

    Returns:
        (N,) float32.
    """
    logits = tf.cast(logits, tf.float32)
    if len(labels.shape) == 2:
        loss = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    else:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not label_smoothing:
        return loss
    uniform = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * loss + label_smoothing * uniform


def targets(labels: tf.Tensor, classes: int, label_smoothing: float = 0.0) -> tf.Tensor:
    """(N, K) float32: (1 - e) y + e / K, of labels (N,) or of shares y (N, K)."""
    shares = labels if len(labels.shape) == 2 else tf.one_hot(labels, classes)
    return (1.0 - label_smoothing) * shares + label_smoothing / classes


def binary_cross_entropy(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Mean over the classes of the cross-entropy of sigmoid(z_k) with its target, (N,) float32, in nats.

    As in Wightman et al. 2021 ("ResNet strikes back"). Smoothed targets are those of cross-entropy, (1 - e) y + e / K.
    """
    wanted = targets(labels, logits.shape[-1], label_smoothing)
    each = tf.nn.sigmoid_cross_entropy_with_logits(wanted, tf.cast(logits, tf.float32))
    return tf.reduce_mean(each, axis=-1)


def focal(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0, gamma: float = 2.0) -> tf.Tensor:
    """-sum_k y_k (1 - p_k)^gamma log p_k with p = softmax(z), (N,) float32.

    Lin et al. 2017 ("Focal loss"), equation 4, for classes that exclude one another; there is no factor alpha, for
    which `class_weights` stand.
    """
    logarithms = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    # At p = 1 the derivative of a power below 1 is infinite, and nothing is left to learn.
    missing = tf.maximum(-tf.math.expm1(logarithms), 1e-7)
    return -tf.reduce_sum(targets(labels, logits.shape[-1], label_smoothing) * missing**gamma * logarithms, axis=-1)


# By name: (labels, logits, label smoothing, gamma) -> (N,), and what a network that tells nothing apart has of it, for
# (classes, gamma).
LOSSES: dict[str, tuple[Callable, Callable[[int, float], float]]] = {
    "cross_entropy": (
        lambda labels, logits, smoothing, gamma: cross_entropy(labels, logits, smoothing),
        lambda classes, gamma: math.log(classes),
    ),
    "bce": (
        lambda labels, logits, smoothing, gamma: binary_cross_entropy(labels, logits, smoothing),
        lambda classes, gamma: (math.log(classes) + (1 - classes) * math.log1p(-1 / classes)) / classes,
    ),
    "focal": (focal, lambda classes, gamma: (1 - 1 / classes) ** gamma * math.log(classes)),
}


def of_guessing(loss: str, classes: int, gamma: float = 2.0) -> float:
    """The least loss of a network that gives every image the same answer, where classes are equally frequent."""
    return LOSSES[loss][1](classes, gamma)


def data_loss(
    labels: tf.Tensor,
    outputs: tf.Tensor | Sequence[tf.Tensor],
    label_smoothing: float = 0.0,
    auxiliary_weight: float = 0.0,
    *,
    loss: str = "cross_entropy",
    gamma: float = 2.0,
    class_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """The loss of the main classifier plus `auxiliary_weight` times that of each auxiliary one.

    Args:
        labels: (N,) integers, or the classes' shares (N, K) float32.
        outputs: logits (N, K), or a list of them with the main classifier's first (Szegedy et al. 2015, section 5:
            two further heads with weight 0.3).
        label_smoothing: of every head.
        auxiliary_weight: of each head after the first.
        loss: a name of `LOSSES`, for every head.
        gamma: of the focal loss.
        class_weights: (K,) float32. An example's loss is multiplied by its label's weight, with shares by their mean
            weight. The sum is not divided by the weights' sum.

    Returns:
        (N,) float32.
    """
    main, *heads = outputs if isinstance(outputs, list | tuple) else (outputs,)
    of = LOSSES[loss][0]
    total = of(labels, main, label_smoothing, gamma)
    for head in heads:
        total += auxiliary_weight * of(labels, head, label_smoothing, gamma)
    if class_weights is None:
        return total
    if len(labels.shape) == 2:
        return total * tf.linalg.matvec(labels, class_weights)
    return total * tf.gather(class_weights, labels)


def is_weight(variable: keras.Variable) -> bool:
    """True for the W of a convolution or fully connected layer: its path ends in `/kernel`."""
    return f"/{variable.path}".endswith("/kernel")


def decays(variable: keras.Variable, biases_and_norms: bool = False) -> bool:
    """True for a variable that weight decay and L1 act on: a kernel.

    With `biases_and_norms` also biases and a normalisation's gamma and beta, the older habit; never PReLU's slopes.
    """
    return is_weight(variable) or (biases_and_norms and not variable.path.endswith("/slope"))


def decayed_variables(model: keras.Model, biases_and_norms: bool = False) -> list[keras.Variable]:
    """The trainable variables that weight decay and L1 act on (`decays`)."""
    return [variable for variable in model.trainable_variables if decays(variable, biases_and_norms)]


def regularisation(variables: Iterable[keras.Variable], weight_decay: float, l1: float = 0.0) -> tf.Tensor:
    """weight_decay / 2 ||W||^2 + l1 ||W||_1 over `variables`: scalar float32.

    The gradient with respect to W is weight_decay W + l1 sign(W), exactly.
    """
    tensors = [tf.cast(tf.convert_to_tensor(variable), tf.float32) for variable in variables]
    total = tf.zeros((), tf.float32)
    if weight_decay and tensors:
        total += weight_decay * tf.add_n([tf.nn.l2_loss(tensor) for tensor in tensors])  # l2_loss has the 1/2
    if l1 and tensors:
        total += l1 * tf.add_n([tf.reduce_sum(tf.abs(tensor)) for tensor in tensors])
    return total
