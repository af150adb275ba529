import inspect
from itertools import pairwise

import pytest

import tables
from cli import registry
from common.errors import UserError
from common.nn.normalization import BatchNorm
from zoo import densenet

# Parameters; multiply-adds in millions; moving statistics; channels at the end of each block.
COSTS = {
    "densenet121": (7978856, 2834.16, 83648, (256, 512, 1024, 1024)),
    "densenet169": (14149480, 3359.84, 158400, (256, 512, 1280, 1664)),
    "densenet201": (20013928, 4291.37, 229056, (256, 512, 1792, 1920)),
    "densenet161": (28681000, 7727.91, 219936, (384, 768, 2112, 2208)),
    "densenet40_12": (1019722, 264.81, None, (160, 304, 448)),
    "densenet100_12": (6979642, 1769.52, None, None),
    "densenet100_24": (27249082, 6889.35, None, None),
    "densenet_bc100_12": (769162, 287.93, None, (216, 300, 342)),
    "densenet_bc250_24": (15324406, 5418.79, None, None),
    "densenet_bc190_40": (25624430, 9301.95, None, None),
}
SLOW = ("densenet_bc250_24", "densenet_bc190_40")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in COSTS])
def test_costs(name):
    parameters, millions, moving, ends = COSTS[name]
    totals = tables.summarise(name).totals
    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 2) == millions
    assert moving is None or totals.non_trainable_parameters == moving
    concats = [row for row in tables.summarise(name).rows if row.kind == "concat"]
    last = [row for row, after in pairwise([*concats, None]) if after is None or after.output[0] != row.output[0]]
    assert ends is None or tuple(row.output[-1] for row in last) == ends


# Megabytes an image in training, as densenet.py has them.
MEMORY = {
    "densenet121": 266,
    "densenet169": 321,
    "densenet201": 413,
    "densenet161": 495,
    "densenet40_12": 40,
    "densenet100_12": 235,
    "densenet100_24": 457,
    "densenet_bc100_12": 72,
    "densenet_bc250_24": 699,
    "densenet_bc190_40": 714,
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in MEMORY])
def test_memory(name):
    assert round(tables.summarise(name).memory()["training_per_image"]) == MEMORY[name]
    assert str(MEMORY[name]) in inspect.getsource(densenet)


@pytest.mark.parametrize(
    ("name", "depth"), [("densenet121", 121), ("densenet161", 161), ("densenet40_12", 40), ("densenet_bc100_12", 100)]
)
def test_depth_counts_the_layers_with_weights(name, depth):
    assert len(tables.outputs(name, "convolution", "fully connected")) == depth


def test_sizes_of_table_1():
    assert tables.outputs("densenet121", "max pool", "average pool") == [
        "pool1 56x56x64",
        "transition1_pool 28x28x128",
        "transition2_pool 14x14x256",
        "transition3_pool 7x7x512",
    ]
    rows = {row.name: row for row in tables.summarise("densenet121").rows}
    assert (rows["conv1"].kernel, rows["conv1"].stride, rows["conv1"].padding) == (7, 2, 3)
    assert (rows["pool1"].kernel, rows["pool1"].stride, rows["pool1"].padding) == (3, 2, 1)
    assert rows["dense1_1_1x1"].output == (56, 56, 128)
    assert rows["dense1_1_3x3"].output == (56, 56, 32)


@pytest.mark.parametrize("name", ["densenet_bc100_12", "densenet40_12"])
def test_every_convolution_but_the_first_reads_batch_norm_and_relu(name):
    model = registry.find(name).build(classes=3, image_size=8)
    convolutions = [layer for layer in model.layers if hasattr(layer, "filters")]
    for layer in convolutions[1:]:
        relu = layer.input._keras_history.operation
        assert relu.name == f"{layer.name}_pre_relu"
        assert isinstance(relu.input._keras_history.operation, BatchNorm)
    assert not any(layer.use_bias for layer in convolutions)


def test_a_layer_reads_what_all_layers_before_it_made():
    model = registry.find("densenet40_12").build(classes=3, image_size=8)
    joined = model.get_layer("dense1_2")
    assert [tensor._keras_history.operation.name for tensor in joined.input] == ["dense1_1", "dense1_2_3x3"]
    assert model.get_layer("dense1_3_3x3_pre_bn").input._keras_history.operation is joined


def test_dropout_follows_every_convolution_but_the_first_where_it_is_asked_for():
    model = registry.find("densenet40_12").build(classes=3, image_size=8, dropout=0.2)
    dropped = [layer.input._keras_history.operation.name for layer in model.layers if hasattr(layer, "rate")]
    assert dropped == [layer.name for layer in model.layers if hasattr(layer, "filters")][1:]
    assert not [layer for layer in registry.find("densenet40_12").build(image_size=8).layers if hasattr(layer, "rate")]


@pytest.mark.parametrize(("name", "smallest"), [("densenet121", 29), ("densenet40_12", 4)])
def test_the_smallest_image(name, smallest):
    build = registry.find(name).build
    assert build(classes=3, image_size=smallest).output.shape == (None, 3)
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        build(classes=3, image_size=smallest - 1)


def test_recipes():
    assert densenet.CIFAR.schedule_boundaries == (150 * (45000 // 64), 225 * (45000 // 64))
    assert densenet.CIFAR.decay_biases_and_norms
    assert densenet.IMAGENET.decay_biases_and_norms
    assert registry.find("densenet161").recipe.epochs == 100
