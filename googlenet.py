"""GoogLeNet: 22 layers with weights in nine Inception modules, the winner of ILSVRC 2014.

Paper   C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke, A. Rabinovich,
        "Going Deeper with Convolutions", CVPR 2015, https://arxiv.org/abs/1409.4842.
Result  Top-5 error on ImageNet: 10.07 % with one crop, 7.89 % with 144.

python googlenet.py --mode train
python googlenet.py --mode test --restore ckpt/
python googlenet.py --mode summary
"""

from functools import partial
from typing import NamedTuple

from common.architecture import Architecture
from common.nn import layers
from common.recipe import Recipe
from common.style import styled


class Inception(NamedTuple):
    """Channels of one module, in the column order of Table 1."""

    conv1: int  # #1x1
    reduce3: int  # #3x3 reduce
    conv3: int  # #3x3
    reduce5: int  # #5x5 reduce
    conv5: int  # #5x5
    pool_proj: int  # pool proj


# Table 1:          1x1  3x3r 3x3 5x5r 5x5 proj
TABLE = {
    "3a": Inception(64, 96, 128, 16, 32, 32),  # 28x28x256
    "3b": Inception(128, 128, 192, 32, 96, 64),  # 28x28x480
    "4a": Inception(192, 96, 208, 16, 48, 64),  # 14x14x512
    "4b": Inception(160, 112, 224, 24, 64, 64),  # 14x14x512
    "4c": Inception(128, 128, 256, 24, 64, 64),  # 14x14x512
    "4d": Inception(112, 144, 288, 32, 64, 64),  # 14x14x528
    "4e": Inception(256, 160, 320, 32, 128, 128),  # 14x14x832
    "5a": Inception(256, 160, 320, 32, 128, 128),  # 7x7x832
    "5b": Inception(384, 192, 384, 48, 128, 128),  # 7x7x1024
}
AUXILIARY_DROPOUT = 0.7
# Errata
#   Table 1, ops: conv1 is 118M (printed 34M), 5a is 51M (printed 54M); every other row agrees to rounding.
#   Table 1, params: without biases and in units of 1,024; 1 to 8 % off in 4a, 4c, 4d, 4e, 5a and 5b, and conv1 has 9.2K
#   (printed 2.7K). The lab's list for the auxiliary heads names FC 1024 twice; the paper has one, then the classifier.
#
# Deviations
#   1. LRN with the constants of 2012 (k 2, n 5, alpha 1e-4, beta 0.75); the paper gives none.
#   2. No batch normalisation: that is a later design (`--norm batch` adds it). The 5x5 branches are 5x5.
#   3. The average over the last maps is over all of them, 7x7 at 224 pixels, so that other image sizes work.


def inception(x, module: str):
    """Figure 2b: four branches side by side, stacked in depth. (N, H, W, C) -> (N, H, W, C')."""
    row, name = TABLE[module], f"inception_{module}"
    conv = layers.conv

    a = conv(x, row.conv1, 1, name=f"{name}_1x1")
    b = conv(x, row.reduce3, 1, name=f"{name}_3x3_reduce")
    b = conv(b, row.conv3, 3, padding=1, name=f"{name}_3x3")
    c = conv(x, row.reduce5, 1, name=f"{name}_5x5_reduce")
    c = conv(c, row.conv5, 5, padding=2, name=f"{name}_5x5")
    d = layers.max_pool(x, 3, 1, padding=1, name=f"{name}_pool")
    d = conv(d, row.pool_proj, 1, name=f"{name}_pool_proj")
    return layers.concat([a, b, c, d], name=name)


def auxiliary_head(x, classes: int, name: str):
    """Section 5's side classifier: (N, H, W, C) -> logits (N, classes) float32. The comments hold at 14x14."""
    x = layers.avg_pool(x, 5, 3, name=f"{name}_pool")  # 4x4x512 or 528
    x = layers.conv(x, 128, 1, name=f"{name}_conv")  # 4x4x128
    x = layers.flatten(x, name=f"{name}_flatten")  # 2048
    x = layers.fc(x, 1024, name=f"{name}_fc")  # 1024
    x = layers.dropout(x, AUXILIARY_DROPOUT, name=f"{name}_dropout")
    return layers.logits(x, classes, name=f"{name}_logits")  # 1000


@styled(initializer="glorot")
def build(classes: int = 1000, image_size: int = 224, dropout: float = 0.4, auxiliary: bool = False):
    """GoogLeNet: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    With `auxiliary`, as it is trained, the outputs are a list of three such logits: the main ones, those after 4a and
    those after 4d. The main path and its variables are the same either way. The comments give the output sizes at 224
    pixels. The smallest image is 47 pixels wide, with the auxiliary classifiers 79.
    """
    pool = partial(layers.max_pool, size=3, stride=2, ceil=True)

    x = image = layers.image_input(image_size, smallest=79 if auxiliary else 47)  # 224x224x3
    x = layers.conv(x, 64, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = pool(x, name="pool1")  # 56x56x64
    x = layers.lrn(x, name="norm1")
    x = layers.conv(x, 64, 1, name="conv2_reduce")  # 56x56x64
    x = layers.conv(x, 192, 3, padding=1, name="conv2")  # 56x56x192
    x = layers.lrn(x, name="norm2")
    x = pool(x, name="pool2")  # 28x28x192
    x = inception(x, "3a")  # 28x28x256
    x = inception(x, "3b")  # 28x28x480
    x = pool(x, name="pool3")  # 14x14x480
    x = after_4a = inception(x, "4a")  # 14x14x512
    x = inception(x, "4b")  # 14x14x512
    x = inception(x, "4c")  # 14x14x512
    x = after_4d = inception(x, "4d")  # 14x14x528
    x = inception(x, "4e")  # 14x14x832
    x = pool(x, name="pool4")  # 7x7x832
    x = inception(x, "5a")  # 7x7x832
    x = inception(x, "5b")  # 7x7x1024
    x = layers.global_avg_pool(x, name="pool5")  # 1024
    x = layers.dropout(x, dropout, name="dropout")
    x = layers.logits(x, classes, name="fc")  # 1000
    if auxiliary:
        x = [x, auxiliary_head(after_4a, classes, name="aux_4a"), auxiliary_head(after_4d, classes, name="aux_4d")]
    return layers.network(image, x, name="googlenet")


LAB = Recipe(
    initializer="glorot",
    optimizer="momentum",
    momentum=0.9,
    batch_size=32,
    learning_rate=0.01,
    schedule="step",
    schedule_factor=0.96,
    schedule_every=8.0,
    weight_decay=0.0002,
    dropout=0.4,
    crop="random",
    flip=True,
)
PAPER = dict(crop="inception", brightness=0.1, contrast=0.1, ema=0.9999)
# Deviations
#   4. Batch 32, as Caffe's GoogLeNet has with the same learning rate; neither the lab nor the paper names one.
#   5. Glorot initialisation, of which neither says anything either.
#   6. A plain 224x224 crop of the image at short side 256, and the flip. `--recipe paper` has the paper's crops of 8 to
#      100 % of the area and aspect 3/4 to 4/3, its changes of brightness and contrast, and its averaging of weights.
#   The auxiliary classifiers, after 4a and 4d, have loss weight 0.3 and exist in training only.

ARCHITECTURES = (
    Architecture(
        "googlenet",
        "googlenet",
        build,
        224,
        LAB,
        "Szegedy 2015, Table 1",
        recipes={"paper": PAPER},
        auxiliary_weight=0.3,
    ),
)

if __name__ == "__main__":
    import train

    train.main(family="googlenet")
