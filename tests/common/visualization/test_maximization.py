"""Gradient ascent on cases whose maximum is known."""

import numpy as np
import pytest

import pointwise
from common.nn import layers
from common.visualization import maximization
from common.visualization.maximization import Ascent

BLACK, WHITE = np.full((4, 4, 3), -1.0, np.float32), np.full((4, 4, 3), 3.0, np.float32)


def linear():
    """Logits w x, w = +1 or -1."""
    image = layers.image_input(4)
    model = layers.network(image, layers.logits(layers.flatten(image, name="flatten"), 2, name="fc"), "linear")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (48, 2)).astype(np.float32)
    model.set_weights([signs, np.zeros(2)])
    return model, signs


def test_a_linear_score_is_largest_at_a_corner_of_the_cube():
    model, signs = linear()
    ascent = Ascent(steps=40, rate=0.05, jitter=0, total_variation=0.0)
    found, reached = maximization.maximise(model, [0, 1], BLACK, WHITE, ascent=ascent)
    np.testing.assert_allclose(found, (signs.T.reshape(2, 4, 4, 3) > 0).astype(float), atol=1e-6)
    wanted = np.where(signs > 0, 3.0, 1.0).sum(0)  # white where w = 1, black where it is -1
    np.testing.assert_allclose(reached, wanted, rtol=1e-5)


def test_total_variation_is_half_the_sum_of_squared_steps():
    pictures = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    wanted = [(np.diff(one, axis=0) ** 2).sum() / 2 + (np.diff(one, axis=1) ** 2).sum() / 2 for one in pictures]
    np.testing.assert_allclose(maximization.total_variation(pictures).numpy(), wanted, rtol=1e-5)


def test_a_greater_penalty_gives_a_smoother_picture():
    model, _ = linear()
    rough = []
    for weight in (0.0, 1.0, 4.0):
        ascent = Ascent(steps=30, jitter=0, total_variation=weight)
        found, _ = maximization.maximise(model, [0], BLACK, WHITE, ascent=ascent)
        rough.append(maximization.total_variation(found).numpy()[0])
    assert rough[0] > 1.5 * rough[1] > 2 * rough[2]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_units_of_a_map_rise_and_a_seed_repeats_itself(precision):
    net = pointwise.make(precision)
    layer = net.model.get_layer("conv2_relu")
    start = Ascent(steps=0)
    _, before = maximization.maximise(net.model, [0, 3], BLACK, WHITE, layer, start)
    found, after = maximization.maximise(net.model, [0, 3], BLACK, WHITE, layer, Ascent(steps=20, jitter=1))
    assert (after > before + 1).all()
    again, _ = maximization.maximise(net.model, [0, 3], BLACK, WHITE, layer, Ascent(steps=20, jitter=1))
    np.testing.assert_array_equal(found, again)
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_silent_unit_is_roused_by_what_its_activation_takes_in():
    net = pointwise.make()
    assert maximization.before_activation(net.model.get_layer("conv2_relu")) is net.model.get_layer("conv2").output
    assert maximization.before_activation(net.model.get_layer("pool")) is net.model.get_layer("pool").output
