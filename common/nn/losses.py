"""Losses: cross-entropy from logits, auxiliary classifiers, and the explicit penalty on the weights.

The loss of a step is L = L_data + lambda/2 ||W||^2 + l1 ||W||_1, W being the weights alone (the slides' weight decay).
With both terms it is the elastic net.
"""

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy of each example in nats, float32 whatever the logits' precision.

    With smoothing e the target is (1 - e) one-hot + e / K (Szegedy et al. 2016, section 7). It is computed as
    (1 - e) CE(label) + e CE(uniform), and CE(uniform) = log sum exp z - mean z.

    Args:
        labels: (N,) integers in [0, K).
        logits: (N, K), any float type.
        label_smoothing: e in [0, 1).

    Returns:
        (N,) float32.
    """
    logits = tf.cast(logits, tf.float32)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not label_smoothing:
        return loss
    uniform = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * loss + label_smoothing * uniform


def data_loss(
    labels: tf.Tensor,
    outputs: tf.Tensor | Sequence[tf.Tensor],
    label_smoothing: float = 0.0,
    auxiliary_weight: float = 0.0,
) -> tf.Tensor:
    """Cross-entropy of the main classifier plus `auxiliary_weight` times that of each auxiliary one.

    Args:
        labels: (N,) integers.
        outputs: logits (N, K), or a list of them with the main classifier's first (Szegedy et al. 2015, section 5:
            two further heads with weight 0.3).
        label_smoothing: of every head.
        auxiliary_weight: of each head after the first.

    Returns:
        (N,) float32.
    """
    main, *heads = outputs if isinstance(outputs, list | tuple) else (outputs,)
    loss = cross_entropy(labels, main, label_smoothing)
    for head in heads:
        loss += auxiliary_weight * cross_entropy(labels, head, label_smoothing)
    return loss


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
