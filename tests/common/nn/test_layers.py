import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import distribution, machine
from common.errors import UserError
from common.nn import layers
from common.nn.convolution import AveragePool, Conv, MaxPool
from common.nn.dropout import Dropout
from common.nn.normalization import BatchNorm, LocalResponseNormalization
from common.nn.padded_identity import PaddedIdentity
from common.style import styled


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


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


def test_padded_identity_keeps_every_second_place_between_zeros(rng):
    x = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    layer = PaddedIdentity(8, 2)
    y = layer(x).numpy()

    assert y.shape == (2, 3, 3, 8) == (2, *layer.compute_output_shape((None, 5, 6, 4))[1:])
    np.testing.assert_array_equal(y[..., 2:6], x[:, ::2, ::2])
    assert not y[..., :2].any()
    assert not y[..., 6:].any()


def batch_norm(channels=3, **arguments):
    layer = BatchNorm(**arguments)
    layer.build((None, 4, 4, channels))
    layer.gamma.assign(np.linspace(0.5, 1.5, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))
    return layer


def normalised(x, mean, variance, epsilon=1e-5):
    channels = x.shape[-1]
    scaled = (x - np.array(mean)) / np.sqrt(np.array(variance) + epsilon)
    return scaled * np.linspace(0.5, 1.5, channels) + np.linspace(-1.0, 1.0, channels)


