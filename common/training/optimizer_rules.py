"""The optimizers that Keras lacks, or computes in more passes than it must. The table of all is in optimizers.py."""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from common.nn import losses


def soft_threshold(x, width):
    """sign(x) max(|x| - width, 0): the proximal step of width |x|."""
    return ops.sign(x) * ops.maximum(ops.abs(x) - width, 0.0)


class WeightRule:
    """Mixed into optimizers that treat weights in another way than biases and norms: tells them apart."""

    biases_and_norms = False
    _get_variable_index: Callable  # of the optimizer
    _trainable_variables: list

    def _counts(self, index: int) -> bool:
        """Whether the variable of this place among those the optimizer was built for is one that decays."""
        return losses.decays(self._trainable_variables[index], self.biases_and_norms)


class _L1Rule(WeightRule):
    """Mixed into optimizers that carry L1 in their step: tells its strength for one variable."""

    l1 = 0.0

    def _index_and_l1(self, variable) -> tuple[int, float]:
        """Place of `variable` among those the optimizer was built for, and the L1 strength that holds for it."""
        index = self._get_variable_index(variable)
        return index, self.l1 if self._counts(index) else 0.0

    def get_config(self):
        return super().get_config() | {"l1": self.l1, "biases_and_norms": self.biases_and_norms}


@keras.saving.register_keras_serializable("common")
class Momentum(keras.optimizers.SGD):
    """Keras' SGD with momentum, computed by the one operation that TensorFlow has for that rule.

    Keras' own takes six, each a pass over values as large as the variable (docs/speed.md).
    """

    def update_step(self, gradient, variable, learning_rate):
        if not self.momentum:  # then Keras makes no velocity
            super().update_step(gradient, variable, learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        dtype = variable.dtype
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=ops.cast(learning_rate, dtype),
            grad=ops.cast(gradient, dtype),
            momentum=ops.cast(self.momentum, dtype),
            use_nesterov=self.nesterov,
        )


@keras.saving.register_keras_serializable("common")
class ProximalGradientDescent(_L1Rule, keras.optimizers.Optimizer):
    """x = soft(x - a g, a l1), soft(u, w) = sign(u) max(|u| - w, 0) (Duchi & Singer 2009, FOBOS).

    With l1 = 0 it is sgd. As `tf.compat.v1.train.ProximalGradientDescentOptimizer`; no state of its own.
    """

    def __init__(self, learning_rate=0.01, l1=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l1, self.biases_and_norms = l1, biases_and_norms

    def update_step(self, gradient, variable, learning_rate):
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        _, l1 = self._index_and_l1(variable)
        moved = variable - rate * gradient
        self.assign(variable, soft_threshold(moved, rate * l1) if l1 else moved)


@keras.saving.register_keras_serializable("common")
class ProximalAdagrad(_L1Rule, keras.optimizers.Optimizer):
    """G += g^2; b = a / sqrt(G); x = soft(x - b g, b l1) (Duchi & Singer 2009 with Adagrad's rate for each weight).

    As `tf.compat.v1.train.ProximalAdagradOptimizer`: G starts at 0.1 and there is no epsilon, so with l1 = 0 it is
    adagrad without one.
    """

    def __init__(self, learning_rate=0.01, initial_accumulator=0.1, l1=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator, self.l1, self.biases_and_norms = initial_accumulator, l1, biases_and_norms

    def build(self, variables):
        if not self.built:
            super().build(variables)
            start = keras.initializers.Constant(self.initial_accumulator)
            self._squares = self.add_optimizer_variables(variables, "squares", initializer=start)

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        index, l1 = self._index_and_l1(variable)
        squares = self._squares[index]
        self.assign_add(squares, ops.square(gradient))
        rate = ops.cast(learning_rate, variable.dtype) / ops.sqrt(squares)
        moved = variable - rate * gradient
        self.assign(variable, soft_threshold(moved, rate * l1) if l1 else moved)

    def get_config(self):
        return super().get_config() | {"initial_accumulator": self.initial_accumulator}


@keras.saving.register_keras_serializable("common")
class AdagradDA(_L1Rule, keras.optimizers.Optimizer):
    """S += g; G += g^2; x = -a soft(S, t l1) / sqrt(G), t = 1, 2 ... the step (Duchi et al. 2011, dual averaging).

    As `tf.compat.v1.train.AdagradDAOptimizer`, G starting at 0.1; its t comes from a global step that the caller must
    count, here from `iterations`. x is rebuilt from the sums at every step: the initial weights serve for the first
    gradient only, and a new learning rate rescales every weight.
    """

    def __init__(self, learning_rate=0.01, initial_accumulator=0.1, l1=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator, self.l1, self.biases_and_norms = initial_accumulator, l1, biases_and_norms

    def build(self, variables):
        if not self.built:
            super().build(variables)
            start = keras.initializers.Constant(self.initial_accumulator)
            names, starts = ["sum", "squares"], ["zeros", start]
            self._sums, self._squares = self.add_optimizer_variables(variables, names, initializer=starts)

    def update_step(self, gradient, variable, learning_rate):
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        index, l1 = self._index_and_l1(variable)
        total, squares = self._sums[index], self._squares[index]
        self.assign_add(total, gradient)
        self.assign_add(squares, ops.square(gradient))
        step = ops.cast(self.iterations + 1, variable.dtype)
        kept = soft_threshold(total, step * l1) if l1 else total
        self.assign(variable, -rate * kept / ops.sqrt(squares))

    def get_config(self):
        return super().get_config() | {"initial_accumulator": self.initial_accumulator}


@keras.saving.register_keras_serializable("common")
class Ftrl(_L1Rule, keras.optimizers.Ftrl):
    """Keras' Ftrl, whose L1 leaves biases and norms alone. See the module's docstring for the rule.

    A new learning rate rescales every weight: sqrt(n) / a changes at once, z only step by step.
    """

    def __init__(self, learning_rate=0.01, l1=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l1, self.biases_and_norms = l1, biases_and_norms

    def update_step(self, gradient, variable, learning_rate):
        _, self.l1_regularization_strength = self._index_and_l1(variable)
        super().update_step(gradient, variable, learning_rate)
