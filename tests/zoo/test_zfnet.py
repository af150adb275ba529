import pytest

import tables
from cli import registry
from common.errors import UserError


@pytest.mark.parametrize(
    ("arch", "parameters", "millions"), [("zfnet", 62357608, 1168.03), ("zfnet_wide", 107627624, 2476.70)]
)
def test_parameters_and_multiply_adds(arch, parameters, millions):
    totals = tables.summarise(arch).totals

    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 2) == millions


def test_every_size_of_figure_3():
    assert tables.outputs("zfnet") == [
        "image 224x224x3",
        "conv1 110x110x96",
        "pool1 55x55x96",
        "norm1 55x55x96",
        "conv2 26x26x256",
        "pool2 13x13x256",
        "norm2 13x13x256",
        "conv3 13x13x384",
        "conv4 13x13x384",
        "conv5 13x13x256",
        "pool5 6x6x256",
        "fc6 4096",
        "dropout6 4096",
        "fc7 4096",
        "dropout7 4096",
        "fc8 1000",
    ]
    wide = [output for output in tables.outputs("zfnet_wide") if output.startswith("conv")]
    assert wide[2:] == ["conv3 13x13x512", "conv4 13x13x1024", "conv5 13x13x512"]


def test_the_windows_of_figure_3():
    rows = {row.name: row for row in tables.summarise("zfnet").rows if row.kind == "convolution"}

    assert [(row.kernel, row.stride) for row in rows.values()] == [(7, 2), (5, 2), (3, 1), (3, 1), (3, 1)]
    assert {row.groups for row in rows.values()} == {1}


def test_the_smallest_image():
    build = registry.find("zfnet").build

    assert build(classes=3, image_size=63).get_layer("pool5").output.shape[1:] == (1, 1, 256)
    with pytest.raises(UserError, match="the smallest that fits is 63"):
        build(classes=3, image_size=62)
