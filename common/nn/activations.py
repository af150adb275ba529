"""Activations that Keras does not have, or not as their papers do. Each computes in the compute dtype."""

import keras
import tensorflow as tf

PRELU_START = 0.25  # He et al. 2015, section 2.1


@keras.saving.register_keras_serializable("common")
class PReLU(keras.layers.Layer):
    """max(0, x) + a min(0, x), with a learnt for each channel (He et al. 2015): (N, ..., C) -> the same.

    Variable: `slope` (C,) float32, starts at 0.25. Its gradient is summed in float32. Weight decay leaves it alone, as
    in the paper: it would make ReLUs of them.
    """

    def build(self, input_shape):
        self.slope = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(PRELU_START),
            name="slope",
            dtype="float32",
            autocast=False,
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        @tf.custom_gradient
        def activate(x, slope):
            below = tf.cast(slope, x.dtype)

            def gradient(g):
                products = tf.cast(g, tf.float32) * tf.cast(tf.minimum(x, 0), tf.float32)
                return tf.where(x > 0, g, below * g), tf.reduce_sum(products, range(len(x.shape) - 1))

            return tf.where(x > 0, x, below * x), gradient

        return activate(x, tf.convert_to_tensor(self.slope))


@keras.saving.register_keras_serializable("common")
class Maxout(keras.layers.Layer):
    """The largest of a unit's `pieces` (Goodfellow et al. 2013, section 3): (N, ..., pieces * C) -> (N, ..., C).

    Every piece is a linear unit with weights of its own, made by the layer before. Piece p of unit c is its channel
    p * C + c; after a convolution in `groups` that order holds within each group, so that no unit spans two of them.
    """

    def __init__(self, pieces, groups=1, **kwargs):
        super().__init__(**kwargs)
        self.pieces, self.groups = pieces, groups

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.pieces)

    def call(self, x):
        units = x.shape[-1] // self.pieces
        outer = [tf.shape(x)[i] if side is None else side for i, side in enumerate(x.shape[:-1])]
        parts = tf.reshape(x, [*outer, self.groups, self.pieces, units // self.groups])
        return tf.reshape(tf.reduce_max(parts, -2), [*outer, units])

    def get_config(self):
        return super().get_config() | {"pieces": self.pieces, "groups": self.groups}


@keras.saving.register_keras_serializable("common")
class Tanh(keras.layers.Layer):
    """tanh(x): (N, ..., C) -> the same.

    TensorFlow's optimiser of graphs joins a convolution, batch norm in testing and tanh to one operation, which its
    CPU kernels do not have ("Fusion is not implemented: [FusedBatchNorm,Tanh]"). The minimum keeps them apart; beyond
    20 tanh is 1 in every precision.
    """

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        return tf.tanh(tf.minimum(x, 20.0))


@keras.saving.register_keras_serializable("common")
class ScaledTanh(keras.layers.Layer):
    """1.7159 tanh(2 x / 3) (LeCun et al. 1998, appendix A): 1 at 1 and -1 at -1, where it is least linear."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        return 1.7159 * tf.tanh(x * (2 / 3))
