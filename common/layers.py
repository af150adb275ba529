"""The vocabulary of the slides: conv, max_pool, avg_pool, lrn, batch_norm, relu, fc, dropout.

Each function takes a tensor (N, H, W, C) (fc: (N, D)) and returns one, so a network reads one layer a line. Padding is
the number of zeros on every side, as the papers' frameworks count it; output size (W - F + 2P) / S + 1, rounded down,
or up with `ceil=True` as Caffe's pools do.
"""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from common.errors import UserError, unknown
from common.normalization import BatchNorm, LocalResponseNormalization


def make_initializer(name: str) -> keras.initializers.Initializer:
    """A weight initializer by the name the recipes use.

    gaussian: N(0, 0.01^2) (Krizhevsky 2012, section 5; the lab for AlexNet and VGG). glorot: U(+-sqrt(6/(in+out)))
    (Glorot & Bengio 2010; VGG's footnote; Caffe's "xavier" in kind). he: N(0, 2/in) (He et al. 2015).
    Every call returns a fresh, unseeded object: Keras draws its seed from `keras.utils.set_random_seed`.
    """
    makers = {
        "gaussian": lambda: keras.initializers.RandomNormal(0.0, 0.01),
        "glorot": keras.initializers.GlorotUniform,
        "he": lambda: keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
    }
    if name not in makers:
        raise unknown("--initializer", name, makers)
    return makers[name]()


def _window_output(size: int | None, window: int, stride: int, padding: int, ceil: bool, layer: str) -> int | None:
    """(W - F + 2P) / S + 1. Raises UserError where the window does not fit the input."""
    if size is None:
        return None
    if size + 2 * padding < window:
        raise UserError(f"{layer}: a {window}x{window} window does not fit a {size}x{size} map; use a larger image")
    steps = (size + 2 * padding - window) / stride
    return (math.ceil(steps) if ceil else math.floor(steps)) + 1


def _padded(x, size, stride, pads, value=0.0):
    """What explicit padding would be: (x, "SAME"), or (x with `value` about it, "VALID").

    TensorFlow's kernels take explicit padding, oneDNN's do not, but for the forward convolution: the rest would fall
    back on kernels that are slower, in bfloat16 by far. XLA has no such pools at all.

    Args:
        x: (N, H, W, C); H and W need not be known.
        size, stride: of the window.
        pads: side -> [before, after].
        value: to pad with.
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
    return tf.pad(x, [[0, 0], *map(pads, sides), [0, 0]], constant_values=value), "VALID"


@keras.saving.register_keras_serializable("common")
class Conv(keras.layers.Layer):
    """2-D convolution with explicit symmetric zero padding: (N, H, W, C) -> (N, H', W', filters), compute dtype.

    Variables: `kernel` (k, k, C / groups, filters) and, with `use_bias`, `bias` (filters,), which starts at zero. No
    copy of the input is made for the padding where TensorFlow's "SAME" pads as asked. With `groups` > 1 each
    group sees its own slice of the channels (the two towers of AlexNet 2012); the slices are convolved one by one,
    because TensorFlow's CPU kernel has no gradient for grouped filters.
    """

    def __init__(
        self, filters, size, stride=1, padding=0, groups=1, use_bias=True, kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.filters, self.size, self.stride, self.padding, self.groups = filters, size, stride, padding, groups
        self.use_bias, self.kernel_initializer = use_bias, keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        shape = (self.size, self.size, input_shape[-1] // self.groups, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        height, width = (
            _window_output(side, self.size, self.stride, self.padding, False, self.name) for side in (height, width)
        )
        return (n, height, width, self.filters)

    def call(self, x):
        x, padding = _padded(x, self.size, self.stride, lambda _: [self.padding] * 2)
        kernel = tf.convert_to_tensor(self.kernel)
        if self.groups == 1:
            x = tf.nn.conv2d(x, kernel, self.stride, padding)
        else:
            towers = zip(tf.split(x, self.groups, axis=-1), tf.split(kernel, self.groups, axis=-1), strict=True)
            x = tf.concat([tf.nn.conv2d(part, weights, self.stride, padding) for part, weights in towers], axis=-1)
        return x if self.bias is None else tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))

    def get_config(self):
        own = {name: getattr(self, name) for name in ("filters", "size", "stride", "padding", "groups", "use_bias")}
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return super().get_config() | own


@keras.saving.register_keras_serializable("common")
class MaxPool(keras.layers.Layer):
    """Max pooling with explicit padding: (N, H, W, C) -> (N, H', W', C). Padded places never win.

    `ceil=True` lets the last window hang over the edge, as Caffe's pools do (GoogLeNet's 112-56-28-14-7).
    """

    def __init__(self, size, stride, padding=0, ceil=False, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride, self.padding, self.ceil = size, stride, padding, ceil

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        height, width = (
            _window_output(side, self.size, self.stride, self.padding, self.ceil, self.name) for side in (height, width)
        )
        return (n, height, width, channels)

    def _pads(self, side):
        """Rows before and after along one axis; `ceil` adds what the last, overhanging window needs."""
        over = -(side + 2 * self.padding - self.size) % self.stride if self.ceil else 0
        return [self.padding, self.padding + over]

    def call(self, x):
        x, padding = _padded(x, self.size, self.stride, self._pads, -math.inf)
        return tf.nn.max_pool2d(x, self.size, self.stride, padding)

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in ("size", "stride", "padding", "ceil")}


@keras.saving.register_keras_serializable("common")
class AveragePool(keras.layers.Layer):
    """Average pooling without padding: (N, H, W, C) -> (N, H', W', C)."""

    def __init__(self, size, stride, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride = size, stride

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        height, width = (_window_output(side, self.size, self.stride, 0, False, self.name) for side in (height, width))
        return (n, height, width, channels)

    def call(self, x):
        return tf.nn.avg_pool2d(x, self.size, self.stride, "VALID")

    def get_config(self):
        return super().get_config() | {"size": self.size, "stride": self.stride}


@keras.saving.register_keras_serializable("common")
class PaddedIdentity(keras.layers.Layer):
    """The shortcut without weights of He et al. 2015, option A: (N, H, W, C) -> (N, ceil(H/s), ceil(W/s), channels).

    Every s-th row and column is kept and the new channels are zeros, half before and half after the old ones. The paper
    does not say where they stand; it only numbers the channels, and this is how the CIFAR weights in circulation do.
    """

    def __init__(self, channels, stride, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride = channels, stride

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        height, width = (side and _window_output(side, 1, self.stride, 0, False, self.name) for side in (height, width))
        return (n, height, width, self.channels)

    def call(self, x):
        new = self.channels - x.shape[-1]
        return tf.pad(x[:, :: self.stride, :: self.stride], [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]])

    def get_config(self):
        return super().get_config() | {"channels": self.channels, "stride": self.stride}


@keras.saving.register_keras_serializable("common")
class Dropout(keras.layers.Layer):
    """Inverted dropout: in training zeroes a share `rate` of the values and scales the others by 1 / (1 - rate).

    The mask is a function of the layer's own seed state, which is saved in checkpoints, and of the replica: a resumed
    run draws what it would have drawn, and no two replicas draw the same. It is drawn in float32 whatever the
    precision: bfloat16 knows too few numbers between 0 and 1 to keep exactly 0.3 of the values.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(name=f"{self.name}_seed")

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        if replica is not None:
            seed = tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group)
        kept = tf.random.stateless_uniform(tf.shape(x), seed) >= self.rate
        return tf.where(kept, x * tf.cast(1.0 / (1.0 - self.rate), x.dtype), tf.zeros([], x.dtype))

    def get_config(self):
        return super().get_config() | {"rate": self.rate}


