import pytest

import tables
from cli import registry
from common.nn.squeeze_excitation import SqueezeExcitation
from zoo import senet


def test_extra_parameters_are_those_of_equation_5():
    # 2 / r sum N C^2, and biases C / r + C, over the 3, 4, 6, 3 blocks of 256, 512, 1024, 2048 channels.
    stages = ((3, 256), (4, 512), (6, 1024), (3, 2048))
    weights = sum(2 * n * c * c // 16 for n, c in stages)
    biases = sum(n * (c // 16 + c) for n, c in stages)
    assert (weights, biases) == (2514944, 16048)
    assert tables.costs("se_resnet50")[0] - tables.costs("resnet50")[0] == weights + biases


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("se_resnet50", 4091.7),
        pytest.param("se_resnet101", 7806.1, marks=pytest.mark.slow),
        pytest.param("se_resnet152", 11520.2, marks=pytest.mark.slow),
    ],
)
def test_stride_in_the_3x3(name, millions):
    assert tables.summarise(name, stride_in="3x3").totals.multiply_adds / 1e6 == pytest.approx(millions, abs=0.051)


@pytest.mark.parametrize("name", ["se_resnet50", "se_resnext50_32x4d", "se_resnet20"])
def test_a_block_stands_between_the_last_norm_of_the_branch_and_the_sum(name):
    model = registry.find(name).build(image_size=32)
    blocks = [layer for layer in model.layers if isinstance(layer, SqueezeExcitation)]
    assert len(blocks) == (9 if name == "se_resnet20" else 16)
    for block in blocks:
        unit = block.name.removesuffix("_se")
        last = "conv2" if name == "se_resnet20" else "conv3"
        assert block.input._keras_history.operation.name == f"{unit}_{last}_bn"
        assert model.get_layer(f"{unit}_add").input[0]._keras_history.operation is block
    hidden = [block.hidden for block in blocks]
    assert sorted(set(hidden)) == ([1, 2, 4] if name == "se_resnet20" else [16, 32, 64, 128])


def test_recipes():
    recipe = senet.IMAGENET
    assert (recipe.batch_size, recipe.learning_rate, recipe.schedule_every, recipe.epochs) == (1024, 0.6, 30.0, 100)
    assert recipe.learning_rate_batch == 1024


@pytest.mark.slow
@pytest.mark.parametrize("name", ["se_resnet50", "se_resnext50_32x4d"])
def test_the_same_weights_give_the_same_in_pytorch(name):
    networks = pytest.importorskip("torch_networks")
    groups, wide, stride_in = (1, 1, 1) if name == "se_resnet50" else (32, 2, 2)

    def forward(net, x):
        x = networks.imagenet_stem(net, x, ceil=True)
        widths = (64, 128, 256, 512)
        return networks.post_activation(
            net, x, (3, 4, 6, 3), widths, lambda width: wide * width, groups, stride_in, se=True
        )

    networks.assert_equal_here(name, forward, 64)


def test_the_cifar_nets_too():
    networks = pytest.importorskip("torch_networks")

    def forward(net, x):
        x = net.cnr("conv1", x, 16, 3, 1, 1)
        return networks.post_activation(net, x, (3, 3, 3), (16, 32, 64), None, se=True, expansion=1)

    networks.assert_equal_here("se_resnet20", forward, 12)
