"""Inception v2 and v3: GoogLeNet with batch norm, then with large windows split into thin and small ones.

Paper   S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, https://arxiv.org/abs/1502.03167: inception_v2.
        C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception Architecture for Computer
        Vision", CVPR 2016, https://arxiv.org/abs/1512.00567: inception_v3 (Table 1, Figures 5 to 7, 10).
Result  Top-1 and top-5 error on ImageNet with one crop: 25.2, 7.82 % (v2), 21.2, 5.6 % (v3).

python train.py --mode train --arch inception_v3
python train.py --mode test --arch inception_v3 --restore keras:imagenet --dataset PATH
python train.py --mode predict --restore ckpt/ --arch inception_v2 --images photo.jpg
python train.py --mode summary --arch inception_v3
"""

from functools import partial
from typing import NamedTuple

from common.architecture import Architecture, Option
from common.nn import layers
from common.recipe import Recipe
from common.settings import Setting
from common.style import styled


class Module(NamedTuple):
    """Channels of one module of v2, in the column order of Figure 5; 0: there is no such branch."""

    conv1: int  # #1x1
    reduce3: int  # #3x3 reduce
    conv3: int  # #3x3
    reduce_double: int  # double #3x3 reduce
    double: int  # double #3x3, both
    pool: str  # avg, max
    projection: int  # pool proj; 0: the pool passes on what it sees, and the module halves the map


# Figure 5:        1x1 3x3r 3x3  d3x3r d3x3 pool  proj
V2 = {
    "3a": Module(64, 64, 64, 64, 96, "avg", 32),  # 28x28x256
    "3b": Module(64, 64, 96, 64, 96, "avg", 64),  # 28x28x320
    "3c": Module(0, 128, 160, 64, 96, "max", 0),  # 14x14x576
    "4a": Module(224, 64, 96, 96, 128, "avg", 128),  # 14x14x576
    "4b": Module(192, 96, 128, 96, 128, "avg", 128),  # 14x14x576
    "4c": Module(160, 128, 160, 128, 160, "avg", 128),  # 14x14x608
    "4d": Module(96, 128, 192, 160, 192, "avg", 128),  # 14x14x608
    "4e": Module(0, 128, 192, 192, 256, "max", 0),  # 7x7x1056
    "5a": Module(352, 192, 320, 160, 224, "avg", 128),  # 7x7x1024
    "5b": Module(352, 192, 320, 192, 224, "max", 128),  # 7x7x1024
}
SEVENS = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}  # v3 at 17x17: channels between the 1x7 and 7x1 (Figure 6)
# Errata
#   Figure 5 of 2015 prints 576 channels for 4c and 4d, whose columns add up to 608, 14x14 for 4e, which is 7x7, and
#   13.6M parameters, which no form of it has.
#   Table 1 of 2016 has another stem than the authors' program, which is followed here, writes 5x for the modules at
#   17x17, of which the first is the reduction, and 4.8 billion multiply-adds; there are 5.7. "Inception-v2" is v3
#   without its training there; here it is the network of 2015, as in the authors' program.
#
# Deviations
#   1. The last average is over the whole map, 7x7 at 224 pixels (8x8 of 299), so that other image sizes work.
#   2. Windows of stride 2 in v2 are padded alike on all sides; the paper does not say.

COUNT_PADDING = Setting("Inception: average pools count the zeros around the map, as torchvision's and Caffe's do")


def average(x, zeros: bool, name: str):
    """3x3 means of a map, of the same size: of the places inside the map, or of those and the zeros around it."""
    if zeros:
        return layers.avg_pool(layers.zero_pad(x, 1, name=f"{name}_pad"), 3, name=name)
    return layers.avg_pool(x, 3, padding=1, name=name)


def module_v2(x, module: str, zeros: bool):
    """Two 3x3 in place of GoogLeNet's 5x5. (N, H, W, C) -> (N, H, W, C'); half the map where nothing is projected."""
    row, name = V2[module], f"inception_{module}"
    conv, stride = layers.conv, 1 if row.projection else 2

    a = [conv(x, row.conv1, 1, name=f"{name}_1x1")] if row.conv1 else []
    b = conv(x, row.reduce3, 1, name=f"{name}_3x3_reduce")
    b = conv(b, row.conv3, 3, stride, padding=1, name=f"{name}_3x3")
    c = conv(x, row.reduce_double, 1, name=f"{name}_double_reduce")
    c = conv(c, row.double, 3, padding=1, name=f"{name}_double_1")
    c = conv(c, row.double, 3, stride, padding=1, name=f"{name}_double_2")
    if row.pool == "max":
        d = layers.max_pool(x, 3, stride, padding=1, name=f"{name}_pool")
    else:
        d = average(x, zeros, name=f"{name}_pool")
    d = conv(d, row.projection, 1, name=f"{name}_pool_proj") if row.projection else d
    return layers.concat([*a, b, c, d], name=name)


