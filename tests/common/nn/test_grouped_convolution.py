import numpy as np
import pytest
import tensorflow as tf

from common.nn import grouped_convolution
from common.nn.convolution import Conv

CASES = [  # channels, filters, groups, window, stride
    (8, 12, 2, 3, 1),
    (64, 64, 32, 3, 2),
    (64, 64, 16, 3, 1),
    (6, 6, 6, 3, 1),  # a window for each channel
    (3, 24, 3, 7, 2),  # eight for each channel
]


def convolved(x, kernel, groups, stride, padding):
    """Each group by itself, by its definition: a sum over the places of the window."""
    size = kernel.shape[0]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = [x[:, i : x.shape[1] - size + 1 + i : stride] for i in range(size)]
    places = [[row[:, :, j : x.shape[2] - size + 1 + j : stride] for j in range(size)] for row in rows]
    parts = []
    for part, weights in enumerate(np.split(kernel, groups, -1)):
        seen = slice(part * kernel.shape[2], (part + 1) * kernel.shape[2])
        parts.append(sum(places[i][j][..., seen] @ weights[i, j] for i in range(size) for j in range(size)))
    return np.concatenate(parts, -1)


def made(channels, filters, groups, size, stride, dtype="float32"):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 10, 10, channels)).astype("float32")
    layer = Conv(filters, size, stride, size // 2, groups, use_bias=False, dtype=dtype)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=layer.kernel.shape).astype("float32")])
    return layer, x


@pytest.fixture(params=["native gradient", "no native gradient"])
def _gradient(request, monkeypatch):
    """Both ways, whichever this machine has; the native one where it has it."""
    if request.param == "no native gradient":
        monkeypatch.setattr(grouped_convolution, "has_gradient", lambda: False)


@pytest.mark.usefixtures("_gradient")
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("channels", "filters", "groups", "size", "stride"), CASES)
def test_values_and_gradients(channels, filters, groups, size, stride, traced):
    layer, x = made(channels, filters, groups, size, stride)
    kernel = layer.kernel.numpy()
    weights = np.random.default_rng(2).normal(size=layer.compute_output_shape(x.shape)).astype("float32")

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * weights)
        return y, *tape.gradient(loss, [x, layer.kernel.value])

    y, of_x, of_kernel = (tf.function(step) if traced else step)(tf.constant(x))

    wide, many = x.astype("float64"), kernel.astype("float64")
    expected = convolved(wide, many, groups, stride, size // 2)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # The loss is linear in either: its change along a direction is the gradient's part in it.
    rng = np.random.default_rng(3)
    for gradient, direction, change in (
        (of_x, rng.normal(size=x.shape), lambda d: convolved(d, many, groups, stride, size // 2)),
        (of_kernel, rng.normal(size=kernel.shape), lambda d: convolved(wide, d, groups, stride, size // 2)),
    ):
        terms = change(direction) * weights
        assert np.sum(gradient.numpy() * direction) == pytest.approx(terms.sum(), abs=1e-5 * np.abs(terms).sum())


@pytest.mark.usefixtures("_gradient")
@pytest.mark.parametrize(("channels", "filters", "groups", "size", "stride"), CASES)
def test_bfloat16_is_close(channels, filters, groups, size, stride):
    layer, x = made(channels, filters, groups, size, stride, "mixed_bfloat16")
    with tf.GradientTape() as tape:
        y = tf.cast(layer(x), tf.float32)
        loss = tf.reduce_sum(y * y) / 2
    gradient = tape.gradient(loss, layer.kernel.value)
    expected = convolved(x, layer.kernel.numpy(), groups, stride, size // 2)
    assert gradient.dtype == tf.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=0.03 * np.abs(expected).max())
    # A loss of degree two in the kernel: its gradient's part in the kernel is twice the loss.
    assert np.sum(gradient.numpy() * layer.kernel.numpy()) == pytest.approx(2 * float(loss), rel=0.03)


def test_both_ways_compile(monkeypatch):
    for native in (True, False):
        monkeypatch.setattr(grouped_convolution, "has_gradient", lambda native=native: native)
        layer, x = made(8, 12, 2, 3, 1)
        compiled = tf.function(lambda x, layer=layer: layer(x), jit_compile=True)(x)
        expected = convolved(x, layer.kernel.numpy(), 2, 1, 1)
        np.testing.assert_allclose(compiled, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_two_groups_are_two_convolutions_of_half_the_channels():
    layer, x = made(8, 12, 2, 3, 1)
    halves = [
        tf.nn.conv2d(part, weights, 1, "SAME")
        for part, weights in zip(tf.split(x, 2, -1), tf.split(layer.kernel.value, 2, -1), strict=True)
    ]
    expected = tf.concat(halves, -1).numpy()
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
