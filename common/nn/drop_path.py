"""Drop-path: FractalNet's regularisation of the joins of its columns (Larsson et al. 2017, section 2.3 and 4)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("common")
class PathDraw(keras.layers.Layer):
    """What all joins of a network share in one step: any tensor -> (3,) int32, a seed (2 values) and a column.

    The column is -1 in a step of local sampling; a share `global_share` of the steps is global and names one of the
    `columns`, each as likely. Drawn once for all images of a step, as the paper does. A function of the layer's own
    seed state, which is saved in checkpoints, and of the replica: a resumed run draws what it would have drawn.
    """

    def __init__(self, columns, global_share=0.5, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.global_share = columns, global_share
        self.seed_generator = keras.random.SeedGenerator(name=f"{self.name}_seed")

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor((3,), "int32")

    def call(self, x, training=False):
        if not training:
            return tf.constant([0, 0, -1])
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        if replica is not None:
            seed = tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group)
        kind, column = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        everywhere = tf.random.stateless_uniform((), kind) < self.global_share
        chosen = tf.random.stateless_uniform((), column, 0, self.columns, tf.int32)
        return tf.concat([seed, [tf.where(everywhere, chosen, -1)]], 0)

    def get_config(self):
        return super().get_config() | {"columns": self.columns, "global_share": self.global_share}


@keras.saving.register_keras_serializable("common")
class Join(keras.layers.Layer):
    """The mean of the columns that end here: [x_1 ... x_n (N, H, W, C), draw of `PathDraw`] -> (N, H, W, C).

    In training, in a local step, each is dropped with probability `rate`, one at random being kept where all were, and
    the mean is that of the others: its expectation is the plain mean. In a global step only the drawn column passes; a
    join that it does not go through passes the mean, which nothing reads.

    Args:
        columns: the number of the column each input belongs to.
        rate: of drop-path; 0: always the mean, and no draw is taken in.
        number: of the join in its network, so that no two draw the same.
    """

    def __init__(self, columns, rate=0.0, number=0, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.rate, self.number = tuple(columns), rate, number

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def call(self, inputs, training=False):
        parts = inputs[: len(self.columns)]
        if not (training and self.rate):
            return tf.add_n(parts) / len(parts)
        shares = tf.unstack(tf.cast(self.shares(inputs[-1]), parts[0].dtype))
        return tf.add_n([part * share for part, share in zip(parts, shares, strict=True)])

    def shares(self, draw):
        """The weight of each input in the mean: (n,) float32, of sum 1."""
        count = len(self.columns)
        keep, last = tf.unstack(
            tf.random.experimental.stateless_split(tf.random.experimental.stateless_fold_in(draw[:2], self.number), 2)
        )
        kept = tf.random.stateless_uniform((count,), keep) >= self.rate
        survivor = tf.one_hot(tf.random.stateless_uniform((), last, 0, count, tf.int32), count) > 0
        local = tf.where(tf.reduce_any(kept), kept, survivor)
        drawn = tf.constant(self.columns) == draw[2]
        everything = tf.ones_like(drawn)
        chosen = tf.where(draw[2] < 0, local, tf.where(tf.reduce_any(drawn), drawn, everything))
        weights = tf.cast(chosen, tf.float32)
        return weights / tf.reduce_sum(weights)

    def get_config(self):
        return super().get_config() | {"columns": self.columns, "rate": self.rate, "number": self.number}
