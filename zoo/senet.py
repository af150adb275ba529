"""SENet: ResNet and ResNeXt with squeeze-and-excitation blocks, which weigh the channels of every branch; ILSVRC 2017.

Paper   J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
        Table 1 and 2: se_resnet50, 101, 152, se_resnext50_32x4d, 101_32x4d; section 6.2, for images of 32x32:
        se_resnet20 to 110.
Result  Top-1 error on ImageNet with one crop: 23.29 % (se_resnet50), 22.38 % (101), 21.57 % (152), 21.10 %
        (se_resnext50_32x4d); without the blocks 24.80, 23.17, 22.42 and 22.11 %.

python train.py --mode train --arch se_resnet50
python train.py --mode train --arch se_resnet20 --dataset datasets/cifar10
python train.py --mode test --arch se_resnet50 --restore ckpt/
python train.py --mode summary --arch se_resnext50_32x4d
"""

from dataclasses import replace
from functools import partial

import resnet34
from common.architecture import Architecture, Option
from common.errors import row_of
from common.nn import layers, residual
from common.style import styled
from zoo import preresnet

REDUCTION = 16  # r of section 3: a channel's weight comes from C / r hidden units
TABLE = (50, 101, 152)
# Table 1, right: depth, groups of the 3x3, channels of conv2_x in the middle of a bottleneck.
RESNEXT_TABLE = ((50, 32, 128), (101, 32, 128))
CIFAR_TABLE = (20, 32, 44, 56, 110)
#
# Deviations
#   1. The last average is over the whole map, 7x7 at 224 pixels (8x8 of 32), so that other image sizes work.
#   2. The fully connected layers of a block have biases, as in the authors' models; the paper's formula has none.
#   3. se_resnet50 to 152 carry the stride in the first 1x1, as the authors' models; `--stride_in 3x3` moves it.
#   4. The CIFAR nets are He 2016's with shortcuts A, as ResNet's here; the journal version's 110 has pre-activation.


def basic(x, channels: int, stride: int, shortcut: str, survival: float, name: str):
    """ResNet's 3x3, 3x3, with a block before the sum: (N, H, W, C) -> (N, H / stride, W / stride, channels)."""
    y = residual.branch(x, survival, name=name)
    y = layers.conv(y, channels, 3, stride, padding=1, name=f"{name}_conv1")
    y = layers.conv(y, channels, 3, padding=1, relu=False, name=f"{name}_conv2")
    y = residual.squeeze_excite(y, REDUCTION, name=name)
    return resnet34.join(x, y, stride, shortcut, survival, name)


def bottleneck(
    x, channels: int, stride: int, shortcut: str, survival: float, name: str, stride_in: str, groups: int, wide: int
):
    """Figure 3, 1x1, 3x3, 1x1 and a block before the sum: (N, H, W, C) -> (N, H / stride, W / stride, 4 * channels)."""
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    y = residual.branch(x, survival, name=name)
    y = layers.conv(y, wide * channels, 1, first, name=f"{name}_conv1")
    y = layers.conv(y, wide * channels, 3, second, padding=1, groups=groups, name=f"{name}_conv2")
    y = layers.conv(y, 4 * channels, 1, relu=False, name=f"{name}_conv3")
    y = residual.squeeze_excite(y, REDUCTION, name=name)
    return resnet34.join(x, y, stride, shortcut, survival, name)


@styled(initializer="he", norm="batch")
def build(
    depth: int = 50,
    groups: int = 1,
    middle: int = 64,
    classes: int = 1000,
    image_size: int = 224,
    dropout: float = 0.0,
    stride_in: str = "1x1",
    stochastic_depth: float = 1.0,
):
    """Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. The smallest image is 5 pixels wide.
    """
    resnet34.STRIDE_IN.check("stride_in", stride_in)
    _, blocks = row_of(resnet34.TABLE, "depth", depth)
    block = partial(bottleneck, stride_in=stride_in, groups=groups, wide=middle // 64)

    x = image = layers.image_input(image_size, smallest=5)  # 224x224x3
    x = layers.conv(x, 64, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = layers.max_pool(x, 3, 2, ceil=True, name="pool1")  # 56x56x64
    x = resnet34.stages(x, block, "B", resnet34.CHANNELS, blocks, stochastic_depth)  # 56x56x256 ... 7x7x2048
    x = layers.global_avg_pool(x, name="pool5")  # 2048
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 1000
    return layers.network(image, x, name=title(depth, groups, middle))


@styled(initializer="he", norm="batch")
def build_cifar(
    depth: int = 20, classes: int = 10, image_size: int = 32, dropout: float = 0.0, stochastic_depth: float = 1.0
):
    """Section 6.2: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 32 pixels. Any size works.
    """
    n = resnet34.blocks_per_stage(depth)

    x = image = layers.image_input(image_size)  # 32x32x3
    x = layers.conv(x, 16, 3, padding=1, name="conv1")  # 32x32x16
    x = resnet34.stages(x, basic, "A", resnet34.CIFAR_CHANNELS, (n, n, n), stochastic_depth)  # 32x32x16 ... 8x8x64
    x = layers.global_avg_pool(x, name="pool5")  # 64
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 10
    return layers.network(image, x, name=title(depth))


def title(depth: int, groups: int = 1, middle: int = 64) -> str:
    """The network's name: se_resnet50, or se_resnext50_32x4d."""
    return f"se_resnet{depth}" if groups == 1 else f"se_resnext{depth}_{groups}x{middle // groups}d"


# Section 4: x0.1 every 30 of 100 epochs.
IMAGENET = replace(
    preresnet.IMAGENET, crop="inception", batch_size=1024, epochs=100, learning_rate=0.6, learning_rate_batch=1024
)
# Deviations
#   5. The learning rate is in proportion to the batch, 0.6 at 1024; `--learning_rate` is taken as it is.


def member(depth: int, groups: int = 1, middle: int = 64) -> Architecture:
    """One network for ImageNet."""
    stride_in = "1x1" if groups == 1 else "3x3"
    make = partial(build, depth, groups, middle, stride_in=stride_in)
    options = (Option("stride_in", stride_in, resnet34.STRIDE_IN), residual.OPTION)
    name = title(depth, groups, middle)
    return Architecture(name, "senet", make, 224, IMAGENET, "Hu 2018, Table 2", own_options=options)


def cifar_member(depth: int) -> Architecture:
    """One network for CIFAR, with ResNet's recipe."""
    make, options = partial(build_cifar, depth), (residual.OPTION,)
    recipe = resnet34.CIFAR_WARM if depth >= 110 else resnet34.CIFAR
    return Architecture(title(depth), "senet", make, 32, recipe, "Hu 2018, section 6.2", own_options=options)


ARCHITECTURES = (*map(member, TABLE), *(member(*row) for row in RESNEXT_TABLE), *map(cifar_member, CIFAR_TABLE))
