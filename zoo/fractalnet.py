"""FractalNet: very deep without residuals, by columns of different depth that join again and again.

Paper   G. Larsson, M. Maire, G. Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR 2017,
        https://arxiv.org/abs/1605.07648. Section 4.1: fractalnet20 of three columns, fractalnet40 of four.
Result  CIFAR-10 test error of fractalnet20 without augmentation: 7.33 %, its deepest column alone 7.27 %; shifted and
        mirrored 4.60 %.

python train.py --mode train --arch fractalnet20 --dataset datasets/cifar10
python train.py --mode test --arch fractalnet20 --restore ckpt/
python train.py --mode test --arch fractalnet20 --restore ckpt/ --column deepest
python train.py --mode summary --arch fractalnet20
"""

from functools import partial

from common.architecture import Architecture, Option
from common.errors import row_of
from common.nn import layers
from common.recipe import Recipe
from common.settings import Setting
from common.style import styled

# Section 4.1: filters in each of the five blocks, which end in 2x2 max pools: 16x16, 8x8, 4x4, 2x2, 1x1.
CHANNELS = (64, 128, 256, 512, 512)
# f_1(z) = conv(z), f_{C+1}(z) = join(f_C(f_C(z)), conv(z)). So with C columns a block has 2^(C-1) rows; column 0, the
# deepest, has a convolution in every row, column c in every 2^c-th. Columns that end in the same row are joined there,
# by their mean, and go on from it together.
COLUMNS = {20: 3, 40: 4}  # depth 5 * 2^(C-1): C
# Errata: 38.6M parameters are quoted for the network of 20 layers; these channels give 33.7M. The paper's thin series,
# 16 to 128 channels in one to six columns, comes out as printed (0.3M to 21.1M).
#
# Deviations
#   1. Convolutions without biases, batch norm with gamma; the authors' Caffe has it the other way round.
#   2. The pool stands before the last join of a block, in every column, as in the authors' generator. Figure 1 draws it
#      behind it, which is not the same: the mean of maxima is no maximum of means.

COLUMN = Setting("FractalNet: all columns, or the deepest alone, also of a trained network", choices=("all", "deepest"))
DROP_PATH = Setting("FractalNet: probability with which a join drops a column in training", least=0, below=1)
GLOBAL_PATHS = Setting("FractalNet: share of the training steps that keep one column throughout", least=0, most=1)


def convolution(x, filters: int, dropout: float, name: str):
    """Convolution, dropout, batch norm, ReLU (Figure 1, right)."""
    x = layers.conv(x, filters, 3, padding=1, norm=False, relu=False, bias=False, standardize=True, name=name)
    x = layers.dropout(x, dropout, name=f"{name}_dropout") if dropout else x
    return layers.relu(layers.norm(x, name=name), name=f"{name}_relu")


def block(x, number: int, columns: int, kept: tuple[int, ...], dropout: float, join):
    """Figure 1, right, and its pool: (N, H, W, C) -> (N, H / 2, W / 2, filters). `kept` are the columns to build."""
    name, rows = f"block{number}", 2 ** (columns - 1)
    heads = dict.fromkeys(kept, x)
    for row in range(1, rows + 1):
        ending = [column for column in kept if row % 2**column == 0]
        for column in ending:
            place = f"{name}_row{row}_column{column}"
            heads[column] = convolution(heads[column], CHANNELS[number - 1], dropout, place)
            if row == rows:
                heads[column] = layers.max_pool(heads[column], 2, 2, name=f"{name}_pool_column{column}")
        if len(ending) > 1:
            parts = [heads[column] for column in ending]
            joined = join(parts, ending, number=number * rows + row, name=f"{name}_row{row}_join")
            heads |= dict.fromkeys(ending, joined)
    return heads[0]


@styled(initializer="xavier", norm="batch")
def build(
    depth: int = 20,
    classes: int = 10,
    image_size: int = 32,
    dropout: float = 0.4,
    column: str = "all",
    drop_path: float = 0.15,
    global_paths: float = 0.5,
):
    """Section 4.1: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    `dropout` is that of the last block; it rises to it from 0 in the first in equal steps. The comments give the output
    sizes at 32 pixels, which is the smallest image.
    """
    COLUMN.check("column", column)
    columns = row_of(COLUMNS, "depth", depth)
    kept = (0,) if column == "deepest" else tuple(range(columns))
    rates = [dropout * number / 4 for number in range(5)]  # 0, 0.1, 0.2, 0.3, 0.4

    x = image = layers.image_input(image_size, smallest=32)  # 32x32x3
    draw = layers.path_draw(x, columns, global_paths, name="paths") if drop_path and len(kept) > 1 else None
    join = partial(layers.join, draw=draw, rate=drop_path)
    x = block(x, 1, columns, kept, rates[0], join)  # 16x16x64
    x = block(x, 2, columns, kept, rates[1], join)  # 8x8x128
    x = block(x, 3, columns, kept, rates[2], join)  # 4x4x256
    x = block(x, 4, columns, kept, rates[3], join)  # 2x2x512
    x = block(x, 5, columns, kept, rates[4], join)  # 1x1x512
    x = layers.flatten(x, name="flatten")  # 512
    x = layers.logits(x, classes, name="fc")  # 10
    return layers.network(image, x, name=f"fractalnet{depth}")


# The authors' solver: x0.1 whenever half of the remaining epochs of 45,000 images, 450 steps each, are over.
RECIPE = Recipe(
    initializer="xavier",
    optimizer="momentum",
    momentum=0.9,
    batch_size=100,
    epochs=400,
    learning_rate=0.02,
    schedule="piecewise",
    schedule_factor=0.1,
    schedule_boundaries=(90000, 135000, 157500, 168750),  # 200, 300, 350, 375 epochs
    weight_decay=0.0,
    dropout=0.4,
    crop="pad",
    flip=True,
)
# Deviations
#   3. Weight decay is not stated; none here.
#   4. A step is local or global with equal chance. The authors' program has local steps; for global ones it evaluates
#      all columns beside them, with tied weights.


def member(depth: int) -> Architecture:
    """One depth for the program."""
    options = (
        Option("column", "all", COLUMN, testing=True),
        Option("drop_path", 0.15, DROP_PATH),
        Option("global_paths", 0.5, GLOBAL_PATHS),
    )
    make = partial(build, depth)
    name, source = f"fractalnet{depth}", "Larsson 2017, section 4.1"
    return Architecture(name, "fractalnet", make, 32, RECIPE, source, own_options=options)


ARCHITECTURES = tuple(map(member, COLUMNS))
