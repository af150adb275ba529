"""MobileNet: a convolution split into one of each channel and a 1x1 across them, for telephones.

Paper   A. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam, "MobileNets: Efficient
        Convolutional Neural Networks for Mobile Vision Applications", 2017, https://arxiv.org/abs/1704.04861.
        Table 1: mobilenet; Table 6: mobilenet_075, 050, 025 with that share of its channels.
Result  Top-1 accuracy on ImageNet with one crop: 70.6 %; 68.4, 63.7, 50.6 % with fewer channels.

python train.py --mode train --arch mobilenet
python train.py --mode train --arch mobilenet_050 --image_size 128
python train.py --mode test --arch mobilenet --restore ckpt/
python train.py --mode summary --arch mobilenet
"""

from functools import partial

from common.architecture import Architecture
from common.nn import layers
from common.recipe import Recipe
from common.style import styled

# Table 1 after the first convolution: stride of the depthwise convolution, channels of the 1x1 behind it.
UNITS = (
    (1, 64),  # 112x112x64
    (2, 128),  # 56x56x128
    (1, 128),  # 56x56x128
    (2, 256),  # 28x28x256
    (1, 256),  # 28x28x256
    (2, 512),  # 14x14x512
    (1, 512),  # 14x14x512
    (1, 512),  # 14x14x512
    (1, 512),  # 14x14x512
    (1, 512),  # 14x14x512
    (1, 512),  # 14x14x512
    (2, 1024),  # 7x7x1024
    (1, 1024),  # 7x7x1024
)
# Errata: Table 1 prints stride 2 for the last depthwise convolution; its own sizes need 1. Table 2 has 1.19 % of the
# multiply-adds in the 3x3 convolution; they are 1.91 %.
#
# Deviations
#   1. ReLU, as the paper says. Its authors' program has min(ReLU, 6), which `--activation relu6` and imported weights
#      have.
#   2. Where the stride is 2 the zeros stand below and to the right, as TensorFlow's "same" puts them; the paper does
#      not say. Ports to other frameworks pad all sides, and lose accuracy with these weights.


def separable(x, number: int, width):
    """Figure 3, right: a 3x3 convolution of each channel, then a 1x1 across the channels, each with norm and ReLU."""
    stride, channels = UNITS[number - 1]
    padding = 1 if stride == 1 else (0, 1)
    x = layers.depthwise_conv(x, 3, stride, padding, name=f"conv_dw_{number}")
    return layers.conv(x, width(channels), 1, name=f"conv_pw_{number}")


@styled(initializer="truncated", norm="batch")
def build(alpha: float = 1.0, classes: int = 1000, image_size: int = 224, dropout: float = 0.001):
    """Table 1 with a share `alpha` of its channels: images (N, 224, 224, 3) float32 -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels with all channels. The smallest image is 32 pixels wide.
    """
    width = lambda channels: int(alpha * channels)  # noqa: E731

    x = image = layers.image_input(image_size, smallest=32)  # 224x224x3
    x = layers.conv(x, width(32), 3, stride=2, padding=(0, 1), name="conv1")  # 112x112x32
    for number in range(1, len(UNITS) + 1):
        x = separable(x, number, width)  # 112x112x64 ... 7x7x1024
    x = layers.global_avg_pool(x, name="pool")  # 1024
    x = layers.dropout(x, dropout, name="dropout")
    x = layers.logits(x, classes, name="fc")  # 1000
    return layers.network(image, x, name=title(alpha))


def title(alpha: float) -> str:
    """The network's name: mobilenet, or mobilenet_075 with three quarters of its channels."""
    return "mobilenet" if alpha == 1.0 else f"mobilenet_{round(100 * alpha):03d}"


# The authors' training script (TF-slim), whose figures the paper leaves out.
RECIPE = Recipe(
    initializer="truncated",
    optimizer="sgd",
    batch_size=64,
    learning_rate=0.045,
    learning_rate_batch=64,
    schedule="step",
    schedule_factor=0.94,
    schedule_every=2.5,
    weight_decay=0.00004,
    dropout=0.001,
    crop="inception",
    flip=True,
)
PAPER = dict(optimizer="rmsprop", gamma=0.9, epsilon=1.0, schedule_every=2.0)
# Deviations
#   3. Plain gradient descent as in the script. The paper says RMSprop, asynchronous, "similar to Inception V3":
#      `--recipe paper` takes that network's decay 0.9, epsilon 1 and x0.94 every 2 epochs, on synchronous replicas.
#   4. The learning rate is in proportion to the batch, 0.045 at 64; `--learning_rate` is taken as it is.
#   Weight decay leaves the depthwise kernels alone, as the paper advises.


def member(alpha: float) -> Architecture:
    """One width for the program."""
    source = f"Howard 2017, Table {1 if alpha == 1.0 else 6}"
    return Architecture(title(alpha), "mobilenet", partial(build, alpha), 224, RECIPE, source, recipes={"paper": PAPER})


ARCHITECTURES = tuple(member(alpha) for alpha in (1.0, 0.75, 0.5, 0.25))
