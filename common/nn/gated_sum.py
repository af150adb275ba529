"""The sums of a residual block whose shortcut is not the plain identity (He et al. 2016b, section 3.1)."""

import keras
import tensorflow as tf

KINDS = ("constant", "exclusive_gate", "shortcut_gate")


@keras.saving.register_keras_serializable("common")
class GatedSum(keras.layers.Layer):
    """[F(x) and shortcut(x), both (N, H', W', C'), and x (N, H, W, C)] -> (N, H', W', C').

    constant         0.5 shortcut + 0.5 F: a gate that is frozen
    exclusive_gate   (1 - g) shortcut + g F, as in Highway networks
    shortcut_gate    (1 - g) shortcut + F

    g = sigmoid(W x + b) for every place and channel, W a 1x1 convolution at the stride of the block. Variables, but for
    `constant`: `kernel` (1, 1, C, C') and `bias` (C',), which starts at `bias_start`: below zero, so that the block
    begins near the identity.
    """

    def __init__(self, kind, gate_stride=1, bias_start=0.0, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
        self.kind, self.gate_stride, self.bias_start = kind, gate_stride, bias_start
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shapes):
        if self.kind == "constant":
            return
        filters, channels = input_shapes[0][-1], input_shapes[2][-1]
        self.kernel = self.add_weight(
            shape=(1, 1, channels, filters), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(
            shape=(filters,), initializer=keras.initializers.Constant(self.bias_start), name="bias"
        )

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def call(self, inputs):
        branch, shortcut, x = inputs
        if self.kind == "constant":
            return (shortcut + branch) / 2
        gate = tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), self.gate_stride, "VALID")
        gate = tf.sigmoid(tf.nn.bias_add(gate, tf.convert_to_tensor(self.bias)))
        return (1 - gate) * shortcut + (gate * branch if self.kind == "exclusive_gate" else branch)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("kind", "gate_stride", "bias_start")}
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return super().get_config() | own