@styled(initializer="he", norm="batch")
def build_v2(classes: int = 1000, image_size: int = 224, dropout: float = 0.0, count_padding: bool = False):
    """Figure 5 of 2015: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. Any size works.
    """
    module = partial(module_v2, zeros=count_padding)

    x = image = layers.image_input(image_size)  # 224x224x3
    x = layers.conv(x, 24, 7, stride=2, padding=3, groups=3, relu=False, bias=False, norm=False, name="conv1_depthwise")
    x = layers.conv(x, 64, 1, name="conv1")  # 112x112x64: conv1 is separable, 8 filters a colour, then 1x1
    x = layers.max_pool(x, 3, 2, padding=1, name="pool1")  # 56x56x64
    x = layers.conv(x, 64, 1, name="conv2_reduce")  # 56x56x64
    x = layers.conv(x, 192, 3, padding=1, name="conv2")  # 56x56x192
    x = layers.max_pool(x, 3, 2, padding=1, name="pool2")  # 28x28x192
    for name in V2:
        x = module(x, name)  # 28x28x256 ... 7x7x1024
    x = layers.global_avg_pool(x, name="pool5")  # 1024
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 1000
    return layers.network(image, x, name="inception_v2")


def module_a(x, name: str, projection: int, zeros: bool):
    """Figure 5 of 2016 with a 5x5: 35x35."""
    conv = layers.conv
    a = conv(x, 64, 1, name=f"{name}_1x1")
    b = conv(x, 48, 1, name=f"{name}_5x5_1")
    b = conv(b, 64, 5, padding=2, name=f"{name}_5x5_2")
    c = conv(x, 64, 1, name=f"{name}_3x3dbl_1")
    c = conv(c, 96, 3, padding=1, name=f"{name}_3x3dbl_2")
    c = conv(c, 96, 3, padding=1, name=f"{name}_3x3dbl_3")
    d = average(x, zeros, name=f"{name}_pool")
    d = conv(d, projection, 1, name=f"{name}_pool_proj")
    return layers.concat([a, b, c, d], name=name)


def reduction_a(x, name: str):
    """Figure 10 of 2016: 35x35 to 17x17."""
    a = layers.conv(x, 384, 3, stride=2, name=f"{name}_3x3")
    b = layers.conv(x, 64, 1, name=f"{name}_3x3dbl_1")
    b = layers.conv(b, 96, 3, padding=1, name=f"{name}_3x3dbl_2")
    b = layers.conv(b, 96, 3, stride=2, name=f"{name}_3x3dbl_3")
    c = layers.max_pool(x, 3, 2, name=f"{name}_pool")
    return layers.concat([a, b, c], name=name)


def module_b(x, name: str, width: int, zeros: bool):
    """Figure 6 of 2016, a 7x7 as 1x7 and 7x1: 17x17."""
    conv = layers.conv
    a = conv(x, 192, 1, name=f"{name}_1x1")
    b = conv(x, width, 1, name=f"{name}_7x7_1")
    b = conv(b, width, (1, 7), name=f"{name}_7x7_2")
    b = conv(b, 192, (7, 1), name=f"{name}_7x7_3")
    c = conv(x, width, 1, name=f"{name}_7x7dbl_1")
    c = conv(c, width, (7, 1), name=f"{name}_7x7dbl_2")
    c = conv(c, width, (1, 7), name=f"{name}_7x7dbl_3")
    c = conv(c, width, (7, 1), name=f"{name}_7x7dbl_4")
    c = conv(c, 192, (1, 7), name=f"{name}_7x7dbl_5")
    d = average(x, zeros, name=f"{name}_pool")
    d = conv(d, 192, 1, name=f"{name}_pool_proj")
    return layers.concat([a, b, c, d], name=name)


def reduction_b(x, name: str):
    """17x17 to 8x8."""
    a = layers.conv(x, 192, 1, name=f"{name}_3x3_1")
    a = layers.conv(a, 320, 3, stride=2, name=f"{name}_3x3_2")
    b = layers.conv(x, 192, 1, name=f"{name}_7x7x3_1")
    b = layers.conv(b, 192, (1, 7), name=f"{name}_7x7x3_2")
    b = layers.conv(b, 192, (7, 1), name=f"{name}_7x7x3_3")
    b = layers.conv(b, 192, 3, stride=2, name=f"{name}_7x7x3_4")
    c = layers.max_pool(x, 3, 2, name=f"{name}_pool")
    return layers.concat([a, b, c], name=name)


def module_c(x, name: str, zeros: bool):
    """Figure 7 of 2016, 1x3 and 3x1 side by side: 8x8."""
    conv = layers.conv
    a = conv(x, 320, 1, name=f"{name}_1x1")
    b = conv(x, 384, 1, name=f"{name}_3x3_1")
    b = [conv(b, 384, (1, 3), name=f"{name}_3x3_2a"), conv(b, 384, (3, 1), name=f"{name}_3x3_2b")]
    c = conv(x, 448, 1, name=f"{name}_3x3dbl_1")
    c = conv(c, 384, 3, padding=1, name=f"{name}_3x3dbl_2")
    c = [conv(c, 384, (1, 3), name=f"{name}_3x3dbl_3a"), conv(c, 384, (3, 1), name=f"{name}_3x3dbl_3b")]
    d = average(x, zeros, name=f"{name}_pool")
    d = conv(d, 192, 1, name=f"{name}_pool_proj")
    return layers.concat([a, *b, *c, d], name=name)


