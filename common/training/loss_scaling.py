"""Dynamic loss scaling: training in float16 without gradients that vanish."""

from collections.abc import Sequence

import keras
import tensorflow as tf

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000  # finite steps after which the scale is doubled


class LossScale:
    """The factor of the loss, float32, a power of two (Micikevicius et al. 2018, "Mixed Precision Training").

    float16 holds nothing below 6e-8: gradients of the later layers are smaller, and would be zero. Of a loss that is
    multiplied by `value` they are not; divided by it they are themselves again. Where one of them is too large for
    float16 the step is skipped and the scale halved; after 2,000 steps without that it is doubled.

    Whether the gradients are finite is asked once, of their sum over all replicas. (Keras' LossScaleOptimizer asks
    every replica about its own gradients, before they are summed, and goes by the first one's answer: what overflows
    on another replica reaches the weights of all.)

    Make it inside the strategy's scope. `variables` belong into the checkpoint.
    """

    def __init__(self, initial: float | None = None):
        self._value = _scalar("value", INITIAL_SCALE if initial is None else initial, "float32")
        self._finite_steps = _scalar("finite_steps", 0, "int64")
        self._skipped = _scalar("skipped", 0, "int64")
        self.variables = [self._value, self._finite_steps, self._skipped]

    @property
    def value(self) -> float:
        """The scale now."""
        return float(self._value.numpy())

    @property
    def skipped(self) -> int:
        """Steps that were skipped since the run began."""
        return int(self._skipped.numpy())

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss times the scale."""
        return loss * tf.convert_to_tensor(self._value)

    def unscaled(self, gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
        """Gradients of the scaled loss divided by the scale; None stays None."""
        scale = tf.convert_to_tensor(self._value)
        return [None if gradient is None else gradient / tf.cast(scale, gradient.dtype) for gradient in gradients]

    def count(self, finite: tf.Tensor) -> None:
        """Takes in whether a step's gradients were finite (scalar bool). Call it in cross-replica context."""
        scale, steps = tf.convert_to_tensor(self._value), tf.convert_to_tensor(self._finite_steps) + 1
        grows = steps >= GROWTH_STEPS
        self._value.assign(tf.where(finite, tf.where(grows, 2.0 * scale, scale), 0.5 * scale))
        self._finite_steps.assign(tf.where(tf.logical_and(finite, tf.logical_not(grows)), steps, 0))
        self._skipped.assign_add(tf.where(finite, tf.constant(0, tf.int64), 1))


def all_finite(gradients: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """Scalar bool: every value of every gradient is a finite number."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(one)) for one in gradients if one is not None])


def _scalar(name: str, value: float, dtype: str) -> keras.Variable:
    with keras.name_scope("loss_scale"):
        return keras.Variable(value, dtype=dtype, trainable=False, name=name)
