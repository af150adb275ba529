"""Normalisations: local response (2012), batch (2015), and layer, instance and group normalisation (2016 to 2018)."""

import keras
import numpy as np
import tensorflow as tf

from common import machine


@keras.saving.register_keras_serializable("common")
class LocalResponseNormalization(keras.layers.Layer):
    """b = a / (k + alpha * sum of a^2 over n neighbouring channels)^beta (Krizhevsky 2012, section 3.3).

    The sum is not divided by n (Caffe's is: its alpha 1e-4 is 2e-5 here). (N, H, W, C) -> the same, computed in
    float32 whatever the precision.

    It is `tf.nn.lrn`, which is what runs on a GPU. On a CPU its kernels go through the channels one by one, so there
    the same values, to rounding, come from a product: a sum over neighbouring channels is a matrix of ones about the
    diagonal, (C, C), times the channels.
    """

    def __init__(self, k=2.0, n=5, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.k, self.n, self.alpha, self.beta = k, n, alpha, beta

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        normalise = self._tensorflows if machine.gpu_visible() else self._by_product
        return tf.cast(normalise(tf.cast(x, tf.float32)), x.dtype)

    def _tensorflows(self, a):
        return tf.nn.lrn(a, depth_radius=self.n // 2, bias=self.k, alpha=self.alpha, beta=self.beta)

    def _by_product(self, a):
        channels = a.shape[-1]
        distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
        near = tf.constant(self.alpha * (distance <= self.n // 2), tf.float32)

        def neighbours(values):
            """alpha times the sum over the neighbouring channels."""
            return tf.reshape(tf.matmul(tf.reshape(values, [-1, channels]), near), tf.shape(values))

        @tf.custom_gradient
        def normalise(a):
            d = self.k + neighbours(a * a)
            root = tf.math.rsqrt(d)
            scale = root * tf.sqrt(root) if self.beta == 0.75 else d**-self.beta  # roots are faster than powers

            def gradient(g):  # neighbourhood is mutual: da = g d^-beta - 2 beta a sum(alpha g a d^(-beta - 1))
                scaled = g * scale
                return scaled - 2.0 * self.beta * a * neighbours(scaled * a / d)

            return a * scale, gradient

        return normalise(a)

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in ("k", "n", "alpha", "beta")}


@keras.saving.register_keras_serializable("common")
class BatchNorm(keras.layers.Layer):
    """Batch normalisation (Ioffe & Szegedy 2015) on the fused kernel: (N, H, W, C) -> the same, compute dtype.

    One pass over the data in the compute dtype with float32 statistics: Keras' own layer takes several and is 1.6 times
    slower for a whole ResNet-34 step. Variables, all (C,) float32: `gamma` (starts at 1), `beta` (0), and, not
    trained, `moving_mean` (0) and `moving_variance` (1), which move by `1 - momentum` towards each batch's statistics
    (the unbiased variance, as in the paper's algorithm 2). The first batch's statistics replace the initial 0 and 1
    outright: their trace would multiply from layer to layer and spoil the tests of a short run.

    Under several replicas each normalises its own part of the batch and moves statistics of its own. Their mean is
    taken when they are saved (`replicas.make_synchronise`), and is what a mean in every step would be, since a
    move is linear. With `synchronised` the batch's statistics are those of the global batch, gradients included, at the
    price of two all-reduces a layer and of the fused kernel; with one replica it makes no difference. With
    `trainable=False` the moving statistics are used in training too, and stay.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, synchronised=False, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon, self.synchronised = momentum, epsilon, synchronised

    def build(self, input_shape):
        full = {"shape": (input_shape[-1],), "dtype": "float32", "autocast": False}
        self.gamma = self.add_weight(initializer="ones", name="gamma", **full)
        self.beta = self.add_weight(initializer="zeros", name="beta", **full)
        # Every replica has its own, so that no step waits for the others; `add_weight` cannot say so.
        still = full | {"trainable": False, "aggregation": "only_first_replica", "synchronization": "on_read"}
        self.moving_mean = keras.Variable("zeros", name="moving_mean", **still)
        self.moving_variance = keras.Variable("ones", name="moving_variance", **still)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, training=False):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        moving = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        if not (training and self.trainable):
            return self._fused(x, gamma, beta, *moving, is_training=False)[0]
        replica = tf.distribute.get_replica_context()
        if self.synchronised and replica is not None and replica.num_replicas_in_sync > 1:
            x, *batch = self._over_replicas(x, gamma, beta, replica)
        else:
            x, *batch = self._fused(x, gamma, beta, is_training=True)
        self._move(moving, batch, tf.size(x) > 0)
        return x

    def _fused(self, x, gamma, beta, *statistics, is_training):
        """Normalised x; in training also the batch's mean and unbiased variance, both (C,)."""
        return tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, *statistics, epsilon=self.epsilon, is_training=is_training
        )

    def _over_replicas(self, x, gamma, beta, replica):
        """The same with the statistics of all replicas' equal parts: means of x and x^2, all-reduced together."""
        wide = tf.cast(x, tf.float32)
        sums = tf.stack([tf.reduce_sum(wide, [0, 1, 2]), tf.reduce_sum(wide * wide, [0, 1, 2])])
        places = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        parts = sums / tf.maximum(places, 1.0)  # of no images means of 0, not NaN, which would reach gamma's gradient
        mean, square = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.MEAN, parts))
        variance = tf.maximum(square - mean * mean, 0.0)
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        count = places * replica.num_replicas_in_sync
        return (
            tf.cast(wide * scale + (beta - mean * scale), x.dtype),
            mean,
            variance * count / tf.maximum(count - 1.0, 1.0),
        )

    def _move(self, moving, batch, any_seen):
        """Moves the moving statistics; an untouched pair (exactly 0 and 1 in every channel) takes the batch's.

        A batch without images (stochastic_depth.py) has no statistics: it moves nothing.
        """
        fresh = tf.reduce_all(tf.equal(moving[0], 0.0) & tf.equal(moving[1], 1.0))
        kept = tf.where(fresh, 0.0, self.momentum)
        for variable, old, new in zip((self.moving_mean, self.moving_variance), moving, batch, strict=True):
            variable.assign(tf.where(any_seen, old * kept + tf.stop_gradient(new) * (1.0 - kept), old))

    def get_config(self):
        own = {name: getattr(self, name) for name in ("momentum", "epsilon", "synchronised")}
        return super().get_config() | own


