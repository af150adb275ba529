"""LeNet-5: seven layers for handwritten digits, used to read several million cheques a day; 1998.

Paper   Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
        Proceedings of the IEEE 86(11), 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf. Section II.B:
        lenet5_1998, as it stands there; lenet5, as it is taught today.
Result  Test error on MNIST: 0.95 %, with distorted images in training 0.8 %.

python train.py --mode train --arch lenet5
python train.py --mode test --arch lenet5 --restore ckpt/
python train.py --mode summary --arch lenet5_1998
"""

from dataclasses import replace

import numpy as np

from common.architecture import Architecture
from common.nn import early, layers
from common.recipe import Recipe
from common.style import styled

# Table I: the maps of S2 that each map of C3 sees.
C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
# Figure 3 in kind: what F6 is to show for each digit, 7x12 places, ink +1, background -1.
BITMAPS = """
    .#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
    ##...## ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
    ##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
    ##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
    ##...## ...##.. ....##. .....## ##..##. ######. ##..... ....##. ##...## ##...##
    ##...## ...##.. ...##.. ..####. ##..##. .....## ######. ...##.. .#####. ##...##
    ##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .######
    ##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
    ##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
    ##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## .....##
    ##...## ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## ....##.
    .#####. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .####..
"""
# Deviations of both
#   1. Images are resized to 32x32; the paper sets MNIST's 28x28 in a border of 2 pixels. The data set's mean is
#      subtracted, and 0..255 divided by 200, in place of -0.1 for background and 1.175 for ink. Colours are averaged.
# Deviations of lenet5_1998
#   2. The bitmaps are drawn for this file. Other numbers of classes than ten have random codes, which the paper
#      allows ("could be chosen at random"). Biases start at zero.
#   3. The loss is the cross-entropy of minus the distances: the paper's equation 9 without its constant j.
# Deviations of lenet5
#   4. C3 sees all maps of S2; pools take the maximum and have no parameters; ReLU; a linear classifier.


def codes(classes: int) -> np.ndarray:
    """What F6 is to show for each class: (classes, 84), +1 or -1."""
    if classes != 10:
        return np.random.default_rng(1998).choice([-1.0, 1.0], (classes, 84))
    rows = [row.split() for row in BITMAPS.strip().splitlines()]
    return np.array([[1.0 if place == "#" else -1.0 for row in rows for place in row[digit]] for digit in range(10)])


@styled(initializer="lecun1998", activation="scaled_tanh")
def build_1998(classes: int = 10, image_size: int = 32, dropout: float = 0.0):
    """Figure 2: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32, minus distances.

    The comments give the output sizes at 32 pixels, which is the smallest image.
    """
    x = image = layers.image_input(image_size, smallest=32)  # 32x32x3
    x = early.grey(x, name="grey")  # 32x32x1
    x = layers.conv(x, 6, 5, name="c1")  # 28x28x6
    x = early.subsample(x, name="s2")  # 14x14x6
    x = early.table_conv(x, C3, 5, name="c3")  # 10x10x16
    x = early.subsample(x, name="s4")  # 5x5x16
    x = layers.conv(x, 120, 5, name="c5")  # 1x1x120
    x = layers.flatten(x, name="flatten")  # 120
    x = layers.fc(x, 84, name="f6")  # 84
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = early.distances(x, codes(classes), name="output")  # 10
    return layers.network(image, x, name="lenet5_1998")


@styled(initializer="he")
def build(classes: int = 10, image_size: int = 32, dropout: float = 0.0):
    """LeNet-5 of today's courses: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 32 pixels. The smallest image is 16 pixels wide.
    """
    x = image = layers.image_input(image_size, smallest=16)  # 32x32x3
    x = early.grey(x, name="grey")  # 32x32x1
    x = layers.conv(x, 6, 5, name="c1")  # 28x28x6
    x = layers.max_pool(x, 2, 2, name="s2")  # 14x14x6
    x = layers.conv(x, 16, 5, name="c3")  # 10x10x16
    x = layers.max_pool(x, 2, 2, name="s4")  # 5x5x16
    x = layers.flatten(x, name="flatten")  # 400
    x = layers.fc(x, 120, name="c5")  # 120
    x = layers.fc(x, 84, name="f6")  # 84
    x = layers.dropout(x, dropout, name="dropout") if dropout else x
    x = layers.logits(x, classes, name="output")  # 10
    return layers.network(image, x, name="lenet5")


# Caffe's for its LeNet: 10,000 steps of 64 images, (1 + 0.0001 step)^-0.75, which falls to 0.59 as this schedule does.
TODAY = Recipe(
    initializer="he",
    optimizer="momentum",
    momentum=0.9,
    batch_size=64,
    epochs=11,
    learning_rate=0.01,
    schedule="inverse_time",
    schedule_rate=0.064,
    weight_decay=0.0005,
    dropout=0.0,
    crop="none",
    flip=False,
)
PAPER = replace(
    TODAY,
    initializer="lecun1998",
    epochs=20,
    learning_rate=0.005,
    schedule="exponential",
    schedule_rate=0.2,
    weight_decay=0.0,
)
# Deviation 5: the paper trains on one image at a time, each weight at a rate of its own (a stochastic diagonal
# Levenberg-Marquardt method), which falls from 5e-4 to 1e-5 in 20 passes. Here momentum and batches of 64, the
# rate falling by as much, exp(-0.2 epoch).

ARCHITECTURES = (
    Architecture("lenet5", "lenet", build, 32, TODAY, "LeCun 1998, as taught today"),
    Architecture("lenet5_1998", "lenet", build_1998, 32, PAPER, "LeCun 1998, Figure 2"),
)
