import random
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

import resnet34
import tables
from cli import registry
from common import style
from common.errors import UserError

STAGES = {"conv1": "112x112", "pool1": "56x56", "conv2": "56x56", "conv3": "28x28", "conv4": "14x14", "conv5": "7x7"}


# blocks per stage; parameters; multiply-adds in millions; the same with the stride in the 3x3; Table 1's FLOPs
@pytest.mark.parametrize(
    ("name", "blocks", "parameters", "millions", "printed"),
    [
        ("resnet18", [2, 2, 2, 2], 11689512, 1814, 1.8),
        ("resnet34", [3, 4, 6, 3], 21797672, 3664, 3.6),
        ("resnet50", [3, 4, 6, 3], 25557032, 3858, 3.8),
        ("resnet101", [3, 4, 23, 3], 44549160, 7570, 7.6),
        ("resnet152", [3, 8, 36, 3], 60192808, 11282, 11.3),
    ],
)
def test_table_1(name, blocks, parameters, millions, printed):
    adds = tables.outputs(name, "add")

    assert tables.costs(name) == (parameters, millions)
    assert millions / 1000 == pytest.approx(printed, abs=0.07)
    assert [sum(add.startswith(f"conv{stage}_") for add in adds) for stage in (2, 3, 4, 5)] == blocks
    wide = 4 if name in ("resnet50", "resnet101", "resnet152") else 1
    channels = {
        "conv1": 64,
        "pool1": 64,
        "conv2": 64 * wide,
        "conv3": 128 * wide,
        "conv4": 256 * wide,
        "conv5": 512 * wide,
    }
    for output in [*tables.outputs(name, "add"), *tables.outputs(name)[1:2]]:
        stage = output.split()[0].split("_")[0]
        assert output.split()[1] == f"{STAGES[stage]}x{channels[stage]}"


@pytest.mark.parametrize(
    ("name", "moving"),
    [("resnet18", 9600), ("resnet34", 17024), ("resnet50", 53120), ("resnet101", 105344), ("resnet152", 151424)],
)
def test_moving_statistics(name, moving):
    # What Keras' count_params has on top of the trained ones, e.g. 11,699,112 - 11,689,512.
    assert tables.summarise(name).totals.non_trainable_parameters == moving


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet50", 4089),
        pytest.param("resnet101", 7801, marks=pytest.mark.slow),
        pytest.param("resnet152", 11514, marks=pytest.mark.slow),
    ],
)
def test_stride_in_the_3x3(name, millions):
    assert tables.costs(name, stride_in="3x3") == (tables.costs(name)[0], millions)


def test_the_stem_is_padded_alike_on_all_sides():
    rows = {row.name: row for row in tables.summarise("resnet34").rows}

    assert (rows["conv1"].kernel, rows["conv1"].stride, rows["conv1"].padding) == (7, 2, 3)
    assert (rows["pool1"].kernel, rows["pool1"].stride, rows["pool1"].padding) == (3, 2, 1)
    assert rows["pool1"].output == (56, 56, 64)
    assert not any(row.ceil for row in rows.values())


# depth, parameters with shortcut A, with B, multiply-adds in millions
CIFAR = [
    (20, 269722, 272474, 40.6),
    (32, 464154, 466906, 68.9),
    (44, 658586, 661338, 97.2),
    (56, 853018, 855770, 125.5),
    (110, 1727962, 1730714, 252.9),
]


@pytest.mark.parametrize(("depth", "a", "b", "millions"), CIFAR)
def test_cifar_networks(depth, a, b, millions):
    totals = tables.summarise(f"resnet{depth}").totals

    assert totals.trainable_parameters == a
    assert tables.costs(f"resnet{depth}", shortcut="B")[0] == b
    assert totals.multiply_adds / 1e6 == pytest.approx(millions, abs=0.051)
    assert len(tables.outputs(f"resnet{depth}", "convolution", "fully connected")) == depth


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_plain_cifar_networks_weigh_as_much_as_those_with_shortcuts_a(depth):
    assert tables.costs(f"plain{depth}") == tables.costs(f"resnet{depth}")
    assert not tables.outputs(f"plain{depth}", "add", "padded identity")


def test_cifar_stages():
    adds = [output.split()[1] for output in tables.outputs("resnet20", "add")]

    assert adds == ["32x32x16"] * 3 + ["16x16x32"] * 3 + ["8x8x64"] * 3


