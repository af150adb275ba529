"""Ten steps of adamw, lamb, lars and lion against their papers' formulas in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.recipe import Recipe
from common.training import finetuning, optimizers

RATE, DECAY, BETA_1, BETA_2 = 0.125, 0.0625, 0.875, 0.984375  # exact in float32
START = np.array([[0.5, -1.0], [2.0, 0.25]])
GRADIENTS = np.random.default_rng(1).normal(size=(10, 2, 2)) * [1.0, 0.1]


def variable(name, start=START):
    with keras.name_scope("layer"):
        return keras.Variable(start, dtype="float64", name=name)


def run(optimizer, one, gradients=GRADIENTS):
    if not optimizer.built:
        optimizer.build([one])
    path = []
    for gradient in gradients:
        optimizers.apply_gradients(optimizer, [tf.constant(gradient)], [one])
        path.append(one.numpy())
    return np.array(path)


def make(name, **fields):
    betas = {"momentum": BETA_1, "beta_1": BETA_1, "beta_2": BETA_2}
    return optimizers.make_optimizer(Recipe(optimizer=name, learning_rate=RATE, **betas, **fields))


def norm(x):
    return np.sqrt(np.sum(x * x))


def adamw(x, b, b1=BETA_1, b2=BETA_2, e=1e-7):
    """Loshchilov & Hutter 2019, algorithm 2; Adam's epsilon where Keras has it (optimizers.py)."""
    m = s = 0
    for t, g in enumerate(GRADIENTS, 1):
        m, s = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g * g
        x = x - RATE * b * x - RATE * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(s) + e)
        yield x


def lion(x, b, b1=BETA_1, b2=BETA_2):
    m = 0
    for g in GRADIENTS:
        x = x - RATE * (np.sign(b1 * m + (1 - b1) * g) + b * x)
        m = b2 * m + (1 - b2) * g
        yield x


def lars(x, b, rho=BETA_1):
    v = 0
    for g in GRADIENTS:
        v = rho * v + 0.001 * norm(x) / (norm(g) + b * norm(x)) * (g + b * x)
        x = x - RATE * v
        yield x


def lamb(x, b, b1=BETA_1, b2=BETA_2, e=1e-6):
    m = s = 0
    for t, g in enumerate(GRADIENTS, 1):
        m, s = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g * g
        u = m / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + e) + b * x
        x = x - RATE * norm(x) / norm(u) * u
        yield x


FORMULAS = {"adamw": adamw, "lion": lion, "lars": lars, "lamb": lamb}


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("name", FORMULAS)
def test_ten_steps_of_a_kernel(name, decay):
    found = run(make(name, decoupled_weight_decay=decay), variable("kernel"))
    np.testing.assert_allclose(found, list(FORMULAS[name](START, decay)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_a_bias_does_not_decay_unless_asked(name):
    found = run(make(name, decoupled_weight_decay=DECAY), variable("bias"))
    np.testing.assert_allclose(found, list(FORMULAS[name](START, 0.0)), rtol=1e-6, atol=1e-9)
    asked = make(name, decoupled_weight_decay=DECAY, decay_biases_and_norms=True)
    np.testing.assert_allclose(run(asked, variable("bias")), list(FORMULAS[name](START, DECAY)), rtol=1e-6, atol=1e-9)


def test_a_bias_has_no_ratio():
    """lars: momentum with the rate outside; lamb: Adam with epsilon beside the corrected root."""
    v, x = 0, START
    for g, found in zip(GRADIENTS, run(make("lars", decoupled_weight_decay=DECAY), variable("bias")), strict=True):
        v = BETA_1 * v + g
        x = x - RATE * v
        np.testing.assert_allclose(found, x, rtol=1e-6)
    m = s = 0
    x = START
    found = run(make("lamb", decoupled_weight_decay=DECAY), variable("bias"))
    for t, (g, one) in enumerate(zip(GRADIENTS, found, strict=True), 1):
        m, s = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * s + (1 - BETA_2) * g * g
        x = x - RATE * m / (1 - BETA_1**t) / (np.sqrt(s / (1 - BETA_2**t)) + 1e-6)
        np.testing.assert_allclose(one, x, rtol=1e-5)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_weights_of_zero_begin_with_a_ratio_of_one(name):
    found = run(make(name), variable("kernel", np.zeros((2, 2))), GRADIENTS[:1])[0]
    step = GRADIENTS[0] if name == "lars" else np.sign(GRADIENTS[0])
    np.testing.assert_allclose(found, -RATE * step, rtol=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_gradient_of_zero_leaves_finite_weights(name):
    found = run(make(name), variable("kernel"), np.zeros((3, 2, 2)))
    np.testing.assert_array_equal(found[-1], START)


def test_the_classifier_decays_at_its_own_rate():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(2, name="b")])
    recipe = Recipe(optimizer="adamw", learning_rate=RATE, head_learning_rate=2 * RATE, decoupled_weight_decay=DECAY)
    optimizer = optimizers.make_optimizer(recipe)
    optimizer.build(model.trainable_variables)
    finetuning.set_rates(optimizer, model, recipe)
    before = [layer.kernel.numpy() for layer in model.layers]

    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    optimizers.apply_gradients(optimizer, zeros, model.trainable_variables)

    for layer, kernel, rate in zip(model.layers, before, (RATE, 2 * RATE), strict=True):
        np.testing.assert_allclose(layer.kernel.numpy(), kernel * (1 - rate * DECAY), rtol=1e-6)


def test_an_optimizer_without_a_decay_of_its_own_is_refused():
    with pytest.raises(UserError, match="--decoupled_weight_decay: momentum has none, only adamw, lamb, lars, lion"):
        make("momentum", decoupled_weight_decay=0.01)


def test_the_loss_decay_of_such_an_optimizer_is_remarked_on():
    assert "--decoupled_weight_decay" in optimizers.cautions(Recipe(optimizer="adamw", weight_decay=0.0005))[0]
    assert optimizers.cautions(Recipe(optimizer="adamw", weight_decay=0.0, decoupled_weight_decay=0.05)) == []
    assert optimizers.cautions(Recipe(optimizer="adamw", weight_decay=0.0005, decoupled_weight_decay=0.05)) == [
        "note: weight decay 0.0005 is also part of the loss, beside adamw's own of 0.05; --weight_decay 0 leaves it out"
    ]
    lion = Recipe(optimizer="lion", learning_rate=0.01)
    assert [line.split()[1] for line in optimizers.cautions(lion)] == ["weight", "lion's", "lion's"]
