"""ZFNet: AlexNet with smaller windows and strides at its bottom, found by looking at what its layers see; ILSVRC 2013.

Paper   M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
        https://arxiv.org/abs/1311.2901. Figure 3 and row (a) of Table 2: zfnet; row (b): zfnet_wide.
Result  Top-1 / top-5 error on ImageNet with one net and ten crops: 38.4 / 16.5 % (a), 37.5 / 16.0 % (b).

python train.py --mode train --arch zfnet
python train.py --mode test --arch zfnet --restore ckpt/
python train.py --mode summary --arch zfnet_wide
"""

from functools import partial

from common.architecture import Architecture
from common.errors import row_of
from common.nn import layers
from common.recipe import Recipe
from common.style import styled

# Table 2: maps of conv3, conv4 and conv5.
ROWS = {"a": (384, 384, 256), "b": (512, 1024, 512)}
# Errata: the 11.7 % that some slides give for ZFNet are Clarifai's of 2013, an ensemble of networks built on it.
#
# Deviations
#   1. Paddings, of which Figure 3 says nothing, follow from its sizes. conv1 is padded by 1 for 110x110 maps; rounded
#      down, that reaches one row and column before the image and none behind it.
#   2. "Contrast normalised across feature maps": AlexNet's local response normalisation with its constants.


@styled(initializer="gaussian")
def build(row: str = "a", name: str = "zfnet", classes: int = 1000, image_size: int = 224, dropout: float = 0.5):
    """Figure 3: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels and row (a). The smallest image is 63 pixels wide.
    """
    third, fourth, fifth = row_of(ROWS, "row", row)
    pool = partial(layers.max_pool, size=3, stride=2, ceil=True)

    x = image = layers.image_input(image_size, smallest=63)  # 224x224x3
    x = layers.conv(x, 96, 7, stride=2, padding=1, name="conv1")  # 110x110x96
    x = pool(x, name="pool1")  # 55x55x96
    x = layers.lrn(x, name="norm1")
    x = layers.conv(x, 256, 5, stride=2, name="conv2")  # 26x26x256
    x = pool(x, name="pool2")  # 13x13x256
    x = layers.lrn(x, name="norm2")
    x = layers.conv(x, third, 3, padding=1, name="conv3")  # 13x13x384
    x = layers.conv(x, fourth, 3, padding=1, name="conv4")  # 13x13x384
    x = layers.conv(x, fifth, 3, padding=1, name="conv5")  # 13x13x256
    x = pool(x, name="pool5")  # 6x6x256
    x = layers.flatten(x, name="flatten")  # 9216
    x = layers.fc(x, 4096, name="fc6")  # 4096
    x = layers.dropout(x, dropout, name="dropout6")
    x = layers.fc(x, 4096, name="fc7")  # 4096
    x = layers.dropout(x, dropout, name="dropout7")
    x = layers.logits(x, classes, name="fc8")  # 1000
    return layers.network(image, x, name=name)


# Section 3.1: the learning rate falls by hand when the validation error stalls, 70 epochs in all.
RECIPE = Recipe(
    initializer="gaussian",
    optimizer="momentum",
    momentum=0.9,
    batch_size=128,
    epochs=70,
    learning_rate=0.01,
    schedule="plateau",
    weight_decay=0.0005,
    dropout=0.5,
    crop="random",
    flip=True,
)
# Deviations
#   3. Weight decay is AlexNet's; the paper does not name one.
#   4. Random crops of 224x224 rather than the ten of corners and centre. The paper subtracts the mean image:
#      `--mean image` where the data set holds one.
#   5. Filters whose root mean square exceeds 0.1 are not scaled back to it.

ARCHITECTURES = (
    Architecture("zfnet", "zfnet", build, 224, RECIPE, "Zeiler & Fergus 2014, Figure 3"),
    Architecture(
        "zfnet_wide", "zfnet", partial(build, "b", "zfnet_wide"), 224, RECIPE, "Zeiler & Fergus 2014, Table 2 (b)"
    ),
)
