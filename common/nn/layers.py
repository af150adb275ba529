"""The vocabulary of the slides: conv, norm, relu, max_pool, avg_pool, lrn, fc, dropout.

Each function takes a tensor (N, H, W, C) (fc: (N, D)) and returns one, so a network reads one layer a line. Padding is
the number of zeros on every side, as the papers' frameworks count it; output size (W - F + 2P) / S + 1, rounded down,
or up with `ceil=True` as Caffe's pools do. Initial weights, normalisation and activation are the style's (style.py):
where a network says relu, it gets what `--activation` names.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from common.errors import UserError
from common.lazy import lazy
from common.nn import initializers
from common.style import current

# The vocabulary costs nothing to import: Keras and the layers themselves come with the first call.
if TYPE_CHECKING:
    import keras
else:
    keras = lazy("keras")
convolution = lazy("common.nn.convolution")
activations = lazy("common.nn.activations")
drop_path = lazy("common.nn.drop_path")
normalization = lazy("common.nn.normalization")
dropout_layer = lazy("common.nn.dropout")
shortcut = lazy("common.nn.padded_identity")


# --norm -> (x, name of the layer that it follows) -> normalised x.
NORMS = {
    "batch": lambda x, name: batch_norm(x, synchronised=current().batch_norm == "global", name=name and f"{name}_bn"),
    "layer": lambda x, name: group_norm(x, 1, name=name and f"{name}_ln"),
    "instance": lambda x, name: group_norm(x, x.shape[-1], name=name and f"{name}_in"),
    "group": lambda x, name: group_norm(x, _dividing(x.shape[-1]), name=name and f"{name}_gn"),
    "none": lambda x, _: x,
}


# --activation -> (x, the layer's name) -> activated x.
ACTIVATIONS = {
    "relu": lambda x, name: keras.layers.ReLU(name=name)(x),
    "relu6": lambda x, name: keras.layers.ReLU(6.0, name=name)(x),
    "leaky_relu": lambda x, name: keras.layers.LeakyReLU(current().leaky_slope, name=name)(x),
    "prelu": lambda x, name: activations.PReLU(name=name)(x),
    "elu": lambda x, name: keras.layers.ELU(current().elu_alpha, name=name)(x),
    "sigmoid": lambda x, name: keras.layers.Activation("sigmoid", name=name)(x),
    "tanh": lambda x, name: activations.Tanh(name=name)(x),
    "scaled_tanh": lambda x, name: activations.ScaledTanh(name=name)(x),
    "maxout": lambda x, name: _refuse_maxout(name),
    "none": lambda x, _: x,
}


def _refuse_maxout(name: str):
    raise UserError(
        f"--activation=maxout: {name} stands alone, as after a sum; maxout needs a convolution or fully connected "
        "layer of its own before it, to give it more channels; use another activation with this network"
    )


def _pieces(relu: bool) -> int:
    """By how much the channels of a layer are multiplied for the activation that follows it."""
    return current().maxout_pieces if relu and current().activation == "maxout" else 1


def _activated(x, name, groups=1):
    """The style's activation after the layer `name`, which is in so many groups."""
    kind = current().activation
    name = name and f"{name}_{kind}"
    if kind == "maxout":
        return activations.Maxout(current().maxout_pieces, groups, name=name)(x)
    return ACTIVATIONS[kind](x, name)


def after(name: str) -> list[str]:
    """What the layers that may follow a convolution or fully connected layer are called, the last of them last."""
    return [f"{name}_{ending}" for ending in ("bn", "ln", "in", "gn", *ACTIVATIONS)]


def _dividing(channels: int) -> int:
    """The style's number of groups, or the largest below it that divides the channels."""
    return next(groups for groups in range(current().norm_groups, 0, -1) if channels % groups == 0)


def norm(x, name=None):
    """The style's normalisation as a layer of its own: `{name}_bn`, `_ln`, `_in` or `_gn`; with "none" x itself."""
    return NORMS[current().norm](x, name)


def conv(x, filters, size, stride=1, padding=0, groups=1, relu=True, bias=None, norm=True, standardize=None,
         initializer=None, name=None):  # fmt: skip
    """Convolution with a size x size window, the style's normalisation, then its activation.

    Args:
        x: (N, H, W, C).
        filters: output channels.
        size, stride, padding: of the window; padding is the number of zeros on every side. A rectangular window,
            (height, width), is padded so that the map keeps its size.
        groups: into how many groups the channels are split.
        relu: whether the style's activation follows. For maxout of k pieces there are k times the filters before it.
        bias: whether there is one; None: where no normalisation follows.
        norm: whether the style's normalisation follows.
        standardize: whether its filters are standardised where the style says so; None: where a normalisation follows.
            A network that normalises before its convolutions says True.
        initializer: of its kernel; None: the style's.
        name: of the convolution; what follows it is called `{name}_bn`, `{name}_relu` (`after`).
    """
    style = current()
    normalised = norm and style.norm != "none"
    bias = not normalised if bias is None else bias
    standardize = style.weight_standardization and (normalised if standardize is None else standardize)
    initial = initializers.make_initializer(initializer or style.initializer)
    filters *= _pieces(relu)
    x = convolution.Conv(filters, size, stride, padding, groups, bias, initial, standardize, name=name)(x)
    x = NORMS[style.norm](x, name) if norm else x
    return _activated(x, name, groups) if relu else x


