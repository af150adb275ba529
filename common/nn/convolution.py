"""Layers with a window: convolution, max and average pooling, with the padding of the papers' frameworks.

Padding is the number of zeros on every side, of a convolution also (above and to the left, below and to the right);
output size (W - F + 2P) / S + 1, rounded down, or up with `ceil=True` as Caffe's pools do.
"""

import math
from functools import partial

import keras
import tensorflow as tf

from common.errors import UserError
from common.nn import depthwise, grouped_convolution
from common.nn.weight_standardization import standardized

Padding = int | tuple[int, int]


def before_and_after(padding: Padding) -> list[int]:
    """Zeros before and after, along either axis."""
    return [padding, padding] if isinstance(padding, int) else list(padding)


def window_output(size: int | None, window: int, stride: int, padding: Padding, ceil: bool, layer: str) -> int | None:
    """(W - F + 2P) / S + 1. Raises UserError where the window does not fit the input."""
    if size is None:
        return None
    padded = size + sum(before_and_after(padding))
    if padded < window:
        raise UserError(f"{layer}: a {window}x{window} window does not fit a {size}x{size} map; use a larger image")
    steps = (padded - window) / stride
    return (math.ceil(steps) if ceil else math.floor(steps)) + 1


# What stands in the padded places of a pool, as arguments of `tf.pad`.
FILLS = {"never": {"constant_values": -math.inf}, "zero": {"constant_values": 0.0}, "edge": {"mode": "SYMMETRIC"}}


