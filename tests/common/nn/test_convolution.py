import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.nn import layers
from common.nn.convolution import AveragePool, Conv, MaxPool


@pytest.mark.parametrize("size", [(1, 7), (7, 1), (3, 1), (3, 5)])
def test_a_rectangular_window_keeps_the_size_of_the_map(rng, size):
    height, width = size
    x = rng.normal(size=(2, 9, 8, 3)).astype("float32")
    layer = Conv(4, size, use_bias=False)
    layer.build(x.shape)
    kernel = rng.normal(size=(height, width, 3, 4)).astype("float32")
    layer.set_weights([kernel])

    padded = np.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    places = [(i, j) for i in range(height) for j in range(width)]
    expected = sum(padded[:, i : i + 9, j : j + 8] @ kernel[i, j] for i, j in places)

    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape((None, 9, 8, 3)) == (None, 9, 8, 4)
    assert Conv.from_config(layer.get_config()).size == size


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding"), [(8, 3, 1, 1), (8, 3, 2, 1), (9, 3, 2, 1), (7, 5, 3, 2)]
)
def test_padding_does_not_count_in_an_average(rng, side, size, stride, padding):
    x = rng.normal(size=(2, side, side, 3)).astype("float32")
    layer = AveragePool(size, stride, padding)

    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=np.nan)
    starts = range(0, side + 2 * padding - size + 1, stride)
    windows = [[padded[:, i : i + size, j : j + size] for j in starts] for i in starts]
    expected = np.stack([np.stack([np.nanmean(window, (1, 2)) for window in row], 1) for row in windows], 1)

    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape((None, side, side, 3)) == (None, *expected.shape[1:])
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(traced(x), expected, rtol=1e-5, atol=1e-5)


def output_size(size, window, stride, padding, ceil=False):
    return int((np.ceil if ceil else np.floor)((size - window + 2 * padding) / stride)) + 1


def windows(x, size, stride, padding, ceil=False, fill=0.0):
    """(H', W', N, size, size, C): every window of x, the padding holding `fill`."""
    height, width = (output_size(side, size, stride, padding, ceil) for side in x.shape[1:3])
    over = 2 * size
    padded = np.pad(x, [(0, 0), (padding, padding + over), (padding, padding + over), (0, 0)], constant_values=fill)
    return np.stack(
        [
            [padded[:, i * stride : i * stride + size, j * stride : j * stride + size] for j in range(width)]
            for i in range(height)
        ]
    )


@pytest.mark.parametrize(
    ("size", "stride", "padding", "groups", "bias"),
    [
        (3, 1, 1, 1, True),
        (3, 2, 1, 1, False),
        (7, 2, 3, 1, True),
        (5, 1, 2, 2, True),
        (11, 4, 0, 1, True),
        (1, 2, 0, 1, False),
    ],
)
def test_convolution_equals_the_sum_over_windows(rng, size, stride, padding, groups, bias):
    x = rng.normal(size=(2, 14, 13, 4)).astype("float32")
    layer = Conv(6, size, stride, padding, groups, bias)
    layer.build(x.shape)
    kernel = rng.normal(size=(size, size, 4 // groups, 6)).astype("float32")
    layer.set_weights([kernel, np.arange(6, dtype="float32")] if bias else [kernel])

    parts = []
    for group in range(groups):  # each group of outputs sees its own slice of the input channels
        seen = windows(x[..., group * 4 // groups : (group + 1) * 4 // groups], size, stride, padding)
        weights = kernel[..., group * 6 // groups : (group + 1) * 6 // groups]
        parts.append(np.einsum("hwnijc,ijco->nhwo", seen, weights))
    expected = np.concatenate(parts, -1) + (np.arange(6) if bias else 0)

    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape((None, 14, 13, 4)) == (None, *expected.shape[1:])


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding", "ceil"),
    [
        (9, 3, 2, 0, False),
        (8, 3, 2, 0, True),
        (9, 3, 2, 0, True),
        (8, 3, 2, 1, False),
        (7, 3, 1, 1, False),
        (8, 2, 2, 0, False),
    ],
)
def test_max_pool_equals_the_largest_of_each_window(rng, side, size, stride, padding, ceil):
    x = rng.normal(size=(2, side, side, 3)).astype("float32") - 5.0  # all negative: padding must not win
    expected = windows(x, size, stride, padding, ceil, fill=-np.inf).max((3, 4)).transpose(2, 0, 1, 3)
    layer = MaxPool(size, stride, padding, ceil)

    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape((None, side, side, 3)) == (None, *expected.shape[1:])


def test_pools_with_ceil_give_googlenets_sizes():
    sizes = [112]
    for _ in range(4):
        sizes.append(MaxPool(3, 2, 0, True).compute_output_shape((None, sizes[-1], sizes[-1], 1))[1])

    assert sizes == [112, 56, 28, 14, 7]


def test_average_pool_equals_the_mean_of_each_window(rng):
    x = rng.normal(size=(2, 14, 14, 3)).astype("float32")
    expected = windows(x, 5, 3, 0).mean((3, 4)).transpose(2, 0, 1, 3)
    layer = AveragePool(5, 3)

    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 14, 14, 3)) == (None, 4, 4, 3)


def test_a_window_that_does_not_fit_is_refused_by_name():
    with pytest.raises(UserError, match="pool3: a 3x3 window does not fit a 2x2 map"):
        layers.max_pool(keras.Input((2, 2, 8)), 3, 2, name="pool3")


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 1, 2), (1, 2, 0), (7, 2, 3)])
@pytest.mark.parametrize("side", [7, 8, None])
def test_conv_is_that_of_explicit_padding(rng, size, stride, padding, side, groups):
    image = tf.constant(rng.normal(size=(2, side or 7, 9, 4)), tf.float32)
    layer = Conv(6, size, stride, padding, groups)
    layer.build((2, side, 9, 4))
    kernel, pads = tf.convert_to_tensor(layer.kernel), [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]
    conv = tf.function(layer, input_signature=[tf.TensorSpec([2, side, 9, 4])])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        towers = zip(tf.split(image, groups, -1), tf.split(kernel, groups, -1), strict=True)
        theirs = tf.concat([tf.nn.conv2d(part, weights, stride, pads) for part, weights in towers], -1)
        ours = conv(image)
        sums = [tf.reduce_sum(y**2) for y in (ours, theirs)]
    assert layer.compute_output_shape((2, side, 9, 4))[2:] == theirs.shape[2:]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(*(tape.gradient(total, image) for total in sums), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding", "ceil"), [(3, 2, 0, True), (3, 2, 1, False), (3, 1, 1, False)])
@pytest.mark.parametrize("side", [7, 8, 9, None])
def test_max_pool_is_that_of_explicit_padding(rng, size, stride, padding, ceil, side):
    """Values and gradients of TensorFlow's own, where the largest value of a window is one alone."""
    image = tf.constant(rng.permutation(2 * (side or 7) * 9 * 3).reshape(2, side or 7, 9, 3), tf.float32) - 200.0
    over = [(-(length + 2 * padding - size) % stride if ceil else 0) for length in image.shape[1:3]]
    pads = [[0, 0], *([padding, padding + more] for more in over), [0, 0]]
    pool = tf.function(MaxPool(size, stride, padding, ceil), input_signature=[tf.TensorSpec([2, side, 9, 3])])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        ours, theirs = pool(image), tf.nn.max_pool2d(image, size, stride, pads)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(tape.gradient(ours, image), tape.gradient(theirs, image))
