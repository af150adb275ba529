import keras
import numpy as np
import pytest
import tensorflow as tf

import tables
from cli import features, registry
from common import distribution
from common.errors import UserError
from common.nn import fully_convolutional, initializers, layers, losses
from common.nn.activations import Maxout, PReLU, ScaledTanh
from common.style import styled

# --activation -> the formula in float64.
FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.1 * x),
    "prelu": lambda x: np.where(x > 0, x, 0.25 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "scaled_tanh": lambda x: 1.7159 * np.tanh(2 * x / 3),
    "none": lambda x: x,
}
POINTS = np.array([[-20.0, -6.5, -2.0, -1.0, -0.3, 0.2, 1.0, 3.0, 5.5, 7.0]])


@styled(initializer="he")
def alone():
    given = keras.Input((POINTS.shape[1],))
    return layers.network(given, layers.relu(given, name="relu"), "alone")


@styled(initializer="he")
def small(convolutions=2):
    x = image = layers.image_input(8)
    for number in range(1, convolutions + 1):
        x = layers.conv(x, 6, 3, padding=1, groups=number, name=f"conv{number}")
    x = layers.fc(layers.flatten(x, name="flatten"), 5, name="fc7")
    return layers.network(image, layers.logits(x, 3, name="fc8"), "small")


def test_every_activation_but_maxout_has_its_formula():
    assert layers.ACTIVATIONS.keys() == FORMULAS.keys() | {"maxout"}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradient_are_the_formulas(name):
    x = tf.constant(POINTS, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = alone(activation=name)(x)
    formula, step = FORMULAS[name], 1e-6

    np.testing.assert_allclose(y, formula(POINTS), rtol=1e-5, atol=1e-6)
    difference = (formula(POINTS + step) - formula(POINTS - step)) / (2 * step)
    np.testing.assert_allclose(tape.gradient(y, x), difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "value"), [("leaky_relu", {"leaky_slope": 0.3}, -0.6), ("elu", {"elu_alpha": 2.0}, -1.729329)]
)
def test_slope_and_alpha_are_options(name, options, value):
    assert alone(activation=name, **options)(np.full((1, 10), -2.0, "float32")).numpy()[0, 0] == pytest.approx(value)


def test_the_scaled_tanh_maps_1_to_1():
    np.testing.assert_allclose(ScaledTanh()(tf.constant([-1.0, 1.0])), [-1.0, 1.0], atol=1e-4)


@pytest.mark.parametrize(("policy", "step"), [("mixed_bfloat16", 2**-7), ("mixed_float16", 2**-10)])
@pytest.mark.parametrize("name", sorted(FORMULAS.keys() - {"none"}))
def test_half_precision(name, policy, step):
    with distribution.precision(policy):
        y = alone(activation=name)(tf.constant(POINTS, tf.float32))

    assert y.dtype == {"mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16}[policy]
    np.testing.assert_allclose(tf.cast(y, tf.float32), FORMULAS[name](POINTS), rtol=2 * step, atol=step)


@pytest.mark.parametrize("shape", [(4, 5, 3, 6), (7, 6)])
def test_prelu_learns_one_slope_a_channel(shape):
    random = np.random.default_rng(0)
    x, g = random.normal(size=shape).astype("float32"), random.normal(size=shape).astype("float32")
    layer = PReLU()
    layer.build(shape)
    np.testing.assert_array_equal(layer.slope, np.full(6, 0.25))
    slopes = np.linspace(-0.5, 0.5, 6)
    layer.slope.assign(slopes)
    with tf.GradientTape() as tape:
        y = layer(x)
    gradient = tape.gradient(y, layer.slope.value, g)

    np.testing.assert_allclose(y, np.where(x > 0, x, slopes * x), rtol=1e-6)
    wanted = np.where(x > 0, 0, g * x).reshape(-1, 6).sum(0)
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-4)


def test_weight_decay_never_acts_on_the_slopes():
    model = small(activation="prelu")

    paths = [variable.path for variable in losses.decayed_variables(model, biases_and_norms=True)]

    assert [path.rsplit("/", 1)[-1] for path in paths] == ["kernel", "bias"] * 4
    assert len(model.trainable_variables) == 11  # and 3 slopes


