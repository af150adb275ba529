"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters, in eight Fire modules.

Paper   F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally, K. Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x
        fewer parameters and <0.5MB model size", 2016, https://arxiv.org/abs/1602.07360. Table 1: squeezenet1_0;
        squeezenet1_1 is the authors' later form, with 2.3 times fewer multiply-adds.
Result  Error on ImageNet with one crop: top-1 42.5 %, top-5 19.7 %.

python train.py --mode train --arch squeezenet1_1
python train.py --mode test --arch squeezenet1_1 --restore ckpt/
python train.py --mode summary --arch squeezenet1_0
"""

from functools import partial
from typing import NamedTuple

from common.architecture import Architecture
from common.nn import layers
from common.recipe import Recipe
from common.style import styled


class Fire(NamedTuple):
    """Channels of one module, in the column order of Table 1."""

    squeeze: int  # s1x1
    expand1: int  # e1x1
    expand3: int  # e3x3


# Table 1. Both versions have the same modules; they differ in where the maps get smaller.
FIRES = {
    2: Fire(16, 64, 64),
    3: Fire(16, 64, 64),
    4: Fire(32, 128, 128),
    5: Fire(32, 128, 128),
    6: Fire(48, 192, 192),
    7: Fire(48, 192, 192),
    8: Fire(64, 256, 256),
    9: Fire(64, 256, 256),
}
# Errata: Table 1 prints an input of 224x224 and 111x111 maps of conv1; those need 227, at 224 they are 109x109.
#
# Deviations
#   1. 224x224 images, as torchvision has them, 819M multiply-adds; 227x227, 833M, is `--image_size 227`.
#   2. The 1x1 convolution conv10 is not padded. In Caffe's file of version 1.0 it is, by 1, so that the borders of its
#      15x15 maps hold nothing but biases (861M); version 1.1 and torchvision do without.
#   3. The last average is over the whole map, 13x13 at 224 pixels, so that other image sizes work.


def fire(x, number: int):
    """Figure 1: 1x1 squeezes the channels, 1x1 and 3x3 side by side expand them. (N, H, W, C) -> (N, H, W, C')."""
    row, name = FIRES[number], f"fire{number}"
    x = layers.conv(x, row.squeeze, 1, name=f"{name}_squeeze")
    a = layers.conv(x, row.expand1, 1, name=f"{name}_expand1x1")
    b = layers.conv(x, row.expand3, 3, padding=1, name=f"{name}_expand3x3")
    return layers.concat([a, b], name=name)


pool = partial(layers.max_pool, size=3, stride=2, ceil=True)


@styled(initializer="xavier", classifier_initializer="gaussian")
def build_1_0(classes: int = 1000, image_size: int = 224, dropout: float = 0.5):
    """Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. The smallest image is 29 pixels wide.
    """
    x = image = layers.image_input(image_size, smallest=29)  # 224x224x3
    x = layers.conv(x, 96, 7, stride=2, name="conv1")  # 109x109x96
    x = pool(x, name="pool1")  # 54x54x96
    x = fire(x, 2)  # 54x54x128
    x = fire(x, 3)  # 54x54x128
    x = fire(x, 4)  # 54x54x256
    x = pool(x, name="pool4")  # 27x27x256
    x = fire(x, 5)  # 27x27x256
    x = fire(x, 6)  # 27x27x384
    x = fire(x, 7)  # 27x27x384
    x = fire(x, 8)  # 27x27x512
    x = pool(x, name="pool8")  # 13x13x512
    x = fire(x, 9)  # 13x13x512
    x = layers.dropout(x, dropout, name="dropout9")
    x = layers.map_logits(x, classes, name="conv10")  # 13x13x1000, 1000
    return layers.network(image, x, name="squeezenet1_0")


@styled(initializer="xavier", classifier_initializer="gaussian")
def build_1_1(classes: int = 1000, image_size: int = 224, dropout: float = 0.5):
    """Version 1.1, which pools earlier: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes).

    The comments give the output sizes at 224 pixels. The smallest image is 25 pixels wide.
    """
    x = image = layers.image_input(image_size, smallest=25)  # 224x224x3
    x = layers.conv(x, 64, 3, stride=2, name="conv1")  # 111x111x64
    x = pool(x, name="pool1")  # 55x55x64
    x = fire(x, 2)  # 55x55x128
    x = fire(x, 3)  # 55x55x128
    x = pool(x, name="pool3")  # 27x27x128
    x = fire(x, 4)  # 27x27x256
    x = fire(x, 5)  # 27x27x256
    x = pool(x, name="pool5")  # 13x13x256
    x = fire(x, 6)  # 13x13x384
    x = fire(x, 7)  # 13x13x384
    x = fire(x, 8)  # 13x13x512
    x = fire(x, 9)  # 13x13x512
    x = layers.dropout(x, dropout, name="dropout9")
    x = layers.map_logits(x, classes, name="conv10")  # 13x13x1000, 1000
    return layers.network(image, x, name="squeezenet1_1")


# The authors' solver: 170,000 steps of 512 images.
RECIPE = Recipe(
    initializer="xavier",
    classifier_initializer="gaussian",
    optimizer="momentum",
    momentum=0.9,
    batch_size=512,
    epochs=68,
    learning_rate=0.04,
    learning_rate_batch=512,
    schedule="linear",
    weight_decay=0.0002,
    dropout=0.5,
    crop="random",
    flip=False,
)
# Deviation 4: the learning rate is in proportion to the batch, 0.04 at 512; `--learning_rate` is taken as it is.

ARCHITECTURES = (
    Architecture("squeezenet1_0", "squeezenet", build_1_0, 224, RECIPE, "Iandola 2016, Table 1"),
    Architecture("squeezenet1_1", "squeezenet", build_1_1, 224, RECIPE, "Iandola 2016, version 1.1"),
)
