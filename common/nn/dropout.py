"""Dropout whose masks a resumed run draws again."""

import keras
import tensorflow as tf


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
