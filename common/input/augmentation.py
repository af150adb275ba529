"""What training does to a picture at random. Each function is pure: the same seed gives the same picture.

A seed is a (2,) integer tensor: the key of a stream of random numbers (`stream_key`), and a picture's number in the
run. The crops return a chooser for `images.read_window`, so that a JPEG is decoded only
where the crop lies; the rest takes and gives float32 pictures (H, W, 3), RGB, 0..255. Results are not clipped to
0..255: a network sees the mean subtracted anyway, and clipping would undo part of what was drawn.
"""

import hashlib
import math

import tensorflow as tf

from common.input import images

INCEPTION_TRIES = ERASING_TRIES = 10
# The streams that have a number. Closed: one more, or another order, would change what every run draws.
_NUMBERED = ("crop", "flip", "contrast", "brightness", "pca_lighting", "pad_crop")


def stream_key(seed: int, name: str) -> int:
    """The key, an int64, of one use of random numbers in a run of `seed`.

    A name that is not in `_NUMBERED` is hashed with the seed, so that a new augmentation changes no other's numbers.
    """
    if name in _NUMBERED:
        return seed * len(_NUMBERED) + _NUMBERED.index(name)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _uniform(shape: list[int], seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """float32 in [low, high). One operation of TensorFlow, where tf.random.stateless_uniform needs up to fifteen."""
    drawn = tf.raw_ops.StatelessRandomUniform(shape=shape, seed=seed)
    return drawn if (low, high) == (0.0, 1.0) else low + (high - low) * drawn


def _anywhere(room: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """(2,) float32: whole numbers, each uniform in 0..room."""
    return tf.floor(_uniform([2], seed) * (room + 1.0))


def random_crop(short_side: int, size: int, seed: tf.Tensor) -> images.Chooser:
    """Short side to `short_side`, then a size x size crop anywhere (Krizhevsky 2012, section 4.1: 224 from 256)."""

    def choose(shape):
        resized = images.resized_shape(shape, short_side)
        return images.window_of_resized(shape, resized, _anywhere(resized - size, seed), size)

    return choose


def scale_crop(scale_range: tuple[int, int], size: int, seed: tf.Tensor) -> images.Chooser:
    """Scale augmentation: short side uniform over the whole numbers of `scale_range`, then a size x size crop anywhere.

    Simonyan & Zisserman 2014, section 3.1 (S in [256, 512]); He et al. 2015, section 3.4 ([256, 480]). Sizes below
    `size` count as `size`.
    """
    low, high = (max(side, size) for side in scale_range)

    def choose(shape):
        drawn = _uniform([3], seed)
        resized = images.resized_shape(shape, low + tf.floor(drawn[0] * (high - low + 1)))
        corner = tf.floor(drawn[1:] * (resized - size + 1.0))
        return images.window_of_resized(shape, resized, corner, size)

    return choose


def inception_crop(
    seed: tf.Tensor, area: tuple[float, float] = (0.08, 1.0), aspect: tuple[float, float] = (3 / 4, 4 / 3)
) -> images.Chooser:
    """Scale-and-aspect crop: 8 % to 100 % of the picture's area, width to height 3/4 to 4/3.

    Szegedy et al. 2014, section 6. Area uniform, aspect ratio uniform in its logarithm, place uniform. The first of ten
    tries that fits inside the picture; if none does, the largest central square.
    """

    def choose(shape):
        sides = tf.cast(shape, tf.float32)
        drawn = _uniform([2, INCEPTION_TRIES + 1], seed)
        areas = (area[0] + (area[1] - area[0]) * drawn[0]) * tf.reduce_prod(sides)
        roots = tf.exp((math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * drawn[1]) / 2)
        tries = tf.round(tf.sqrt(areas) * tf.stack([1 / roots, roots]))[:, :INCEPTION_TRIES]
        fits = tf.reduce_all((tries >= 1) & (tries <= sides[:, None]), 0)
        found = tf.where(tf.reduce_any(fits), tries[:, tf.argmax(fits)], tf.reduce_min(sides))
        place = tf.where(tf.reduce_any(fits), drawn[:, -1], 0.5)
        return tf.stack([tf.floor(place * (sides - found + 1)), found])

    return choose


def pad_crop(image: tf.Tensor, seed: tf.Tensor, pad: int = 4) -> tf.Tensor:
    """Zeros around a picture, then a crop of its own size anywhere (He et al. 2015, section 4.2: pad 4, CIFAR-10).

    For pictures, of any number type, whose mean is subtracted already: then the border is the mean.
    """
    height, width, _ = image.shape
    corner = tf.cast(_anywhere(2 * pad, seed), tf.int32)
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    return tf.ensure_shape(tf.slice(padded, tf.pad(corner, [[0, 1]]), [height, width, 3]), (height, width, 3))


def flip(seed: tf.Tensor) -> tf.Tensor:
    """Whether to exchange left and right, in half of all cases, as `tf.image.stateless_random_flip_left_right` does.

    Returns:
        Scalar bool.
    """
    return _uniform([], seed) < 0.5


def brightness(amount: float, seed: tf.Tensor) -> tf.Tensor:
    """What to add to every value of a picture: a scalar, uniform in +-amount * 255."""
    return _uniform([], seed, -amount * 255.0, amount * 255.0)


def contrast(image: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Each channel's distance from its mean over the picture, times `contrast_factor`."""
    return tf.image.adjust_contrast(image, contrast_factor(amount, seed))


def contrast_factor(amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Scalar float32, uniform in 1 +- amount."""
    return _uniform([], seed, 1.0 - amount, 1.0 + amount)


def pca_lighting(
    eigenvalues: tuple[float, ...], eigenvectors: tuple[tuple[float, ...], ...], stddev: float, seed: tf.Tensor
) -> tf.Tensor:
    """What to add to every pixel of a picture: (3,), [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T, times 255.

    Krizhevsky 2012, section 4.1: p_i and l_i are eigenvectors and eigenvalues of the covariance of RGB (here divided by
    255, hence the factor), a_i is drawn once per picture from N(0, stddev), 0.1 in the paper. The paper multiplies by
    the eigenvalue as written here; its square root would be the standard deviation along p_i.
    """
    drawn = tf.raw_ops.StatelessRandomNormal(shape=[3], seed=seed)
    along = [
        [255.0 * stddev * value * p for p in vector] for value, vector in zip(eigenvalues, eigenvectors, strict=True)
    ]
    return tf.linalg.matvec(tf.constant(along), drawn, transpose_a=True)


def random_erasing(
    image: tf.Tensor,
    probability: float,
    seed: tf.Tensor,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> tf.Tensor:
    """Zeros in a rectangle anywhere in a picture, with a probability (Zhong et al. 2020; ranges of torchvision's).

    Area uniform, 2 % to 33 % of the picture's; height to width uniform in its logarithm; the first of ten tries that is
    smaller than the picture in both directions, and nothing where none is. For pictures, of any number type, whose
    mean is subtracted already: then the rectangle has the mean colour.
    """
    height, width = map(float, image.shape[:2])
    sides = tf.constant([height, width])
    drawn = _uniform([4, ERASING_TRIES + 1], seed)
    areas = (area[0] + (area[1] - area[0]) * drawn[0]) * (height * width)
    roots = tf.exp((math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * drawn[1]) / 2)
    tries = tf.round(tf.sqrt(areas) * tf.stack([roots, 1 / roots]))[:, :ERASING_TRIES]
    fits = tf.reduce_all(tries < sides[:, None], 0)
    chosen = tf.argmax(fits)
    erased = tf.where(tf.reduce_any(fits) & (drawn[0, -1] < probability), tries[:, chosen], 0.0)
    first = tf.floor(drawn[2:, chosen] * (sides - erased + 1.0))
    rows, columns = (
        (tf.range(side) >= first[axis]) & (tf.range(side) < first[axis] + erased[axis])
        for axis, side in enumerate((height, width))
    )
    return tf.where((rows[:, None] & columns[None, :])[..., None], tf.zeros([], image.dtype), image)


def quarters(seed: tf.Tensor) -> tf.Tensor:
    """How many quarters of a circle to turn a picture: scalar int32, uniform in 0..3."""
    return tf.cast(4.0 * _uniform([], seed), tf.int32)


def symmetric(amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Scalar float32, uniform in +-amount."""
    return _uniform([], seed, -amount, amount)
