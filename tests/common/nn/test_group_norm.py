import keras
import numpy as np
import pytest
import tensorflow as tf

import tables
from cli import registry
from common import distribution
from common.errors import UserError
from common.nn import batch_norm_folding, layers
from common.nn.normalization import GroupNorm
from common.style import styled

GROUPS = {"layer": 1, "instance": 12, "group": 4}  # of 12 channels


def made(groups, channels=12, **arguments):
    layer = GroupNorm(groups, **arguments)
    layer.build((None, 5, 4, channels))
    layer.gamma.assign(np.linspace(0.5, 1.5, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))
    return layer


def formula(x, groups, epsilon=1e-5):
    """Wu & He 2018, equations 1 and 7, image by image and group by group, with the gamma and beta of `made`."""
    x = x.astype(np.float64)
    y, size = np.empty_like(x), x.shape[-1] // groups
    for image in range(len(x)):
        for start in range(0, x.shape[-1], size):
            part = x[image, :, :, start : start + size]
            y[image, :, :, start : start + size] = (part - part.mean()) / np.sqrt(part.var() + epsilon)
    return y * np.linspace(0.5, 1.5, x.shape[-1]) + np.linspace(-1.0, 1.0, x.shape[-1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4, 6, 12])
def test_every_image_and_group_is_normalised_by_itself(rng, groups, training):
    x = rng.normal(rng.normal(0, 3, (3, 1, 1, 12)), rng.uniform(0.5, 3, (3, 1, 1, 12)), (3, 5, 4, 12))

    found = made(groups)(x.astype("float32"), training=training)

    np.testing.assert_allclose(found, formula(x, groups), rtol=0, atol=2e-5)


def test_epsilon_is_added_to_the_variance(rng):
    x = rng.normal(0.0, 1e-3, (2, 5, 4, 12)).astype("float32")  # a variance below epsilon

    np.testing.assert_allclose(made(4, epsilon=1e-3)(x), formula(x, 4, 1e-3), rtol=0, atol=1e-5)


