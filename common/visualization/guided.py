"""A network whose activations let only positive gradients back: for guided back-propagation.

Springenberg et al. 2014, section 3.4: on its way back through a ReLU a gradient is set to zero where the ReLU's input
was negative, as in back-propagation, and where the gradient itself is negative, as in a deconvnet. The paper knows
ReLU alone. The rule here is the same for every activation f: its input gets f'(x) max(0, g), g being the gradient of
its output. With ReLU, whose f' is 0 or 1, that is the paper's. Gates within a layer (squeeze and excite, gated sums)
have their plain gradient.
"""

import keras
import tensorflow as tf

from common.nn import graph_rewrite
from common.nn.activations import Maxout, PReLU, ScaledTanh, Tanh

ACTIVATIONS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Activation,
    ScaledTanh,
    Tanh,
    PReLU,
    Maxout,
)


@tf.custom_gradient
def only_positive(x):
    """x, whose gradient is set to zero where it is negative."""
    return tf.identity(x), lambda gradient: tf.maximum(gradient, 0)


class Guided(keras.layers.Layer):
    """An activation with the gradient above: takes and gives what the activation does."""

    def __init__(self, activation, **kwargs):
        super().__init__(name=activation.name, dtype=activation.dtype_policy, **kwargs)
        self.activation = activation

    def build(self, input_shape):
        self.activation.build(input_shape)

    def compute_output_shape(self, input_shape):
        return self.activation.compute_output_shape(input_shape)

    def call(self, x):
        return only_positive(self.activation(x))


def guided(model: keras.Model) -> keras.Model:
    """A copy of a network with the same outputs, whose activations let only positive gradients back."""
    changes: dict[str, graph_rewrite.Change] = {}
    for layer in model.layers:
        if isinstance(layer, ACTIVATIONS):
            copy = type(layer).from_config(layer.get_config())
            changes[layer.name] = Guided(copy), layer.get_weights()
    return graph_rewrite.rewrite(model, changes)
