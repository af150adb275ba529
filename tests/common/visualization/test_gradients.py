"""Saliency, SmoothGrad, guided back-propagation and integrated gradients against NumPy."""

import numpy as np
import pytest

import pointwise
from common.visualization import gradients, scores
from common.visualization.guided import Guided
from pointwise import close


def test_the_gradient_is_numpys():
    net, (x, classes) = pointwise.make(), pointwise.pictures()
    close(scores.predict(net.model, x), net.forward(x)[-1])
    found = gradients.gradient(net.model, x, classes, at_once=3)  # a last batch of one
    close(found, net.slopes(x, classes)[-1])
    assert found.dtype == np.float32


def test_saliency_is_the_largest_absolute_value_of_the_channels():
    values = np.array([[[[1.0, -3.0, 2.0], [0.5, 0.0, -0.25]]]])
    np.testing.assert_array_equal(gradients.saliency(values), [[[3.0, 0.5]]])


def test_in_bfloat16_the_gradient_is_that_of_float32_logits():
    """A network without kinks: where a ReLU's input is near 0, rounding would decide on its sign."""
    net, (x, classes) = pointwise.make("mixed_bfloat16", activation="none"), pointwise.pictures()
    found = gradients.gradient(net.model, x, classes)
    assert found.dtype == np.float32
    close(found, net.slopes(x, classes)[-1], 0.02)  # eight bits of mantissa


def test_smooth_gradient_is_the_mean_over_the_noisy_copies():
    net, (x, classes) = pointwise.make(), pointwise.pictures(2)
    found = gradients.smooth_gradient(net.model, x, classes, samples=7, noise=0.2, seed=3, at_once=4)
    wanted = []
    for place, (picture, label) in enumerate(zip(x, classes, strict=True)):
        noise = np.random.default_rng([3, place]).standard_normal((7, *picture.shape), np.float32)
        copies = picture + np.float32(0.2 * (picture.max() - picture.min())) * noise
        wanted.append(net.slopes(copies, np.full(7, label))[-1].mean(0))
    close(found, np.stack(wanted))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_guided_backpropagation_drops_negative_gradients_at_every_activation(activation):
    net, (x, classes) = pointwise.make(activation=activation, leaky_slope=0.3), pointwise.pictures()
    found = gradients.guided_backpropagation(net.model, x, classes)
    wanted = net.slopes(x, classes, guided=True)[-1]
    close(found, wanted)
    assert np.abs(wanted - net.slopes(x, classes)[-1]).max() > 0.1 * np.abs(wanted).max()  # it is another thing
    close(gradients.gradient(net.model, x, classes), net.slopes(x, classes)[-1])  # the network stays as it was


@pytest.mark.parametrize("activation", ["prelu", "maxout", "elu", "sigmoid", "tanh", "scaled_tanh", "relu6", "none"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_guided_networks_compute_what_the_network_does(activation, precision):
    net, (x, classes) = (
        pointwise.make(precision, activation=activation) if activation != "maxout" else (_maxout(precision)),
        pointwise.pictures(),
    )
    guided = gradients.guided(net.model)
    np.testing.assert_array_equal(scores.predict(guided, x), scores.predict(net.model, x))
    assert np.isfinite(gradients.gradient(guided, x, classes)).all()
    wrapped = [layer for layer in guided.layers if isinstance(layer, Guided)]
    assert len(wrapped) == (0 if activation == "none" else 2)


def _maxout(precision):
    """Maxout has twice the channels, which the NumPy network lacks; only its model is asked for."""
    return pointwise.Pointwise(pointwise.build(activation="maxout"), [])


def test_integrated_gradients_add_up_and_are_the_integral():
    net, (x, classes) = pointwise.make(), pointwise.pictures()
    baseline = np.full(x.shape[1:], -0.5, np.float32)
    found = gradients.integrated_gradients(net.model, x, classes, baseline)
    before = net.forward(baseline[None])[-1][0]
    difference = net.forward(x)[-1][np.arange(len(x)), classes] - before[classes]
    np.testing.assert_allclose(found.difference, difference, atol=1e-4)
    total = found.attributions.sum((1, 2, 3), dtype=np.float64)
    assert (np.abs(total - difference) <= 0.0101 * np.abs(difference)).all()
    np.testing.assert_allclose(found.gap, total - difference, atol=1e-3)
    shares = (np.arange(4000) + 0.5) / 4000
    for place, picture in enumerate(x):
        points = baseline + shares[:, None, None, None] * (picture - baseline)
        mean = net.slopes(points, np.full(4000, classes[place]))[-1].mean(0)
        close(found.attributions[place], (picture - baseline) * mean, share=0.05)


def test_integrated_gradients_of_a_linear_network_need_the_fewest_steps():
    net, (x, classes) = pointwise.make(activation="none"), pointwise.pictures()
    found = gradients.integrated_gradients(net.model, x, classes, np.zeros(x.shape[1:], np.float32))
    assert found.steps.tolist() == [gradients.LEAST_STEPS] * len(x)
    w1, _, w2, _, v, _ = net.weights
    close(found.attributions, x * ((v[:, classes].T / 16) @ w2.T @ w1.T)[:, None, None])
