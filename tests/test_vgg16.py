import numpy as np
import pytest

import tables
import vgg16
from cli import registry
from common.errors import UserError

# name, column of Table 1, layers with weights, parameters, the paper's millions, multiply-adds in millions
MEMBERS = [
    ("vgg11", "A", 11, 132863336, 133, 7609),
    ("vgg11_lrn", "A-LRN", 11, 132863336, 133, 7609),
    ("vgg13", "B", 13, 133047848, 133, 11308),
    ("vgg16_1x1", "C", 16, 133638952, 134, 11771),
    ("vgg16", "D", 16, 138357544, 138, 15470),
    ("vgg19", "E", 19, 143667240, 144, 19632),
]


@pytest.mark.parametrize(("name", "column", "depth", "parameters", "printed", "millions"), MEMBERS)
def test_parameters_and_multiply_adds(name, column, depth, parameters, printed, millions):
    assert tables.costs(name) == (parameters, millions)
    assert round(parameters / 1e6) == printed


@pytest.mark.parametrize(  # torchvision's counts
    ("name", "parameters", "millions"),
    [
        ("vgg11_bn", 132868840, 7609.09),
        ("vgg13_bn", 133053736, 11308.47),
        ("vgg16_bn", 138365992, 15470.26),
        ("vgg19_bn", 143678248, 19632.06),
    ],
)
def test_batch_norm_adds_two_parameters_a_channel_and_the_convolutions_keep_their_biases(name, parameters, millions):
    totals, plain = tables.summarise(name).totals, tables.summarise(name.removesuffix("_bn")).totals
    rows = tables.summarise(name).rows

    assert totals.trainable_parameters == parameters
    assert totals.multiply_adds == plain.multiply_adds == pytest.approx(millions * 1e6, abs=5000)
    convolutions = [row.name for row in rows if row.kind == "convolution"]
    assert [row.name for row in rows if row.kind == "batch norm"] == [f"{name}_bn" for name in convolutions]
    assert parameters - plain.trainable_parameters == totals.non_trainable_parameters


@pytest.mark.parametrize(("name", "column", "depth"), [member[:3] for member in MEMBERS])
def test_layers_with_weights(name, column, depth):
    convolutions = sum(map(len, vgg16.COLUMNS[column]))

    assert convolutions + 3 == depth
    assert len(tables.outputs(name, "convolution", "fully connected")) == depth
    assert f"Table 1, {column}" in registry.find(name).source


def test_every_output_and_weight_count_of_the_slide():
    found = [
        (
            "x".join(map(str, row.output)),
            row.activation_values,
            row.parameters - (row.output[-1] if row.parameters else 0),
        )
        for row in tables.summarise("vgg16").rows
        if row.kind != "dropout"
    ]

    assert found == [
        ("224x224x3", 150528, 0),
        ("224x224x64", 3211264, 1728),
        ("224x224x64", 3211264, 36864),
        ("112x112x64", 802816, 0),
        ("112x112x128", 1605632, 73728),
        ("112x112x128", 1605632, 147456),
        ("56x56x128", 401408, 0),
        ("56x56x256", 802816, 294912),
        ("56x56x256", 802816, 589824),
        ("56x56x256", 802816, 589824),
        ("28x28x256", 200704, 0),
        ("28x28x512", 401408, 1179648),
        ("28x28x512", 401408, 2359296),
        ("28x28x512", 401408, 2359296),
        ("14x14x512", 100352, 0),
        ("14x14x512", 100352, 2359296),
        ("14x14x512", 100352, 2359296),
        ("14x14x512", 100352, 2359296),
        ("7x7x512", 25088, 0),
        ("4096", 4096, 102760448),
        ("4096", 4096, 16777216),
        ("1000", 1000, 4096000),
    ]
    assert sum(values for _, values, _ in found) == tables.summarise("vgg16").totals.activation_values == 15237608
    assert sum(weights for *_, weights in found) == 138344128


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), [("vgg16", 10.6, 99.2), ("vgg19", 13.9, 99.4)])
def test_share_of_the_convolutions(name, parameters, multiply_adds):
    summary = tables.summarise(name)

    assert summary.share("convolution", "parameters") == pytest.approx(parameters, abs=0.06)
    assert summary.share("convolution", "multiply_adds") == pytest.approx(multiply_adds, abs=0.06)


def test_three_3x3_convolutions_see_7x7():
    # After a pool of 2 pixels' width, in units of the 4 pixels between two places of conv3's input.
    seen = tables.fields("vgg16")

    assert [(seen[name] - seen["pool2"]) // 4 + 1 for name in ("conv3_1", "conv3_2", "conv3_3")] == [3, 5, 7]
    assert (seen["conv1_1"], seen["conv1_2"]) == (3, 5)


def test_the_1x1_network_has_its_1x1_convolutions():
    found = [row.name for row in tables.summarise("vgg16_1x1").rows if row.kernel == 1]

    assert found == ["conv3_3", "conv4_3", "conv5_3"]


def test_only_a_lrn_normalises_and_after_its_first_convolution():
    found = {name: tables.outputs(name, "LRN") for name, *_ in MEMBERS}

    assert found.pop("vgg11_lrn") == ["norm1 224x224x64"]
    assert not any(found.values())


@pytest.mark.parametrize("name", [member[0] for member in MEMBERS])
def test_what_the_deeper_nets_take_from_a_fits(name):
    """Section 3.1: the first four convolutions and the three fully connected layers."""
    shapes = {
        n: {layer.name: layer.kernel.shape for layer in _small(n).layers if hasattr(layer, "kernel")}
        for n in ("vgg11", name)
    }
    convolutions = [layer for layer in shapes["vgg11"] if layer.startswith("conv")]

    assert registry.find(name).inherits == (*convolutions[:4], "fc6", "fc7", "fc8")
    assert all(shapes[name][layer] == shapes["vgg11"][layer] for layer in registry.find(name).inherits)


def _small(name):
    return registry.find(name).build(classes=4, image_size=32)


def test_the_smallest_image():
    assert _small("vgg19").get_layer("pool5").output.shape[1:] == (1, 1, 512)
    with pytest.raises(UserError, match="the smallest that fits is 32"):
        registry.find("vgg19").build(classes=4, image_size=31)


@pytest.mark.parametrize(("initializer", "deviation"), [("glorot", np.sqrt(2 / (9 * 64 + 9 * 64))), ("gaussian", 0.01)])
def test_the_initializer_is_glorots_unless_the_labs_is_asked_for(initializer, deviation):
    arguments = {} if initializer == vgg16.LAB.initializer else {"initializer": initializer}
    kernel = registry.find("vgg16").build(classes=4, image_size=32, **arguments).get_layer("conv1_2").kernel.numpy()

    assert kernel.std() == pytest.approx(deviation, rel=0.02)


def test_the_labs_recipe():
    recipe = vgg16.LAB

    assert (recipe.optimizer, recipe.momentum, recipe.batch_size, recipe.learning_rate) == ("momentum", 0.9, 256, 0.01)
    assert (recipe.schedule, recipe.schedule_factor, recipe.weight_decay, recipe.dropout) == (
        "plateau",
        0.1,
        0.0005,
        0.5,
    )
    assert (recipe.crop, vgg16.PAPER["scale_range"]) == ("scale", (256, 512))
