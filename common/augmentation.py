"""What training does to a picture at random. Each function is pure: the same seed gives the same picture.

A seed is a (2,) integer tensor. The crops return a chooser for `images.read_window`, so that a JPEG is decoded only
where the crop lies; the rest takes and gives float32 pictures (H, W, 3), RGB, 0..255. Results are not clipped to
0..255: a network sees the mean subtracted anyway, and clipping would undo part of what was drawn.
"""

import math

import tensorflow as tf

from common import images


def _corner(resized: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """(2,) int32: top and left of a size x size crop, uniform over every place inside `resized`."""
    drawn = tf.random.stateless_uniform([2], seed)
    room = resized - size + 1
    return tf.minimum(tf.cast(drawn * tf.cast(room, tf.float32), tf.int32), room - 1)


def random_crop(short_side: int, size: int, seed: tf.Tensor) -> images.Chooser:
    """Short side to `short_side`, then a size x size crop anywhere (Krizhevsky 2012, section 4.1: 224 from 256)."""

    def choose(height, width):
        resized = images.resized_shape(height, width, short_side)
        return images.window_of_resized(height, width, resized, _corner(resized, size, seed), size)

    return choose


def scale_crop(scale_range: tuple[int, int], size: int, seed: tf.Tensor) -> images.Chooser:
    """Scale augmentation: short side uniform over the whole numbers of `scale_range`, then a size x size crop anywhere.

    Simonyan & Zisserman 2014, section 3.1 (S in [256, 512]); He et al. 2015, section 3.4 ([256, 480]). Sizes below
    `size` count as `size`.
    """
    seeds = tf.random.split(seed, 2)

    def choose(height, width):
        short_side = tf.random.stateless_uniform([], seeds[0], scale_range[0], scale_range[1] + 1, tf.int32)
        resized = images.resized_shape(height, width, tf.maximum(short_side, size))
        return images.window_of_resized(height, width, resized, _corner(resized, size, seeds[1]), size)

    return choose


INCEPTION_TRIES = 10


def inception_crop(
    seed: tf.Tensor, area: tuple[float, float] = (0.08, 1.0), aspect: tuple[float, float] = (3 / 4, 4 / 3)
) -> images.Chooser:
    """Scale-and-aspect crop: 8 % to 100 % of the picture's area, width to height 3/4 to 4/3.

    Szegedy et al. 2014, section 6. Area uniform, aspect ratio uniform in its logarithm, place uniform. The first of ten
    tries that fits inside the picture; if none does, the largest central square.
    """
    seeds = tf.random.split(seed, 3)

    def choose(height, width):
        shape = tf.cast(tf.stack([height, width]), tf.float32)
        areas = tf.random.stateless_uniform([INCEPTION_TRIES], seeds[0], *area) * shape[0] * shape[1]
        aspects = tf.exp(
            tf.random.stateless_uniform([INCEPTION_TRIES], seeds[1], math.log(aspect[0]), math.log(aspect[1]))
        )
        tries = tf.round(tf.sqrt(tf.stack([areas / aspects, areas * aspects], 1)))
        fits = tf.reduce_all((tries >= 1) & (tries <= shape), 1)
        found = tf.where(tf.reduce_any(fits), tries[tf.argmax(tf.cast(fits, tf.int32))], tf.reduce_min(shape))
        place = tf.random.stateless_uniform([2], seeds[2])
        place = tf.where(tf.reduce_any(fits), tf.floor(place * (shape - found + 1)), tf.floor((shape - found) / 2))
        return tf.concat([tf.minimum(place, shape - found), found], 0)

    return choose


def pad_crop(image: tf.Tensor, seed: tf.Tensor, pad: int = 4) -> tf.Tensor:
    """Zeros around a picture, then a crop of its own size anywhere (He et al. 2015, section 4.2: pad 4, CIFAR-10).

    For pictures whose mean is subtracted already: then the border is the mean.
    """
    height, width, _ = image.shape
    corner = tf.random.stateless_uniform([2], seed, 0, 2 * pad + 1, tf.int32)
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    return tf.ensure_shape(tf.slice(padded, tf.concat([corner, [0]], 0), [height, width, 3]), (height, width, 3))


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Left and right exchanged in half of all cases."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def brightness(amount: float, seed: tf.Tensor) -> tf.Tensor:
    """What to add to every value of a picture: a scalar, uniform in +-amount * 255."""
    return tf.random.stateless_uniform([], seed, -amount * 255.0, amount * 255.0)


def contrast(image: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Each channel's distance from its mean over the picture, times a factor uniform in 1 +- amount."""
    return tf.image.adjust_contrast(image, tf.random.stateless_uniform([], seed, 1.0 - amount, 1.0 + amount))


def pca_lighting(
    eigenvalues: tuple[float, ...], eigenvectors: tuple[tuple[float, ...], ...], stddev: float, seed: tf.Tensor
) -> tf.Tensor:
    """What to add to every pixel of a picture: (3,), [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T, times 255.

    Krizhevsky 2012, section 4.1: p_i and l_i are eigenvectors and eigenvalues of the covariance of RGB (here divided by
    255, hence the factor), a_i is drawn once per picture from N(0, stddev), 0.1 in the paper. The paper multiplies by
    the eigenvalue as written here; its square root would be the standard deviation along p_i.
    """
    drawn = tf.random.stateless_normal([3], seed, stddev=stddev)
    return 255.0 * tf.linalg.matvec(tf.constant(eigenvectors, tf.float32), drawn * eigenvalues, transpose_a=True)
