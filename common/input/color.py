"""Changes of colour as PIL and torchvision define them: a blend of the picture with a degenerate form of it.

Pictures are (H, W, 3) float32, RGB, 0..255. A factor of 0 gives the degenerate form (black, grey, blurred), 1 the
picture itself, and more than 1 moves it away from there. Results are clipped to 0..255, as PIL's are, and not rounded.
"""

from collections.abc import Callable

import tensorflow as tf

_LUMA = (19595.0, 38470.0, 7471.0)  # PIL's, ITU-R BT.601, in 1/65536


def grey(image: tf.Tensor) -> tf.Tensor:
    """(H, W, 1) float32, the luma of each pixel; of whole numbers exactly what PIL's `convert("L")` gives.

    Products and sums stay below 2^24, where float32 holds every whole number.
    """
    red, green, blue = tf.split(image, 3, -1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return tf.floor((luma + 32768.0) / 65536.0)


def blend(degenerate: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """degenerate + factor (image - degenerate), clipped to 0..255."""
    return tf.clip_by_value(degenerate + factor * (image - degenerate), 0.0, 255.0)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Against black: every value times the factor (PIL's `ImageEnhance.Brightness`)."""
    return blend(tf.zeros_like(image), image, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Against one grey, the rounded mean luma (PIL's `ImageEnhance.Contrast`)."""
    mean = tf.reduce_mean(tf.cast(grey(image), tf.float64))
    return blend(tf.cast(tf.floor(mean + 0.5), tf.float32), image, factor)


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Against the picture in grey (PIL's `ImageEnhance.Color`)."""
    return blend(grey(image), image, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Against the picture smoothed (PIL's `ImageEnhance.Sharpness`).

    Smoothed is the mean of 3x3 pixels with weight 5 in the middle, rounded; the outermost pixels stay.
    """
    centre = image[1:-1, 1:-1]
    rows = image[:-2] + image[1:-1] + image[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4.0 * centre
    smoothed = tf.floor(total / 13.0 + 0.5)
    return blend(image + tf.pad(smoothed - centre, [[1, 1], [1, 1], [0, 0]]), image, factor)


def hue(image: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Turns the hue of HSV by a share of the colour circle, -0.5..0.5; saturation and value stay."""
    return tf.raw_ops.AdjustHue(images=image, delta=shift)


# What `jitter` changes, in this order, as one recipe field says by how much.
JITTER: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
}


def jitter(image: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Brightness, contrast and saturation in this order, each by a factor of its own, uniform in 1 +- amount.

    torchvision's `ColorJitter(amount, amount, amount)` and timm's `--color-jitter` do the same in a random order.
    """
    drawn = 1.0 - amount + 2.0 * amount * tf.raw_ops.StatelessRandomUniform(shape=[len(JITTER)], seed=seed)
    for place, change in enumerate(JITTER.values()):
        image = change(image, drawn[place])
    return image