@keras.saving.register_keras_serializable("common")
class GroupNorm(keras.layers.Layer):
    """Group normalisation (Wu & He 2018): (N, H, W, C) -> the same, compute dtype.

    The channels of each image are split into `groups` (a divisor of C); every group is normalised by its own mean and
    variance over H, W and its channels: with one group layer normalisation (Ba et al. 2016), with C groups instance
    normalisation (Ulyanov et al. 2016). No other image plays a part, so training and testing are the same.

    Variables, both (C,) float32: `gamma` (starts at 1) and `beta` (0). Statistics and arithmetic are in float32
    whatever the precision. Few passes over the data with a gradient of its own: the sums over places are taken for
    each channel, and the group's follow from them, so that no map is reshaped; Keras' layer takes 2 to 3 times as long.
    """

    def __init__(self, groups, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.groups, self.epsilon = groups, epsilon

    def build(self, input_shape):
        if input_shape[-1] % self.groups:
            raise ValueError(f"{self.name}: {self.groups} groups do not divide {input_shape[-1]} channels")
        full = {"shape": (input_shape[-1],), "dtype": "float32", "autocast": False}
        self.gamma = self.add_weight(initializer="ones", name="gamma", **full)
        self.beta = self.add_weight(initializer="zeros", name="beta", **full)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        @tf.custom_gradient
        def normalise(x, gamma, beta):
            wide = tf.cast(x, tf.float32)
            mean = self._over_group(tf.reduce_mean(wide, [1, 2]))
            centred = wide - mean
            root = tf.math.rsqrt(self._over_group(tf.reduce_mean(centred * centred, [1, 2])) + self.epsilon)
            scale = gamma * root

            def gradient(g):  # with z = (x - mean) root: dx = root (gamma g - mean(gamma g) - z mean(gamma g z))
                g = tf.cast(g, tf.float32)
                centred = tf.cast(x, tf.float32) - mean  # again, rather than kept: a map of float32 less in memory
                sums = tf.reduce_sum(g, [1, 2]), tf.reduce_sum(g * centred, [1, 2])
                places = tf.cast(tf.reduce_prod(tf.shape(x)[1:3]), tf.float32)
                shift, slope = (self._over_group(gamma * each / places) for each in sums)
                dx = g * scale - (centred * (slope * root**3) + shift * root)
                dgamma = tf.reduce_sum(sums[1] * tf.reshape(root, tf.shape(sums[1])), 0)
                return tf.cast(dx, x.dtype), dgamma, tf.reduce_sum(sums[0], 0)

            return tf.cast(centred * scale + beta, x.dtype), gradient

        return normalise(x, tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta))

    def _over_group(self, values):
        """(N, C), means over places -> (N, 1, 1, C), the mean over each channel's group."""
        channels = values.shape[-1]
        means = tf.reduce_mean(tf.reshape(values, [-1, self.groups, channels // self.groups]), 2)
        return tf.reshape(tf.repeat(means, channels // self.groups, axis=1), [-1, 1, 1, channels])

    def get_config(self):
        return super().get_config() | {"groups": self.groups, "epsilon": self.epsilon}
