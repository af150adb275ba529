"""ResNeXt: bottlenecks whose 3x3 convolution works in many groups; how many is a dimension beside depth and width.

Paper   S. Xie, R. Girshick, P. Dollar, Z. Tu, K. He, "Aggregated Residual Transformations for Deep Neural Networks",
        CVPR 2017, https://arxiv.org/abs/1611.05431. Table 1: resnext50_32x4d, of cardinality 32 and width 4; section
        5.1 and 5.2: the others for ImageNet; section 5.3, for images of 32x32: resnext29.
Result  Top-1 error on ImageNet with one crop: 22.2 % (50_32x4d), 21.2 % (101_32x4d), 20.4 % (101_64x4d). CIFAR-10 test
        error: 3.65 % (29_8x64d), 3.58 % (29_16x64d).

python train.py --mode train --arch resnext50_32x4d
python train.py --mode train --arch resnext29_8x64d --dataset datasets/cifar10
python train.py --mode test --restore resnext50_32x4d.npz --dataset PATH
python train.py --mode summary --arch resnext101_64x4d
"""

from dataclasses import replace
from functools import partial

import resnet34
from common.architecture import Architecture
from common.errors import row_of
from common.nn import layers, residual
from common.style import styled
from zoo import preresnet

# Depth, cardinality C, width d of each path in conv2_x; it doubles from stage to stage. Table 1 has 50 layers, 32x4d.
TABLE = (
    (50, 32, 4),
    (101, 32, 4),
    (101, 32, 8),
    (101, 64, 4),
)
# Section 5.3: three stages of three blocks on maps of 32x32, 16x16, 8x8.
CIFAR_TABLE = ((29, 8, 64), (29, 16, 64))
CIFAR_CHANNELS = (64, 128, 256)
#
# Deviations
#   1. The last average is over the whole map, 7x7 at 224 pixels (8x8 of 32), so that other image sizes work.


def block(x, channels: int, stride: int, shortcut: str, survival: float, name: str, cardinality: int, width: int):
    """Figure 3c: 1x1, 3x3 in `cardinality` groups, 1x1. (N, H, W, C) -> (N, H / stride, W / stride, 4 * channels)."""
    paths = cardinality * (channels * width // 64)  # channels of all paths together
    y = residual.branch(x, survival, name=name)
    y = layers.conv(y, paths, 1, name=f"{name}_conv1")
    y = layers.conv(y, paths, 3, stride, padding=1, groups=cardinality, name=f"{name}_conv2")
    y = layers.conv(y, 4 * channels, 1, relu=False, name=f"{name}_conv3")
    return resnet34.join(x, y, stride, shortcut, survival, name)


@styled(initializer="he", norm="batch")
def build(
    depth: int = 50,
    cardinality: int = 32,
    width: int = 4,
    classes: int = 1000,
    image_size: int = 224,
    dropout: float = 0.0,
    stochastic_depth: float = 1.0,
):
    """Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. Any size works.
    """
    _, blocks = row_of(resnet34.TABLE, "depth", depth)
    paths = partial(block, cardinality=cardinality, width=width)

    x = image = layers.image_input(image_size)  # 224x224x3
    x = layers.conv(x, 64, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = layers.max_pool(x, 3, 2, padding=1, name="pool1")  # 56x56x64
    x = resnet34.stages(x, paths, "B", resnet34.CHANNELS, blocks, stochastic_depth)  # 56x56x256 ... 7x7x2048
    x = layers.global_avg_pool(x, name="pool5")  # 2048
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 1000
    return layers.network(image, x, name=title(depth, cardinality, width))


@styled(initializer="he", norm="batch")
def build_cifar(
    depth: int = 29,
    cardinality: int = 8,
    width: int = 64,
    classes: int = 10,
    image_size: int = 32,
    dropout: float = 0.0,
    stochastic_depth: float = 1.0,
):
    """Section 5.3: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 32 pixels. Any size works.
    """
    n = (depth - 2) // 9
    paths = partial(block, cardinality=cardinality, width=width)

    x = image = layers.image_input(image_size)  # 32x32x3
    x = layers.conv(x, 64, 3, padding=1, name="conv1")  # 32x32x64
    x = resnet34.stages(x, paths, "B", CIFAR_CHANNELS, (n, n, n), stochastic_depth)  # 32x32x256 ... 8x8x1024
    x = layers.global_avg_pool(x, name="pool5")  # 1024
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 10
    return layers.network(image, x, name=title(depth, cardinality, width))


def title(depth: int, cardinality: int, width: int) -> str:
    """The network's name, e.g. resnext50_32x4d."""
    return f"resnext{depth}_{cardinality}x{width}d"


# Section 4 and the authors' program: x0.1 at 30, 60 and 90 of 100 epochs; scale and aspect augmentation.
IMAGENET = replace(
    preresnet.IMAGENET, **preresnet.PAPER, epochs=100, optimizer="nesterov", contrast=0.4, decay_biases_and_norms=True
)
# Section 5.3: x0.1 at 150 and 225 of 300 epochs of 45,000 images, 351 steps each.
CIFAR = replace(
    IMAGENET,
    batch_size=128,
    epochs=300,
    learning_rate_batch=0,
    schedule="piecewise",
    schedule_boundaries=(52650, 78975),
    weight_decay=0.0005,
    crop="pad",
    contrast=0.0,
    pca_lighting=0.0,
)
# Deviations
#   2. The authors' colour jitter changes brightness and saturation by up to 40 % too; contrast alone here.
#   3. On ImageNet the learning rate is in proportion to the batch, 0.1 at 256; `--learning_rate` is taken as it is.


def member(depth: int, cardinality: int, width: int) -> Architecture:
    """One network for ImageNet."""
    make, options = partial(build, depth, cardinality, width), (residual.OPTION,)
    name = title(depth, cardinality, width)
    return Architecture(name, "resnext", make, 224, IMAGENET, "Xie 2017, Table 1", own_options=options)


def cifar_member(depth: int, cardinality: int, width: int) -> Architecture:
    """One network for CIFAR."""
    make, options = partial(build_cifar, depth, cardinality, width), (residual.OPTION,)
    name = title(depth, cardinality, width)
    return Architecture(name, "resnext", make, 32, CIFAR, "Xie 2017, section 5.3", own_options=options)


ARCHITECTURES = (*(member(*row) for row in TABLE), *(cifar_member(*row) for row in CIFAR_TABLE))
