import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.nn import layers, residual
from common.nn.convolution import Conv
from common.nn.stochastic_depth import StochasticSum, Survival
from common.style import styled


def test_survival_falls_linearly():
    # p_l = 1 - l / L (1 - p_L), by hand: L = 4, p_L = 0.5.
    assert residual.survivals(0.5, 4) == pytest.approx([0.875, 0.75, 0.625, 0.5])
    # The paper, section 3: of ResNet-110's 54 blocks (3 L - 1) / 4 = 40.25 are expected in a step.
    assert sum(residual.survivals(0.5, 54)) == pytest.approx(40.25)
    assert residual.survivals(1.0, 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("last", [0.0, -0.5, 1.5, float("nan")])
def test_a_probability_out_of_range_is_refused(last):
    with pytest.raises(UserError, match="--stochastic_depth="):
        residual.survivals(last, 3)


@styled(initializer="he", norm="batch", norm_groups=3)
def block(survival=0.7, squeeze=False):
    x = image = layers.image_input(4)
    y = residual.branch(x, survival, name="block")
    y = layers.conv(y, 6, 3, padding=1, name="conv1")
    y = layers.conv(y, 3, 1, relu=False, name="conv2")
    y = residual.squeeze_excite(y, 1, name="block") if squeeze else y
    return layers.network(image, residual.add(y, x, survival, name="block"), name="block")


def images(count=5):
    return tf.random.stateless_normal((count, 4, 4, 3), [1, 2])


def test_a_branch_takes_part_as_often_as_its_probability_says_and_counts_as_much_when_tested():
    """E[x + b F(x)] = x + p F(x): the mean over the steps of training is what a test computes."""
    inputs, branch, total = images(), Survival(0.7), StochasticSum(0.7)
    branch.seed_generator.state.assign([0, 11])
    kernel = tf.random.stateless_normal((3, 3), [3, 4])

    @tf.function
    def run(training):
        return total([branch(inputs, training=training) @ kernel, inputs], training=training)

    steps = np.stack([run(True).numpy() for _ in range(2000)])
    left_out = np.all(steps == inputs.numpy(), axis=(1, 2, 3, 4))

    # Four standard deviations of a mean of 2,000 draws: 4 sqrt(0.7 x 0.3 / 2000) = 0.041.
    assert 1 - left_out.mean() == pytest.approx(0.7, abs=0.041)
    expected = inputs.numpy() + 0.7 * (inputs.numpy() @ kernel.numpy())
    np.testing.assert_allclose(run(False), expected, rtol=1e-5, atol=1e-5)
    scale = np.abs(inputs.numpy() @ kernel.numpy()).max()
    np.testing.assert_allclose(steps.mean(0), expected, rtol=0, atol=0.041 * scale)
    np.testing.assert_allclose(steps[~left_out][0], inputs.numpy() + inputs.numpy() @ kernel.numpy(), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("traced", [False, True])
def test_a_block_that_is_left_out_is_the_shortcut_alone(precision, traced):
    """No gradient to its weights, and its moving statistics stay."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = block(survival=1e-9)
    finally:
        keras.config.set_dtype_policy(before)
    norm = model.get_layer("conv2_bn")
    norm.moving_mean.assign([0.5, 0.25, 0.125])
    inputs = images()

    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = model(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
        return outputs, tape.gradient(loss, [inputs, *model.trainable_variables])

    outputs, (of_inputs, *gradients) = (tf.function(step) if traced else step)()

    tf.debugging.assert_equal(outputs, tf.cast(inputs, outputs.dtype))
    tf.debugging.assert_equal(of_inputs, tf.ones_like(of_inputs))
    assert len(gradients) == 6  # two convolutions, gamma and beta of two norms
    for gradient in gradients:
        tf.debugging.assert_equal(gradient, tf.zeros_like(gradient))
    np.testing.assert_array_equal(norm.moving_mean, [0.5, 0.25, 0.125])
    np.testing.assert_array_equal(norm.moving_variance, np.ones(3))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_convolution_of_no_images_has_its_own_shape(precision, traced, groups):
    """oneDNN's gives back the shape of its input, which the layers after it refuse."""
    layer = Conv(8, 3, stride=2, padding=1, groups=groups, dtype=precision)
    layer.build((None, 6, 6, 4))

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
        return y, *tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])

    signature = [tf.TensorSpec((None, 6, 6, 4), layer.compute_dtype)]
    run = tf.function(step, input_signature=signature) if traced else step
    y, of_x, of_kernel, of_bias = run(tf.zeros((0, 6, 6, 4), layer.compute_dtype))

    assert (y.shape, of_x.shape) == ((0, 3, 3, 8), (0, 6, 6, 4))
    np.testing.assert_array_equal(of_kernel, np.zeros(layer.kernel.shape))
    np.testing.assert_array_equal(of_bias, np.zeros(8))
    images = tf.ones((2, 6, 6, 4), layer.compute_dtype)
    np.testing.assert_array_equal(run(images)[0], layer(images))


@pytest.mark.parametrize(
    "options",
    [{"norm": "layer"}, {"norm": "instance"}, {"norm": "group"}, {"norm": "none"}, {"squeeze": True}],
    ids=str,
)
def test_a_branch_without_images_passes_every_norm_and_a_squeeze(options):
    model = block(survival=1e-9, **options)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(), training=True))
    assert float(loss) == pytest.approx(float(tf.reduce_sum(images())), abs=1e-3)
    for gradient in tape.gradient(loss, model.trainable_variables):
        tf.debugging.assert_equal(gradient, tf.zeros_like(gradient))


def test_a_block_that_takes_part_moves_its_statistics():
    model = block(survival=0.999999)
    model(images(), training=True)
    assert np.all(model.get_layer("conv2_bn").moving_mean.numpy() != 0)


def test_what_was_drawn_is_drawn_again_from_the_same_state():
    first, second = Survival(0.5), Survival(0.5)
    inputs = images(1)
    second.seed_generator.state.assign(first.seed_generator.state)
    drawn = [len(first(inputs, training=True)) for _ in range(40)]

    assert {0, 1} == set(drawn)
    assert [len(second(inputs, training=True)) for _ in range(40)] == drawn


def test_a_network_without_stochastic_depth_has_none_of_its_layers():
    kinds = [type(layer).__name__ for layer in block(survival=1.0).layers]
    assert kinds == ["InputLayer", "Conv", "BatchNorm", "ReLU", "Conv", "BatchNorm", "Add"]


def test_a_saved_network_comes_back(tmp_path):
    model = block()
    model.save(tmp_path / "block.keras")
    again = keras.saving.load_model(tmp_path / "block.keras")
    np.testing.assert_array_equal(again(images()), model(images()))
    assert again.get_layer("block_survival").survival == 0.7