@pytest.mark.parametrize(("pieces", "groups"), [(2, 1), (3, 1), (2, 2), (2, 4)])
def test_maxout_is_the_largest_of_a_units_pieces(pieces, groups):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4 * pieces)).astype("float32")
    expected = np.empty((2, 3, 3, 4), "float32")
    for unit in range(4):
        group, within = divmod(unit, 4 // groups)
        first = group * pieces * (4 // groups) + within  # the group's channels, piece after piece
        expected[..., unit] = np.max([x[..., first + piece * (4 // groups)] for piece in range(pieces)], 0)

    np.testing.assert_array_equal(Maxout(pieces, groups)(x), expected)
    assert Maxout(pieces, groups).compute_output_shape((None, 3, 3, 4 * pieces)) == (None, 3, 3, 4)


def test_maxout_passes_the_gradient_to_the_largest_piece():
    x = tf.constant([[1.0, 5.0, 3.0, 2.0]])  # units (1, 3) and (5, 2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Maxout(2)(x)
    np.testing.assert_array_equal(tape.gradient(y, x, tf.constant([[10.0, 20.0]])), [[0, 20.0, 10.0, 0]])


def test_maxout_gives_the_layer_before_k_times_the_channels():
    model = small(activation="maxout", maxout_pieces=3)

    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers if layer.name.startswith(("conv2", "fc"))}
    assert shapes == {"conv2": (8, 8, 18), "conv2_maxout": (8, 8, 6), "fc7": (15,), "fc7_maxout": (5,), "fc8": (3,)}
    rows = {row.name: row for row in tables.summarise("alexnet", activation="maxout").rows}
    assert (rows["conv1"].parameters, rows["conv2"].parameters) == (2 * 34944, 2 * 614656)
    assert rows["conv1_maxout"].kind == "maxout"
    assert rows["conv1_maxout"].activation_values == 55 * 55 * 96 == rows["conv1"].activation_values // 2


def test_maxout_behind_a_sum_is_refused_in_one_line():
    with pytest.raises(
        UserError, match=r"^--activation=maxout: conv2_1_maxout stands alone, as after a sum;"
    ) as caught:
        registry.find("resnet20").build(activation="maxout")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_layers_are_named_by_their_activation_and_found_by_the_convolutions(name):
    model = small(activation=name, norm="group")
    ending = "_gn" if name == "none" else f"_{name}"

    assert features.find_layer(model, "conv2").name == f"conv2{ending}"
    assert features.classifier_input(model) == features.find_layer(model, "fc7")
    assert features.find_layer(model, "fc7").name == ("fc7" if name == "none" else f"fc7{ending}")


def test_a_residual_block_is_found_whatever_its_activation():
    for activation in ("relu", "elu"):
        model = registry.find("resnet20").build(activation=activation)
        assert features.find_layer(model, "conv2_1").name == f"conv2_1_{activation}"
        assert features.find_layer(model, "conv2_1_conv2").name == "conv2_1_conv2_bn"


@pytest.mark.parametrize(
    ("style", "gain"),
    [
        ({}, 2.0),
        ({"activation": "leaky_relu"}, 2 / 1.01),
        ({"activation": "leaky_relu", "leaky_slope": 0.3}, 2 / 1.09),
        ({"activation": "prelu"}, 2 / 1.0625),
        ({"activation": "elu"}, 2.0),
        ({"activation": "none"}, 1.0),
        ({"activation": "maxout"}, 1.0),
    ],
)
def test_hes_gain_follows_the_activation(style, gain):
    @styled(initializer="he")
    def gained():
        return initializers.make_initializer("he").scale

    assert gained(**style) == pytest.approx(gain)
    random, name = np.random.default_rng(0).normal(size=(2, 10**6)), style.get("activation", "relu")
    if name in ("relu", "leaky_relu", "prelu", "none"):  # the variance stays: gain E[f(z)^2] = 1
        slope = {"relu": 0, "prelu": 0.25, "none": 1}.get(name, style.get("leaky_slope", 0.1))
        assert np.mean(np.where(random[0] > 0, random[0], slope * random[0]) ** 2) == pytest.approx(1 / gain, rel=0.01)
    if name == "maxout":
        assert np.mean(random.max(0) ** 2) == pytest.approx(1 / gain, rel=0.01)


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_the_table_of_costs_knows_every_activation(name):
    parameters, operations = tables.costs("alexnet", activation=name)
    more = {"prelu": 96 + 256 + 384 + 384 + 256 + 4096 + 4096}.get(name, 0)

    if name != "maxout":
        assert (parameters, operations) == (62378344 + more, 1135)


def test_a_saved_network_with_each_activation_is_the_same_network(tmp_path):
    images = np.random.default_rng(0).normal(0, 60, (2, 8, 8, 3)).astype("float32")
    for name in layers.ACTIVATIONS:
        model = small(activation=name)
        model.save(tmp_path / "model.keras")
        np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), model(images))


@pytest.mark.parametrize("name", ["prelu", "maxout", "elu"])
def test_the_fully_convolutional_form_is_the_same(name):
    model = small(activation=name)
    images = np.random.default_rng(0).normal(0, 60, (2, 8, 8, 3)).astype("float32")

    wanted = model(images).numpy()
    found = fully_convolutional.convert(model)(images).numpy()[:, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@styled(initializer="he", norm="batch")
def normalised(image, number):
    return layers.conv(image, 4, 3, padding=1, name=f"conv{number}")


@pytest.mark.parametrize(("policy", "step"), [("float32", 1e-5), ("mixed_bfloat16", 2**-6)])
@pytest.mark.parametrize("training", [False, True])
def test_behind_batch_norm_a_graph_computes_what_its_layers_do(policy, step, training):
    """TensorFlow fuses convolution, batch norm and activation in graphs, and not all that it fuses it can compute."""
    with distribution.precision(policy):
        image = layers.image_input(6)
        outputs = {name: normalised(image, number, activation=name) for number, name in enumerate(layers.ACTIVATIONS)}
        model = layers.network(image, outputs, "branches")
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            spread = np.linspace(0.5, 1.5, layer.gamma.shape[0])
            layer.set_weights([spread, spread - 1.0, 0.6 - spread, spread])
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32")

    wanted = model(images, training=training)
    found = tf.function(lambda x: model(x, training=training))(images)

    for name in layers.ACTIVATIONS:
        one, other = (np.asarray(tf.cast(values[name], tf.float32)) for values in (found, wanted))
        np.testing.assert_allclose(one, other, rtol=0, atol=step * np.abs(other).max(), err_msg=name)


def test_an_unknown_activation_is_refused():
    with pytest.raises(UserError, match=r"--activation: 'leaky' is not known; .*leaky_relu"):
        small(activation="leaky")
