"""ResNet v2: batch norm and ReLU before each convolution, nothing after the sum; up to 1,001 layers.

Paper   K. He, X. Zhang, S. Ren, J. Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016,
        https://arxiv.org/abs/1603.05027. Figure 4e, full pre-activation: preresnet50 to 200; for images of 32x32
        preresnet110, 164, 1001. resnet50v2, 101v2, 152v2: the form of TF-slim and keras.applications.
Result  CIFAR-10 test error: 6.37 % (110), 5.46 % (164), 4.92 % (1001). ImageNet, top-1, one crop of 320 pixels: 21.1 %
        (152), 20.7 % (200).

python train.py --mode train --arch preresnet50
python train.py --mode train --arch preresnet164 --dataset datasets/cifar10
python train.py --mode test --arch resnet50v2 --restore keras:imagenet --dataset PATH
python train.py --mode summary --arch preresnet200
"""

from functools import partial

from common.architecture import Architecture, Option
from common.errors import row_of
from common.nn import layers, residual
from common.recipe import Recipe
from common.style import styled
from resnet34 import CIFAR_CHANNELS, CIFAR_WARM, STRIDE_IN

# Depth: bottlenecks on maps of 56x56, 28x28, 14x14, 7x7.
TABLE = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
CHANNELS = (64, 128, 256, 512)
# For 32x32: (block, number of blocks on maps of each size 32x32, 16x16, 8x8): 6n + 2 or 9n + 2 layers.
CIFAR_TABLE = {110: ("basic", 18), 164: ("bottleneck", 18), 1001: ("bottleneck", 111)}
# Errata: the paper's 10.2M parameters of the 1001-layer net leave batch norm out; with gamma and beta they are 10.3M.
#
# Deviations
#   1. The last average is over the whole map, 7x7 at 224 pixels (8x8 of 32), so that other image sizes work.
#   2. preresnet carries the stride in the first 1x1 of a bottleneck, as the paper's ResNets do; `--stride_in 3x3` moves
#      it to the 3x3, as the authors' Torch models have it.
#   3. resnet50v2, 101v2 and 152v2 have the stride in the last block of a stage, where the identity is a 1x1 max pool, a
#      pre-activation before every block and biases wherever no norm follows; zeros take part in the first max pool.


def convolutions(x, channels: int, kind: str, stride: int, stride_in: str, name: str):
    """The branch after its first pre-activation: 3x3, 3x3, or 1x1, 3x3, 1x1 to 4 * channels (a bottleneck)."""
    if kind == "basic":
        x = layers.conv(x, channels, 3, stride, padding=1, name=f"{name}_conv1")
        return residual.plain_conv(x, channels, 3, padding=1, name=f"{name}_conv2")
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    x = layers.conv(x, channels, 1, first, name=f"{name}_conv1")
    x = layers.conv(x, channels, 3, second, padding=1, name=f"{name}_conv2")
    return residual.plain_conv(x, 4 * channels, 1, name=f"{name}_conv3")


def unit(x, channels: int, stride: int, kind: str, first: bool, survival: float, name: str, stride_in: str = "1x1"):
    """Figure 4e: x + F(x), (N, H, W, C) -> (N, H / stride, W / stride, C').

    Where sizes change, and in the first unit of the network, whose input is already activated, branch and shortcut
    begin with the same activations; elsewhere the shortcut is the identity of what comes in (the paper's appendix).
    """
    filters = channels if kind == "basic" else 4 * channels
    changes = stride != 1 or x.shape[-1] != filters
    y = x if first else residual.preactivation(x, name=f"{name}_preact")
    shortcut = y if changes else x
    y = residual.branch(y, survival, name=name)
    y = convolutions(y, channels, kind, stride, stride_in, name)
    if changes and kind == "basic":
        shortcut = layers.padded_identity(shortcut, filters, stride, name=f"{name}_shortcut")
    elif changes:
        shortcut = residual.plain_conv(shortcut, filters, 1, stride, name=f"{name}_shortcut")
    return residual.add(y, shortcut, survival, name=name)


def stages(x, channels: tuple[int, ...], blocks: tuple[int, ...], kind: str, stochastic_depth: float, stride_in="1x1"):
    """conv2_x, conv3_x ...: the first unit of every stage but the first halves the map."""
    survival = iter(residual.survivals(stochastic_depth, sum(blocks)))
    for stage, (width, count) in enumerate(zip(channels, blocks, strict=True), start=2):
        for number in range(1, count + 1):
            stride, first = 2 if stage > 2 and number == 1 else 1, stage == 2 and number == 1
            x = unit(x, width, stride, kind, first, next(survival), f"conv{stage}_{number}", stride_in)
    return x


