import pytest

import tables
from cli import registry
from common.nn.dropout import Dropout
from zoo import wide_resnet


@pytest.mark.parametrize(("name", "depth", "k"), [("wrn16_8", 16, 8), ("wrn40_4", 40, 4)])
def test_table_1(name, depth, k):
    rows = tables.summarise(name).rows
    # 6n + 4: the 3x3 of all units, the first convolution, and the three groups' projections, which count as layers.
    assert sum(row.kind == "convolution" for row in rows) == depth
    n = (depth - 4) // 6
    ends = [row.output for row in rows if row.kind == "add"]
    assert ends == [(32, 32, 16 * k)] * n + [(16, 16, 32 * k)] * n + [(8, 8, 64 * k)] * n


def test_dropout_stands_between_the_two_3x3_of_every_unit():
    model = registry.find("wrn16_8").build(image_size=8, dropout=0.3)
    names = [layer.name for layer in model.layers if isinstance(layer, Dropout)]
    assert len(names) == 6
    for name in names:
        layer, unit = model.get_layer(name), name.removesuffix("_dropout")
        assert layer.rate == 0.3
        assert layer.input._keras_history.operation.name == f"{unit}_conv1_relu"
        assert model.get_layer(f"{unit}_conv2").input._keras_history.operation is layer
    assert not any(isinstance(layer, Dropout) for layer in registry.find("wrn16_8").build(image_size=8).layers)


def test_recipe():
    recipe = wide_resnet.CIFAR
    assert (recipe.optimizer, recipe.learning_rate, recipe.epochs) == ("nesterov", 0.1, 200)
    assert recipe.schedule_factor == 0.2
    assert (recipe.weight_decay, recipe.decay_biases_and_norms, recipe.batch_size) == (5e-4, True, 128)
    assert recipe.schedule_boundaries == tuple(epochs * (45000 // 128) for epochs in (60, 120, 160))


def test_the_same_weights_give_the_same_in_pytorch():
    networks = pytest.importorskip("torch_networks")

    def forward(net, x):
        x = net.conv("conv1", x, 16, 3, 1, 1)
        return networks.pre_activation(net, x, (2, 2, 2), (128, 256, 512), "basic", False)

    networks.assert_equal_here("wrn16_8", forward, 12)
