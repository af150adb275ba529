"""The changes that a recipe makes to a decoded training picture, each with its own stream of random numbers.

Pictures are (S, S, 3) float32, RGB, 0..255. `seed_of` gives the seed of a stream by its name.
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
