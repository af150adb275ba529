"""From another program's arrays to this one's variables: names, axes, biases and epsilons, exactly.

Convolution   (filters, channels, k, k) in PyTorch and Caffe, (k, k, channels, filters) in Keras and here;
              depthwise (channels, 1, k, k) in PyTorch, (k, k, channels, 1) in Keras, (k, k, 1, channels) here.
Fully conn.   (out, in) in PyTorch and Caffe, (in, out) in Keras and here. The first one after a map takes it
              flattened: channel by channel there (C, H, W), pixel by pixel here (H, W, C).
Bias          of a convolution before batch norm, where it has none here: absorbed, moving mean - bias.
Epsilon       of batch norm: absorbed, moving variance + epsilon there - epsilon here.
Padding       is the layers' own here, in pixels on every side, as PyTorch, Caffe and keras.applications have it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from common.errors import UserError
from common.nn.convolution import Conv
from common.nn.normalization import BatchNorm
from common.weights.weight_files import Arrays


@dataclass(frozen=True)
class Layout:
    """How a program lays out and names what belongs to one layer.

    Attributes:
        channels_first: axes as PyTorch and Caffe have them, else as Keras and this program do.
        weights: endings of a convolution's or fully connected layer's names: weights, biases.
        norm: endings of a batch norm's names: gamma (None: there is none, which is a gamma of 1), beta, moving mean,
            moving variance.
        epsilon: batch norm's, there.
        ignored: endings of names that are no weights.
    """

    channels_first: bool
    weights: tuple[str, str]
    norm: tuple[str | None, str, str, str]
    epsilon: float
    ignored: tuple[str, ...] = ()


PYTORCH = Layout(
    True, (".weight", ".bias"), (".weight", ".bias", ".running_mean", ".running_var"), 1e-5, (".num_batches_tracked",)
)
KERAS = Layout(False, ("/0", "/1"), ("/0", "/1", "/2", "/3"), 1.001e-5)  # the epsilon of keras.applications' ResNets


def fill(model: keras.Model, names: Mapping[str, str], arrays: Arrays, layout: Layout, where: str) -> None:
    """Gives a network its weights.

    Args:
        model: freshly built; every variable but dropout's seeds is overwritten.
        names: layer here -> layer there.
        arrays: of the file, as `weight_files.read` has them.
        layout: of the program it comes from.
        where: the file, for the message.

    Raises:
        UserError: lists every name that is missing from the file, of another shape or kind, not finite, or not used.
    """
    filling = _Filling(arrays, layout)
    for layer in model.layers:
        if isinstance(layer, Conv | keras.layers.Dense):
            filling.weights(layer, names[layer.name])
        elif isinstance(layer, BatchNorm):
            source = layer.input._keras_history.operation
            biased = isinstance(source, Conv) and not source.use_bias  # there, perhaps; here it has no place
            filling.norm(layer, names[layer.name], names[source.name] if biased else None)
    unused = [name for name in arrays if name not in filling.used and not name.endswith(layout.ignored or "\0")]
    faults = filling.faults + [f"{name} {arrays[name].shape} has no place in the network" for name in unused]
    if faults:
        raise UserError(f"{where}: does not fit {model.name}: {'; '.join(faults)}", 1)
    for variable, value in filling.values:
        variable.assign(value)


class _Filling:
    """Collects the values of a model's variables, the names they came from, and what is wrong."""

    def __init__(self, arrays: Arrays, layout: Layout):
        self.arrays, self.layout = arrays, layout
        self.values: list[tuple] = []
        self.faults: list[str] = []
        self.used: set[str] = set()

    def weights(self, layer, there: str) -> None:
        """Kernel and bias of a convolution or fully connected layer. A bias without a place is left to its norm."""
        kernel, bias = (there + ending for ending in self.layout.weights)
        self._take(kernel, layer.kernel, _order(layer, self.layout), layer)
        if layer.use_bias:
            self._take(bias, layer.bias)

    def norm(self, layer, there: str, conv: str | None) -> None:
        """The four of a batch norm; the bias of the convolution before it, called `conv` there, is absorbed."""
        gamma, beta, mean, variance = (ending and there + ending for ending in self.layout.norm)
        bias = conv + self.layout.weights[1] if conv else None
        absorbed: np.ndarray | float = 0.0
        if bias in self.arrays:
            found = self._array(bias, tuple(layer.moving_mean.shape), f"{layer.name}/moving_mean")
            absorbed = 0.0 if found is None else found
        more = self.layout.epsilon - layer.epsilon
        if gamma is None:
            self.values.append((layer.gamma, np.ones(layer.gamma.shape, np.float32)))
        else:
            self._take(gamma, layer.gamma)
        self._take(beta, layer.beta)
        self._take(mean, layer.moving_mean, lambda array: array - absorbed)
        self._take(variance, layer.moving_variance, lambda array: array + more)

    def _take(self, name: str | None, variable, change=lambda array: array, layer=None) -> None:
        shape = tuple(variable.shape)
        wanted = _shape_there(shape, self.layout, layer) if layer is not None else shape
        array = self._array(name, wanted, variable.path, shape)
        if array is not None:
            self.values.append((variable, change(array).reshape(shape).astype(np.float32)))

    def _array(self, name: str | None, wanted: tuple, path: str, here: tuple | None = None) -> np.ndarray | None:
        """The array called `name`, or None with a line about what is wrong with it."""
        if name is None or name not in self.arrays:
            self.faults.append(f"{name} is missing ({path} {here or wanted})")
            return None
        self.used.add(name)
        array = self.arrays[name]
        if tuple(array.shape) != wanted:
            self.faults.append(f"{name} is {tuple(array.shape)} where {path} needs {wanted}")
        elif array.dtype.kind != "f" and array.dtype.name != "bfloat16":
            self.faults.append(f"{name} is {array.dtype}, not floating point")
        elif not np.isfinite(array.astype(np.float32)).all():
            self.faults.append(f"{name} has values that are not finite")
        else:
            return array.astype(np.float64) if array.ndim == 1 else array
        return None


def _shape_there(shape: tuple[int, ...], layout: Layout, layer) -> tuple[int, ...]:
    """A kernel's shape in the other program."""
    if not layout.channels_first:
        return (*shape[:2], shape[3], 1) if getattr(layer, "depthwise", False) else shape
    return shape[::-1] if len(shape) == 2 else (shape[3], shape[2], shape[0], shape[1])


def _order(layer, layout: Layout):
    """What turns a kernel of the other program into one of this: a function of arrays."""
    if not layout.channels_first:
        return lambda array: array
    if isinstance(layer, Conv):
        return lambda array: array.transpose(2, 3, 1, 0)
    source = layer.input._keras_history.operation
    if not isinstance(source, keras.layers.Flatten):
        return np.transpose
    height, width, channels = source.input.shape[1:]
    return lambda array: array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
