import numpy as np
import pytest
import tensorflow as tf

from common import distribution
from common.errors import UserError
from common.nn import batch_norm_folding, layers
from common.nn.convolution import Conv
from common.nn.weight_standardization import standardized
from common.style import styled


def formula(kernel):
    """Qiao et al. 2019, section 3.1: over the k * k * C weights of each filter."""
    kernel = kernel.astype(np.float64)
    out = np.empty_like(kernel)
    for number in range(kernel.shape[-1]):
        weights = kernel[..., number]
        out[..., number] = (weights - weights.mean()) / np.sqrt(((weights - weights.mean()) ** 2).mean())
    return out


def test_each_filter_gets_mean_0_and_deviation_1(rng):
    kernel = rng.normal(0.3, rng.uniform(0.01, 2.0, 6), (3, 3, 4, 6)).astype("float32")

    np.testing.assert_allclose(standardized(kernel), formula(kernel), rtol=0, atol=1e-4)


def test_a_filter_of_equal_weights_becomes_0_and_has_a_gradient():
    kernel = tf.ones((1, 1, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        found = standardized(kernel)
    np.testing.assert_array_equal(found, np.zeros((1, 1, 2, 1)))
    assert np.isfinite(tape.gradient(found, kernel, tf.ones_like(kernel))).all()


def test_the_gradient_is_that_of_numerical_differences(rng):
    kernel, target = rng.normal(0.1, 0.5, (3, 3, 2, 4)), rng.normal(size=(3, 3, 2, 4))
    value = tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch(value)
        found = standardized(value)
    gradient = tape.gradient(found, value, target).numpy()

    for place in np.ndindex(kernel.shape):
        step = np.zeros(kernel.shape)
        step[place] = 1e-5
        difference = (formula(kernel + step) - formula(kernel - step)) / 2e-5
        assert gradient[place] == pytest.approx((difference * target).sum(), abs=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_uses_the_standardised_kernel_and_keeps_the_other(rng, groups):
    x, kernel = rng.normal(size=(2, 6, 6, 4)).astype("float32"), rng.normal(1, 2, (3, 3, 4 // groups, 6))
    given = {"filters": 6, "size": 3, "padding": 1, "groups": groups}
    ours, theirs = Conv(**given, standardize=True), Conv(**given)
    for layer, weights in ((ours, kernel), (theirs, formula(kernel))):
        layer.build(x.shape)
        layer.set_weights([weights, np.arange(6.0)])

    np.testing.assert_allclose(ours(x), theirs(x), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(ours.kernel, kernel.astype("float32"))


def test_bfloat16_standardises_in_float32_and_rounds_the_kernel_once(rng):
    kernel = rng.normal(5.0, 0.01, (3, 3, 4, 6)).astype("float32")  # bfloat16 knows but one number in this range
    with distribution.precision("mixed_bfloat16"):
        ours, theirs = Conv(6, 3, standardize=True), Conv(6, 3)
    for layer, weights in ((ours, kernel), (theirs, standardized(kernel))):
        layer.build((None, 6, 6, 4))
        layer.set_weights([weights, np.zeros(6)])
    x = tf.constant(rng.normal(size=(2, 6, 6, 4)), tf.bfloat16)

    np.testing.assert_array_equal(tf.cast(ours(x), tf.float32), tf.cast(theirs(x), tf.float32))
    assert ours(x).dtype == tf.bfloat16


@styled(initializer="he", norm="group")
def small():
    x = image = layers.image_input(9)
    x = layers.conv(x, 8, 3, padding=1, name="conv1")
    x = layers.conv(x, 8, 3, padding=1, norm=False, name="alone")
    x = layers.conv(x, 8, 3, padding=1, norm=False, standardize=True, name="asked")
    x = layers.conv(x, 8, 3, padding=1, standardize=False, name="spared")
    return layers.network(image, layers.logits(layers.global_avg_pool(x, name="pool"), 3, name="fc"), "small")


def test_the_style_standardises_where_a_normalisation_follows():
    def standardised(model):
        return [layer.name for layer in model.layers if getattr(layer, "standardize", False)]

    assert standardised(small(weight_standardization=True)) == ["conv1", "asked"]
    assert standardised(small()) == []
    with pytest.raises(UserError, match="--weight_standardization needs a normalisation after the convolutions"):
        small(norm="none", weight_standardization=True)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_it_is_folded_into_the_kernel(rng, norm):
    model = small(norm=norm, weight_standardization=True)
    images = rng.normal(0, 50, (4, 9, 9, 3)).astype("float32")
    model(images, training=True)

    folded = batch_norm_folding.fold(model)

    assert not any(getattr(layer, "standardize", False) for layer in folded.layers)
    wanted = model(images).numpy()
    np.testing.assert_allclose(folded(images), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    kernel = model.get_layer("asked").kernel.numpy()
    np.testing.assert_allclose(folded.get_layer("asked").kernel, formula(kernel), rtol=0, atol=1e-5)
