"""`WeightAverage`: an exponential moving average of a model's weights, for evaluation."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import keras
import tensorflow as tf


class WeightAverage:
    """Follows the weights of a model (Szegedy et al. 2016, section 8).

        average = d average + (1 - d) weight,   d = min(decay, t / (9 + t)),   t = 0, 1, 2 ...

    So the first update copies the weights and early ones forget quickly (tf.train.ExponentialMovingAverage's
    `num_updates`, counted from 1). Batch normalisation's moving statistics are averaged with the weights, since they
    belong to them; whole-number state, such as dropout's seeds, is left alone. Make it inside the strategy's scope.

    Each average has the path of the variable it follows: saved as a group, the averages can be restored over a model.
    """

    def __init__(self, model: keras.Model, decay: float):
        self.decay, self._strategy = decay, tf.distribute.get_strategy()
        self._followed = [v for v in model.variables if tf.as_dtype(v.dtype).is_floating]
        self.variables = [_twin(variable) for variable in self._followed]

    def update(self, steps: tf.Tensor) -> None:
        """Takes in the weights after `steps` steps (scalar, any number type). Call it in cross-replica context."""
        earlier = tf.maximum(tf.cast(steps, tf.float32) - 1.0, 0.0)
        decay = tf.minimum(self.decay, earlier / (9.0 + earlier))

        def move(average, weight):
            average.assign(tf.cast(decay, weight.dtype) * average + tf.cast(1.0 - decay, weight.dtype) * weight)

        for average, weight in zip(self.variables, self._followed, strict=True):
            self._strategy.extended.update(average.value, move, args=(weight.value,), group=False)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within it the model holds the averages; afterwards its own weights again, to the bit. Eager only."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, weight in zip(self.variables, self._followed, strict=True):
            before = weight.value.numpy()
            weight.assign(average.value.numpy())
            average.assign(before)


def _twin(variable: keras.Variable) -> keras.Variable:
    """A new variable with the path, shape, dtype and value of another, not trained."""
    *scopes, name = variable.path.split("/")
    with ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        shared = {"aggregation": variable.aggregation, "synchronization": variable.synchronization}
        return keras.Variable(variable.value.numpy(), trainable=False, dtype=variable.dtype, name=name, **shared)
