"""Local response normalisation against its formula, and TensorFlow's own operation."""

import numpy as np
import pytest
import tensorflow as tf

from common import distribution, machine
from common.nn import layers
from common.nn.normalization import LocalResponseNormalization


def lrn_formula(a, k, n, alpha, beta):
    """b_i = a_i / (k + alpha sum over |j - i| <= n/2 of a_j^2)^beta, in NumPy and float64."""
    a, channels = np.float64(a), a.shape[-1]
    sums = [(a[..., max(0, i - n // 2) : i + n // 2 + 1] ** 2).sum(-1) for i in range(channels)]
    return a / (k + alpha * np.stack(sums, -1)) ** beta


@pytest.fixture(params=[False, True], ids=["cpu", "gpu"])
def where(request, monkeypatch):
    """The operations that a CPU, and those that a GPU computes; both can be computed here."""
    monkeypatch.setattr(machine, "gpu_visible", lambda: request.param)
    return "GPU" if request.param else "CPU"


def test_local_response_normalisation_is_tensorflows_on_a_gpu(where):
    graph = tf.function(LocalResponseNormalization()).get_concrete_function(tf.TensorSpec((2, 3, 3, 9))).graph
    operations = {operation.type for operation in graph.get_operations()}
    assert ("LRN" in operations) == (where == "GPU")
    assert ("MatMul" in str(graph.as_graph_def())) == (where == "CPU")


@pytest.mark.parametrize(("k", "n", "alpha", "beta"), [(2.0, 5, 1e-4, 0.75), (1.0, 5, 2e-5, 0.75), (1.5, 3, 1e-3, 0.5)])
def test_local_response_normalisation_equals_the_formula(rng, where, k, n, alpha, beta):
    a = rng.normal(scale=60.0, size=(2, 3, 3, 9)).astype("float32")
    np.testing.assert_allclose(layers.lrn(a, k, n, alpha, beta), lrn_formula(a, k, n, alpha, beta), rtol=1e-5)


@pytest.mark.parametrize(("n", "beta"), [(5, 0.75), (3, 0.5)])
def test_local_response_normalisation_has_the_gradient_of_its_formula(rng, where, n, beta):
    a, g = rng.normal(0, 30, (1, 2, 1, 7)), rng.normal(0, 30, (1, 2, 1, 7))
    wanted = np.empty_like(a)
    for place in np.ndindex(a.shape):  # differences of the formula
        step = np.zeros_like(a)
        step[place] = 1e-4
        ends = (lrn_formula(a + sign * step, 1.5, n, 1e-3, beta) for sign in (1, -1))
        wanted[place] = (np.subtract(*ends) * g).sum() / 2e-4
    image = tf.constant(a, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(image)
        found = layers.lrn(image, k=1.5, n=n, alpha=1e-3, beta=beta)
    np.testing.assert_allclose(tape.gradient(found, image, tf.constant(g, tf.float32)), wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("n", "beta"), [(5, 0.75), (3, 0.5)])
def test_the_product_on_a_cpu_gives_tensorflows_values_and_gradients(rng, n, beta):
    a, g = (tf.constant(rng.normal(0, 30, (2, 3, 4, 7)), tf.float32) for _ in range(2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(a)
        ours = layers.lrn(a, k=1.5, n=n, alpha=1e-3, beta=beta)
        theirs = tf.nn.lrn(a, depth_radius=n // 2, bias=1.5, alpha=1e-3, beta=beta)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, a, g), tape.gradient(theirs, a, g), rtol=1e-4, atol=1e-3)


def test_local_response_normalisation_in_bfloat16_is_float32s_rounded_once(rng, where):
    a = tf.cast(rng.normal(0, 30, (2, 3, 4, 7)), tf.bfloat16)
    with distribution.precision("mixed_bfloat16"):
        found = layers.lrn(a, alpha=1e-3)
    assert found.dtype == tf.bfloat16
    np.testing.assert_array_equal(found, tf.cast(layers.lrn(tf.cast(a, tf.float32), alpha=1e-3), tf.bfloat16))