def depthwise_conv(x, size, stride=1, padding=0, name=None):
    """The same of each channel by itself, with a window of its own."""
    return conv(x, x.shape[-1], size, stride, padding, groups=x.shape[-1], name=name)


def fc(x, units, relu=True, name=None):
    """Fully connected layer (N, D) -> (N, units), then the style's activation unless `relu=False`.

    The bias starts at zero. For maxout of k pieces there are k times the units before it.
    """
    initial = initializers.make_initializer(current().initializer)
    x = keras.layers.Dense(units * _pieces(relu), kernel_initializer=initial, name=name)(x)
    return _activated(x, name) if relu else x


def logits(x, classes, name=None):
    """The classifier: a fully connected layer in float32 whatever the precision, without an activation."""
    initial = initializers.make_initializer(current().classifier_initializer or current().initializer)
    return keras.layers.Dense(classes, kernel_initializer=initial, dtype="float32", name=name)(x)


def map_logits(x, classes, name=None):
    """The classifier without fully connected layers (Lin et al. 2014): a map for each class, ReLU, the maps' means.

    (N, H, W, C) -> (N, classes), the means in float32 whatever the precision. The 1x1 convolution has the name. ReLU
    stays whatever `--activation` says: it belongs to the classifier, whose evidence for a class is never negative.
    """
    initial = initializers.make_initializer(current().classifier_initializer or current().initializer)
    x = convolution.Conv(classes, 1, kernel_initializer=initial, name=name)(x)
    x = keras.layers.ReLU(name=name and f"{name}_relu")(x)
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name=name and f"{name}_mean")(x)


def relu(x, name=None):
    """max(0, x), or what `--activation` names, which then takes the place of "relu" in the name, too.

    Raises UserError for maxout, which needs a layer of its own before it.
    """
    kind = current().activation
    if name and name.endswith("relu"):
        name = name.removesuffix("relu") + kind
    return ACTIVATIONS[kind](x, name)


def add(x, y, name=None):
    """x + y, the end of a residual block."""
    return keras.layers.Add(name=name)([x, y])


def padded_identity(x, channels, stride, name=None):
    """Every stride-th place of x, with zeros for the channels it does not have."""
    return shortcut.PaddedIdentity(channels, stride, name=name)(x)


def path_draw(x, columns, global_share, name=None):
    """What all joins of a network share in each step of drop-path."""
    return drop_path.PathDraw(columns, global_share, name=name)(x)


def join(parts, columns, draw=None, rate=0.0, number=0, name=None):
    """The mean of the columns that end here; in training with drop-path, where there is a draw."""
    drawn = [] if draw is None else [draw]
    return drop_path.Join(columns, rate if drawn else 0.0, number, name=name)([*parts, *drawn])


def concat(parts, name=None):
    """Depth concatenation of feature maps, the end of an Inception module."""
    return keras.layers.Concatenate(name=name)(parts)


def flatten(x, name=None):
    """(N, H, W, C) -> (N, H * W * C)."""
    return keras.layers.Flatten(name=name)(x)


def max_pool(x, size, stride, padding=0, ceil=False, name=None):
    """Largest value of each size x size window."""
    return convolution.MaxPool(size, stride, padding, ceil, name=name)(x)


def avg_pool(x, size, stride=1, padding=0, ceil=False, name=None):
    """Mean of each size x size window; what is padded does not count."""
    return convolution.AveragePool(size, stride, padding, ceil, name=name)(x)


def zero_pad(x, width, name=None):
    """x with zeros around it that a pool after it counts."""
    return keras.layers.ZeroPadding2D(width, name=name)(x)


def global_avg_pool(x, name=None):
    """Mean over the whole map: (N, H, W, C) -> (N, C)."""
    return keras.layers.GlobalAveragePooling2D(name=name)(x)


def lrn(x, k=2.0, n=5, alpha=1e-4, beta=0.75, name=None):
    """Local response normalisation across channels, with the 2012 paper's constants."""
    return normalization.LocalResponseNormalization(k, n, alpha, beta, name=name)(x)


def batch_norm(x, momentum=0.9, epsilon=1e-5, synchronised=False, name=None):
    """Batch normalisation over N, H and W, of each replica or (`synchronised`) of all."""
    return normalization.BatchNorm(momentum, epsilon, synchronised, name=name)(x)


def group_norm(x, groups, epsilon=1e-5, name=None):
    """Normalisation of each image, group of channels by group, over H and W."""
    return normalization.GroupNorm(groups, epsilon, name=name)(x)


def dropout(x, rate, name=None):
    """Zeroes a share `rate` of the values in training and scales up the rest."""
    return dropout_layer.Dropout(rate, name=name)(x)


def image_input(size: int, smallest: int = 1) -> "keras.KerasTensor":
    """The network's input, (N, size, size, 3). Raises UserError below the smallest size its arithmetic allows."""
    if size < smallest:
        raise UserError(f"--image_size={size} is too small for this network; the smallest that fits is {smallest}")
    return keras.Input((size, size, 3), name="image")


def network(inputs, outputs, name: str) -> "keras.Model":
    """The finished model."""
    with deep():
        return keras.Model(inputs, outputs, name=name)


@contextmanager
def deep() -> Iterator[None]:
    """Lets Keras walk a deep graph.

    It does so by recursion, a call for every layer: resnet1202, 3,600 layers deep, needs more than Python's limit of
    1,000, which is raised meanwhile.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
