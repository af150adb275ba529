"""Stochastic depth: residual blocks that are left out of a training step at random (Huang et al. 2016)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("common")
class Survival(keras.layers.Layer):
    """Before a block's branch: in training, with probability 1 - `survival`, takes all images away from it.

    (N, H, W, C) -> the same, or (0, H, W, C): the branch then costs nothing, its weights get a gradient of zero and its
    batch norms stay as they are. Drawn once a step, the same for all replicas, as a function of the layer's own seed
    state, which is saved in checkpoints: a resumed run draws what it would have drawn. When tested it passes all on.
    """

    def __init__(self, survival, **kwargs):
        super().__init__(**kwargs)
        self.survival = survival
        self.seed_generator = keras.random.SeedGenerator(name=f"{self.name}_seed")

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, training=False):
        if not training:
            return x
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        survives = tf.random.stateless_uniform((), seed) < self.survival
        return x[: tf.where(survives, tf.shape(x)[0], 0)]

    def get_config(self):
        return super().get_config() | {"survival": self.survival}


@keras.saving.register_keras_serializable("common")
class StochasticSum(keras.layers.Layer):
    """The sum at the end of a block that `Survival` began: branch and shortcut, both (N, H, W, C) -> (N, H, W, C).

    In training shortcut + b branch, b = 1 where the branch has its images, else 0. When tested shortcut + p branch,
    p = `survival`, the expectation of b (section 3, equation 5).
    """

    def __init__(self, survival, **kwargs):
        super().__init__(**kwargs)
        self.survival = survival

    def compute_output_shape(self, input_shapes):
        return input_shapes[1]

    def call(self, inputs, training=False):
        branch, shortcut = inputs
        if not training:
            return shortcut + tf.cast(self.survival, branch.dtype) * branch
        missing = tf.shape(shortcut)[0] - tf.shape(branch)[0]
        return shortcut + tf.pad(branch, [[0, missing], [0, 0], [0, 0], [0, 0]])

    def get_config(self):
        return super().get_config() | {"survival": self.survival}
