"""DenseNet: every layer reads the maps of all layers before it in its block.

Paper   G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
        https://arxiv.org/abs/1608.06993. Table 1: densenet121 to densenet201; Table 2, for 32x32 images: densenetL_K of
        depth L and growth K, densenet_bcL_K with bottlenecks and compression.
Result  Top-1 error on ImageNet with one crop: 25.0 % (121) to 22.2 % (161). CIFAR-10, mirrored and shifted: 5.24 %
        (40_12) to 3.46 % (bc190_40).

python train.py --mode train --arch densenet121
python train.py --mode train --arch densenet_bc100_12 --dataset datasets/cifar10
python train.py --mode test --arch densenet121 --restore ckpt/
python train.py --mode summary --arch densenet121
"""

from dataclasses import replace
from functools import partial

from common.architecture import Architecture
from common.errors import row_of
from common.nn import layers
from common.recipe import Recipe
from common.style import styled

# Table 1, depth: (growth k, layers in the blocks at 56x56, 28x28, 14x14, 7x7).
TABLE = {
    121: (32, (6, 12, 24, 16)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    161: (48, (6, 12, 36, 24)),
}
# Table 2: (depth L, growth k, with bottlenecks and compression). Three blocks, of maps of 32x32, 16x16, 8x8.
CIFAR_TABLE = ((40, 12, False), (100, 12, False), (100, 24, False), (100, 12, True), (250, 24, True), (190, 40, True))
# Memory: what a layer reads grows with every layer and is kept twice, joined and normalised. So training takes, in MB
# an image (float32, values and gradients, `--mode summary`): densenet121 266, 169 321, 201 413, 161 495; densenet40_12
# 40, 100_12 235, 100_24 457, bc100_12 72, bc250_24 699, bc190_40 714, which is 46 GB for the recipe's batch of 64.
#
# Deviations
#   1. The first convolution of densenetL_K has 16 maps, as the paper and the authors' Caffe files have it: that gives
#      the parameters of Table 2. Their Torch files have 2k.
#   2. The last average is over the whole map, 7x7 at 224 pixels (8x8 of 32), so that other image sizes work.


# A convolution alone: batch norm and ReLU stand before it.
convolution = partial(layers.conv, norm=False, relu=False, bias=False)


def composite(x, filters: int, size: int, dropout: float, name: str):
    """H of section 3: batch norm, ReLU, convolution, dropout where asked for. (N, H, W, C) -> (N, H, W, filters)."""
    x = layers.norm(x, name=f"{name}_pre")
    x = layers.relu(x, name=f"{name}_pre_relu")
    x = convolution(x, filters, size, padding=size // 2, standardize=True, name=name)
    return layers.dropout(x, dropout, name=f"{name}_dropout") if dropout else x


def dense_block(x, count: int, growth: int, bottleneck: bool, dropout: float, name: str):
    """Figure 1: each layer adds `growth` maps to those it reads. (N, H, W, C) -> (N, H, W, C + count * growth)."""
    for number in range(1, count + 1):
        y = composite(x, 4 * growth, 1, dropout, name=f"{name}_{number}_1x1") if bottleneck else x
        y = composite(y, growth, 3, dropout, name=f"{name}_{number}_3x3")
        x = layers.concat([x, y], name=f"{name}_{number}")
    return x


def transition(x, compression: float, dropout: float, name: str):
    """Between two blocks: 1x1 and average pool. (N, H, W, C) -> (N, H / 2, W / 2, compression * C)."""
    x = composite(x, int(compression * x.shape[-1]), 1, dropout, name=name)
    return layers.avg_pool(x, 2, 2, name=f"{name}_pool")


def classifier(x, classes: int):
    """Batch norm, ReLU, the average over the map, a fully connected layer."""
    x = layers.relu(layers.norm(x, name="final"), name="final_relu")
    x = layers.global_avg_pool(x, name="pool")
    return layers.logits(x, classes, name="fc")


@styled(initializer="he_out", classifier_initializer="xavier", norm="batch")
def build(depth: int = 121, classes: int = 1000, image_size: int = 224, dropout: float = 0.0):
    """A column of Table 1: images (N, 224, 224, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes of densenet121 at 224 pixels. The smallest image is 29 pixels wide.
    """
    growth, blocks = row_of(TABLE, "depth", depth)
    block = partial(dense_block, growth=growth, bottleneck=True, dropout=dropout)
    half = partial(transition, compression=0.5, dropout=dropout)

    x = image = layers.image_input(image_size, smallest=29)  # 224x224x3
    x = layers.conv(x, 2 * growth, 7, stride=2, padding=3, name="conv1")  # 112x112x64
    x = layers.max_pool(x, 3, 2, padding=1, name="pool1")  # 56x56x64
    x = block(x, blocks[0], name="dense1")  # 56x56x256
    x = half(x, name="transition1")  # 28x28x128
    x = block(x, blocks[1], name="dense2")  # 28x28x512
    x = half(x, name="transition2")  # 14x14x256
    x = block(x, blocks[2], name="dense3")  # 14x14x1024
    x = half(x, name="transition3")  # 7x7x512
    x = block(x, blocks[3], name="dense4")  # 7x7x1024
    x = classifier(x, classes)  # 1024, 1000
    return layers.network(image, x, name=f"densenet{depth}")


@styled(initializer="he_out", classifier_initializer="xavier", norm="batch")
def build_cifar(
    depth: int = 40, growth: int = 12, bc: bool = False, classes: int = 10, image_size: int = 32, dropout: float = 0.0
):
    """A row of Table 2, BC where `bc`: images (N, 32, 32, 3) float32, mean subtracted -> logits (N, classes) float32.

    The comments give the output sizes of densenet40_12 at 32 pixels. The smallest image is 4 pixels wide.
    """
    count = (depth - 4) // (6 if bc else 3)  # layers in a block
    block = partial(dense_block, count=count, growth=growth, bottleneck=bc, dropout=dropout)
    between = partial(transition, compression=0.5 if bc else 1.0, dropout=dropout)

    x = image = layers.image_input(image_size, smallest=4)  # 32x32x3
    x = convolution(x, 2 * growth if bc else 16, 3, padding=1, name="conv1")  # 32x32x16
    x = block(x, name="dense1")  # 32x32x160
    x = between(x, name="transition1")  # 16x16x160
    x = block(x, name="dense2")  # 16x16x304
    x = between(x, name="transition2")  # 8x8x304
    x = block(x, name="dense3")  # 8x8x448
    x = classifier(x, classes)  # 448, 10
    return layers.network(image, x, name=cifar_title(depth, growth, bc))


def cifar_title(depth: int, growth: int, bc: bool) -> str:
    """The network's name: densenet40_12, or densenet_bc100_12 with bottlenecks and compression."""
    return f"densenet{'_bc' if bc else ''}{depth}_{growth}"


# Section 4.2 and the authors' program: x0.1 every 30 epochs, weight decay on all variables.
IMAGENET = Recipe(
    initializer="he_out",
    classifier_initializer="xavier",
    optimizer="nesterov",
    momentum=0.9,
    batch_size=256,
    epochs=90,
    learning_rate=0.1,
    learning_rate_batch=256,
    schedule="step",
    schedule_factor=0.1,
    schedule_every=30.0,
    weight_decay=0.0001,
    decay_biases_and_norms=True,
    dropout=0.0,
    crop="inception",
    flip=True,
    contrast=0.4,
    pca_lighting=0.1,
)
# x0.1 after half and three quarters of 300 epochs of 45,000 images, 703 steps each.
CIFAR = replace(
    IMAGENET,
    batch_size=64,
    epochs=300,
    learning_rate_batch=64,
    schedule="piecewise",
    schedule_boundaries=(105450, 158175),
    crop="pad",
    contrast=0.0,
    pca_lighting=0.0,
)
# Deviations
#   3. The authors' colour jitter changes brightness and saturation by up to 40 % too; contrast alone here.
#   4. Without shifts and mirror images (`--crop none --noflip`) the paper has `--dropout 0.2`.
#   5. The learning rate is in proportion to the batch, 0.1 at 256 (CIFAR: 64); `--learning_rate` is taken as it is.


def member(depth: int) -> Architecture:
    """A column of Table 1 for the program."""
    recipe = replace(IMAGENET, batch_size=128, learning_rate_batch=128, epochs=100) if depth == 161 else IMAGENET
    source = "Huang 2017, Table 1" if depth != 161 else "Huang 2017, Table 1 of the first versions"
    return Architecture(f"densenet{depth}", "densenet", partial(build, depth), 224, recipe, source)


def cifar_member(depth: int, growth: int, bc: bool) -> Architecture:
    """A row of Table 2 for the program."""
    make = partial(build_cifar, depth, growth, bc)
    return Architecture(cifar_title(depth, growth, bc), "densenet", make, 32, CIFAR, "Huang 2017, Table 2")


ARCHITECTURES = (*map(member, TABLE), *(cifar_member(*row) for row in CIFAR_TABLE))
