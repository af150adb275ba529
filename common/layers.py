"""The vocabulary of the slides: conv, max_pool, avg_pool, lrn, batch_norm, relu, fc, dropout.

Each function takes a tensor (N, H, W, C) (fc: (N, D)) and returns one, so a network reads one layer a line. Padding is
the number of zeros on every side, as the papers' frameworks count it; output size (W - F + 2P) / S + 1, rounded down,
or up with `ceil=True` as Caffe's pools do.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from common.errors import UserError, unknown
from common.normalization import BatchNorm, LocalResponseNormalization
from common.windows import AveragePool, Conv, MaxPool, window_output


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
        height, width = (side and window_output(side, 1, self.stride, 0, False, self.name) for side in (height, width))
        return (n, height, width, self.channels)

    def call(self, x):
        new = self.channels - x.shape[-1]
        kept = tf.nn.avg_pool2d(x, 1, self.stride, "VALID")  # eight times as fast as a strided slice
        return tf.pad(kept, [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]])

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
