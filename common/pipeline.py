"""tf.data (first form)."""
import dataclasses
from dataclasses import dataclass
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Preprocessing:
    image_size: int
    resize: int
    mean: tuple = (0.0, 0.0, 0.0)
    std: tuple = (1.0, 1.0, 1.0)
    mean_image: str | None = None
    channels: str = "rgb"


def preprocessing(recipe, info, image_size, path):
    return Preprocessing(image_size, recipe.resize or round(image_size * 256 / 224), tuple(info.mean))


def mean_picture(p):
    return np.asarray(p.mean, np.float32)


def training(split, p, recipe, info, *, batch_size, seed, start_step=0, worker=0, workers=1):
    per = split.examples // batch_size
    e0, s0 = divmod(start_step, per)

    def one(e):
        ds = split.serialized(e + seed * 1000)
        ds = ds.take(per * batch_size).enumerate()
        ds = ds.skip(tf.where(e == e0, tf.constant(s0 * batch_size, tf.int64), tf.constant(0, tf.int64)))
        return ds.map(lambda i, x: (e, i, x))

    def f(e, i, x):
        b, y, _ = split.parse(x)
        im = tf.image.resize(tf.image.decode_image(b, 3, expand_animations=False), (p.resize, p.resize))
        s = tf.random.experimental.stateless_fold_in(tf.random.experimental.stateless_fold_in([seed, 1], e), i)
        im = tf.image.stateless_random_crop(im, (p.image_size, p.image_size, 3), s)
        return im - p.mean, y

    ds = tf.data.Dataset.range(e0, 10**9).flat_map(one).map(f, num_parallel_calls=tf.data.AUTOTUNE)
    return ds.batch(batch_size, drop_remainder=True).prefetch(2)


def evaluation(split, p, *, batch_size, worker=0, workers=1):
    def f(i, x):
        b, y, _ = split.parse(x)
        im = tf.image.resize(tf.image.decode_image(b, 3, expand_animations=False), (p.resize, p.resize))
        im = tf.image.resize_with_crop_or_pad(im, p.image_size, p.image_size)
        return im - p.mean, y, True, i

    return split.serialized(None).enumerate().map(f, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(2)
