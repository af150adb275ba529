"""What each layer of a built network puts out, weighs, computes and sees: the rows behind `--mode summary`.

The rule for each kind of layer stands in all_layers.py.

How the figures are counted
    parameters         trained values: kernels, biases, a normalisation's gamma and beta, PReLU's slopes. Batch norm's
                       moving statistics are counted apart, as not trained; the state of a seed is no parameter.
    multiply-adds      of one image: convolution k * k * C_in / groups * C_out * H * W, fully connected in * out.
                       Biases, normalisation, pooling and additions are not counted, as in the papers' figures.
    activation values  numbers a layer puts out for one image, the input included. Activations but maxout work in
                       place, flattening moves nothing, dropout passes everything on when tested: none adds any.
    megabytes          of 1,000,000 bytes, 4 bytes a value (float32).
    receptive field    width in pixels of what one output place sees; where paths meet, the widest. It may exceed the
                       image: the rest is padding. A fully connected layer and an average over the map see all of it.
    memory             testing one image: its activation values. Training: as many gradients beside them. Once, however
                       large the batch: the parameters; in training also their gradients and the optimizer's velocities.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import keras

from common.nn.all_layers import Rule, rule

VALUE_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name, kind: e.g. `conv1`, `convolution`.
        output: (H, W, C), or (C,) where the map is gone.
        kernel, stride, padding: of the window; None for a layer without one; a rectangular kernel is (height, width).
            `ceil` windows hang over the edge.
        groups: of a convolution or a group norm, else 1.
        parameters, non_trainable_parameters, multiply_adds, activation_values, receptive_field: see above.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    kernel: int | tuple[int, int] | None = None
    stride: int | None = None
    padding: int | None = None
    ceil: bool = False
    groups: int = 1
    parameters: int = 0
    non_trainable_parameters: int = 0
    multiply_adds: int = 0
    activation_values: int = 0
    receptive_field: int = 1

    @property
    def megabytes(self) -> float:
        """Size of the output for one image."""
        return megabytes(self.activation_values)


@dataclass(frozen=True)
class Totals:
    """Sums over rows: see the module's docstring."""

    trainable_parameters: int
    non_trainable_parameters: int
    multiply_adds: int
    activation_values: int


def add_up(rows: Iterable[Row]) -> Totals:
    """The sums of some rows."""
    names = ("parameters", "non_trainable_parameters", "multiply_adds", "activation_values")
    rows = tuple(rows)
    return Totals(*(sum(getattr(row, name) for row in rows) for name in names))


def megabytes(values: int) -> float:
    """Size of that many float32 values."""
    return values * VALUE_BYTES / 1e6


def ordered(outputs: Iterable) -> list[keras.layers.Layer]:
    """The layers that `outputs` depend on, inputs first, each branch of a module to its end before the next."""
    found, done, waiting = [], set(), [(tensor, False) for tensor in reversed(list(outputs))]
    while waiting:
        tensor, ready = waiting.pop()
        layer = tensor._keras_history.operation
        if layer in done:
            continue
        if ready:
            done.add(layer)
            found.append(layer)
        else:
            waiting.append((tensor, True))
            waiting += [(source, False) for source in reversed(_sources(layer))]
    return found


def _sources(layer: keras.layers.Layer) -> list:
    """The tensors a layer takes in; none for the input."""
    return [] if isinstance(layer, keras.layers.InputLayer) else list(layer._inbound_nodes[0].input_tensors)


def measure(model_layers: Iterable[keras.layers.Layer], image_size: int) -> list[Row]:
    """A row for every layer that is not in place, in the order given. Raises TypeError for an unknown kind of layer."""
    rows = []
    seen: dict[keras.layers.Layer, tuple[int, int]] = {}  # receptive field, pixels between two neighbouring places
    for layer in model_layers:
        counted, sources = rule(layer), _sources(layer)
        field, step = max((seen[tensor._keras_history.operation] for tensor in sources), default=(1, 1))
        size, stride = _window(layer)
        field, step = field + (size - 1) * step, step * stride
        output = tuple(layer.output.shape[1:])
        if len(output) == 1:
            field = image_size
        seen[layer] = field, step
        if counted.kind is not None:
            rows.append(_row(layer, counted, sources, output, field))
    return rows


def depth(model_layers: Iterable[keras.layers.Layer]) -> int:
    """Convolutions and fully connected layers on the longest path; the layers in the order that `ordered` gives."""
    reached: dict[keras.layers.Layer, int] = {}
    for layer in model_layers:
        before = max((reached[tensor._keras_history.operation] for tensor in _sources(layer)), default=0)
        reached[layer] = before + (rule(layer).kind in ("convolution", "fully connected"))
    return max(reached.values())


def _window(layer: keras.layers.Layer) -> tuple[int, int]:
    """Width and stride of what a layer looks at."""
    size = getattr(layer, "size", 1)
    return size if isinstance(size, int) else size[1], getattr(layer, "stride", 1)


def _row(layer: keras.layers.Layer, counted: Rule, sources: list, output: tuple[int, ...], field: int) -> Row:
    given = tuple(sources[0].shape[1:]) if sources else output
    return Row(
        name=layer.name,
        kind=str(counted.kind(layer) if callable(counted.kind) else counted.kind),
        output=output,
        kernel=layer.size if counted.window else None,
        stride=layer.stride if counted.window else None,
        padding=getattr(layer, "padding", 0) if counted.window else None,
        ceil=getattr(layer, "ceil", False),
        groups=getattr(layer, "groups", 1),
        parameters=sum(prod(weight.shape) for weight in layer.trainable_weights),
        non_trainable_parameters=sum(prod(weight.shape) for weight in layer.non_trainable_weights),
        multiply_adds=counted.multiply_adds(layer, given, output),
        activation_values=prod(output) if counted.values else 0,
        receptive_field=field,
    )
