import numpy as np
import pytest
import tensorflow as tf

from common.nn.convolution import AveragePool, Conv


def by_hand(x, kernel, stride, before, after):
    """Every channel with its own window, or windows: kernel (k, k, 1, filters)."""
    size, filters = kernel.shape[0], kernel.shape[-1]
    x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    x = np.repeat(x, filters // x.shape[-1], axis=-1)
    places = range(0, x.shape[1] - size + 1, stride)
    rows = [[(x[:, i : i + size, j : j + size] * kernel[:, :, 0]).sum((1, 2)) for j in places] for i in places]
    return np.stack([np.stack(row, 1) for row in rows], 1)


@pytest.mark.parametrize(
    ("side", "stride", "padding", "filters"),
    [(7, 1, 1, 4), (8, 2, (0, 1), 4), (7, 2, (0, 1), 4), (8, 2, 1, 4), (8, 1, 0, 8)],
)
def test_each_channel_has_a_window_of_its_own(side, stride, padding, filters):
    random = np.random.default_rng(0)
    layer = Conv(filters, 3, stride, padding, groups=4)
    x = random.normal(size=(2, side, side, 4)).astype("float32")
    layer.build(x.shape)
    kernel = random.normal(size=(3, 3, 1, filters)).astype("float32")
    layer.set_weights([kernel, np.arange(filters, dtype="float32")])
    before, after = (padding, padding) if isinstance(padding, int) else padding

    wanted = by_hand(x, kernel, stride, before, after) + np.arange(filters)

    np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape((None, side, side, 4)) == (None, *wanted.shape[1:])
    assert layer.kernel.path.endswith("depthwise_kernel")
    assert Conv.from_config(layer.get_config()).padding == padding


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_in_bfloat16_are_those_of_float32_to_its_rounding(stride):
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 8, 8, 16)), random.normal(size=(3, 3, 1, 16))
    found = {}
    for dtype in ("float32", "mixed_bfloat16"):
        layer = Conv(16, 3, stride, (0, 1), groups=16, use_bias=False, dtype=dtype)
        layer.build(x.shape)
        layer.set_weights([kernel])
        image = tf.constant(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(image)
            y = tf.cast(layer(image), tf.float32)
            loss = tf.reduce_sum(y * np.linspace(-1, 1, y.shape.num_elements()).reshape(y.shape))
        found[dtype] = [tf.cast(g, tf.float32).numpy() for g in tape.gradient(loss, [image, layer.kernel.value])]
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_allclose(other, one, atol=0.02 * np.abs(one).max())


@pytest.mark.parametrize(("side", "size", "stride"), [(8, 3, 2), (9, 3, 2), (8, 2, 2), (7, 2, 2), (17, 3, 3)])
def test_an_average_pool_with_ceil_averages_what_its_windows_hold(side, size, stride):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")
    count = -(-(side - size) // stride) + 1
    starts = [stride * i for i in range(count)]
    rows = [[x[:, i : i + size, j : j + size].mean((1, 2)) for j in starts] for i in starts]
    wanted = np.stack([np.stack(row, 1) for row in rows], 1)
    pool = AveragePool(size, stride, ceil=True)

    np.testing.assert_allclose(pool(x), wanted, rtol=1e-5, atol=1e-6)
    assert pool.compute_output_shape((None, side, side, 3)) == (None, count, count, 3)
    anysize = tf.function(pool, input_signature=[tf.TensorSpec((2, None, None, 3))])
    np.testing.assert_allclose(anysize(x), wanted, rtol=1e-5, atol=1e-6)
