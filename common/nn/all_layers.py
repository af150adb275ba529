"""Every kind of layer a network here is made of, and how its costs are counted: one line each.

Importing this module registers the project's own layers, so that Keras can load a .keras file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import keras

from common.nn.activations import Maxout, PReLU, ScaledTanh, Tanh
from common.nn.convolution import AveragePool, Conv, MaxPool
from common.nn.drop_path import Join, PathDraw
from common.nn.dropout import Dropout
from common.nn.early_layers import Distances, Grey, Subsampling, TableConv
from common.nn.gated_sum import GatedSum
from common.nn.normalization import BatchNorm, GroupNorm, LocalResponseNormalization
from common.nn.padded_identity import PaddedIdentity
from common.nn.squeeze_excitation import SqueezeExcitation
from common.nn.stochastic_depth import StochasticSum, Survival

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """How a kind of layer is counted (`cost`).

    Attributes:
        kind: what the table calls it, or a function of the layer; None: it works in place and has no row.
        multiply_adds: (layer, shape of its first input, shape of its output, both without the batch) -> of one image.
        window: whether it has a size, a stride and a padding to show.
        values: whether it puts out values of its own, rather than pass on what it is given.
    """

    kind: str | Callable[[keras.layers.Layer], str] | None
    multiply_adds: Callable[[keras.layers.Layer, Shape, Shape], int] = lambda layer, given, output: 0
    window: bool = False
    values: bool = True


def _convolution(layer: Conv, given: Shape, output: Shape) -> int:
    return prod(layer.window) * given[-1] // layer.groups * prod(output)


def _fully_connected(layer: keras.layers.Dense, given: Shape, output: Shape) -> int:
    return given[-1] * prod(output)


def _table_convolution(layer: TableConv, given: Shape, output: Shape) -> int:
    return layer.size**2 * layer.pairs * prod(output[:-1])


def _group_norm(layer: GroupNorm) -> str:
    return {1: "layer norm", layer.gamma.shape[0]: "instance norm"}.get(layer.groups, "group norm")


def _gate(layer: GatedSum, given: Shape, output: Shape) -> int:
    return 0 if layer.kind == "constant" else layer.kernel.shape[2] * prod(output)


def _squeeze_excitation(layer: SqueezeExcitation, given: Shape, output: Shape) -> int:
    return 2 * given[-1] * layer.hidden


RULES: dict[type[keras.layers.Layer], Rule] = {
    keras.layers.InputLayer: Rule("input"),
    Conv: Rule("convolution", _convolution, window=True),
    keras.layers.Dense: Rule("fully connected", _fully_connected),
    MaxPool: Rule("max pool", window=True),
    AveragePool: Rule("average pool", window=True),
    keras.layers.ZeroPadding2D: Rule("zero padding", values=False),
    keras.layers.GlobalAveragePooling2D: Rule("global average pool"),
    LocalResponseNormalization: Rule("LRN"),
    BatchNorm: Rule("batch norm"),
    GroupNorm: Rule(_group_norm),
    keras.layers.ReLU: Rule(None),
    keras.layers.LeakyReLU: Rule(None),
    keras.layers.ELU: Rule(None),
    keras.layers.Activation: Rule(None),
    Tanh: Rule(None),
    ScaledTanh: Rule(None),
    PReLU: Rule("PReLU", values=False),
    Maxout: Rule("maxout"),
    Dropout: Rule("dropout", values=False),
    keras.layers.Flatten: Rule(None),
    keras.layers.Add: Rule("add"),
    Survival: Rule(None),
    StochasticSum: Rule("add"),
    GatedSum: Rule("gated add", _gate),
    SqueezeExcitation: Rule("squeeze and excite", _squeeze_excitation),
    keras.layers.Concatenate: Rule("concat"),
    Join: Rule("join"),
    PathDraw: Rule(None),
    PaddedIdentity: Rule("padded identity"),
    Grey: Rule("grey"),
    TableConv: Rule("convolution", _table_convolution, window=True),
    Subsampling: Rule("subsampling", window=True),
    Distances: Rule("distances to codes"),
}


def rule(layer: keras.layers.Layer) -> Rule:
    """How `layer` is counted. Raises TypeError, with its name, where its class is not in the table."""
    if type(layer) not in RULES:
        raise TypeError(f"{layer.name}: how a {type(layer).__name__} is counted is not in common/nn/all_layers.py")
    return RULES[type(layer)]
