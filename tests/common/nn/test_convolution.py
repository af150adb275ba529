import numpy as np
import pytest
import tensorflow as tf

from common.nn.convolution import AveragePool, Conv


@pytest.fixture
def rng():
    return np.random.default_rng(7)


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
