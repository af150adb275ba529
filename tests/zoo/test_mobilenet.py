import numpy as np
import pytest
import tensorflow as tf

import tables
from cli import registry
from common.nn import batch_norm_folding, losses, summary
from zoo import mobilenet

# Parameters, moving statistics, multiply-adds in millions at 224 pixels.
COSTS = {
    "mobilenet": (4231976, 21888, 568.74),
    "mobilenet_075": (2585560, 16416, 325.4),
    "mobilenet_050": (1331592, 10944, 149.5),
    "mobilenet_025": (470072, 5472, 41.03),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs(name):
    totals = tables.summarise(name).totals
    assert (totals.trainable_parameters, totals.non_trainable_parameters) == COSTS[name][:2]
    assert round(totals.multiply_adds / 1e6, 2) == COSTS[name][2]


@pytest.mark.parametrize(("size", "millions"), [(192, 418.12), (160, 290.68), (128, 186.4)])
def test_multiply_adds_of_table_7(size, millions):
    totals = summary.summarise(registry.find("mobilenet"), None, size).totals
    assert round(totals.multiply_adds / 1e6, 2) == millions


def test_shares_of_table_2():
    """1x1 94.86 %, depthwise 3.06 %, fully connected 0.18 % of the multiply-adds; 3x3 1.91 %, printed as 1.19 %."""
    rows = tables.summarise("mobilenet").rows
    total = sum(row.multiply_adds for row in rows)
    share = lambda keep: round(100 * sum(row.multiply_adds for row in rows if keep(row)) / total, 2)  # noqa: E731
    assert share(lambda row: row.kernel == 1) == 94.86
    assert share(lambda row: row.groups > 1) == 3.06
    assert share(lambda row: row.kernel == 3 and row.groups == 1) == 1.91
    assert share(lambda row: row.kind == "fully connected") == 0.18


def test_table_1():
    rows = [row for row in tables.summarise("mobilenet").rows if row.kind == "convolution"]
    assert len(rows) == 27  # and the fully connected layer: 28
    assert [row.groups for row in rows[1::2]] == [row.output[-1] for row in rows[1::2]]
    sizes = [112, 112, 56, 56, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7]
    channels = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    assert [row.output for row in rows[::2]] == [(s, s, c) for s, c in zip(sizes, channels, strict=True)]
    assert {(row.stride, row.padding) for row in rows if row.kernel == 3} == {(1, 1), (2, (0, 1))}


def test_weight_decay_leaves_depthwise_kernels_alone():
    model = registry.find("mobilenet_025").build(classes=3, image_size=32)
    decayed = {variable.path for variable in losses.decayed_variables(model)}
    kernels = {f"conv_pw_{number}/kernel" for number in range(1, 14)} | {"conv1/kernel", "fc/kernel"}
    assert decayed == kernels


def test_batch_norm_folds_into_depthwise_convolutions():
    model = registry.find("mobilenet_025").build(classes=3, image_size=32)
    images = tf.random.stateless_normal((8, 32, 32, 3), [1, 2]) * 60.0
    model(images, training=True)
    folded = batch_norm_folding.fold(model)
    assert not [layer.name for layer in folded.layers if layer.name.endswith("_bn")]
    wanted = model(images).numpy()
    np.testing.assert_allclose(folded(images), wanted, atol=1e-4 * np.abs(wanted).max())


def test_recipes():
    assert (mobilenet.RECIPE.optimizer, mobilenet.RECIPE.schedule_every) == ("sgd", 2.5)
    assert mobilenet.PAPER == {"optimizer": "rmsprop", "gamma": 0.9, "epsilon": 1.0, "schedule_every": 2.0}
