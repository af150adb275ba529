"""Optimizers whose weight decay is decoupled from the gradient, or that scale each layer's step to its weights.

g is the gradient, a the learning rate, b the recipe's `decoupled_weight_decay`. b and the ratios of lars and lamb hold
for the variables that weight decay acts on (`losses.decayed_variables`); for the others b is 0 and the ratio 1.

    adamw   x -= a b x; then Adam's step (Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2)
    lion    x -= a b x; x -= a sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g (Chen et al. 2023, algorithm 2)
    lars    r = 0.001 |x| / (|g| + b |x|); v = rho v + r (g + b x); x -= a v (You et al. 2017, algorithm 1, its rate
            outside the velocity)
    lamb    u = Adam's m / (sqrt(s) + e) + b x, both corrected for their start; x -= a |x| / |u| u (You et al. 2020,
            algorithm 2, with the identity for phi)

A ratio whose numerator or denominator is 0 is 1. Keras' AdamW, Lion and Lamb decay at the optimizer's own rate, so that
a layer at a rate of its own (`finetuning.set_rates`) would decay at another's; its Lamb decays outside the ratio.
"""

from collections.abc import Callable

import keras
from keras import ops

from common.training.optimizer_rules import WeightRule


class _Decoupled(WeightRule):
    """Mixed into optimizers: decays a variable beside its step."""

    decay = 0.0
    assign: Callable  # of the optimizer

    def get_config(self):
        return super().get_config() | {"decay": self.decay, "biases_and_norms": self.biases_and_norms}


def _ratio(numerator, denominator):
    """numerator / denominator of two norms; 1 where either is 0."""
    usable = ops.logical_and(numerator > 0, denominator > 0)
    return ops.where(usable, numerator / ops.where(usable, denominator, 1.0), 1.0)


def _norm(tensor):
    return ops.sqrt(ops.sum(ops.square(tensor)))


class _ShrinksFirst(_Decoupled):
    """Mixed into Keras' optimizers: x -= a b x, then their own step."""

    def __init__(self, learning_rate=0.001, decay=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.decay, self.biases_and_norms = decay, biases_and_norms

    def update_step(self, gradient, variable, learning_rate):
        if self._counts(self._get_variable_index(variable)) and self.decay:
            rate = ops.cast(learning_rate, variable.dtype)
            self.assign(variable, variable * (1.0 - rate * self.decay))
        super().update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable("common")
class AdamW(_ShrinksFirst, keras.optimizers.Adam):
    """See the module's docstring."""


@keras.saving.register_keras_serializable("common")
class Lion(_ShrinksFirst, keras.optimizers.Lion):
    """See the module's docstring."""


@keras.saving.register_keras_serializable("common")
class Lars(_Decoupled, keras.optimizers.Optimizer):
    """See the module's docstring.

    Args:
        learning_rate: a.
        momentum: rho.
        trust: the 0.001 of the ratio (the paper's eta).
        decay: b.
        biases_and_norms: whether b and the ratio hold for them too.
    """

    def __init__(self, learning_rate=0.1, momentum=0.9, trust=0.001, decay=0.0, biases_and_norms=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum, self.trust = momentum, trust
        self.decay, self.biases_and_norms = decay, biases_and_norms

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        velocity = self._velocities[index]
        if self._counts(index):
            size = _norm(variable)
            ratio = _ratio(self.trust * size, _norm(gradient) + self.decay * size)
            gradient = ratio * (gradient + self.decay * variable)
        self.assign(velocity, self.momentum * velocity + gradient)
        self.assign_sub(variable, rate * velocity)

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "trust": self.trust}


@keras.saving.register_keras_serializable("common")
class Lamb(_Decoupled, keras.optimizers.Optimizer):
    """See the module's docstring.

    Args:
        learning_rate: a.
        beta_1, beta_2: decay of the means of g and of its square.
        epsilon: e.
        decay: b.
        biases_and_norms: whether b and the ratio hold for them too.
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        decay=0.0,
        biases_and_norms=False,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.decay, self.biases_and_norms = decay, biases_and_norms

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient, variable, learning_rate):
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(mean, (1.0 - self.beta_1) * (gradient - mean))
        self.assign_add(square, (1.0 - self.beta_2) * (ops.square(gradient) - square))
        corrected_mean = mean / (1.0 - ops.power(self.beta_1, step))
        corrected_square = square / (1.0 - ops.power(self.beta_2, step))
        update = corrected_mean / (ops.sqrt(corrected_square) + self.epsilon)
        if self._counts(index):
            update += self.decay * variable
            update *= _ratio(_norm(variable), _norm(update))
        self.assign_sub(variable, rate * update)

    def get_config(self):
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