@styled(initializer="he", norm="batch")
def build(
    depth: int = 50,
    classes: int = 1000,
    image_size: int = 224,
    dropout: float = 0.0,
    stride_in: str = "1x1",
    stochastic_depth: float = 1.0,
):
    """For ImageNet: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. Any size works.
    """
    STRIDE_IN.check("stride_in", stride_in)
    blocks = row_of(TABLE, "depth", depth)

    x = image = layers.image_input(image_size)  # 224x224x3
    x = layers.conv(x, 64, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = layers.max_pool(x, 3, 2, padding=1, name="pool1")  # 56x56x64
    x = stages(x, CHANNELS, blocks, "bottleneck", stochastic_depth, stride_in)  # 56x56x256 ... 7x7x2048
    x = residual.preactivation(x, name="last")
    return classifier(image, x, classes, dropout, name=f"preresnet{depth}")


@styled(initializer="he", norm="batch")
def build_cifar(
    depth: int = 110, classes: int = 10, image_size: int = 32, dropout: float = 0.0, stochastic_depth: float = 1.0
):
    """For CIFAR: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes).

    The comments give the output sizes at 32 pixels (x4 channels with bottlenecks). Any size works.
    """
    kind, n = row_of(CIFAR_TABLE, "depth", depth)

    x = image = layers.image_input(image_size)  # 32x32x3
    x = layers.conv(x, 16, 3, padding=1, name="conv1")  # 32x32x16
    x = stages(x, CIFAR_CHANNELS, (n, n, n), kind, stochastic_depth)  # 32x32x16, 16x16x32, 8x8x64
    x = residual.preactivation(x, name="last")
    return classifier(image, x, classes, dropout, name=f"preresnet{depth}")


def classifier(image, x, classes: int, dropout: float, name: str):
    """Average, fully connected layer, and the finished network."""
    x = layers.global_avg_pool(x, name="pool5")
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    return layers.network(image, layers.logits(x, classes, name="fc"), name=name)


def unit_v2(x, channels: int, stride: int, projects: bool, survival: float, name: str):
    """TF-slim's unit: (N, H, W, C) -> (N, H / stride, W / stride, 4 * channels)."""
    y = residual.preactivation(x, name=f"{name}_preact")
    shortcut = x if stride == 1 else layers.max_pool(x, 1, stride, name=f"{name}_shortcut")
    if projects:
        shortcut = residual.plain_conv(y, 4 * channels, 1, stride, bias=True, name=f"{name}_shortcut")
    y = residual.branch(y, survival, name=name)
    y = layers.conv(y, channels, 1, name=f"{name}_conv1")
    y = layers.conv(y, channels, 3, stride, padding=1, name=f"{name}_conv2")
    y = residual.plain_conv(y, 4 * channels, 1, bias=True, name=f"{name}_conv3")
    return residual.add(y, shortcut, survival, name=name)


@styled(initializer="he", norm="batch")
def build_v2(
    depth: int = 50, classes: int = 1000, image_size: int = 224, dropout: float = 0.0, stochastic_depth: float = 1.0
):
    """TF-slim's and keras.applications' form: images (N, 224, 224, 3) float32, in [-1, 1] -> logits (N, classes).

    The comments give the output sizes at 224 pixels. Any size works.
    """
    blocks = row_of(TABLE, "depth", depth)
    survival = iter(residual.survivals(stochastic_depth, sum(blocks)))

    x = image = layers.image_input(image_size)  # 224x224x3
    x = residual.plain_conv(x, 64, 7, stride=2, padding=3, bias=True, name="conv1")  # 112x112x64
    x = layers.max_pool(layers.zero_pad(x, 1, name="pad1"), 3, 2, name="pool1")  # 56x56x64
    for stage, (channels, count) in enumerate(zip(CHANNELS, blocks, strict=True), start=2):
        for number in range(1, count + 1):  # 28x28x256, 14x14x512, 7x7x1024, 7x7x2048
            stride = 2 if stage < 5 and number == count else 1
            x = unit_v2(x, channels, stride, number == 1, next(survival), name=f"conv{stage}_{number}")
    x = residual.preactivation(x, name="last")
    return classifier(image, x, classes, dropout, name=f"resnet{depth}v2")


# Section 4: x0.1 at 30 and 60 of 90 epochs; scale and aspect augmentation as in Szegedy 2015 for the best results.
IMAGENET = Recipe(
    initializer="he",
    optimizer="momentum",
    momentum=0.9,
    batch_size=256,
    epochs=90,
    learning_rate=0.1,
    learning_rate_batch=256,
    schedule="step",
    schedule_factor=0.1,
    schedule_every=30.0,
    weight_decay=0.0001,
    dropout=0.0,
    crop="scale",
    scale_range=(256, 480),
    flip=True,
)
PAPER = dict(crop="inception", pca_lighting=0.1)
# The appendix: 0.01 for 400 steps, then 0.1, x0.1 at 32,000 and 48,000 of 64,000 steps: ResNet-110's of 2015.
CIFAR = CIFAR_WARM
# Deviations
#   4. Weight decay leaves batch norm's gamma and beta alone (`--decay_biases_and_norms` does not).
#   5. On ImageNet the learning rate is in proportion to the batch, 0.1 at 256; `--learning_rate` is taken as it is.
#   6. 64,000 steps are 182 epochs of 45,000 images. The 1001-layer net's 4.62 % needs `--batch_size 64`.


def member(depth: int) -> Architecture:
    """One depth for ImageNet."""
    options, make = (Option("stride_in", "1x1", STRIDE_IN), residual.OPTION), partial(build, depth)
    source = "He 2016b, Figure 4e"
    return Architecture(
        f"preresnet{depth}", "preresnet", make, 224, IMAGENET, source, recipes={"paper": PAPER}, own_options=options
    )


def cifar_member(depth: int) -> Architecture:
    """One depth for CIFAR."""
    options, make = (residual.OPTION,), partial(build_cifar, depth)
    return Architecture(f"preresnet{depth}", "preresnet", make, 32, CIFAR, "He 2016b, Table 3", own_options=options)


def member_v2(depth: int) -> Architecture:
    """One depth in TF-slim's form."""
    options, make, source = (residual.OPTION,), partial(build_v2, depth), "He 2016b, as in TF-slim"
    return Architecture(
        f"resnet{depth}v2", "preresnet", make, 224, IMAGENET, source, recipes={"paper": PAPER}, own_options=options
    )


ARCHITECTURES = (*map(member, TABLE), *map(cifar_member, CIFAR_TABLE), *map(member_v2, (50, 101, 152)))
