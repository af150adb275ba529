"""Which part of the picture a place of a map sees.

Along one axis place p of a map sees the pixels [first + p step, first + p step + size); those outside the picture are
padding. Where paths meet, the part that any of them sees. As in `common.nn.cost`, which counts the same size, what a
normalisation or a gate sees of the whole map does not count.
"""

from dataclasses import dataclass

import keras

from common.nn.convolution import AveragePool, Conv, MaxPool, before_and_after
from common.nn.cost import ordered


@dataclass(frozen=True)
class Field:
    """What the places of a map see along one axis, in pixels: see the module's docstring."""

    first: int = 0
    size: int = 1
    step: int = 1

    def pixels(self, place: int) -> tuple[int, int]:
        """The first pixel and the one behind the last; they may lie outside the picture."""
        begin = self.first + place * self.step
        return begin, begin + self.size


def fields(layer: keras.layers.Layer) -> tuple[Field, Field]:
    """Vertical and horizontal field of a layer's map."""
    seen: dict[keras.layers.Layer, tuple[Field, Field]] = {}
    for one in ordered([layer.output]):
        if isinstance(one, keras.layers.InputLayer):
            seen[one] = Field(), Field()
            continue
        sources = [seen[tensor._keras_history.operation] for tensor in one._inbound_nodes[0].input_tensors]
        vertical, horizontal = (_through(one, [source[axis] for source in sources], axis) for axis in (0, 1))
        seen[one] = vertical, horizontal
    return seen[layer]


def _through(layer: keras.layers.Layer, sources: list[Field], axis: int) -> Field:
    """The field behind a layer, of those before it along one axis."""
    first = min(source.first for source in sources)
    size = max(source.first + source.size for source in sources) - first
    step = sources[0].step
    window, stride, before = _window(layer, axis)
    return Field(first - before * step, size + (window - 1) * step, step * stride)


def _window(layer: keras.layers.Layer, axis: int) -> tuple[int, int, int]:
    """Size and stride of what a layer looks at, and the padded places before the map."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return 1, 1, layer.padding[axis][0]
    size, stride = getattr(layer, "size", 1), getattr(layer, "stride", 1)
    if not isinstance(size, int):  # rectangular: the map keeps its size
        return size[axis], stride, (size[axis] - 1) // 2
    if isinstance(layer, Conv | MaxPool | AveragePool):
        return size, stride, before_and_after(layer.padding)[0]
    return size, stride, 0