def test_batch_norm_normalises_by_the_batch_in_training(rng):
    x = rng.normal(3.0, 2.0, size=(8, 4, 4, 3)).astype("float32")

    y = batch_norm()(x, training=True)

    np.testing.assert_allclose(y, normalised(x, x.mean((0, 1, 2)), x.var((0, 1, 2))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_batch_norm_uses_its_epsilon_as_given(rng, epsilon):
    x = rng.normal(0.0, 1e-3, size=(64, 4, 4, 1)).astype("float32")  # a variance below epsilon
    layer = batch_norm(1, epsilon=epsilon)

    y = layer(x, training=True).numpy()

    assert y.std() == pytest.approx(0.5 * x.std() / np.sqrt(x.var() + epsilon), rel=1e-3)


def test_moving_statistics_begin_with_the_first_batch_and_then_move_by_a_tenth(rng):
    layer = batch_norm()
    first, second = rng.normal([[[[1, 2, 3]]]], 2.0, size=(2, 8, 4, 4, 3)).astype("float32")

    layer(first, training=True)
    np.testing.assert_allclose(layer.moving_mean, first.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, first.var((0, 1, 2), ddof=1), rtol=1e-5)
    layer(second, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * first.mean((0, 1, 2)) + 0.1 * second.mean((0, 1, 2)), rtol=1e-5)
    expected = 0.9 * first.var((0, 1, 2), ddof=1) + 0.1 * second.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


def test_batch_norm_tests_with_the_moving_statistics_and_leaves_them(rng):
    layer = batch_norm()
    layer.moving_mean.assign([1.0, -2.0, 0.5])
    layer.moving_variance.assign([4.0, 0.25, 1.0])
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")

    y = layer(x, training=False)

    np.testing.assert_allclose(y, normalised(x, [1.0, -2.0, 0.5], [4.0, 0.25, 1.0]), rtol=1e-4, atol=1e-5)
    layer.trainable = False  # frozen: the same in training
    np.testing.assert_array_equal(layer(x, training=True), y)
    np.testing.assert_array_equal(layer.moving_mean, np.float32([1.0, -2.0, 0.5]))


def test_batch_norm_has_the_gradient_of_its_formula(rng):
    layer, x = batch_norm(), tf.constant(rng.normal(size=(4, 4, 4, 3)), tf.float32)
    weights = tf.constant(rng.normal(size=(4, 4, 4, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, training=True) * weights)
    found = tape.gradient(loss, [x, *layer.trainable_variables])

    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    with tf.GradientTape() as tape:
        sources = [x, tf.constant(gamma), tf.constant(beta)]
        tape.watch(sources)
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        scaled = (x - mean) * tf.math.rsqrt(variance + 1e-5) * sources[1] + sources[2]
        loss = tf.reduce_sum(scaled * weights)
    for one, other in zip(found, tape.gradient(loss, sources), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_dropout_drops_its_share_and_scales_the_rest():
    layer, x = Dropout(0.7), tf.ones((400, 1000))
    y = layer(x, training=True).numpy()

    assert (y == 0).mean() == pytest.approx(0.7, abs=0.004)  # 5 standard deviations
    np.testing.assert_allclose(y[y > 0], 1 / 0.3, rtol=1e-6)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_dropout_in_bfloat16_drops_the_same_share():
    y = Dropout(0.7, dtype="mixed_bfloat16")(tf.ones((400, 1000), tf.bfloat16), training=True)

    assert y.dtype == tf.bfloat16
    assert np.mean(tf.cast(y, tf.float32) == 0) == pytest.approx(0.7, abs=0.004)


def test_dropout_masks_follow_from_the_seed_and_change_with_every_call():
    def three_masks():
        keras.utils.set_random_seed(5)
        layer = Dropout(0.5)
        return [layer(tf.ones((8, 64)), training=True).numpy() for _ in range(3)]

    first, second = three_masks(), three_masks()

    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()
    assert (first[1] != first[2]).any()


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("gaussian", 0.01), ("glorot", np.sqrt(2 / (9 * 64 + 9 * 128))), ("he", np.sqrt(2 / (9 * 64)))],
)
def test_initializers_have_the_deviation_of_their_formula(name, deviation):
    drawn = layers.make_initializer(name)((3, 3, 64, 128)).numpy()

    assert drawn.std() == pytest.approx(deviation, rel=0.02)
    assert abs(drawn.mean()) < 0.02 * deviation * 5


def test_an_unknown_initializer_is_refused():
    with pytest.raises(UserError, match=r"did you mean glorot\?"):
        layers.make_initializer("glorott")


def test_an_image_below_the_smallest_is_refused():
    with pytest.raises(UserError, match="--image_size=31 is too small for this network; the smallest that fits is 32"):
        layers.image_input(31, smallest=32)


@styled(initializer="glorot")
def every_layer():
    x = image = layers.image_input(20)
    x = layers.conv(x, 8, 3, 2, 1, name="conv1")
    x = layers.lrn(x, k=1.5, n=3, alpha=1e-3, beta=0.5, name="norm1")
    x = layers.conv(x, 8, 3, 1, 1, groups=2, bias=False, name="conv2")
    x = layers.relu(layers.batch_norm(x, 0.8, 1e-3, True, name="bn"), name="relu")
    x = layers.add(layers.max_pool(x, 3, 1, 1, name="pool1"), x, name="add")
    x = layers.concat([x, layers.padded_identity(x, 12, 1, name="identity")], name="concat")
    x = layers.max_pool(x, 3, 2, ceil=True, name="pool2")
    x = layers.avg_pool(x, 2, 2, name="pool3")
    x = layers.dropout(layers.fc(layers.flatten(x, name="flat"), 16, name="fc1"), 0.3, name="drop")
    return layers.network(image, layers.logits(x, 5, name="fc2"), name="every")


def test_a_saved_network_is_the_same_network(rng, tmp_path):
    model = every_layer()
    x = rng.normal(size=(2, 20, 20, 3)).astype("float32")

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")

    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_computes_in_bfloat16_and_keeps_weights_and_logits_in_float32(rng):
    model = every_layer()
    computed = {layer.name: tf.as_dtype(layer.output.dtype) for layer in model.layers}

    assert {name for name, dtype in computed.items() if dtype == tf.float32} == {"image", "fc2"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    x = tf.constant(rng.normal(size=(4, 20, 20, 3)), tf.float32)
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_mean(y**2)
    assert y.dtype == tf.float32
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient.dtype == tf.float32, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path


@pytest.mark.usefixtures("bfloat16")
def test_batch_norm_in_bfloat16_keeps_exact_statistics(rng):
    x = tf.cast(rng.normal(3.0, 2.0, size=(8, 4, 4, 3)), tf.bfloat16)
    layer = batch_norm()
    wide = tf.cast(x, tf.float32).numpy()

    y = layer(x, training=True)

    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(layer.moving_mean, wide.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, wide.var((0, 1, 2), ddof=1), rtol=1e-5)
    expected = normalised(wide, wide.mean((0, 1, 2)), wide.var((0, 1, 2)))
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, rtol=0.01, atol=0.01)


REPLICAS = textwrap.dedent(
    """
    import json, keras, numpy as np, tensorflow as tf
    from common.nn import layers
    from common.nn.dropout import Dropout
    from common.nn.normalization import BatchNorm

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    rng = np.random.default_rng(3)
    x = rng.normal([1, 2, 3], [1, 2, 3], size=(2, 4, 5, 5, 3)).astype("float32")
    x[1] += 4.0
    target = rng.normal(size=x.shape).astype("float32")
    per_replica = lambda values: strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group]))
    gather = lambda values: np.stack([value.numpy() for value in strategy.experimental_local_results(values)])

    def run(layer, x, target, distributed):
        def step(x, target):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y * target)
            gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
            if distributed:
                context = tf.distribute.get_replica_context()
                gradients[1:] = context.all_reduce("SUM", gradients[1:])
            return y, *gradients
        step = tf.function(step)
        if not distributed:
            return [value.numpy() for value in step(tf.constant(x), tf.constant(target))]
        return [gather(value) for value in strategy.run(step, args=(per_replica(x), per_replica(target)))]

    result = {}
    for name, synchronised in (("replica", False), ("global", True)):
        with strategy.scope():
            layer = BatchNorm(synchronised=synchronised)
            layer.build((None, 5, 5, 3))
        for _ in range(2):
            y, dx, dgamma, dbeta = run(layer, x, target, True)
        result[name] = {
            "y": y.tolist(), "dx": dx.tolist(), "dgamma": dgamma[0].tolist(), "dbeta": dbeta[0].tolist(),
            "mean": gather(layer.moving_mean.value).tolist(),
            "variance": gather(layer.moving_variance.value).tolist(),
        }
    alone = BatchNorm()
    alone.build((None, 5, 5, 3))
    for _ in range(2):
        y, dx, dgamma, dbeta = run(alone, x.reshape(8, 5, 5, 3), target.reshape(8, 5, 5, 3), False)
    result["one"] = {"y": y.reshape(x.shape).tolist(), "dx": dx.reshape(x.shape).tolist(), "dgamma": dgamma.tolist(),
                     "dbeta": dbeta.tolist(), "mean": alone.moving_mean.numpy().tolist(),
                     "variance": alone.moving_variance.numpy().tolist()}
    result["x"] = x.tolist()

    with strategy.scope():
        dropout = Dropout(0.5)
    masks = [gather(strategy.run(tf.function(lambda: dropout(tf.ones((4, 64)), training=True)))) for _ in range(2)]
    result["masks"] = np.stack(masks).tolist()
    result["seeds"] = gather(dropout.seed_generator.state.value).tolist()
    print("RESULT" + json.dumps(result))
    """
)


@pytest.fixture(scope="module")
def replicas():
    """Two logical CPUs need a process of their own: TensorFlow splits a device only before its first use."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.split("RESULT")[1])
    return {
        key: {name: np.float32(part) for name, part in value.items()} if isinstance(value, dict) else np.array(value)
        for key, value in result.items()
    }


def test_moving_statistics_are_the_mean_over_replicas_and_equal_on_each(replicas):
    found, x = replicas["replica"], replicas["x"]

    np.testing.assert_array_equal(found["mean"][0], found["mean"][1])
    np.testing.assert_array_equal(found["variance"][0], found["variance"][1])
    np.testing.assert_allclose(found["mean"][0], x.mean((1, 2, 3)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["variance"][0], x.var((1, 2, 3), ddof=1).mean(0), rtol=1e-5)


def test_each_replica_normalises_its_own_part(replicas):
    x = replicas["x"]
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-5)

    np.testing.assert_allclose(replicas["replica"]["y"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("what", ["y", "dx", "dgamma", "dbeta"])
def test_synchronised_batch_norm_equals_one_device_with_the_whole_batch(replicas, what):
    np.testing.assert_allclose(replicas["global"][what], replicas["one"][what], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("what", ["mean", "variance"])
def test_synchronised_moving_statistics_equal_one_devices(replicas, what):
    for replica in range(2):
        np.testing.assert_allclose(replicas["global"][what][replica], replicas["one"][what], rtol=1e-4)


def test_replicas_drop_different_values_from_equal_seed_states(replicas):
    masks = replicas["masks"]  # (call, replica, 4, 64)

    assert (masks[0, 0] != masks[0, 1]).any()
    assert (masks[0, 0] != masks[1, 0]).any()
    np.testing.assert_array_equal(replicas["seeds"][0], replicas["seeds"][1])
