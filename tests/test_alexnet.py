from math import prod

import pytest

import alexnet
import tables
from common.errors import UserError


def test_every_output_of_the_slide():
    assert tables.outputs("alexnet") == [
        "image 227x227x3",
        "conv1 55x55x96",
        "pool1 27x27x96",
        "norm1 27x27x96",
        "conv2 27x27x256",
        "pool2 13x13x256",
        "norm2 13x13x256",
        "conv3 13x13x384",
        "conv4 13x13x384",
        "conv5 13x13x256",
        "pool3 6x6x256",
        "fc6 4096",
        "dropout6 4096",
        "fc7 4096",
        "dropout7 4096",
        "fc8 1000",
    ]


def test_the_windows_of_the_slide():
    found = {row.name: (row.kernel, row.stride, row.padding) for row in tables.summarise("alexnet").rows if row.kernel}

    assert found == {
        "conv1": (11, 4, 0),
        "pool1": (3, 2, 0),
        "conv2": (5, 1, 2),
        "pool2": (3, 2, 0),
        "conv3": (3, 1, 1),
        "conv4": (3, 1, 1),
        "conv5": (3, 1, 1),
        "pool3": (3, 2, 0),
    }


def test_the_papers_net_normalises_before_it_pools():
    names = [output.split()[0] for output in tables.outputs("alexnet_two_towers")]

    assert names[:7] == ["image", "conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]


def test_the_papers_node_counts():
    rows = {row.name: prod(row.output) for row in tables.summarise("alexnet_two_towers").rows}
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

    assert [rows[name] for name in layers] == [290400, 186624, 64896, 64896, 43264, 4096, 4096, 1000]


def test_only_the_second_fourth_and_fifth_convolutions_are_split_over_the_towers():
    groups = {row.name: row.groups for row in tables.summarise("alexnet_two_towers").rows if row.kind == "convolution"}

    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}


@pytest.mark.parametrize(
    ("name", "parameters", "millions"), [("alexnet", 62378344, 1135), ("alexnet_two_towers", 60965224, 724)]
)
def test_parameters_and_multiply_adds(name, parameters, millions):
    assert tables.costs(name) == (parameters, millions)


def test_shares_as_printed_for_the_two_towers():
    summary = tables.summarise("alexnet_two_towers")

    assert round(summary.share("convolution", "parameters"), 1) == 3.8
    assert round(summary.share("fully connected", "parameters"), 1) == 96.2
    # printed 91.9 and 8.1
    assert round(summary.share("convolution", "multiply_adds"), 1) == pytest.approx(91.9, abs=0.11)
    assert round(summary.share("fully connected", "multiply_adds"), 1) == pytest.approx(8.1, abs=0.11)


def test_receptive_fields():
    # conv1 11; pool1 11 + 2 * 4; conv2 19 + 4 * 8; pool2 51 + 2 * 8; conv3, 4, 5 each + 2 * 16; pool3 163 + 2 * 16
    expected = {
        "conv1": 11,
        "pool1": 19,
        "conv2": 51,
        "pool2": 67,
        "conv3": 99,
        "conv4": 131,
        "conv5": 163,
        "pool3": 195,
    }
    found = tables.fields("alexnet")

    assert {name: found[name] for name in expected} == expected
    assert found["fc6"] == found["fc8"] == 227


@pytest.mark.parametrize("build", [alexnet.build, alexnet.build_two_towers])
def test_the_smallest_image(build):
    model = build(classes=3, image_size=67)

    assert model.get_layer("pool3").output.shape[1:] == (1, 1, 256)
    assert model.output.shape == (None, 3)
    with pytest.raises(UserError, match="the smallest that fits is 67"):
        build(classes=3, image_size=66)


def test_the_labs_recipe():
    recipe = alexnet.LAB

    assert (recipe.initializer, recipe.optimizer, recipe.momentum) == ("gaussian", "momentum", 0.9)
    assert (recipe.batch_size, recipe.learning_rate, recipe.schedule, recipe.schedule_factor) == (
        128,
        0.01,
        "plateau",
        0.1,
    )
    assert (recipe.weight_decay, recipe.dropout, recipe.crop, recipe.flip) == (0.0005, 0.5, "random", True)
    assert recipe.brightness > 0
    assert recipe.contrast > 0
    assert alexnet.PAPER["pca_lighting"] == 0.1


def test_response_normalisation_can_be_left_out():
    without = alexnet.build_two_towers(10, 67, lrn="none")
    names = {layer.name for layer in without.layers}
    assert not {"norm1", "norm2"} & names
    assert {layer.name for layer in alexnet.build_two_towers(10, 67).layers} - names == {"norm1", "norm2"}