@pytest.mark.parametrize("depth", [18, 34])
def test_plain_networks_are_the_residual_ones_without_shortcuts(depth):
    # Three projections with their batch norm: 64 x 128 + 128 x 256 + 256 x 512, and 2 x (128 + 256 + 512).
    assert tables.costs(f"resnet{depth}")[0] - tables.costs(f"plain{depth}")[0] == 172032 + 1792
    assert not tables.outputs(f"plain{depth}", "add")


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "plain34", "resnet20"])
def test_batch_norm_follows_every_convolution(name):
    rows = tables.summarise(name).rows
    following = [after.name for row, after in pairwise(rows) if row.kind == "convolution"]

    assert following == [f"{row.name}_bn" for row in rows if row.kind == "convolution"]


@pytest.mark.parametrize(
    ("shortcut", "projections", "identities"),
    [("A", 0, 3), ("B", 3, 0), ("C", 16, 0)],
)
def test_shortcuts_of_resnet34(shortcut, projections, identities):
    names = [output.split()[0] for output in tables.outputs("resnet34")] if shortcut == "B" else _names(shortcut)

    assert sum(name.endswith("_shortcut_bn") for name in names) == projections
    assert sum(name.endswith("_shortcut") for name in names) == projections + identities


def _names(shortcut):
    return [row.name for row in tables.summarise("resnet34", shortcut=shortcut).rows]


def test_a_block_adds_its_input_to_what_its_convolutions_make_of_it():
    model = registry.find("resnet20").build(classes=4, image_size=8)
    model.get_layer("conv2_1_conv2_bn").gamma.assign(tf.zeros(16))
    inner = [model.get_layer(name).output for name in ("conv1_relu", "conv2_1_relu")]
    probe = type(model)(model.input, inner)

    before, after = probe(tf.random.stateless_normal((2, 8, 8, 3), [1, 2]) * 60.0)

    tf.debugging.assert_equal(before, after)


@pytest.mark.parametrize("depth", [7, 18, 21, 34, 101, 2, -4])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(UserError, match=f"depth {depth}: a network for 32x32 images has 6n \\+ 2 layers"):
        resnet34.build_cifar(depth, "any")


@pytest.mark.parametrize("option", ["shortcut", "stride_in", "batch_norm"])
def test_an_unknown_option_is_refused_by_its_flag(option):
    with pytest.raises(UserError, match=f"--{option}: 'D' is not known"):
        registry.find("resnet50").build(classes=4, image_size=32, **{option: "D"})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet34", {"shortcut", "stochastic_depth"}),
        ("resnet50", {"shortcut", "stride_in", "stochastic_depth"}),
        ("plain34", set()),
    ],
)
def test_options(name, options):
    found = {option.name for option in registry.find(name).options}
    assert found - set(style.SETTINGS) == options
    assert {"norm", "batch_norm"} <= found


@pytest.mark.parametrize(("initializer", "low", "high"), [("gaussian", 2.25, 2.4), ("he", 2.8, 20.0)])
def test_the_first_loss_of_a_cifar_net(initializer, low, high):
    """ln(10) where the classifier starts small; the logits of He's weights spread far wider."""
    assert registry.find("resnet20").recipe.classifier_initializer == "gaussian"
    random.seed(0)
    model = registry.find("resnet20").build(classifier_initializer=initializer)
    generator = np.random.default_rng(0)
    pictures = generator.normal(0, 60, (64, 32, 32, 3)).astype(np.float32)
    logits = model(pictures, training=True).numpy()
    labels = generator.integers(0, 10, 64)
    loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(64), labels])
    assert low < loss < high


def test_global_batch_norm_is_synchronised():
    model = registry.find("resnet20").build(classes=4, image_size=8, batch_norm="global")

    assert {layer.synchronised for layer in model.layers if layer.name.endswith("_bn")} == {True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 1), ("resnet18", 33), ("resnet50", 33), ("resnet20", 1), ("resnet20", 33)]
)
def test_any_image_size(name, size):
    model = registry.find(name).build(classes=4, image_size=size)

    assert model(tf.ones((2, size, size, 3))).shape == (2, 4)


def test_dropout_stands_before_the_classifier_only_where_it_is_asked_for():
    build = registry.find("resnet20").build

    assert not any(hasattr(layer, "rate") for layer in build(image_size=8).layers)
    assert [layer.rate for layer in build(image_size=8, dropout=0.25).layers if hasattr(layer, "rate")] == [0.25]


