"""What LeCun et al. 1998 ("Gradient-Based Learning Applied to Document Recognition") had and later networks do not."""

from math import prod

import keras
import numpy as np
import tensorflow as tf

from common.nn.weight_standardization import standardized


@keras.saving.register_keras_serializable("common")
class FanInUniform(keras.initializers.VarianceScaling):
    """U(+-2.4 / in), for in inputs (appendix A)."""

    def __init__(self, seed=None):
        super().__init__(1.0, "fan_in", "uniform", seed)  # U(+-sqrt(3 / in))

    def __call__(self, shape, dtype=None):
        return super().__call__(shape, dtype) * (2.4 / (3 * prod(shape[:-1])) ** 0.5)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}


@keras.saving.register_keras_serializable("common")
class Grey(keras.layers.Layer):
    """The mean of the channels, in units of 200: (N, H, W, C) -> (N, H, W, 1), compute dtype.

    0..255 becomes 1.275 wide, as from the background's -0.1 to the ink's 1.175 in section II.C.
    """

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)

    def call(self, x):
        return tf.reduce_mean(x, -1, keepdims=True) * (1.275 / 255)


@keras.saving.register_keras_serializable("common")
class TableConv(keras.layers.Layer):
    """Convolution without padding in which each map sees only some maps of the input (layer C3, Table I).

    (N, H, W, C) -> (N, H - size + 1, W - size + 1, len(table)), compute dtype. Variables: `kernel` (size, size, pairs),
    a window for each pair of maps in the order of the table, and `bias` (len(table),), which starts at zero. A map's
    windows start as those of a convolution that sees so many maps. With `standardize` the windows of each map are
    standardised together, in float32 whatever the precision, before they convolve (weight_standardization.py).

    Args:
        table: for each map the channels of the input that it sees.
        size: width of the window.
        standardize: see above.
    """

    stride = 1

    def __init__(self, table, size, kernel_initializer="glorot_uniform", standardize=False, **kwargs):
        super().__init__(**kwargs)
        self.table, self.size, self.standardize = [list(row) for row in table], size, standardize
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    @property
    def pairs(self) -> int:
        """Connected pairs of maps."""
        return sum(map(len, self.table))

    def build(self, input_shape):
        # For every pair of maps the place of its window among the pairs; `pairs`, a window of zeros, for the others.
        self._places = np.full((input_shape[-1], len(self.table)), self.pairs)
        for place, (source, number) in enumerate((source, n) for n, row in enumerate(self.table) for source in row):
            self._places[source, number] = place
        shape = (self.size, self.size, self.pairs)
        self.kernel = self.add_weight(
            shape=shape, initializer=self._initial, name="kernel", autocast=not self.standardize
        )
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")

    def _initial(self, shape, dtype=None):
        made = type(self.kernel_initializer)
        config = self.kernel_initializer.get_config() | {"seed": None}  # or every map would start alike
        drawn = [made.from_config(config)((*shape[:2], len(row), 1), dtype) for row in self.table]
        return tf.concat([tf.convert_to_tensor(windows)[..., 0] for windows in drawn], -1)

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        return (n, *(side and side - self.size + 1 for side in (height, width)), len(self.table))

    def call(self, x):
        windows = tf.convert_to_tensor(self.kernel)
        if self.standardize:
            of_maps = tf.split(windows, [len(row) for row in self.table], -1)
            windows = tf.concat([standardized(some[..., None])[..., 0] for some in of_maps], -1)
        windows = tf.pad(tf.cast(windows, x.dtype), [[0, 0], [0, 0], [0, 1]])
        kernel = tf.gather(windows, self._places, axis=-1)
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "VALID"), tf.convert_to_tensor(self.bias))

    def get_config(self):
        initial = keras.initializers.serialize(self.kernel_initializer)
        table = [list(row) for row in self.table]
        own = {"table": table, "size": self.size, "kernel_initializer": initial, "standardize": self.standardize}
        return super().get_config() | own


@keras.saving.register_keras_serializable("common")
class Subsampling(keras.layers.Layer):
    """The sum of each 2x2 window, times a coefficient of its map, plus a bias (layers S2 and S4).

    (N, H, W, C) -> (N, H // 2, W // 2, C), compute dtype. Variables, both (C,): `coefficient`, which starts as
    U(+-2.4 / 4), and `bias`, which starts at zero.
    """

    size = stride = 2

    def build(self, input_shape):
        initial = keras.initializers.RandomUniform(-0.6, 0.6)
        self.coefficient = self.add_weight(shape=(input_shape[-1],), initializer=initial, name="coefficient")
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, *(side and side // 2 for side in (height, width)), channels)

    def call(self, x):
        sums = 4.0 * tf.nn.avg_pool2d(x, 2, 2, "VALID")
        return sums * tf.convert_to_tensor(self.coefficient) + tf.convert_to_tensor(self.bias)


@keras.saving.register_keras_serializable("common")
class Distances(keras.layers.Layer):
    """Minus the squared distance to each of some fixed codes: (N, ..., D) -> (N, ..., len(codes)).

    The paper's output units give the distance itself, and the smallest wins; with the sign turned it is the largest,
    as for any other logits, and their cross-entropy is its equation 9 without the constant j.
    """

    def __init__(self, codes, **kwargs):
        super().__init__(**kwargs)
        self.codes = [list(map(float, code)) for code in codes]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.codes))

    def call(self, x):
        codes = tf.constant(self.codes, x.dtype)
        products = tf.tensordot(x, codes, [[-1], [1]])
        return 2.0 * products - tf.reduce_sum(x * x, -1, keepdims=True) - tf.reduce_sum(codes * codes, -1)

    def get_config(self):
        return super().get_config() | {"codes": [list(code) for code in self.codes]}
