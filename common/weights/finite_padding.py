"""A network whose padded max pools hold finite numbers only, for formats of 8-bit whole numbers.

Minus infinity in the padded places would be taken for the least value of the map when its range is measured, and the
256 steps would be spread from there: nothing of the map would be left.
"""

import keras

from common.errors import UserError
from common.nn.convolution import AveragePool, MaxPool
from common.nn.dropout import Dropout
from common.nn.graph_rewrite import Change, rewrite
from common.nn.normalization import LocalResponseNormalization
from common.nn.padded_identity import PaddedIdentity

# Layers that give no negative value where they are given none.
_KEEPING = (
    *(keras.layers.Add, keras.layers.Concatenate, keras.layers.Flatten, keras.layers.GlobalAveragePooling2D),
    *(AveragePool, Dropout, LocalResponseNormalization, MaxPool, PaddedIdentity),
)


def finite(model: keras.Model) -> keras.Model:
    """A copy of a network that gives the same values with no minus infinity in it.

    A pool of a map without negative values, as after ReLU, is padded with zeros, any other with what lies next to the
    edge. The model is returned as it is where nothing is padded. Works on what `layers.network` makes.

    Raises UserError for a map that may be negative under windows that lie outside it by more than half.
    """
    changes: dict[str, Change] = {}
    for layer in model.layers:
        if isinstance(layer, MaxPool) and layer.fill == "never" and (layer.padding or layer.ceil):
            fill = "zero" if _never_negative(layer.input) else "edge"
            if fill == "edge" and not _half_inside(layer):
                raise UserError(f"{layer.name}: padded by more than half of its window, which 8 bits cannot express")
            changes[layer.name] = type(layer).from_config(layer.get_config() | {"fill": fill}), []
    return rewrite(model, changes) if changes else model


def _never_negative(tensor: keras.KerasTensor) -> bool:
    """Whether the layers that a map comes from allow no negative value."""
    layer = tensor._keras_history.operation
    if isinstance(layer, keras.layers.ReLU):
        return layer.negative_slope == 0 and layer.threshold >= 0
    given = layer.input if isinstance(layer.input, list) else [layer.input]
    return isinstance(layer, _KEEPING) and all(map(_never_negative, given))


def _half_inside(pool: MaxPool) -> bool:
    """Whether each window has at least as many rows and columns inside the map as outside on one side."""
    return all(2 * max(pool.pads(side)) <= pool.size for side in pool.input.shape[1:3])
