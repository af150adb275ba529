"""The changes that a recipe makes to a decoded training picture, each with its own stream of random numbers.

Pictures are (S, S, 3) float32, RGB, 0..255. `seed_of` gives the seed of a stream by its name. They are changed in the
order of the functions here: `turn`, `recolour`, `relight`, and once the mean is subtracted `cover`.
"""

from collections.abc import Callable

import tensorflow as tf

from common.input import augmentation, auto_augment, color, geometry
from common.input.records import DatasetInfo
from common.recipe import Recipe

SeedOf = Callable[[str], tf.Tensor]


def in_force(recipe: Recipe, info: DatasetInfo) -> str:
    """The changes that a recipe makes at random beside the crop, in their order, e.g. `flip, TrivialAugment`."""
    depth = f"{recipe.rand_operations} x {recipe.rand_magnitude}"
    mixing = {"mixup": recipe.mixup, "CutMix": recipe.cutmix}
    found = {
        "flip": recipe.flip and info.flip,
        "quarter turns": recipe.turns,
        "vertical flip": recipe.vertical_flip and info.flip,
        {"trivial": "TrivialAugment", "rand": f"RandAugment {depth}"}.get(recipe.auto_augment, ""): True,
        f"color jitter {recipe.color_jitter:g}": recipe.color_jitter,
        f"saturation {recipe.saturation:g}": recipe.saturation,
        f"hue {recipe.hue:g}": recipe.hue,
        f"contrast {recipe.contrast:g}": recipe.contrast,
        f"brightness {recipe.brightness:g}": recipe.brightness,
        f"PCA lighting {recipe.pca_lighting:g}": recipe.pca_lighting,
        f"erasing {recipe.random_erasing:g}": recipe.random_erasing,
        " or ".join(f"{name} {alpha:g}" for name, alpha in mixing.items() if alpha): True,
    }
    return ", ".join(name for name, value in found.items() if name and value)


def turn(image: tf.Tensor, recipe: Recipe, info: DatasetInfo, seed_of: SeedOf) -> tf.Tensor:
    """Quarter turns, then a flip of top and bottom, which is a mirror image: a data set may forbid it."""
    vertical = recipe.vertical_flip and info.flip
    if not (vertical or recipe.turns):
        return image
    quarters = augmentation.quarters(seed_of("turns")) if recipe.turns else tf.constant(0)
    upside_down = augmentation.flip(seed_of("vertical_flip")) if vertical else tf.constant(False)
    return geometry.turn(image, quarters, upside_down)


def recolours(recipe: Recipe) -> bool:
    """Whether `recolour` does anything."""
    return recipe.auto_augment != "none" or any((recipe.color_jitter, recipe.saturation, recipe.hue))


def recolour(image: tf.Tensor, recipe: Recipe, info: DatasetInfo, seed_of: SeedOf) -> tf.Tensor:
    """Automatic augmentation, then the changes of colour that clip to 0..255."""
    if recipe.auto_augment != "none":
        depth = recipe.rand_operations, recipe.rand_magnitude
        image = auto_augment.augment(image, recipe.auto_augment, *depth, info.mean, seed_of("auto_augment"))
    if recipe.color_jitter:
        image = color.jitter(image, recipe.color_jitter, seed_of("color_jitter"))
    if recipe.saturation:
        image = color.saturation(image, 1.0 + augmentation.symmetric(recipe.saturation, seed_of("saturation")))
    if recipe.hue:
        image = color.hue(image, augmentation.symmetric(recipe.hue, seed_of("hue")))
    return image


def relights(recipe: Recipe) -> bool:
    """Whether `relight` does anything. Its values may lie outside of 0..255."""
    return any((recipe.contrast, recipe.brightness, recipe.pca_lighting))


def relight(image: tf.Tensor, recipe: Recipe, info: DatasetInfo, seed_of: SeedOf) -> tf.Tensor:
    """Contrast, brightness and the shift of colours along the principal components, nothing clipped."""
    if recipe.contrast:
        image = augmentation.contrast(image, recipe.contrast, seed_of("contrast"))
    if recipe.brightness:
        image += augmentation.brightness(recipe.brightness, seed_of("brightness"))
    if recipe.pca_lighting:
        size = image.shape[1]
        shift = _lighting(recipe, info, seed_of)
        image += tf.reshape(tf.tile(shift, [size]), [1, size, 3])  # broadcasting 3 numbers takes five times as long
    return image


def lights(recipe: Recipe, info: DatasetInfo, seed_of: SeedOf) -> tf.Tensor:
    """What `relight` would draw for a picture, for `relit`: (4,) float32, the contrast's factor, shifts of RGB."""
    factor, shift = tf.ones([]), tf.zeros([3])
    if recipe.contrast:
        factor = augmentation.contrast_factor(recipe.contrast, seed_of("contrast"))
    if recipe.brightness:
        shift += augmentation.brightness(recipe.brightness, seed_of("brightness"))
    if recipe.pca_lighting:
        shift += _lighting(recipe, info, seed_of)
    return tf.concat([factor[None], shift], 0)


def relit(pictures: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
    """What `relight` makes of a batch (N, S, S, 3) float32, given the `lights` of each picture, (N, 4)."""
    factor, shift = drawn[:, None, None, :1], drawn[:, None, None, 1:]
    mean = tf.reduce_mean(pictures, [1, 2], keepdims=True)
    return (pictures - mean) * factor + (mean + shift)


def _lighting(recipe: Recipe, info: DatasetInfo, seed_of: SeedOf) -> tf.Tensor:
    seed = seed_of("pca_lighting")
    return augmentation.pca_lighting(info.eigenvalues, info.eigenvectors, recipe.pca_lighting, seed)


def covers(recipe: Recipe) -> bool:
    """Whether `cover` does anything."""
    return recipe.crop == "pad" or bool(recipe.random_erasing)


def cover(image: tf.Tensor, recipe: Recipe, seed_of: SeedOf) -> tf.Tensor:
    """A border, cut off again on two sides, and a rectangle of zeros, which are the mean where that is subtracted."""
    if recipe.crop == "pad":
        image = augmentation.pad_crop(image, seed_of("pad_crop"))
    if recipe.random_erasing:
        image = augmentation.random_erasing(image, recipe.random_erasing, seed_of("random_erasing"))
    return image
