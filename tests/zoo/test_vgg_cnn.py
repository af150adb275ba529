import pytest

import tables
from cli import registry
from common.errors import UserError

# arch, parameters, multiply-adds in millions
MEMBERS = [("cnn_f", 60834536, 724.01), ("cnn_m", 102908520, 1676.17), ("cnn_s", 102908520, 2637.71)]
# Sizes of conv1, pool1, conv2, pool2, conv3, conv4, conv5, pool5.
SIZES = {
    "cnn_f": [54, 27, 27, 13, 13, 13, 13, 6],
    "cnn_m": [109, 54, 26, 13, 13, 13, 13, 6],
    "cnn_s": [109, 37, 33, 17, 17, 17, 17, 6],
}


@pytest.mark.parametrize(("arch", "parameters", "millions"), MEMBERS)
def test_parameters_and_multiply_adds(arch, parameters, millions):
    totals = tables.summarise(arch).totals

    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 2) == millions


@pytest.mark.parametrize("arch", SIZES)
def test_every_size(arch):
    found = [row.output[0] for row in tables.summarise(arch).rows if row.kind in ("convolution", "max pool")]
    assert found == SIZES[arch]


@pytest.mark.parametrize(
    ("arch", "order"),
    [
        ("cnn_f", ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3"]),
        ("cnn_m", ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3"]),
        ("cnn_s", ["conv1", "norm1", "pool1", "conv2", "pool2", "conv3"]),
    ],
)
def test_normalisation_comes_before_the_pool(arch, order):
    assert [output.split()[0] for output in tables.outputs(arch)][1 : len(order) + 1] == order


@pytest.mark.parametrize(  # printed in a table: millions of parameters, percent in convolutions, millions of operations
    ("arch", "millions", "parameters", "operations", "multiply_adds"),
    [("cnn_m", 103, 6.3, 1678, 94.3), ("cnn_s", 103, 6.3, 2640, 96.3)],
)
def test_the_printed_shares(arch, millions, parameters, operations, multiply_adds):
    summary = tables.summarise(arch)
    biases = sum(row.activation_values for row in summary.rows if row.kind in ("convolution", "fully connected"))

    assert round(summary.totals.trainable_parameters / 1e6) == millions
    assert round((summary.totals.multiply_adds + biases) / 1e6) == operations  # an addition for each bias, too
    assert summary.share("convolution", "parameters") == pytest.approx(parameters, abs=0.06)
    assert summary.share("convolution", "multiply_adds") == pytest.approx(multiply_adds, abs=0.06)


@pytest.mark.parametrize(("arch", "smallest"), [("cnn_f", 55), ("cnn_m", 57), ("cnn_s", 55)])
def test_the_smallest_image(arch, smallest):
    build = registry.find(arch).build

    assert build(classes=3, image_size=smallest).get_layer("pool5").output.shape[1:3] == (1, 1)
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        build(classes=3, image_size=smallest - 1)
