"""Optimizers by name: Keras' own, and three of tf.train's that Keras does not have.

g is the gradient, a the learning rate; every optimizer keeps its state in ordinary Keras variables. Where one differs
from the slides' form (tests/common/training/test_optimizers.py asserts each difference):

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
    adagrad_da, proximal_gradient_descent, proximal_adagrad   the classes of optimizer_rules.py.
    adamw, lamb, lars, lion   the classes of decoupled_rules.py.

`epsilon=None` in a recipe leaves each its own: 1e-7 for adagrad, rmsprop, adam, adamw and adadelta, 1e-6 for lamb; the
others have none.

L1: a gradient step on |x| hovers around zero, a proximal step reaches it. So the rules that have a place for L1 (ftrl
and the three below) take the recipe's `l1` into their step, over the same variables as `losses.decayed_variables`, and
the loss must leave it out: `l1_in_loss(recipe)` is what belongs there. The recipe's `weight_decay` is part of the loss
for every rule; `decoupled_weight_decay` is a second one, of adamw, lamb, lars and lion alone, which the loss lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import UserError, unknown
from common.lazy import lazy
from common.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:  # --help lists the names of the table below: TensorFlow waits until an optimizer is made
    keras = lazy("keras")
    tf = lazy("tensorflow")
rules = lazy("common.training.optimizer_rules")
decoupled_rules = lazy("common.training.decoupled_rules")


@dataclass(frozen=True)
class Entry:
    """How an optimizer is made.

    Attributes:
        make: recipe -> its own arguments -> the optimizer; the learning rate and the name are added.
        carries_l1: it applies L1 in its own step, so that the loss does not.
        decouples: it has a weight decay of its own, beside the gradient.
        usual_rate: the usual learning rate of one whose steps hardly depend on the gradient's size; far above it a run
            hears of it.
    """

    make: Callable[..., keras.optimizers.Optimizer]
    carries_l1: bool = False
    decouples: bool = False
    usual_rate: float | None = None


def _epsilon(recipe: Recipe) -> dict:
    return {} if recipe.epsilon is None else {"epsilon": recipe.epsilon}


def _l1(recipe: Recipe) -> dict:
    return {"l1": recipe.l1, "biases_and_norms": recipe.decay_biases_and_norms}


def _decay(recipe: Recipe) -> dict:
    return {"decay": recipe.decoupled_weight_decay, "biases_and_norms": recipe.decay_biases_and_norms}


def _betas(recipe: Recipe) -> dict:
    return {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2}


OPTIMIZERS: dict[str, Entry] = {
    "sgd": Entry(lambda _, **common: keras.optimizers.SGD(**common)),
    "momentum": Entry(lambda r, **common: rules.Momentum(momentum=float(r.momentum), **common)),
    "nesterov": Entry(lambda r, **common: rules.Momentum(momentum=float(r.momentum), nesterov=True, **common)),
    "adagrad": Entry(lambda r, **common: keras.optimizers.Adagrad(**common, **_epsilon(r))),
    "rmsprop": Entry(lambda r, **common: keras.optimizers.RMSprop(rho=r.gamma, **common, **_epsilon(r))),
    "adam": Entry(lambda r, **common: keras.optimizers.Adam(**_betas(r), **common, **_epsilon(r)), usual_rate=0.001),
    "adamw": Entry(
        lambda r, **common: decoupled_rules.AdamW(**_betas(r), **common, **_epsilon(r), **_decay(r)),
        decouples=True,
        usual_rate=0.001,
    ),
    "lamb": Entry(
        lambda r, **common: decoupled_rules.Lamb(**_betas(r), **common, **_epsilon(r), **_decay(r)), decouples=True
    ),
    "lars": Entry(lambda r, **common: decoupled_rules.Lars(momentum=r.momentum, **common, **_decay(r)), decouples=True),
    "lion": Entry(
        lambda r, **common: decoupled_rules.Lion(**_betas(r), **common, **_decay(r)), decouples=True, usual_rate=0.0001
    ),
    "adadelta": Entry(lambda r, **common: keras.optimizers.Adadelta(rho=r.rho, **common, **_epsilon(r))),
    "ftrl": Entry(lambda r, **common: rules.Ftrl(**common, **_l1(r)), carries_l1=True),
    "adagrad_da": Entry(lambda r, **common: rules.AdagradDA(**common, **_l1(r)), carries_l1=True),
    "proximal_gradient_descent": Entry(
        lambda r, **common: rules.ProximalGradientDescent(**common, **_l1(r)), carries_l1=True
    ),
    "proximal_adagrad": Entry(lambda r, **common: rules.ProximalAdagrad(**common, **_l1(r)), carries_l1=True),
}


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer a recipe names; its `learning_rate` is a variable to be assigned at every step.

    It has no weight decay, clipping or averaging of its own: see `losses.regularisation`, `apply_gradients`,
    `ema.WeightAverage`. Its variables are named after it, e.g. `adam/conv1_kernel_momentum`. Raises UserError for an
    unknown name, for one without a decoupled weight decay where the recipe has one, and for a lion without --beta_1.
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise unknown("--optimizer", recipe.optimizer, OPTIMIZERS)
    if recipe.decoupled_weight_decay and not OPTIMIZERS[recipe.optimizer].decouples:
        having = ", ".join(name for name, entry in OPTIMIZERS.items() if entry.decouples)
        raise UserError(f"--decoupled_weight_decay: {recipe.optimizer} has none, only {having}; use --weight_decay")
    if recipe.optimizer == "lion" and not recipe.beta_1:
        raise UserError("--beta_1=0: lion needs more than 0; its paper has 0.9")
    made = OPTIMIZERS[recipe.optimizer].make(recipe, learning_rate=recipe.learning_rate, name=recipe.optimizer)
    # Keras sums the gradients over replicas within the step, one by one and after its clipping, and has no switch
    # against it. Here they come summed, in one piece (replicas.py).
    made._all_reduce_sum_gradients = list
    return made


def l1_in_loss(recipe: Recipe) -> float:
    """The L1 weight that belongs in the loss: 0 where the optimizer's own step applies it."""
    return 0.0 if OPTIMIZERS[recipe.optimizer].carries_l1 else recipe.l1