def _padded(x, size, stride, pads, fill="zero"):
    """What explicit padding would be: (x, "SAME"), or (x with `fill` about it, "VALID").

    TensorFlow's kernels take explicit padding, oneDNN's do not, but for the forward convolution: the rest would fall
    back on kernels that are slower, in bfloat16 by far. XLA has no such pools at all.

    Args:
        x: (N, H, W, C); H and W need not be known.
        size, stride: of the window.
        pads: side -> [before, after].
        fill: one of `FILLS`.
    """
    sides = x.shape[1:3]
    if stride == 1 or None not in sides:
        known = [side or 1 for side in sides]  # with stride 1 both paddings are the same at any size
        wanted = [pads(side) for side in known]
        totals = [max((math.ceil(side / stride) - 1) * stride + size - side, 0) for side in known]
        if not any(map(any, wanted)):
            return x, "VALID"
        if wanted == [[total // 2, total - total // 2] for total in totals]:
            return x, "SAME"
    sides = tf.unstack(tf.shape(x)[1:3]) if None in sides else sides
    return tf.pad(x, [[0, 0], *map(pads, sides), [0, 0]], **FILLS[fill]), "VALID"


def _no_images(shape, x, kernel):
    """What a convolution of no images should give, (0, *shape), with gradients; oneDNN's has the shape of its input."""
    return tf.zeros((0, *shape), x.dtype) + tf.reduce_sum(x) + tf.reduce_sum(kernel)


@keras.saving.register_keras_serializable("common")
class Conv(keras.layers.Layer):
    """2-D convolution with explicit zero padding: (N, H, W, C) -> (N, H', W', filters), compute dtype.

    Variables: `kernel` (k, k, C / groups, filters) and, with `use_bias`, `bias` (filters,), which starts at zero. No
    copy of the input is made for the padding where TensorFlow's "SAME" pads as asked. With `groups` > 1 each
    group sees its own slice of the channels (the two towers of AlexNet 2012). As many groups as channels are a
    depthwise convolution (depthwise.py); its variable is called `depthwise_kernel`, and weight decay leaves it alone,
    as MobileNet's paper advises. A rectangular window, `size` (height, width), both odd, moves by one place, padded
    so that the map keeps its size (Inception v3's 1x7 and 7x1). With `standardize` it is the standardised kernel
    (weight_standardization.py) that convolves, computed in float32 whatever the precision.
    """

    def __init__(
        self,
        filters,
        size,
        stride=1,
        padding=0,
        groups=1,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        standardize=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters, self.stride, self.groups = filters, stride, groups
        self.size = size if isinstance(size, int) else tuple(size)
        self.padding = padding if isinstance(padding, int) else tuple(padding)
        self.use_bias, self.kernel_initializer = use_bias, keras.initializers.get(kernel_initializer)
        self.standardize = standardize

    @property
    def window(self) -> tuple[int, int]:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def build(self, input_shape):
        shape = (*self.window, input_shape[-1] // self.groups, self.filters)
        self.depthwise = self.groups > 1 and shape[2] == 1
        name = "depthwise_kernel" if self.depthwise else "kernel"
        self.kernel = self.add_weight(
            shape=shape, initializer=self.kernel_initializer, name=name, autocast=not self.standardize
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        if isinstance(self.size, int):
            height, width = (
                window_output(side, self.size, self.stride, self.padding, False, self.name) for side in (height, width)
            )
        return (n, height, width, self.filters)

    def call(self, x, training=False):
        given, padding = x, "SAME"
        if isinstance(self.size, int):
            x, padding = _padded(x, self.size, self.stride, lambda _: before_and_after(self.padding))
        kernel = tf.convert_to_tensor(self.kernel)
        kernel = tf.cast(standardized(kernel), x.dtype) if self.standardize else kernel
        convolve = depthwise.convolve if self.depthwise else grouped_convolution.convolve
        compute = partial(convolve, x, kernel, self.stride, padding)
        if training and not given.shape[0]:  # none, or a number that is not known: stochastic_depth.py
            shape = self.compute_output_shape(given.shape)[1:]
            x = tf.cond(tf.shape(x)[0] > 0, compute, partial(_no_images, shape, x, kernel))
        else:
            x = compute()
        return x if self.bias is None else tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))

    def get_config(self):
        names = ("filters", "size", "stride", "padding", "groups", "use_bias", "standardize")
        own = {name: getattr(self, name) for name in names}
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return super().get_config() | own


@keras.saving.register_keras_serializable("common")
class MaxPool(keras.layers.Layer):
    """Max pooling with explicit padding: (N, H, W, C) -> (N, H', W', C). Padded places never win.

    `ceil=True` lets the last window hang over the edge, as Caffe's pools do (GoogLeNet's 112-56-28-14-7).

    `fill` says what the padded places hold where TensorFlow's own padding does not do: "never" minus infinity, right
    for any map; "zero", right for maps without negative values; "edge" the values next to the edge in mirror image,
    right for any map where at least half of every window lies inside it. The last two are numbers that an 8-bit
    network can hold (common/weights/finite_padding.py).
    """

    def __init__(self, size, stride, padding=0, ceil=False, fill="never", **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride, self.padding, self.ceil, self.fill = size, stride, padding, ceil, fill

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        height, width = (
            window_output(side, self.size, self.stride, self.padding, self.ceil, self.name) for side in (height, width)
        )
        return (n, height, width, channels)

    def pads(self, side):
        """Rows before and after along one axis; `ceil` adds what the last, overhanging window needs."""
        over = -(side + 2 * self.padding - self.size) % self.stride if self.ceil else 0
        return [self.padding, self.padding + over]

    def call(self, x):
        x, padding = _padded(x, self.size, self.stride, self.pads, self.fill)
        return tf.nn.max_pool2d(x, self.size, self.stride, padding)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("size", "stride", "padding", "ceil", "fill")}
        return super().get_config() | own


@keras.saving.register_keras_serializable("common")
class AveragePool(keras.layers.Layer):
    """Average pooling with explicit padding: (N, H, W, C) -> (N, H', W', C).

    Each window is averaged over what it holds of the map; what is padded does not count. With `ceil=True` the last
    window may hang over the edge (Caffe).
    """

    def __init__(self, size, stride, padding=0, ceil=False, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride, self.padding, self.ceil = size, stride, padding, ceil

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        height, width = (
            window_output(side, self.size, self.stride, self.padding, self.ceil, self.name) for side in (height, width)
        )
        return (n, height, width, channels)

    def call(self, x):
        window = self.size, self.stride, self._pads
        padded, padding = _padded(x, *window)
        mean = tf.nn.avg_pool2d(padded, self.size, self.stride, padding)
        if padding == "SAME" or not (self.padding or self.ceil):  # TensorFlow's own padding does not count
            return mean
        inside, _ = _padded(tf.ones_like(x[:1, :, :, :1]), *window)  # 1 on the map, 0 beside it
        return mean / tf.nn.avg_pool2d(inside, self.size, self.stride, padding)

    def _pads(self, side):
        over = -(side + 2 * self.padding - self.size) % self.stride if self.ceil else 0
        return [self.padding, self.padding + over]

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in ("size", "stride", "padding", "ceil")}