def conv(x, filters, size, stride=1, padding=0, groups=1, bias=True, relu=True, initializer="he", name=None):
    """Convolution with a size x size window, then ReLU unless `relu=False`. `initializer` is a name (above)."""
    x = Conv(filters, size, stride, padding, groups, bias, make_initializer(initializer), name=name)(x)
    return keras.layers.ReLU(name=name and f"{name}_relu")(x) if relu else x


def fc(x, units, relu=True, initializer="he", name=None):
    """Fully connected layer (N, D) -> (N, units), then ReLU unless `relu=False`; the bias starts at zero."""
    x = keras.layers.Dense(units, kernel_initializer=make_initializer(initializer), name=name)(x)
    return keras.layers.ReLU(name=name and f"{name}_relu")(x) if relu else x


def logits(x, classes, initializer="he", name=None):
    """The classifier: a fully connected layer in float32 whatever the precision, without an activation."""
    initial = make_initializer(initializer)
    return keras.layers.Dense(classes, kernel_initializer=initial, dtype="float32", name=name)(x)


def relu(x, name=None):
    """max(0, x)."""
    return keras.layers.ReLU(name=name)(x)


def add(x, y, name=None):
    """x + y, the end of a residual block."""
    return keras.layers.Add(name=name)([x, y])


def padded_identity(x, channels, stride, name=None):
    """Every stride-th place of x, with zeros for the channels it does not have."""
    return PaddedIdentity(channels, stride, name=name)(x)


def concat(parts, name=None):
    """Depth concatenation of feature maps, the end of an Inception module."""
    return keras.layers.Concatenate(name=name)(parts)


def flatten(x, name=None):
    """(N, H, W, C) -> (N, H * W * C)."""
    return keras.layers.Flatten(name=name)(x)


def max_pool(x, size, stride, padding=0, ceil=False, name=None):
    """Largest value of each size x size window."""
    return MaxPool(size, stride, padding, ceil, name=name)(x)


def avg_pool(x, size, stride=1, name=None):
    """Mean of each size x size window."""
    return AveragePool(size, stride, name=name)(x)


def global_avg_pool(x, name=None):
    """Mean over the whole map: (N, H, W, C) -> (N, C)."""
    return keras.layers.GlobalAveragePooling2D(name=name)(x)


def lrn(x, k=2.0, n=5, alpha=1e-4, beta=0.75, name=None):
    """Local response normalisation across channels, with the 2012 paper's constants."""
    return LocalResponseNormalization(k, n, alpha, beta, name=name)(x)


def batch_norm(x, momentum=0.9, epsilon=1e-5, synchronised=False, name=None):
    """Batch normalisation over N, H and W, of each replica or (`synchronised`) of all."""
    return BatchNorm(momentum, epsilon, synchronised, name=name)(x)


def dropout(x, rate, name=None):
    """Zeroes a share `rate` of the values in training and scales up the rest."""
    return Dropout(rate, name=name)(x)


def image_input(size: int, smallest: int = 1) -> keras.KerasTensor:
    """The network's input, (N, size, size, 3). Raises UserError below the smallest size its arithmetic allows."""
    if size < smallest:
        raise UserError(f"--image_size={size} is too small for this network; the smallest that fits is {smallest}")
    return keras.Input((size, size, 3), name="image")


def network(inputs, outputs, name: str) -> keras.Model:
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
