"""Wide ResNet: fewer layers of many more channels, as accurate as a thousand thin ones and far faster.

Paper   S. Zagoruyko, N. Komodakis, "Wide Residual Networks", BMVC 2016, https://arxiv.org/abs/1605.07146.
        Table 1: wrnD_K, of depth D and K times as wide as ResNet, for images of 32x32. Table 8: wide_resnet50_2 for
        ImageNet; wide_resnet101_2 is its deeper sister in torchvision.
Result  CIFAR-10 test error: 4.53 % (40_4), 4.27 % (16_8), 4.00 % (28_10; 3.89 % with `--dropout 0.3`). ImageNet, top-1,
        one crop: 21.9 % (50_2).

python train.py --mode train --arch wrn28_10 --dropout 0.3 --dataset datasets/cifar10
python train.py --mode train --arch wide_resnet50_2
python train.py --mode test --arch wrn16_8 --restore ckpt/
python train.py --mode summary --arch wrn28_10
"""

from dataclasses import replace
from functools import partial

import resnet34
from common.architecture import Architecture
from common.errors import row_of
from common.nn import layers, residual
from common.recipe import Recipe
from common.style import styled
from zoo import preresnet

# Table 1: channels of the groups on maps of 32x32, 16x16, 8x8, times k; with n blocks in each 6n + 4 layers.
CHANNELS = (16, 32, 64)
CIFAR_TABLE = ((16, 8), (22, 8), (28, 10), (40, 4))  # depth, k
IMAGENET_TABLE = (50, 101)
# Errata: the depth counts the 1x1 projections of a group as one layer. Two tables of the authors' differ in the top-5
# error of 50_2 (6.03, 5.79 %).
#
# Deviations
#   1. The last average is over the whole map, 8x8 of 32 (7x7 of 224), so that other image sizes work.


def unit(x, channels: int, stride: int, dropout: float, survival: float, name: str):
    """Figure 1d: norm, ReLU, 3x3, norm, ReLU, dropout, 3x3. (N, H, W, C) -> (N, H / stride, W / stride, channels)."""
    y = residual.preactivation(x, name=f"{name}_preact")
    if x.shape[-1] != channels:
        x = residual.plain_conv(y, channels, 1, stride, name=f"{name}_shortcut")
    y = residual.branch(y, survival, name=name)
    y = layers.conv(y, channels, 3, stride, padding=1, name=f"{name}_conv1")
    y = layers.dropout(y, dropout, name=f"{name}_dropout") if dropout else y
    y = residual.plain_conv(y, channels, 3, padding=1, name=f"{name}_conv2")
    return residual.add(y, x, survival, name=name)


@styled(initializer="he", norm="batch")
def build_cifar(
    depth: int = 28,
    k: int = 10,
    classes: int = 10,
    image_size: int = 32,
    dropout: float = 0.0,
    stochastic_depth: float = 1.0,
):
    """Table 1: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes of 28_10 at 32 pixels. Any size works.
    """
    n = (depth - 4) // 6
    survival = iter(residual.survivals(stochastic_depth, 3 * n))

    x = image = layers.image_input(image_size)  # 32x32x3
    x = residual.plain_conv(x, 16, 3, padding=1, name="conv1")  # 32x32x16
    for group, channels in enumerate(CHANNELS, start=2):
        for number in range(1, n + 1):  # 32x32x160, 16x16x320, 8x8x640
            stride = 2 if group > 2 and number == 1 else 1
            x = unit(x, k * channels, stride, dropout, next(survival), name=f"conv{group}_{number}")
    x = residual.preactivation(x, name="last")
    x = layers.global_avg_pool(x, name="pool")  # 640
    x = layers.logits(x, classes, name="fc")  # 10
    return layers.network(image, x, name=f"wrn{depth}_{k}")


def bottleneck(x, channels: int, stride: int, shortcut: str, survival: float, name: str):
    """ResNet's, with twice the channels in its middle and the stride in its 3x3: (N, H, W, C) -> (.., 4 * channels)."""
    y = residual.branch(x, survival, name=name)
    y = layers.conv(y, 2 * channels, 1, name=f"{name}_conv1")
    y = layers.conv(y, 2 * channels, 3, stride, padding=1, name=f"{name}_conv2")
    y = layers.conv(y, 4 * channels, 1, relu=False, name=f"{name}_conv3")
    return resnet34.join(x, y, stride, shortcut, survival, name)


@styled(initializer="he", norm="batch")
def build(
    depth: int = 50, classes: int = 1000, image_size: int = 224, dropout: float = 0.0, stochastic_depth: float = 1.0
):
    """Table 8: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. Any size works.
    """
    _, blocks = row_of(resnet34.TABLE, "depth", depth)

    x = image = layers.image_input(image_size)  # 224x224x3
    x = layers.conv(x, 64, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = layers.max_pool(x, 3, 2, padding=1, name="pool1")  # 56x56x64
    x = resnet34.stages(x, bottleneck, "B", resnet34.CHANNELS, blocks, stochastic_depth)  # 56x56x256 ... 7x7x2048
    x = layers.global_avg_pool(x, name="pool5")  # 2048
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 1000
    return layers.network(image, x, name=f"wide_resnet{depth}_2")


# Section 3: x0.2 at 60, 120 and 160 of 200 epochs of 45,000 images, 351 steps each; weight decay on all variables.
CIFAR = Recipe(
    initializer="he",
    optimizer="nesterov",
    momentum=0.9,
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    schedule="piecewise",
    schedule_factor=0.2,
    schedule_boundaries=(21060, 42120, 56160),
    weight_decay=0.0005,
    decay_biases_and_norms=True,
    dropout=0.0,
    crop="pad",
    flip=True,
)
IMAGENET = replace(
    preresnet.IMAGENET, **preresnet.PAPER, optimizer="nesterov", contrast=0.4, decay_biases_and_norms=True
)
# Deviations
#   2. The margin for CIFAR's shifted crops is zeros here, the image's own reflection in the authors' program, and only
#      the mean is subtracted, where they divide by the standard deviation too. 22_8 has their ZCA whitening there.
#   3. The authors' ImageNet recipe is fb.resnet.torch's; its colour jitter changes brightness and saturation too.


def cifar_member(depth: int, k: int) -> Architecture:
    """A row of Table 1 for the program."""
    make, options = partial(build_cifar, depth, k), (residual.OPTION,)
    source = "Zagoruyko 2016, Table 1"
    return Architecture(f"wrn{depth}_{k}", "wide_resnet", make, 32, CIFAR, source, own_options=options)


def member(depth: int) -> Architecture:
    """One depth for ImageNet."""
    make, source = partial(build, depth), "Zagoruyko 2016, Table 8"
    name, options = f"wide_resnet{depth}_2", (residual.OPTION,)
    return Architecture(name, "wide_resnet", make, 224, IMAGENET, source, own_options=options)


ARCHITECTURES = (*(cifar_member(*row) for row in CIFAR_TABLE), *map(member, IMAGENET_TABLE))