def auxiliary_head(x, classes: int):
    """Section 4's side classifier with batch norm: (N, H, W, C) -> logits (N, classes). The comments hold at 17x17."""
    x = layers.avg_pool(x, 5, 3, name="aux_pool")  # 5x5x768
    x = layers.conv(x, 128, 1, name="aux_conv1")  # 5x5x128
    x = layers.conv(x, 768, min(5, x.shape[1]), name="aux_conv2")  # 1x1x768
    x = layers.global_avg_pool(x, name="aux_pool2")  # 768
    return layers.logits(x, classes, name="aux_logits")  # 1000


@styled(initializer="he", norm="batch")
def build_v3(
    classes: int = 1000,
    image_size: int = 299,
    dropout: float = 0.2,
    auxiliary: bool = False,
    count_padding: bool = False,
):
    """Inception v3: images (N, 299, 299, 3) float32, mean subtracted -> logits (N, classes) float32.

    With `auxiliary`, as it is trained, the outputs are a list of two such logits, the main ones first. The comments
    give the output sizes at 299 pixels. The smallest image is 75 pixels wide, with the auxiliary classifier 107.
    """
    x = image = layers.image_input(image_size, smallest=107 if auxiliary else 75)  # 299x299x3
    x = layers.conv(x, 32, 3, stride=2, name="conv1")  # 149x149x32
    x = layers.conv(x, 32, 3, name="conv2")  # 147x147x32
    x = layers.conv(x, 64, 3, padding=1, name="conv3")  # 147x147x64
    x = layers.max_pool(x, 3, 2, name="pool1")  # 73x73x64
    x = layers.conv(x, 80, 1, name="conv4")  # 73x73x80
    x = layers.conv(x, 192, 3, name="conv5")  # 71x71x192
    x = layers.max_pool(x, 3, 2, name="pool2")  # 35x35x192
    for name, projection in (("mixed_5b", 32), ("mixed_5c", 64), ("mixed_5d", 64)):
        x = module_a(x, name, projection, count_padding)  # 35x35x256, 35x35x288, 35x35x288
    x = reduction_a(x, "mixed_6a")  # 17x17x768
    for name, width in SEVENS.items():
        x = module_b(x, f"mixed_{name}", width, count_padding)  # 17x17x768
    after_6e = x
    x = reduction_b(x, "mixed_7a")  # 8x8x1280
    for name in ("mixed_7b", "mixed_7c"):
        x = module_c(x, name, count_padding)  # 8x8x2048
    x = layers.global_avg_pool(x, name="pool3")  # 2048
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="fc")  # 1000
    x = [x, auxiliary_head(after_6e, classes)] if auxiliary else x
    return layers.network(image, x, name="inception_v3")


# 2015, section 4.2, BN-x30: five times less weight decay, learning rates that fall six times as fast as GoogLeNet's.
V2_RECIPE = Recipe(
    initializer="he",
    optimizer="momentum",
    momentum=0.9,
    batch_size=32,
    learning_rate=0.045,
    schedule="step",
    schedule_factor=0.96,
    schedule_every=8 / 6,
    weight_decay=0.00004,
    dropout=0.0,
    crop="inception",
    flip=True,
)
# 2016, section 8: x0.94 every 2 of 100 epochs, gradients clipped, evaluated with the running average of the weights.
V3_RECIPE = Recipe(
    initializer="he",
    optimizer="rmsprop",
    gamma=0.9,
    epsilon=1.0,
    batch_size=32,
    epochs=100,
    learning_rate=0.045,
    clip_norm=2.0,
    ema=0.9999,
    schedule="step",
    schedule_factor=0.94,
    schedule_every=2.0,
    weight_decay=0.00004,
    dropout=0.2,
    label_smoothing=0.1,
    crop="inception",
    flip=True,
    brightness=0.125,
    contrast=0.5,
)
# Deviations
#   3. The papers train many replicas with batch 32 each; `--batch_size` is over all devices.
#   4. Weight decay, dropout, brightness and contrast of v3 are those of the authors' program (TF-slim), as are the
#      auxiliary classifier's weight, 0.4, and its place, after 6e. It exists in training only.
#   5. He's initialisation, and batch norm with epsilon 1e-5 and momentum 0.9; the authors' program has 1e-3 and 0.9997.


def member(name: str, make, size: int, recipe: Recipe, source: str, auxiliary_weight: float = 0.0) -> Architecture:
    """One of the two for the program."""
    options = (Option("count_padding", False, COUNT_PADDING),)
    return Architecture(
        name, "inception", make, size, recipe, source, own_options=options, auxiliary_weight=auxiliary_weight
    )


ARCHITECTURES = (
    member("inception_v2", build_v2, 224, V2_RECIPE, "Ioffe 2015, Figure 5"),
    member("inception_v3", build_v3, 299, V3_RECIPE, "Szegedy 2016, Table 1", auxiliary_weight=0.4),
)
