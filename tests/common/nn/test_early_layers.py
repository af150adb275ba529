import keras
import numpy as np
import pytest
import tensorflow as tf

from common import distribution
from common.nn import early, initializers, layers
from common.nn.early_layers import Distances, FanInUniform, Grey, Subsampling, TableConv
from common.style import styled
from zoo import lenet

TABLE = ((0, 2), (1,), (0, 1, 2), (2, 0))


def test_grey_is_the_mean_of_the_channels_in_units_of_200(rng):
    x = rng.uniform(-128, 128, (2, 4, 5, 3)).astype("float32")

    np.testing.assert_allclose(Grey()(x)[..., 0], x.mean(-1) / 200, rtol=1e-5, atol=1e-6)


def test_a_table_of_connections_is_the_sum_over_the_maps_it_names(rng):
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    layer = TableConv(TABLE, 3)
    layer.build(x.shape)
    windows, bias = rng.normal(size=(3, 3, 8)), rng.normal(size=4)
    layer.set_weights([windows, bias])
    expected, pair = np.zeros((2, 5, 4, 4)) + bias, 0
    for number, sources in enumerate(TABLE):
        for source in sources:
            for i, j in np.ndindex(3, 3):
                expected[..., number] += windows[i, j, pair] * x[:, i : i + 5, j : j + 4, source]
            pair += 1

    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-4)
    assert layer.compute_output_shape((None, 7, 6, 3)) == (None, 5, 4, 4)


def test_the_windows_of_a_map_are_standardised_together(rng):
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    plain, standard = TableConv(TABLE, 3), TableConv(TABLE, 3, standardize=True)
    windows, bias = rng.normal(3.0, 2.0, (3, 3, 8)), rng.normal(size=4)
    of_maps = np.split(windows, [2, 3, 6], -1)
    by_hand = np.concatenate([(some - some.mean()) / some.std() for some in of_maps], -1)
    for layer, weights in ((standard, windows), (plain, by_hand)):
        layer.build(x.shape)
        layer.set_weights([weights, bias])

    np.testing.assert_allclose(standard(x), plain(x), rtol=0, atol=1e-4)
    assert TableConv.from_config(standard.get_config()).standardize


def test_weight_standardisation_reaches_the_table_of_1998():
    model = lenet.build_1998(norm="batch", weight_standardization=True)
    assert model.get_layer("c3").standardize
    assert not lenet.build_1998(norm="batch").get_layer("c3").standardize


def test_maps_of_a_table_start_differently_and_as_wide_as_their_inputs_ask():
    layer = TableConv(((0, 1), (0, 1), (0, 1, 2, 3)), 20, FanInUniform())
    layer.build((None, 32, 32, 4))
    drawn = layer.kernel.numpy().reshape(400, 8)

    assert not np.isin(drawn[:, :2], drawn[:, 2:4]).any()
    limits = np.repeat([2.4 / 800, 2.4 / 1600], 4)
    assert (np.abs(drawn).max(0) <= limits).all()
    np.testing.assert_allclose(drawn.std(0), limits / np.sqrt(3), rtol=0.1)


def test_the_initializer_of_1998_is_2_4_over_the_inputs():
    drawn = initializers.make_initializer("lecun1998")((5, 5, 16, 120)).numpy()

    assert np.abs(drawn).max() == pytest.approx(2.4 / 400, rel=0.01)
    assert drawn.std() == pytest.approx(2.4 / 400 / np.sqrt(3), rel=0.02)


def test_subsampling_adds_up_four_places_times_a_coefficient_plus_a_bias(rng):
    x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    layer = Subsampling()
    layer.build(x.shape)
    assert (np.abs(layer.coefficient) <= 0.6).all()
    layer.set_weights([np.array([1.0, 2.0, -3.0]), np.array([0.1, 0.2, 0.3])])
    sums = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]

    np.testing.assert_allclose(layer(x), sums * [1, 2, -3] + [0.1, 0.2, 0.3], rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 6, 3)) == (None, 2, 3, 3)


def test_distances_are_squared_and_negative(rng):
    x, codes = rng.normal(size=(4, 84)).astype("float32"), rng.choice([-1.0, 1.0], (10, 84))
    expected = -((x[:, None] - codes) ** 2).sum(-1)

    np.testing.assert_allclose(Distances(codes)(x), expected, rtol=1e-5)
    np.testing.assert_allclose(Distances(codes)(x.reshape(2, 2, 1, 84)), expected.reshape(2, 2, 1, 10), rtol=1e-5)


@styled(initializer="lecun1998", activation="scaled_tanh")
def small():
    x = image = layers.image_input(12)
    x = early.table_conv(early.grey(x, name="grey"), ((0,), (0,)), 5, name="c3")
    x = layers.flatten(early.subsample(x, name="s4"), name="flatten")
    return layers.network(image, early.distances(x, lenet.codes(3)[:, :32], name="output"), "small")


def test_a_saved_network_is_the_same_network(rng, tmp_path):
    model, x = small(), rng.normal(0, 60, (2, 12, 12, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")

    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    np.testing.assert_array_equal(again(x), model(x))


def test_bfloat16_computes_the_distances_in_float32(rng):
    with distribution.precision("mixed_bfloat16"):
        model = small(norm="group")

    assert tf.as_dtype(model.get_layer("s4").output.dtype) == tf.bfloat16
    assert tf.as_dtype(model.output.dtype) == tf.float32
    assert model.get_layer("c3_gn").groups == 2
