import pytest

import tables
from zoo import resnext


# Section 5, table in the reference of ResNeXt: channels of the 3x3 in each stage.
@pytest.mark.parametrize(
    ("name", "groups", "channels"),
    [
        ("resnext50_32x4d", 32, (128, 256, 512, 1024)),
        ("resnext101_32x8d", 32, (256, 512, 1024, 2048)),
        ("resnext101_64x4d", 64, (256, 512, 1024, 2048)),
        ("resnext29_8x64d", 8, (512, 1024, 2048)),
        ("resnext29_16x64d", 16, (1024, 2048, 4096)),
    ],
)
def test_the_3x3_are_in_groups(name, groups, channels):
    rows = [row for row in tables.summarise(name).rows if row.name.endswith("_conv2")]
    assert {row.groups for row in rows} == {groups}
    assert tuple(dict.fromkeys(row.output[-1] for row in rows)) == channels
    # The stride stands in the 3x3 of each stage's first block but the first.
    strided = ["conv3_1_conv2", "conv4_1_conv2"] + (["conv5_1_conv2"] if len(channels) == 4 else [])
    assert [row.name for row in rows if row.stride == 2] == strided


def test_equal_cost_at_every_cardinality():
    """Table 2: cardinality 1, 2, 4, 8, 32 with width 64, 40, 24, 14, 4 weigh about 70,000 a block of conv2_x."""
    for cardinality, width in ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4)):
        paths = cardinality * width
        assert 256 * paths + 9 * paths * width + paths * 256 == pytest.approx(70000, rel=0.03)


def test_recipes():
    imagenet, cifar = resnext.IMAGENET, resnext.CIFAR
    assert (imagenet.batch_size, imagenet.learning_rate, imagenet.epochs) == (256, 0.1, 100)
    assert (imagenet.schedule, imagenet.schedule_every, imagenet.weight_decay) == ("step", 30.0, 1e-4)
    assert (cifar.batch_size, cifar.epochs, cifar.weight_decay, cifar.learning_rate) == (128, 300, 5e-4, 0.1)
    assert cifar.schedule_boundaries == (150 * (45000 // 128), 225 * (45000 // 128))


@pytest.mark.slow
def test_the_same_weights_give_the_same_in_pytorch():
    networks = pytest.importorskip("torch_networks")

    def forward(net, x):
        x = net.cnr("conv1", x, 64, 3, 1, 1)
        return networks.post_activation(net, x, (3, 3, 3), (64, 128, 256), lambda width: 8 * width, groups=8)

    networks.assert_equal_here("resnext29_8x64d", forward, 8)
