"""CNN-F, CNN-M and CNN-S: fast, medium and slow networks of eight layers, which courses call VGG-F, VGG-M and VGG-S.

Paper   K. Chatfield, K. Simonyan, A. Vedaldi, A. Zisserman, "Return of the Devil in the Details: Delving Deep into
        Convolutional Nets", BMVC 2014, https://arxiv.org/abs/1405.3531. Table 1: cnn_f, cnn_m, cnn_s.
Result  Top-5 error on ImageNet with ten crops: 16.7 % (F), 13.7 % (M), 13.1 % (S).

python train.py --mode train --arch cnn_m
python train.py --mode test --arch cnn_m --restore ckpt/
python train.py --mode summary --arch cnn_s
"""

from functools import partial
from typing import NamedTuple

from common.architecture import Architecture
from common.errors import row_of
from common.nn import layers
from common.recipe import Recipe
from common.style import styled


class Window(NamedTuple):
    """A convolution: channels, width, stride and padding."""

    filters: int
    size: int
    stride: int
    padding: int


class Pool(NamedTuple):
    """A max pool, rounded up."""

    size: int
    stride: int


class Row(NamedTuple):
    """A row of Table 1; conv3, conv4 and conv5 are 3x3, padded by 1."""

    conv1: Window
    pool1: Pool
    conv2: Window
    norm2: bool  # local response normalisation follows conv2, as it does conv1 in all three
    pool2: Pool
    filters: int  # of conv3, conv4 and conv5
    pool5: Pool


TABLE = {
    "F": Row(Window(64, 11, 4, 0), Pool(3, 2), Window(256, 5, 1, 2), True, Pool(3, 2), 256, Pool(3, 2)),
    "M": Row(Window(96, 7, 2, 0), Pool(3, 2), Window(256, 5, 2, 1), True, Pool(3, 2), 512, Pool(3, 2)),
    "S": Row(Window(96, 7, 2, 0), Pool(3, 3), Window(256, 5, 1, 0), False, Pool(2, 2), 512, Pool(3, 3)),
}
SMALLEST = {"F": 55, "M": 57, "S": 55}  # image, in pixels
# Errata
#   The paper pads conv2 of CNN-S by 1; the network that its authors released does not (2,638M multiply-adds against
#   2,928M). Weights fit both and are right for the second only, which is the one here.
#   A table in circulation gives VGG-F 99M parameters and 762M operations. It has 60.8M and 724M; those figures follow
#   if fc6 is taken to see 512 maps in place of 256.


@styled(initializer="gaussian")
def build(letter: str = "M", name: str = "cnn_m", classes: int = 1000, image_size: int = 224, dropout: float = 0.5):
    """A row of Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes of F, M and S at 224 pixels.
    """
    row = row_of(TABLE, "letter", letter)
    pool = partial(layers.max_pool, ceil=True)

    x = image = layers.image_input(image_size, smallest=SMALLEST[letter])  # 224x224x3
    x = layers.conv(x, *row.conv1, name="conv1")  # 54x54x64 | 109x109x96 | 109x109x96
    x = layers.lrn(x, name="norm1")
    x = pool(x, *row.pool1, name="pool1")  # 27x27x64 | 54x54x96 | 37x37x96
    x = layers.conv(x, *row.conv2, name="conv2")  # 27x27x256 | 26x26x256 | 33x33x256
    x = layers.lrn(x, name="norm2") if row.norm2 else x
    x = pool(x, *row.pool2, name="pool2")  # 13x13x256 | 13x13x256 | 17x17x256
    x = layers.conv(x, row.filters, 3, padding=1, name="conv3")  # 13x13x256 | 13x13x512 | 17x17x512
    x = layers.conv(x, row.filters, 3, padding=1, name="conv4")
    x = layers.conv(x, row.filters, 3, padding=1, name="conv5")
    x = pool(x, *row.pool5, name="pool5")  # 6x6x256 | 6x6x512 | 6x6x512
    x = layers.flatten(x, name="flatten")  # 9216 | 18432 | 18432
    x = layers.fc(x, 4096, name="fc6")  # 4096
    x = layers.dropout(x, dropout, name="dropout6")
    x = layers.fc(x, 4096, name="fc7")  # 4096
    x = layers.dropout(x, dropout, name="dropout7")
    x = layers.logits(x, classes, name="fc8")  # 1000
    return layers.network(image, x, name=name)


# Section 4: x0.1 when the validation error stops falling; short side 256, crops of 224, flips, shifts of the colours.
RECIPE = Recipe(
    initializer="gaussian",
    optimizer="momentum",
    momentum=0.9,
    batch_size=128,
    learning_rate=0.01,
    schedule="plateau",
    weight_decay=0.0005,
    dropout=0.5,
    crop="random",
    flip=True,
    pca_lighting=0.1,
)
# Deviations
#   1. Batch 128, which the paper does not give; its authors' own later code has 256 (F), 196 (M), 128 (S).
#   2. The paper writes a Gaussian of variance 0.01; standard deviation 0.01 is what AlexNet has and what trains.


def member(name: str, letter: str) -> Architecture:
    """One row for the program."""
    source = f"Chatfield 2014, Table 1, CNN-{letter}"
    return Architecture(name, "vgg_cnn", partial(build, letter, name), 224, RECIPE, source)


ARCHITECTURES = (member("cnn_f", "F"), member("cnn_m", "M"), member("cnn_s", "S"))