def test_recipes():
    lab, cifar = resnet34.LAB, resnet34.CIFAR

    assert (lab.initializer, lab.optimizer, lab.momentum, lab.batch_size) == ("he", "momentum", 0.9, 256)
    assert (lab.learning_rate, lab.schedule, lab.schedule_factor, lab.weight_decay) == (0.1, "plateau", 0.1, 1e-5)
    assert (lab.crop, lab.scale_range, lab.dropout) == ("scale", (256, 480), 0.0)
    assert resnet34.PAPER["weight_decay"] == 1e-4
    assert (cifar.batch_size, cifar.learning_rate, cifar.schedule_boundaries) == (128, 0.1, (32000, 48000))
    assert (cifar.weight_decay, cifar.crop, cifar.flip) == (1e-4, "pad", True)
    assert cifar.epochs == round(64000 / (45000 // 128))
    warm = registry.find("resnet110").recipe
    assert round(warm.warmup_epochs * (45000 // 128)) == 400
    assert warm.warmup_factor * warm.learning_rate == pytest.approx(0.01)


def test_the_moving_statistics_fit_after_the_first_batch():
    """Initial statistics of 0 and 1 would leave their trace in every layer, and the traces multiply with depth."""
    model = registry.find("resnet34").build(classes=4, image_size=64)
    images = tf.random.stateless_normal((16, 64, 64, 3), [3, 4]) * 60.0

    trained = model(images, training=True)
    tested = model(images, training=False)

    # What is left is the unbiased variance: N / (N - 1), N = 16 x 2 x 2 at the end.
    assert float(tf.norm(tested - trained) / tf.norm(trained)) < 0.15


@pytest.mark.parametrize(
    ("shortcut", "more"),
    [
        # A gate in each of the 9 blocks: 16 x 16 + 16, but in stages 3 and 4 the first from 16 and 32 channels.
        ("exclusive_gate", 3 * 272 + (16 * 32 + 32) + 2 * (32 * 32 + 32) + (32 * 64 + 64) + 2 * (64 * 64 + 64)),
        ("shortcut_gate", 3 * 272 + (16 * 32 + 32) + 2 * (32 * 32 + 32) + (32 * 64 + 64) + 2 * (64 * 64 + 64)),
        ("constant", 0),
        ("dropout", 0),
    ],
)
def test_the_further_shortcuts_of_he_2016b(shortcut, more):
    summary = tables.summarise("resnet20", shortcut=shortcut)
    kinds = {row.kind for row in summary.rows}

    assert summary.totals.trainable_parameters - tables.costs("resnet20")[0] == more
    assert ("gated add" in kinds) == (shortcut != "dropout")
    assert sum(row.kind == "padded identity" for row in summary.rows) == 2
    assert sum(row.kind == "dropout" for row in summary.rows) == (9 if shortcut == "dropout" else 0)


def test_gates_begin_almost_closed():
    model = registry.find("resnet20").build(classes=4, image_size=8, shortcut="exclusive_gate")
    assert {float(value) for value in model.get_layer("conv2_1_add").bias.numpy()} == {-6.0}
    assert model.get_layer("conv3_1_add").gate_stride == 2


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet50"])
def test_stochastic_depth_is_an_option_of_every_residual_network(name):
    model = registry.find(name).build(classes=4, image_size=8, stochastic_depth=0.5)
    adds = [layer for layer in model.layers if layer.name.endswith("_add")]
    blocks = len(adds)
    assert [add.survival for add in adds] == pytest.approx([1 - l / blocks * 0.5 for l in range(1, blocks + 1)])  # noqa: E741
    starts = {layer.name: layer.survival for layer in model.layers if layer.name.endswith("_survival")}
    assert starts == {add.name.replace("_add", "_survival"): add.survival for add in adds}
    assert tables.costs(name, stochastic_depth=0.5) == tables.costs(name)


def test_plain_networks_have_no_stochastic_depth():
    assert "stochastic_depth" not in registry.find("plain20").defaults


def test_gates_and_stochastic_depth_exclude_each_other():
    with pytest.raises(UserError, match=r"--stochastic_depth=0\.5 is for plain sums, not for --shortcut=constant"):
        registry.find("resnet20").build(image_size=8, shortcut="constant", stochastic_depth=0.5)
