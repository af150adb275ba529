"""Ten steps of every optimizer against its formula, and against tf.train's twin where there is one."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import formulas
from common.errors import UserError
from common.recipe import Recipe
from common.runs import checkpoints
from common.training import optimizers
from common.training.optimizers import OPTIMIZERS

v1 = tf.compat.v1.train
RATE = 0.125  # exact in float32, which Keras keeps it in
START = np.array([0.5, -1.0, 2.0, 0.0, -0.25])
GRADIENTS = np.random.default_rng(0).normal(size=(10, 5)) * [1.0, 0.1, 3.0, 1e-3, 0.0]
TINY = GRADIENTS * 1e-7  # where epsilon tells
L1 = 0.0625


def kernel(start=START, name="kernel"):
    with keras.name_scope("layer"):
        return keras.Variable(start, dtype="float64", name=name)


def run(optimizer, gradients=GRADIENTS, rates=None, variable=None):
    """The weights after each step, (steps, 5) float64."""
    variable = kernel() if variable is None else variable
    if not optimizer.built:
        optimizer.build([variable])
    path = []
    for step, gradient in enumerate(gradients):
        if rates is not None:
            optimizer.learning_rate.assign(rates[step])
        optimizers.apply_gradients(optimizer, [tf.constant(gradient)], [variable])
        path.append(variable.numpy())
    return np.array(path)


def make(name, **fields):
    return optimizers.make_optimizer(Recipe(optimizer=name, learning_rate=RATE, **fields))


PROXIMAL = {
    "ftrl": formulas.ftrl,
    "adagrad_da": formulas.adagrad_da,
    "proximal_gradient_descent": formulas.proximal_gradient_descent,
    "proximal_adagrad": formulas.proximal_adagrad,
}


def check(found, formula, rtol=1e-6):
    """float64 weights; but 0.1 (initial accumulators) and l1 are rounded to float32 in Keras and in tf.train."""
    np.testing.assert_allclose(found, list(formula), rtol=rtol, atol=1e-12)


def differs(found, formula):
    return not np.allclose(found, list(formula), rtol=1e-4, atol=0)


def test_sgd():
    check(run(make("sgd")), formulas.sgd(START, GRADIENTS, RATE))


@pytest.mark.parametrize("rho", [0.9, 0.99])
def test_momentum_at_a_fixed_rate_is_the_slides(rho):
    found = run(make("momentum", momentum=rho))
    check(found, formulas.momentum(START, GRADIENTS, [RATE] * 10, rho))
    check(found, formulas.momentum_of_the_slides(START, GRADIENTS, [RATE] * 10, rho))


def test_momentum_carries_the_old_rate_over_a_drop():
    rates = [RATE] * 5 + [RATE / 8] * 5
    found = run(make("momentum", momentum=0.5), rates=rates)
    slides = np.array(list(formulas.momentum_of_the_slides(START, GRADIENTS, rates, 0.5)))
    check(found, formulas.momentum(START, GRADIENTS, rates, 0.5))
    np.testing.assert_allclose(found[:5], slides[:5], rtol=1e-12)
    # What is left over of the old velocity v moves the weights rho^n v further in the n-th step after the drop.
    velocity = sum(0.5 ** (4 - step) * GRADIENTS[step] for step in range(5))
    further = np.diff(found - slides, axis=0)[4:]
    expected = [-(0.5**n) * (RATE - RATE / 8) * velocity for n in range(1, 6)]
    np.testing.assert_allclose(further, expected, rtol=1e-9, atol=1e-14)


def test_nesterov_is_the_slides():
    check(run(make("nesterov", momentum=0.5)), formulas.nesterov_of_the_slides(START, GRADIENTS, RATE, 0.5))


def test_adagrad():
    check(run(make("adagrad")), formulas.adagrad(START, GRADIENTS, RATE, 0.1, 1e-7))
    assert differs(run(make("adagrad")), formulas.adagrad(START, GRADIENTS, RATE, 0.0, 1e-7))  # the slides' start
    from_zero = keras.optimizers.Adagrad(RATE, initial_accumulator_value=0.0)
    check(run(from_zero), formulas.adagrad(START, GRADIENTS, RATE, 0.0, 1e-7))


def test_adagrad_epsilon_stands_within_the_root():
    zero = np.zeros(5)
    found = run(keras.optimizers.Adagrad(RATE, initial_accumulator_value=0.0), TINY, variable=kernel(zero))
    check(found, formulas.adagrad(zero, TINY, RATE, 0.0, 1e-7))
    moved = np.abs(TINY[0]) > 0
    beside = np.array(list(formulas.adagrad(zero, TINY, RATE, 0.0, 0.0, 1e-7)))[:, moved]
    assert differs(found[:, moved], beside)
    assert (np.abs(beside[0]) > 3 * np.abs(found[0, moved])).all()  # sqrt(1e-7) is 3000 times 1e-7


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99, 0.999])
def test_rmsprop(gamma):
    check(run(make("rmsprop", gamma=gamma)), formulas.rmsprop(START, GRADIENTS, RATE, gamma, 1e-7))


def test_rmsprop_epsilon_stands_within_the_root():
    found = run(make("rmsprop", gamma=0.5), TINY)
    check(found, formulas.rmsprop(START, TINY, RATE, 0.5, 1e-7))
    assert differs(found, formulas.rmsprop(START, TINY, RATE, 0.5, 0.0, 1e-7))


def test_adam():
    found = run(make("adam"))
    # 0.999 is rounded to float32, and 1 - 0.999 with it: 1e-5 of itself
    check(found, formulas.adam(START, GRADIENTS, RATE, 0.9, 0.999, lambda t: 1e-7 / np.sqrt(1 - 0.999**t)), rtol=2e-5)
    slides = np.array(list(formulas.adam(START, GRADIENTS, RATE, 0.9, 0.999, lambda t: 1e-7)))
    np.testing.assert_allclose(found[:, :3], slides[:, :3], rtol=1e-4)  # ordinary gradients dwarf epsilon


def test_adam_epsilon_is_larger_at_first():
    found = run(make("adam", beta_1=0.5, beta_2=0.75), TINY)
    check(found, formulas.adam(START, TINY, RATE, 0.5, 0.75, lambda t: 1e-7 / np.sqrt(1 - 0.75**t)))
    assert differs(found, formulas.adam(START, TINY, RATE, 0.5, 0.75, lambda t: 1e-7))


def test_epsilon_of_the_recipe():
    check(run(make("rmsprop", epsilon=0.25)), formulas.rmsprop(START, GRADIENTS, RATE, 0.9, 0.25))
    own = {name: make(name).epsilon for name in ("adagrad", "rmsprop", "adam", "adadelta")}
    assert own == dict.fromkeys(own, 1e-7)


def twin(optimizer, step=None, dtype="float64"):
    variable = tf.Variable(START, dtype=dtype)
    path = []
    for gradient in GRADIENTS:
        optimizer.apply_gradients([(tf.constant(gradient, dtype), variable)], global_step=step)
        path.append(variable.numpy())
    return np.array(path)


def test_adadelta_and_its_twin():
    check(run(make("adadelta", rho=0.5)), formulas.adadelta(START, GRADIENTS, RATE, 0.5, 1e-7))
    check(twin(v1.AdadeltaOptimizer(RATE, 0.5, 1e-7)), formulas.adadelta(START, GRADIENTS, RATE, 0.5, 1e-7))
    own = twin(v1.AdadeltaOptimizer(RATE, 0.5))  # its own epsilon is 1e-8
    check(own, formulas.adadelta(START, GRADIENTS, RATE, 0.5, 1e-8))
    assert differs(own, formulas.adadelta(START, GRADIENTS, RATE, 0.5, 1e-7))


@pytest.mark.parametrize("l1", [0.0, L1])
@pytest.mark.parametrize("name", PROXIMAL)
def test_rules_with_l1_and_their_twins(name, l1):
    steps = tf.Variable(0, dtype=tf.int64)
    twins = {
        "ftrl": lambda: v1.FtrlOptimizer(RATE, l1_regularization_strength=l1),
        "adagrad_da": lambda: v1.AdagradDAOptimizer(RATE, steps, l1_regularization_strength=l1),
        "proximal_gradient_descent": lambda: v1.ProximalGradientDescentOptimizer(RATE, l1_regularization_strength=l1),
        "proximal_adagrad": lambda: v1.ProximalAdagradOptimizer(RATE, l1_regularization_strength=l1),
    }
    found = run(make(name, l1=l1))
    check(found, PROXIMAL[name](START, GRADIENTS, RATE, l1))
    # tf.train's proximal rules know only float32
    np.testing.assert_allclose(found, twin(twins[name](), steps, "float32"), rtol=1e-5, atol=1e-7)


def test_without_l1_the_proximal_rules_are_the_plain_ones():
    np.testing.assert_allclose(run(make("proximal_gradient_descent")), run(make("sgd")), rtol=1e-12)
    np.testing.assert_allclose(run(make("proximal_adagrad")), run(make("adagrad", epsilon=0.0)), rtol=1e-12)


def test_adagrad_da_uses_the_initial_weights_for_nothing():
    np.testing.assert_array_equal(run(make("adagrad_da")), run(make("adagrad_da"), variable=kernel(START + 7)))


@pytest.mark.parametrize("name", ["ftrl", "adagrad_da"])
def test_a_new_rate_rescales_every_weight(name):
    rates = [RATE] * 10 + [RATE / 8]
    path = run(make(name), np.vstack([GRADIENTS, np.zeros(5)]), rates)
    np.testing.assert_allclose(path[-1], path[-2] / 8, rtol=1e-12)
    assert "constant" in optimizers.cautions(Recipe(optimizer=name))[0]
    assert optimizers.cautions(Recipe(optimizer=name, schedule="constant")) == []


def test_rates_that_are_far_from_usual_are_remarked_on():
    assert "learning rate 1," in optimizers.cautions(Recipe(optimizer="adadelta", learning_rate=0.01))[0]
    assert optimizers.cautions(Recipe(optimizer="adadelta", learning_rate=1.0)) == []
    high = Recipe(optimizer="adam", learning_rate=0.1)
    assert optimizers.cautions(high) == ["note: adam's learning rate is usually 0.001, here 0.1"]
    assert optimizers.cautions(dataclasses.replace(high, learning_rate=0.01)) == []
    assert optimizers.cautions(Recipe()) == []


def test_lion_needs_a_mean():
    with pytest.raises(UserError, match=r"^--beta_1=0: lion needs more than 0"):
        optimizers.make_optimizer(Recipe(optimizer="lion", beta_1=0.0))


@pytest.mark.parametrize("name", PROXIMAL)
def test_l1_in_the_step_makes_zeros_of_weights_and_spares_biases(name):
    rng = np.random.default_rng(1)
    gradients = 0.01 * rng.normal(size=(20, 5))
    strong = make(name, l1=1.0)
    assert (run(strong, gradients)[-1] == 0).all()
    spared = run(make(name, l1=1.0), gradients, variable=kernel(name="bias"))
    np.testing.assert_array_equal(spared, run(make(name), gradients, variable=kernel(name="bias")))
    assert (spared[-1] != 0).all()
    counted = run(make(name, l1=1.0, decay_biases_and_norms=True), gradients, variable=kernel(name="bias"))
    assert (counted[-1] == 0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_l1_is_counted_once(name):
    recipe = Recipe(optimizer=name, l1=0.01)
    in_step = getattr(optimizers.make_optimizer(recipe), "l1", 0.0)
    assert sorted([in_step, optimizers.l1_in_loss(recipe)]) == [0.0, 0.01]


def test_unknown_name():
    recipe = Recipe()
    object.__setattr__(recipe, "optimizer", "adaam")
    with pytest.raises(UserError, match="did you mean adam"):
        optimizers.make_optimizer(recipe)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saved_state_goes_on_identically(name, tmp_path):
    whole = run(make(name, l1=L1))
    first, variable = make(name, l1=L1), kernel()
    run(first, GRADIENTS[:5], variable=variable)
    saved = checkpoints.save(tmp_path, {"step": 5}, {"model": [variable], "optimizer": first.variables})
    second, fresh = make(name, l1=L1), kernel(np.zeros(5))
    second.build([fresh])
    checkpoints.restore(checkpoints.open_checkpoint(saved), {"model": [fresh], "optimizer": second.variables})
    np.testing.assert_array_equal(run(second, GRADIENTS[5:], variable=fresh), whole[5:])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_config_makes_the_same_optimizer(name):
    first = make(name, l1=L1)
    second = type(first).from_config(first.get_config())
    np.testing.assert_array_equal(run(first), run(second))


def test_clip_by_global_norm():
    gradients = [tf.constant([3.0, 0.0]), None, tf.constant([[4.0]])]  # norm 5
    clipped = optimizers.clip_by_global_norm(gradients, 2.5)
    assert clipped[1] is None
    np.testing.assert_allclose(clipped[0], [1.5, 0.0])
    np.testing.assert_allclose(clipped[2], [[2.0]])
    np.testing.assert_array_equal(optimizers.clip_by_global_norm(gradients, 5.5)[0], [3.0, 0.0])
    assert np.isnan(optimizers.clip_by_global_norm([tf.constant([np.inf, 1.0])], 1.0)[0].numpy()).all()


def test_recipe_reaches_every_option():
    recipe = Recipe(learning_rate=RATE, momentum=0.7, gamma=0.6, rho=0.8, beta_1=0.4, beta_2=0.3, epsilon=0.01)
    made = {name: optimizers.make_optimizer(dataclasses.replace(recipe, optimizer=name)) for name in OPTIMIZERS}
    assert [made[name].momentum for name in ("sgd", "momentum", "nesterov")] == [0.0, 0.7, 0.7]
    assert [made[name].nesterov for name in ("sgd", "momentum", "nesterov")] == [False, False, True]
    assert (made["rmsprop"].rho, made["adadelta"].rho) == (0.6, 0.8)
    assert (made["adam"].beta_1, made["adam"].beta_2) == (0.4, 0.3)
    assert [made[name].epsilon for name in ("adagrad", "rmsprop", "adam", "adadelta")] == [0.01] * 4
    for name, optimizer in made.items():
        assert (optimizer.name, float(optimizer.learning_rate)) == (name, RATE)
        assert (optimizer.weight_decay, optimizer.global_clipnorm, optimizer.use_ema) == (None, None, False)
