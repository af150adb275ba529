from functools import partial

import keras
import pytest

import tables
from cli import registry
from zoo import preresnet


def graph(name, **options):
    """Layer -> the layers it takes in, by name, and kinds by name."""
    with keras.StatelessScope(initialize_variables=False):
        model = registry.find(name).build(**options)
    sources, kinds = {}, {}
    for layer in model.layers:
        kinds[layer.name] = type(layer).__name__
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        sources[layer.name] = [t._keras_history.operation.name for t in given if kinds[layer.name] != "InputLayer"]
    return sources, kinds


@pytest.mark.parametrize("name", ["preresnet50", "preresnet110", "preresnet164", "resnet50v2", "wrn16_8"])
def test_norm_and_relu_stand_before_every_convolution_and_nothing_after_a_sum(name):
    sources, kinds = graph(name)
    sums = [layer for layer, kind in kinds.items() if kind == "Add"]
    assert sums
    for layer, kind in kinds.items():
        if kind == "Conv" and layer != "conv1":
            (before,) = sources[layer]
            assert kinds[before] == "ReLU" or before == "pool1", layer
            if kinds[before] == "ReLU":
                assert kinds[sources[before][0]] == "BatchNorm", layer
    readers = {one: [layer for layer, given in sources.items() if one in given] for one in sums}
    for one in sums:  # a sum goes to the next sum as it is, and to a norm; the strided identity of v2 aside
        assert {kinds[reader] for reader in readers[one]} <= {"Add", "BatchNorm", "MaxPool"}, one
    assert [kinds[reader] for reader in readers[sums[-1]]] == ["BatchNorm"]


def test_where_sizes_change_branch_and_shortcut_begin_with_the_same_activations():
    sources, _ = graph("preresnet50")
    assert sources["conv2_1_shortcut"] == sources["conv2_1_conv1"] == ["pool1"]
    assert sources["conv3_1_shortcut"] == sources["conv3_1_conv1"] == ["conv3_1_preact_relu"]
    assert sources["conv3_2_add"] == ["conv3_2_conv3", "conv3_1_add"]
    sources, _ = graph("preresnet110")
    assert sources["conv2_1_add"] == ["conv2_1_conv2", "conv1_relu"]
    assert sources["conv3_1_shortcut"] == ["conv3_1_preact_relu"]


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("preresnet50", 4089.2),
        pytest.param("preresnet101", 7801.4, marks=pytest.mark.slow),
        pytest.param("preresnet152", 11513.6, marks=pytest.mark.slow),
        pytest.param("preresnet200", 15007.5, marks=pytest.mark.slow),
    ],
)
def test_stride_in_the_3x3(name, millions):
    plain, moved = tables.summarise(name).totals, tables.summarise(name, stride_in="3x3").totals
    assert moved.trainable_parameters == plain.trainable_parameters
    assert moved.multiply_adds / 1e6 == pytest.approx(millions, abs=0.051)


@pytest.mark.parametrize(("name", "moving"), [("resnet50v2", 45440), ("preresnet50", None)])
def test_moving_statistics(name, moving):
    # keras.applications' count_params, 25,613,800, less what is trained, 25,568,360.
    totals = tables.summarise(name).totals
    assert moving is None or totals.non_trainable_parameters == moving


def test_depth_counts_the_layers_with_weights():
    for depth in (110, 164):
        rows = tables.summarise(f"preresnet{depth}").rows
        counted = [row for row in rows if row.kind in ("convolution", "fully connected")]
        assert sum(not row.name.endswith("_shortcut") for row in counted) == depth


def test_sizes():
    assert [output.split()[1] for output in tables.outputs("preresnet50", "add")] == (
        ["56x56x256"] * 3 + ["28x28x512"] * 4 + ["14x14x1024"] * 6 + ["7x7x2048"] * 3
    )
    assert [output.split()[1] for output in tables.outputs("resnet50v2", "add")] == (
        ["56x56x256"] * 2 + ["28x28x256"] + ["28x28x512"] * 3 + ["14x14x512"] + ["14x14x1024"] * 5 + ["7x7x1024"]
        + ["7x7x2048"] * 3
    )  # fmt: skip
    ends = [output.split()[1] for output in tables.outputs("preresnet164", "add")]
    assert ends == ["32x32x64"] * 18 + ["16x16x128"] * 18 + ["8x8x256"] * 18


def test_recipes():
    assert registry.find("preresnet164").recipe is preresnet.CIFAR_WARM
    recipe = registry.find("preresnet200").recipe
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay, recipe.epochs) == (256, 0.1, 1e-4, 90)
    assert (recipe.schedule, recipe.schedule_factor, recipe.schedule_every) == ("step", 0.1, 30.0)


@pytest.mark.slow
@pytest.mark.parametrize(("stride_in", "where"), [("1x1", 1), ("3x3", 2)])
def test_the_same_weights_give_the_same_in_pytorch(stride_in, where):
    networks = pytest.importorskip("torch_networks")

    def forward(net, x):
        x = networks.imagenet_stem(net, x)
        widths = (64, 128, 256, 512)
        return networks.pre_activation(net, x, (3, 4, 6, 3), widths, "bottleneck", True, stride_in=where)

    networks.assert_equal_here("preresnet50", forward, 65, stride_in=stride_in)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("preresnet110", "basic"), ("preresnet164", "bottleneck")])
def test_the_cifar_nets_too(name, kind):
    networks = pytest.importorskip("torch_networks")

    def forward(net, x):
        x = net.cnr("conv1", x, 16, 3, 1, 1)
        make = partial(networks.pre_activation, net, x, (18, 18, 18), (16, 32, 64), kind, True)
        return make(shortcut_pads=kind == "basic")

    networks.assert_equal_here(name, forward, 12)
