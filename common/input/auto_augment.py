"""RandAugment (Cubuk et al. 2020) and TrivialAugment (Mueller & Hutter 2021, "Wide"): random operations of PIL.

The fourteen operations and their ranges are torchvision's, `RandAugment` and `TrivialAugmentWide` with 31 bins. Each
takes and gives whole numbers 0..255, as PIL does. Moved pixels are the nearest ones, and what they leave is filled with
the mean colour of the data set (torchvision fills with black).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common.input import color, geometry

BINS = 31
RAND_SHIFT = 150.0 / 331.0  # of the side: RandAugment's largest translation

Operate = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]  # image, magnitude, fill


def _look_up(table: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Each channel's values through its row of a table (3, 256) float32."""
    places = tf.cast(image, tf.int32) + tf.constant([0, 256, 512])
    return tf.gather(tf.reshape(table, [-1]), places)


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Only the highest `bits` of each value's eight, 1..8, stay."""
    step = tf.pow(2.0, 8.0 - tf.floor(bits))
    return tf.floor(image / step) * step


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Values of at least `threshold` are taken from 255."""
    return tf.where(image < threshold, image, 255.0 - image)


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Each channel stretched so that its least value becomes 0 and its largest 255; one of a single value stays."""
    low, high = (tf.cast(reduce(image, [0, 1]), tf.float64)[:, None] for reduce in (tf.reduce_min, tf.reduce_max))
    scale = 255.0 / tf.maximum(high - low, 1.0)
    values = tf.range(256, dtype=tf.float64)[None]
    stretched = tf.clip_by_value(tf.floor(values * scale - low * scale), 0.0, 255.0)
    return _look_up(tf.cast(tf.where(high > low, stretched, values), tf.float32), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Each channel's values spread so that they are about equally frequent: PIL's `ImageOps.equalize`."""
    channels = tf.transpose(tf.reshape(tf.cast(image, tf.int32), [-1, 3]))
    no_weights = tf.zeros([0], tf.int32)
    counts = tf.raw_ops.DenseBincount(input=channels, size=256, weights=no_weights, binary_output=False)
    used = tf.where(counts > 0, tf.range(256)[None], -1)
    last = tf.gather(counts, tf.reduce_max(used, 1), axis=1, batch_dims=1)
    step = ((tf.reduce_sum(counts, 1) - last) // 255)[:, None]
    before = tf.cumsum(counts, axis=1, exclusive=True)
    spread = tf.minimum((step // 2 + before) // tf.maximum(step, 1), 255)
    return _look_up(tf.cast(tf.where(step > 0, spread, tf.range(256)[None]), tf.float32), image)


def _enhance(change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Operate:
    """An enhancement by the factor 1 + magnitude; fractions are dropped, as PIL drops them."""
    return lambda image, magnitude, fill: tf.floor(change(image, 1.0 + magnitude))


@dataclass(frozen=True)
class Operation:
    """One operation, and the magnitudes it takes in its 31 bins: from the least to the largest, equally spaced.

    Attributes:
        apply: (image, magnitude, fill) -> image.
        rand, trivial: magnitude in the first and last bin, of RandAugment and TrivialAugment.
        signed: the magnitude is negative in half of all cases.
        whole: magnitudes are rounded to whole numbers.
    """

    apply: Operate
    rand: tuple[float, float] = (0.0, 0.0)
    trivial: tuple[float, float] = (0.0, 0.0)
    signed: bool = False
    whole: bool = False

    def magnitudes(self, policy: str, size: int) -> np.ndarray:
        """(31,) float32 by bin; translations in pixels of a picture of `size`."""
        found = np.linspace(*(self.trivial if policy == "trivial" else self.rand), BINS)
        if policy == "rand" and self.apply in (geometry.translate_x, geometry.translate_y):
            found = found * size
        return (np.rint(found) if self.whole else found).astype(np.float32)


def _signed(apply: Operate, rand: float, trivial: float) -> Operation:
    return Operation(apply, (0.0, rand), (0.0, trivial), signed=True)


OPERATIONS = {
    "Identity": Operation(lambda image, magnitude, fill: image),
    "ShearX": _signed(geometry.shear_x, 0.3, 0.99),
    "ShearY": _signed(geometry.shear_y, 0.3, 0.99),
    "TranslateX": _signed(geometry.translate_x, RAND_SHIFT, 32.0),
    "TranslateY": _signed(geometry.translate_y, RAND_SHIFT, 32.0),
    "Rotate": _signed(geometry.rotate, 30.0, 135.0),
    "Brightness": _signed(_enhance(color.brightness), 0.9, 0.99),
    "Color": _signed(_enhance(color.saturation), 0.9, 0.99),
    "Contrast": _signed(_enhance(color.contrast), 0.9, 0.99),
    "Sharpness": _signed(_enhance(color.sharpness), 0.9, 0.99),
    "Posterize": Operation(lambda image, bits, fill: posterize(image, bits), (8.0, 4.0), (8.0, 2.0), whole=True),
    "Solarize": Operation(lambda image, threshold, fill: solarize(image, threshold), (255.0, 0.0), (255.0, 0.0)),
    "AutoContrast": Operation(lambda image, magnitude, fill: auto_contrast(image)),
    "Equalize": Operation(lambda image, magnitude, fill: equalize(image)),
}


def apply(image: tf.Tensor, operation: tf.Tensor, magnitude: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """One of `OPERATIONS`, by its number, on a picture of whole numbers 0..255, (H, W, 3) float32."""
    branches = [lambda one=one: one.apply(image, magnitude, fill) for one in OPERATIONS.values()]
    return tf.ensure_shape(tf.switch_case(operation, branches), image.shape)


def draw(policy: str, size: int, operations: int, level: int, seed: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """(number of an operation, magnitude) of each operation, one after another.

    Args:
        policy: "trivial": one operation in a random bin; "rand": `operations` of them, drawn with replacement, all in
            bin `level`.
        size: side of the picture.
        operations, level: of RandAugment, its N and M.
        seed: (2,) integers.
    """
    table = tf.constant(np.stack([one.magnitudes(policy, size) for one in OPERATIONS.values()]))
    signed = tf.constant([one.signed for one in OPERATIONS.values()])
    count = 1 if policy == "trivial" else operations
    drawn = tf.raw_ops.StatelessRandomUniform(shape=[count, 3], seed=seed)
    found = []
    for one in tf.unstack(drawn):
        number = tf.cast(one[0] * len(OPERATIONS), tf.int32)
        place = tf.cast(one[1] * BINS, tf.int32) if policy == "trivial" else level
        magnitude = table[number, place]
        found.append((number, tf.where(signed[number] & (one[2] < 0.5), -magnitude, magnitude)))
    return found


def augment(
    image: tf.Tensor, policy: str, operations: int, level: int, fill: tuple[float, ...], seed: tf.Tensor
) -> tf.Tensor:
    """A picture (S, S, 3) float32, 0..255, rounded to whole numbers, after the random operations of a policy.

    Args:
        image: square.
        policy, operations, level: as in `draw`.
        fill: RGB, 0..255, of what a moved picture leaves empty; rounded.
        seed: (2,) integers.
    """
    image = tf.clip_by_value(tf.round(image), 0.0, 255.0)
    colour = tf.constant(np.rint(fill).astype(np.float32))
    for operation, magnitude in draw(policy, image.shape[0], operations, level, seed):
        image = apply(image, operation, magnitude, colour)
    return image