def test_a_mean_far_above_the_deviation_costs_no_digits(rng):
    x = rng.normal(1000.0, 1.0, (2, 5, 4, 12)).astype("float32")

    np.testing.assert_allclose(made(4)(x), formula(x, 4), rtol=0, atol=2e-3)


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_the_gradient_is_that_of_numerical_differences(rng, groups):
    x, target = rng.normal(1.0, 2.0, (2, 5, 4, 12)).astype("float32"), rng.normal(size=(2, 5, 4, 12))
    layer, image = made(groups), tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(layer(image, training=True) * target.astype("float32"))
    dx, dgamma, dbeta = (g.numpy() for g in tape.gradient(loss, [image, layer.gamma.value, layer.beta.value]))

    normal = (formula(x, groups) - np.linspace(-1.0, 1.0, 12)) / np.linspace(0.5, 1.5, 12)
    np.testing.assert_allclose(dgamma, (target * normal).sum((0, 1, 2)), rtol=0, atol=1e-4)
    np.testing.assert_allclose(dbeta, target.sum((0, 1, 2)), rtol=0, atol=1e-4)
    for place in [(0, 0, 0, 0), (1, 4, 3, 11), (1, 2, 1, 5), (0, 3, 2, 7)]:
        step = np.zeros(x.shape)
        step[place] = 1e-4
        difference = (formula(x + step, groups) - formula(x - step, groups)) / 2e-4
        assert dx[place] == pytest.approx((difference * target).sum(), abs=1e-4)


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_keras_group_normalization_gives_the_same(rng, groups):
    x = rng.normal(1.0, 2.0, (2, 5, 4, 12)).astype("float32")
    theirs = keras.layers.GroupNormalization(groups, epsilon=1e-5)
    theirs.build(x.shape)
    theirs.set_weights(made(groups).get_weights())

    np.testing.assert_allclose(made(groups)(x), theirs(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("policy", "step"), [("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)])
def test_half_precision_rounds_the_result_once(rng, policy, step):
    with distribution.precision(policy):
        layer = made(4)
    x = tf.cast(rng.normal(3.0, 2.0, (2, 32, 32, 12)), layer.compute_dtype)
    target = tf.cast(rng.normal(size=x.shape), x.dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    dx, dgamma = tape.gradient(y, [x, layer.gamma.value], target)
    wide, wide_target = tf.cast(x, tf.float32), tf.cast(target, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(wide)
        exact = made(4)
        wanted = exact(wide, training=True)
    wanted_dx, wanted_dgamma = tape.gradient(wanted, [wide, exact.gamma.value], wide_target)

    assert y.dtype == dx.dtype == x.dtype
    assert dgamma.dtype == tf.float32
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    np.testing.assert_allclose(tf.cast(y, tf.float32), wanted, rtol=step, atol=1e-6)
    np.testing.assert_allclose(tf.cast(dx, tf.float32), wanted_dx, rtol=step, atol=1e-6)
    np.testing.assert_allclose(dgamma, wanted_dgamma, rtol=1e-4, atol=1e-3)


def test_float16_does_not_overflow_where_its_squares_would():
    with distribution.precision("mixed_float16"):
        layer = made(4)
    x = tf.cast(np.random.default_rng(0).normal(0, 9000.0, (2, 64, 64, 12)), tf.float16)

    found = tf.cast(layer(x, training=True), tf.float32)

    np.testing.assert_allclose(found, formula(x.numpy(), 4), rtol=2**-10, atol=1e-3)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="norm: 5 groups do not divide 12 channels"):
        GroupNorm(5, name="norm").build((None, 4, 4, 12))


@styled(initializer="he")
def small(classes=3):
    x = image = layers.image_input(9)
    x = layers.conv(x, 12, 3, padding=1, name="conv1")
    x = layers.conv(x, 12, 3, padding=1, relu=False, norm=False, name="conv2")
    return layers.network(image, layers.logits(layers.global_avg_pool(x, name="pool"), classes, name="fc"), "small")


@pytest.mark.parametrize(
    ("norm", "asked", "name", "groups"),
    [
        ("layer", 32, "conv1_ln", 1),
        ("instance", 32, "conv1_in", 12),
        ("group", 4, "conv1_gn", 4),
        ("group", 5, "conv1_gn", 4),  # 5 does not divide 12: the largest below it that does
        ("group", 32, "conv1_gn", 12),
    ],
)
def test_the_style_chooses_the_normalisation_and_its_groups(norm, asked, name, groups):
    model = small(norm=norm, norm_groups=asked)

    assert [(layer.name, layer.groups) for layer in model.layers if isinstance(layer, GroupNorm)] == [(name, groups)]
    assert (model.get_layer("conv1").use_bias, model.get_layer("conv2").use_bias) == (False, True)


@pytest.mark.parametrize("norm", GROUPS)
def test_it_is_not_folded(norm):
    model = small(norm=norm)
    assert batch_norm_folding.fold(model) is model


@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("layer", ["layer norm"]),
        ("instance", ["instance norm"]),
        ("group", ["group norm", "instance norm"]),  # 32 groups of 64 channels and more; of 16, that is each by itself
    ],
)
def test_the_table_of_costs_counts_it(norm, kinds):
    rows = [row for row in tables.summarise("resnet20", norm=norm).rows if row.kind in kinds]

    assert [row.kind for row in rows].count(kinds[-1]) == {"layer": 19, "instance": 19, "group": 13}[norm]
    assert len(rows) == 19
    assert all(row.parameters == 2 * row.output[-1] for row in rows)
    assert all(row.activation_values == np.prod(row.output) for row in rows)
    assert tables.costs("resnet20", norm=norm) == tables.costs("resnet20")
    assert tables.summarise("resnet20", norm=norm).totals.non_trainable_parameters == 0


def test_alexnet_and_vgg_take_a_normalisation_and_have_none_by_default():
    assert [registry.find(name).defaults["norm"] for name in ("alexnet", "vgg16", "resnet34")] == ["none"] * 2 + [
        "batch"
    ]
    for name, convolutions in (("alexnet", 5), ("vgg16", 13)):
        rows = tables.summarise(name, norm="group").rows
        assert [row.kind for row in rows].count("group norm") == convolutions


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(UserError, match=r"--norm: 'batsh' is not known; did you mean batch\?"):
        small(norm="batsh")
    with pytest.raises(UserError, match="--norm_groups=0: must be a whole number of at least 1"):
        small(norm="group", norm_groups=0)
