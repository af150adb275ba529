"""Update rules by name: Keras' own, and three of tf.train's that Keras does not have.

g is the gradient, a the learning rate; every rule keeps its state in ordinary Keras variables. Where a rule differs
from the slides' form (tests/test_optimizers.py asserts each difference):

    sgd        x -= a g
    momentum   v = rho v - a g; x += v. The slides keep the rate outside: v = rho v + g; x -= a v. The same at a fixed
               rate; after a drop Keras' velocity still carries the old rate, and forgets it as rho^n.
    nesterov   v = rho v - a g; x += rho v - a g: the slides' -rho v_before + (1 + rho) v, rearranged.
    adagrad    G += g^2; x -= a g / sqrt(G + 1e-7): epsilon within the root. G starts at 0.1, on the slides at 0.
    rmsprop    G = gamma G + (1 - gamma) g^2; x -= a g / sqrt(G + 1e-7): epsilon within the root, not beside it.
    adam       x -= a sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(s) + 1e-7): the correction stands outside the root, so
               epsilon acts as 1e-7 / sqrt(1 - b2^t) does on the slides (3e-6 at t = 1).
    adadelta   G = rho G + (1 - rho) g^2; d = g sqrt(D + e) / sqrt(G + e); x -= a d; D = rho D + (1 - rho) d^2
               (Zeiler 2012 is a = 1). As in tf.train, where e is 1e-8; here 1e-7.
    ftrl       n' = n + g^2; z += g - (sqrt(n') - sqrt(n)) / a x; x = -soft(z, l1) a / sqrt(n') (McMahan et al. 2013),
               n from 0.1. As in tf.train. The first step keeps 1 - sqrt(0.1 / (0.1 + g^2)) of an initial weight:
               where gradients are small it all but erases them.
    adagrad_da, proximal_gradient_descent, proximal_adagrad   the classes below.

`epsilon=None` in a recipe leaves each its own: 1e-7 for adagrad, rmsprop, adam and adadelta; the others have none.

L1: a gradient step on |x| hovers around zero, a proximal step reaches it. So the rules that have a place for L1 (ftrl
and the three below) take the recipe's `l1` into their step, over the same variables as `losses.decayed_variables`, and
the loss must leave it out: `l1_in_loss(recipe)` is what belongs there. Weight decay is part of the loss for every rule.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from common.errors import unknown
from common.nn import losses
from common.recipe import Recipe

_L1_RULES = ("ftrl", "adagrad_da", "proximal_gradient_descent", "proximal_adagrad")


def soft_threshold(x, width):
    """sign(x) max(|x| - width, 0): the proximal step of width |x|."""
    return ops.sign(x) * ops.maximum(ops.abs(x) - width, 0.0)


class _L1Rule:
    """Mixed into optimizers that carry L1 in their step: tells its strength for one variable."""

    l1 = 0.0
    biases_and_norms = False

    def _index_and_l1(self, variable) -> tuple[int, float]:
        """Place of `variable` among those the optimizer was built for, and the L1 strength that holds for it."""
        index = self._get_variable_index(variable)
        counted = self.biases_and_norms or losses.is_weight(self._trainable_variables[index])
        return index, self.l1 if counted else 0.0

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


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer a recipe names; its `learning_rate` is a variable to be assigned at every step.

    It has no weight decay, clipping or averaging of its own: see `losses.regularisation`, `apply_gradients`,
    `averages.WeightAverage`. Its variables bear its name, e.g. `adam/conv1_kernel_momentum`.

    Raises:
        UserError: the name is not known.
    """
    shared = {"learning_rate": recipe.learning_rate, "name": recipe.optimizer}
    epsilon = {} if recipe.epsilon is None else {"epsilon": recipe.epsilon}
    l1 = {"l1": recipe.l1, "biases_and_norms": recipe.decay_biases_and_norms}
    momentum = float(recipe.momentum)
    makers = {
        "sgd": lambda: keras.optimizers.SGD(**shared),
        "momentum": lambda: Momentum(momentum=momentum, **shared),
        "nesterov": lambda: Momentum(momentum=momentum, nesterov=True, **shared),
        "adagrad": lambda: keras.optimizers.Adagrad(**shared, **epsilon),
        "rmsprop": lambda: keras.optimizers.RMSprop(rho=recipe.gamma, **shared, **epsilon),
        "adam": lambda: keras.optimizers.Adam(beta_1=recipe.beta_1, beta_2=recipe.beta_2, **shared, **epsilon),
        "adadelta": lambda: keras.optimizers.Adadelta(rho=recipe.rho, **shared, **epsilon),
        "ftrl": lambda: Ftrl(**shared, **l1),
        "adagrad_da": lambda: AdagradDA(**shared, **l1),
        "proximal_gradient_descent": lambda: ProximalGradientDescent(**shared, **l1),
        "proximal_adagrad": lambda: ProximalAdagrad(**shared, **l1),
    }
    if recipe.optimizer not in makers:
        raise unknown("--optimizer", recipe.optimizer, makers)
    return makers[recipe.optimizer]()


def l1_in_loss(recipe: Recipe) -> float:
    """The L1 weight that belongs in the loss: 0 where the optimizer's own step applies it."""
    return 0.0 if recipe.optimizer in _L1_RULES else recipe.l1


def caution(recipe: Recipe) -> str | None:
    """A line to print at the start of a run whose optimizer and schedule do not go together, else None."""
    if recipe.optimizer in ("ftrl", "adagrad_da") and (recipe.schedule != "constant" or recipe.warmup != "none"):
        return f"{recipe.optimizer} rescales every weight when the learning rate changes; --schedule constant fits it"
    if recipe.optimizer == "adadelta" and recipe.learning_rate < 0.1:
        return f"adadelta makes its own step size; its paper has learning rate 1, here {recipe.learning_rate:g}"
    return None


def clip_by_global_norm(gradients: Sequence[tf.Tensor | None], norm: float | tf.Tensor) -> list[tf.Tensor | None]:
    """Scales all gradients by norm / max(norm, N), N = sqrt(sum of all squares) (Pascanu et al. 2013).

    None stays None. Where a gradient is not finite all become NaN, so that the loss shows it.
    """
    return tf.clip_by_global_norm(list(gradients), norm)[0]


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[keras.Variable],
    clip_norm: float = 0.0,
) -> None:
    """Sums the gradients over replicas, clips the sum, takes one step. Call it in replica context.

    `optimizer.apply` sums over replicas itself, after its own clipping, and Keras 3 has no switch against it. So the
    gradients are summed here first, and each replica hands on its share, 1 / replicas of the clipped sum. That costs a
    second all-reduce, when clipping is on. Gradients may be of a scaled loss (LossScaleOptimizer): then `clip_norm`
    still counts in units of the true loss.

    Args:
        optimizer: already built.
        gradients: of this replica's share of the loss; None where there is none.
        variables: one for each gradient.
        clip_norm: greatest global norm; 0 does not clip.
    """
    if clip_norm:
        replica = tf.distribute.get_replica_context()
        present = [gradient for gradient in gradients if gradient is not None]
        if replica.num_replicas_in_sync > 1:
            present = replica.all_reduce(tf.distribute.ReduceOp.SUM, present)
        clipped = clip_by_global_norm(present, tf.cast(optimizer.scale_loss(clip_norm), present[0].dtype))
        shares = iter([gradient / replica.num_replicas_in_sync for gradient in clipped])
        gradients = [None if gradient is None else next(shares) for gradient in gradients]
    optimizer.apply(gradients, variables)
