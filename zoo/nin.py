"""Network in Network: a small perceptron slides over the maps, and the last maps' averages are the classifier.

Paper   M. Lin, Q. Chen, S. Yan, "Network In Network", ICLR 2014, https://arxiv.org/abs/1312.4400. Its network for
        32x32 images is nin_cifar; nin, for ImageNet, is not in the paper but in its author's Caffe files.
Result  CIFAR-10 test error 10.41 %, shifted and mirrored 8.81 %. nin: top-1 error 40.64 % with one crop.

python train.py --mode train --arch nin_cifar --dataset datasets/cifar10
python train.py --mode test --arch nin_cifar --restore ckpt/
python train.py --mode summary --arch nin
"""

from functools import partial
from typing import NamedTuple

from common.architecture import Architecture, Option
from common.nn import layers
from common.recipe import Recipe
from common.settings import Setting
from common.style import current, styled


class Mlpconv(NamedTuple):
    """One mlpconv layer (Figure 1b): a convolution with a window and two of 1x1 behind it, ReLU after each."""

    size: int
    stride: int
    padding: int
    channels: tuple[int, int, int]  # the last of the last layer: one map a class
    narrow: bool = False  # the window starts as Gaussian(0, 0.01), all else as Gaussian(0, 0.05)


# The author's files: cifar-10_def (cuda-convnet), train_val.prototxt (Caffe). 10 and 1,000 classes end them.
CIFAR = (
    Mlpconv(5, 1, 2, (192, 160, 96), narrow=True),  # 32x32x96
    Mlpconv(5, 1, 2, (192, 192, 192)),  # 16x16x192
    Mlpconv(3, 1, 1, (192, 192, 10)),  # 8x8x10
)
IMAGENET = (
    Mlpconv(11, 4, 0, (96, 96, 96), narrow=True),  # 54x54x96
    Mlpconv(5, 1, 2, (256, 256, 256)),  # 27x27x256
    Mlpconv(3, 1, 1, (384, 384, 384), narrow=True),  # 13x13x384
    Mlpconv(3, 1, 1, (1024, 1024, 1000)),  # 6x6x1000
)
# Deviations
#   1. The sources differ on nin_cifar's second pool: maxima in the author's cuda-convnet file, averages in his Caffe
#      model and its ports. Maxima here; `--pool2 average` is the other.
#   2. `--activation` changes the hidden layers' alone: behind the last maps, whose means are the logits, ReLU stays.
#   3. The last average is over the whole map, 8x8 at 32 pixels and 6x6 at 224, so that other image sizes work.
POOL2 = Setting("nin_cifar: the second pool takes maxima or averages", choices=("max", "average"))


def mlpconv(x, number: int, table: tuple[Mlpconv, ...], classes: int | None = None):
    """Layer `number` of a table: (N, H, W, C) -> (N, H', W', C'). The last, with `classes`: -> logits (N, classes)."""
    row = table[number - 1]
    initial = "gaussian" if row.narrow and current().initializer == "wide_gaussian" else None  # or --initializer's
    x = layers.conv(x, row.channels[0], row.size, row.stride, row.padding, initializer=initial, name=f"conv{number}")
    x = layers.conv(x, row.channels[1], 1, name=f"cccp{2 * number - 1}")
    if classes is not None:
        return layers.map_logits(x, classes, name=f"cccp{2 * number}")
    return layers.conv(x, row.channels[2], 1, name=f"cccp{2 * number}")


@styled(initializer="wide_gaussian")
def build_cifar(classes: int = 10, image_size: int = 32, dropout: float = 0.5, pool2: str = "max"):
    """The paper's network: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 32 pixels. The smallest image is 6 pixels wide.
    """
    POOL2.check("pool2", pool2)
    second = layers.max_pool if pool2 == "max" else layers.avg_pool

    x = image = layers.image_input(image_size, smallest=6)  # 32x32x3
    x = mlpconv(x, 1, CIFAR)  # 32x32x96
    x = layers.max_pool(x, 3, 2, ceil=True, name="pool1")  # 16x16x96
    x = layers.dropout(x, dropout, name="dropout1")
    x = mlpconv(x, 2, CIFAR)  # 16x16x192
    x = second(x, 3, 2, ceil=True, name="pool2")  # 8x8x192
    x = layers.dropout(x, dropout, name="dropout2")
    x = mlpconv(x, 3, CIFAR, classes)  # 8x8x10, 10
    return layers.network(image, x, name="nin_cifar")


@styled(initializer="wide_gaussian", classifier_initializer="gaussian")
def build(classes: int = 1000, image_size: int = 224, dropout: float = 0.5):
    """The author's network for ImageNet: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes).

    The comments give the output sizes at 224 pixels. The smallest image is 55 pixels wide.
    """
    pool = partial(layers.max_pool, size=3, stride=2, ceil=True)

    x = image = layers.image_input(image_size, smallest=55)  # 224x224x3
    x = mlpconv(x, 1, IMAGENET)  # 54x54x96
    x = pool(x, name="pool1")  # 27x27x96
    x = mlpconv(x, 2, IMAGENET)  # 27x27x256
    x = pool(x, name="pool2")  # 13x13x256
    x = mlpconv(x, 3, IMAGENET)  # 13x13x384
    x = pool(x, name="pool3")  # 6x6x384
    x = layers.dropout(x, dropout, name="dropout")
    x = mlpconv(x, 4, IMAGENET, classes)  # 6x6x1000, 1000
    return layers.network(image, x, name="nin")


# The author's solver: x0.1 every 200,000 of 450,000 steps of 64 images, 10 of 22.5 epochs.
IMAGENET_RECIPE = Recipe(
    initializer="wide_gaussian",
    classifier_initializer="gaussian",
    optimizer="momentum",
    momentum=0.9,
    batch_size=64,
    epochs=22,
    learning_rate=0.01,
    schedule="step",
    schedule_factor=0.1,
    schedule_every=10.0,
    weight_decay=0.0005,
    dropout=0.5,
    crop="random",
    flip=True,
)
CIFAR_RECIPE = Recipe(
    initializer="wide_gaussian",
    optimizer="momentum",
    momentum=0.9,
    batch_size=128,
    epochs=260,
    learning_rate=0.01,
    head_learning_rate=0.001,
    schedule="piecewise",
    schedule_factor=0.1,
    schedule_boundaries=(70200, 80730),  # after 200 and 230 epochs of 45,000 images
    weight_decay=0.0001,
    dropout=0.5,
    crop="pad",
    flip=True,
)
# Deviations
#   4. Biases learn at the rate of the weights, the author's at twice that.
#   5. CIFAR-10 with its mean subtracted, 4 pixels of padding and mirrored; the paper normalises the contrast of each
#      image and whitens them. Those inputs are some 60 times smaller: his conv1 starts from Gaussian(0, 0.05) and his
#      learning rate is 0.1, of the last layer 0.01. Here they are a fifth and a tenth of that; else the first steps
#      leave no map of a class above 0, and its ReLU then has no gradient.

ARCHITECTURES = (
    Architecture("nin", "nin", build, 224, IMAGENET_RECIPE, "Lin 2014, the author's Caffe files"),
    Architecture(
        "nin_cifar",
        "nin",
        build_cifar,
        32,
        CIFAR_RECIPE,
        "Lin 2014, section 4.2",
        own_options=(Option("pool2", "max", POOL2),),
    ),
)
