"""VGG: eleven to nineteen layers with weights, all convolutions 3x3; second in ILSVRC 2014.

    Paper   K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
            Networks A, A-LRN, B, C, D and E of its Table 1: vgg11, vgg11_lrn, vgg13, vgg16_1x1, vgg16, vgg19.
    Recipe  the lab's: SGD with momentum 0.9, batch 256, learning rate 0.01, x0.1 when the validation accuracy stops
            improving, weight decay 0.0005, dropout 0.5; short side drawn from [256, 480], 224x224 crop, left-right
            flip. Top-5 error on ImageNet: 9.6 % with one crop, 7.2 % with the paper's dense and multi-crop test.

Deviations
    1. Glorot initialisation. The lab starts from Gaussian(0, 0.01) and `--initializer gaussian` does too, but then the
       loss of these nets stays at ln(classes): D for 100 steps, A for 300, in runs on ten classes. The paper met this
       too. It trained A first and started the first four convolutions and the three fully connected layers of the
       deeper nets from it; later it found that Glorot's initialisation needs no such start. The first way:
           python vgg16.py --mode train --arch vgg11
           python vgg16.py --mode train --initializer gaussian --restore ckpt/vgg11
       Nor did that leave ln(10) in 117 steps at 64 pixels, where Glorot's reached 79 % (README.md).
    2. The lab writes standard deviation 0.01, the paper variance 0.01, which is a standard deviation of 0.1.
    3. The lab draws the short side from [256, 480] like ResNet's; the paper from [256, 512], and shifts the colours
       along their principal components. `--recipe paper` does both.
    4. The learning rate is in proportion to the batch, 0.01 at the lab's 256. At a batch of 64, images of 64 pixels,
       0.01 shrinks the activations until the loss is back at ln(classes); 0.0025 trains. `--learning_rate` is taken
       as it is.
    5. vgg11_lrn normalises with the constants of 2012 (k 2, n 5, alpha 1e-4, beta 0.75), as the paper says.

Slips in printed figures
    The slide's memory for VGG16, 24M values or 93 to 96 MB an image, does not follow from its own rows: they add up to
    15,237,608 values, 61 MB (`--mode summary`).

Commands
    python vgg16.py --mode train
    python vgg16.py --mode train --arch vgg19
    python vgg16.py --mode test --restore ckpt/
    python vgg16.py --mode summary
"""

from dataclasses import replace
from functools import partial

from common.architecture import Architecture
from common.nn import layers
from common.recipe import Recipe

# Table 1, column by column: conv<size>-<channels>, LRN, M for a 2x2 max pool. The comments give each row's output.
COLUMNS = {
    "A": (
        *("conv3-64", "M"),  # 112x112x64
        *("conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "M"),  # 7x7x512
    ),
    "A-LRN": (
        *("conv3-64", "LRN", "M"),  # 112x112x64
        *("conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "M"),  # 7x7x512
    ),
    "B": (
        *("conv3-64", "conv3-64", "M"),  # 112x112x64
        *("conv3-128", "conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "M"),  # 7x7x512
    ),
    "C": (
        *("conv3-64", "conv3-64", "M"),  # 112x112x64
        *("conv3-128", "conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "conv1-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "conv1-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "conv1-512", "M"),  # 7x7x512
    ),
    "D": (
        *("conv3-64", "conv3-64", "M"),  # 112x112x64
        *("conv3-128", "conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "conv3-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "conv3-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "conv3-512", "M"),  # 7x7x512
    ),
    "E": (
        *("conv3-64", "conv3-64", "M"),  # 112x112x64
        *("conv3-128", "conv3-128", "M"),  # 56x56x128
        *("conv3-256", "conv3-256", "conv3-256", "conv3-256", "M"),  # 28x28x256
        *("conv3-512", "conv3-512", "conv3-512", "conv3-512", "M"),  # 14x14x512
        *("conv3-512", "conv3-512", "conv3-512", "conv3-512", "M"),  # 7x7x512
    ),
}
# Section 3.1: what the deeper nets take from a trained A.
FROM_A = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")


def features(x, column: str, initializer: str):
    """The convolutions of one column: (N, S, S, 3) -> (N, S // 32, S // 32, 512). Names are conv<row>_<number>."""
    row, number = 1, 1
    for entry in COLUMNS[column]:
        if entry == "M":
            x = layers.max_pool(x, 2, 2, name=f"pool{row}")
            row, number = row + 1, 1
        elif entry == "LRN":
            x = layers.lrn(x, name=f"norm{row}")
        else:
            size, channels = map(int, entry.removeprefix("conv").split("-"))
            x = layers.conv(x, channels, size, padding=size // 2, initializer=initializer, name=f"conv{row}_{number}")
            number += 1
    return x


def build(
    column: str,
    name: str,
    classes: int = 1000,
    image_size: int = 224,
    initializer: str = "glorot",
    dropout: float = 0.5,
):
    """One column of Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes at 224 pixels. The smallest image is 32 pixels wide.
    """
    fc = partial(layers.fc, initializer=initializer)

    x = image = layers.image_input(image_size, smallest=32)  # 224x224x3
    x = features(x, column, initializer)  # 7x7x512
    x = layers.flatten(x, name="flatten")  # 25088
    x = fc(x, 4096, name="fc6")  # 4096
    x = layers.dropout(x, dropout, name="dropout6")
    x = fc(x, 4096, name="fc7")  # 4096
    x = layers.dropout(x, dropout, name="dropout7")
    x = layers.logits(x, classes, initializer, name="fc8")  # 1000
    return layers.network(image, x, name=name)


LAB = Recipe(
    initializer="glorot",
    optimizer="momentum",
    momentum=0.9,
    batch_size=256,
    learning_rate=0.01,
    learning_rate_batch=256,
    schedule="plateau",
    weight_decay=0.0005,
    dropout=0.5,
    crop="scale",
    scale_range=(256, 480),
    flip=True,
)
PAPER = replace(LAB, epochs=74, scale_range=(256, 512), pca_lighting=0.1)


def _member(name: str, column: str, inherits: tuple[str, ...] = FROM_A) -> Architecture:
    make = partial(build, column, name)
    source = f"Simonyan & Zisserman 2015, Table 1, {column}"
    return Architecture(name, "vgg16", make, 224, LAB, source, paper=PAPER, inherits=inherits)


ARCHITECTURES = (
    _member("vgg11", "A"),
    _member("vgg11_lrn", "A-LRN"),
    _member("vgg13", "B"),
    _member("vgg16_1x1", "C"),
    _member("vgg16", "D"),
    _member("vgg19", "E"),
)

if __name__ == "__main__":
    import train

    train.main(family="vgg16")
