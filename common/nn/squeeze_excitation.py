"""Squeeze and excitation: each channel scaled by what the whole map says (Hu et al. 2018)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("common")
class SqueezeExcitation(keras.layers.Layer):
    """x s, s = sigmoid(W2 relu(W1 z + b1) + b2), z the mean of x over H and W: (N, H, W, C) -> the same, compute dtype.

    Figure 2 of the paper, in one layer. Sublayers: `squeeze`, fully connected to C / `reduction` units, rounded down,
    and `excite`, back to C; their biases start at zero.
    """

    def __init__(self, reduction=16, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.reduction, self.kernel_initializer = reduction, keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        n, *_, channels = input_shape
        self.hidden = max(1, channels // self.reduction)
        for name, units, given in (("squeeze", self.hidden, channels), ("excite", channels, self.hidden)):
            initial = self.kernel_initializer.clone()
            made = keras.layers.Dense(units, kernel_initializer=initial, dtype=self.dtype_policy, name=name)
            made.build((n, given))
            setattr(self, name, made)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        scale = tf.sigmoid(self.excite(tf.nn.relu(self.squeeze(tf.reduce_mean(x, [1, 2])))))
        return x * scale[:, tf.newaxis, tf.newaxis]

    def get_config(self):
        initial = keras.initializers.serialize(self.kernel_initializer)
        return super().get_config() | {"reduction": self.reduction, "kernel_initializer": initial}
