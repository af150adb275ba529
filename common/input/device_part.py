"""What of preprocessing may be left to the device: `--device_normalise on`.

The pipeline then hands over pictures as bytes, a quarter of what float32 takes, and the step normalises them, in
float32, where the network computes. A picture that was resized or recoloured is rounded to whole grey levels before
that; one that was not is the same as ever. The recipe's random changes keep their order and their numbers:

crops, flips, turns, changes of colour that clip, CutMix     in the pipeline, of bytes or before the rounding
padding, erasing     in the pipeline; the mean colour that they fill in is rounded
mixup                in the pipeline; the mixed picture is rounded
contrast, brightness, PCA lighting     leave 0..255, so they are drawn in the pipeline and done in the step
"""

from collections.abc import Callable

import tensorflow as tf

from common.input import mixing, pipeline, random_changes
from common.input.pipeline import Preprocessing
from common.recipe import Recipe


def obstacle(recipe: Recipe, preprocessing: Preprocessing) -> str | None:
    """Why a recipe's training pictures cannot be handed over as bytes, as the end of a line; None where they can."""
    if recipe.crop == "pad" and preprocessing.mean_image:
        return "--crop=pad moves pictures after the mean image was subtracted from them"
    if random_changes.relights(recipe) and (random_changes.covers(recipe) or mixing.is_on(recipe)):
        return (
            "--contrast, --brightness and --pca_lighting come before --crop=pad, --random_erasing, --mixup and "
            "--cutmix, which bytes would reverse"
        )
    return None


def finisher(preprocessing: Preprocessing, any_size: bool = False) -> Callable[..., tf.Tensor]:
    """What to do in the step to images that the pipeline handed over `as_bytes`: -> (N, S, S, 3) float32.

    With `any_size` (N, h, w, 3), as `pipeline.normaliser`.
    """
    normalise = pipeline.normaliser(preprocessing, any_size)

    def finish(handed_over):
        if not isinstance(handed_over, tuple):
            return normalise(handed_over)
        pictures, drawn = handed_over
        return normalise(random_changes.relit(tf.cast(pictures, tf.float32), drawn))

    return finish
