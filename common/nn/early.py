"""The vocabulary of 1998, for networks that need it: grey, table_conv, subsample, distances. See layers.py."""

from common.lazy import lazy
from common.nn import initializers, layers
from common.style import current

early_layers = lazy("common.nn.early_layers")


def grey(x, name=None):
    """(N, H, W, 3), 0..255 less a mean -> (N, H, W, 1), the mean of the channels in units of 200."""
    return early_layers.Grey(name=name)(x)


def table_conv(x, table, size, name=None):
    """Convolution in which map i sees only the maps `table[i]` of x, then the style's normalisation and activation.

    (N, H, W, C) -> (N, H - size + 1, W - size + 1, len(table)); each pair of maps has a size x size window. The windows
    of a map are standardised together where the style says so.
    """
    initial = initializers.make_initializer(current().initializer)
    x = early_layers.TableConv(table, size, initial, current().weight_standardization, name=name)(x)
    return layers.relu(layers.norm(x, name), name=name and f"{name}_relu")


def subsample(x, name=None):
    """The sum of each 2x2 window, times a coefficient and plus a bias of its map, then the style's activation."""
    x = early_layers.Subsampling(name=name)(x)
    return layers.relu(x, name=name and f"{name}_relu")


def distances(x, codes, name=None):
    """Logits: minus the squared distance of x (N, D) to each of the fixed codes (classes, D)."""
    return early_layers.Distances(codes, dtype="float32", name=name)(x)