def cautions(recipe: Recipe) -> list[str]:
    """Lines to print at the start of a run whose optimizer and other hyper-parameters do not go together."""
    name, rate, found = recipe.optimizer, f"here {recipe.learning_rate:g}", []
    if name in ("ftrl", "adagrad_da") and (recipe.schedule != "constant" or recipe.warmup != "none"):
        found.append(f"{name} rescales every weight when the learning rate changes; --schedule constant fits it")
    if OPTIMIZERS[name].decouples and recipe.weight_decay:
        loss = f"weight decay {recipe.weight_decay:g} is"
        if recipe.decoupled_weight_decay:
            own = f"{name}'s own of {recipe.decoupled_weight_decay:g}"
            found.append(f"{loss} also part of the loss, beside {own}; --weight_decay 0 leaves it out")
        else:
            found.append(f"{loss} part of the loss; {name}'s own is --decoupled_weight_decay, with --weight_decay 0")
    if name == "lion" and recipe.beta_2 > 0.99:
        found.append(f"lion's paper has --beta_2 0.99, here {recipe.beta_2:g}")
    usual = OPTIMIZERS[name].usual_rate
    if usual and recipe.learning_rate > 10 * usual:
        found.append(f"{name}'s learning rate is usually {usual:g}, {rate}")
    if name == "adadelta" and recipe.learning_rate < 0.1:
        found.append(f"adadelta makes its own step size; its paper has learning rate 1, {rate}")
    return [f"note: {line}" for line in found]


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
    """Clips the gradients and takes one step. Call it in replica context.

    Args:
        optimizer: of `make_optimizer`, already built.
        gradients: summed over replicas already (`replicas.summed`); None where there is none.
        variables: one for each gradient.
        clip_norm: greatest global norm; 0 does not clip.
    """
    optimizer.apply(clip_by_global_norm(gradients, clip_norm) if clip_norm else gradients, variables)
