"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): each picture of a batch mixed with its neighbour.

Partners are the pictures 2 i and 2 i + 1 of the global batch, each of which takes the other's part; the order of a
batch is random, and so are the pairs. One share and one box are drawn per batch. So the mixed global batch is the same
for any number of workers and devices, as long as no pair is torn apart.

Targets are then shares of the classes, (N, K) float32, each row with the sum 1.
"""

from collections.abc import Callable

import tensorflow as tf

from common.errors import UserError
from common.input.augmentation import stream_key
from common.input.images import to_bytes
from common.recipe import Recipe

Batch = tuple[tf.Tensor, tf.Tensor]  # images (N, S, S, 3) float32 or uint8, labels (N,) or targets (N, K)
SeedOf = Callable[[str], tf.Tensor]  # name of a stream -> seed (2,) of this batch


def is_on(recipe: Recipe) -> bool:
    """Whether a recipe mixes pictures."""
    return bool(recipe.mixup or recipe.cutmix)


def check(recipe: Recipe, batch_size: int, workers: int) -> None:
    """Raises UserError where pairs would be torn apart."""
    if is_on(recipe) and batch_size // workers % 2:
        of = f"the {batch_size // workers} pictures that each of {workers} workers has of " if workers > 1 else ""
        raise UserError(f"--mixup and --cutmix mix pairs: {of}--batch_size={batch_size} must be even")


def partners(values: tf.Tensor) -> tf.Tensor:
    """(N, ...) with the entries 2 i and 2 i + 1 exchanged; N is even."""
    pairs = tf.reshape(values, [-1, 2, *values.shape[1:]])
    return tf.ensure_shape(tf.reshape(tf.reverse(pairs, [1]), tf.shape(values)), values.shape)


def share(alpha: float, seed_of: SeedOf, name: str) -> tf.Tensor:
    """lambda ~ Beta(alpha, alpha): scalar float32 in [0, 1], what each picture keeps of itself.

    Beta is X / (X + Y) of two gamma variables. A gamma variable of a small alpha underflows, so it is kept as its
    logarithm: log G(alpha) = log G(alpha + 1) + log(U) / alpha (Marsaglia & Tsang 2000, section 6).
    """
    gammas = tf.random.stateless_gamma([2], seed_of(name), alpha=alpha + 1.0, dtype=tf.float64)
    uniform = tf.random.stateless_uniform([2], seed_of(f"{name}_power"), dtype=tf.float64)
    logarithms = tf.math.log(gammas) + tf.math.log1p(-uniform) / alpha
    return tf.cast(tf.sigmoid(logarithms[0] - logarithms[1]), tf.float32)


def mixup(images: tf.Tensor, targets: tf.Tensor, kept: tf.Tensor) -> Batch:
    """kept x + (1 - kept) partner, of images and targets. Images of bytes become bytes again, rounded."""
    values = [tf.cast(part, tf.float32) for part in (images, targets)]
    mixed, shares = (kept * part + (1.0 - kept) * partners(part) for part in values)
    return (to_bytes(mixed) if images.dtype == tf.uint8 else mixed), shares


def box(kept: tf.Tensor, size: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """CutMix's box: (top, left), (bottom, right), (2,) int32 each, ends excluded; clipped at the picture's border.

    Its sides are those of a square of the share 1 - kept of the picture, its centre is a pixel drawn from all.
    """
    centre = tf.cast(tf.floor(tf.random.stateless_uniform([2], seed) * float(size)), tf.int32)
    half = tf.cast(float(size) * tf.sqrt(1.0 - kept) / 2.0, tf.int32)
    return tf.maximum(centre - half, 0), tf.minimum(centre + half, size)


def cutmix(images: tf.Tensor, targets: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> Batch:
    """The partner's pixels within a box; targets in proportion to the pixels that there are of each picture."""
    size = images.shape[1]
    places = tf.range(size)
    rows, columns = ((places >= first[axis]) & (places < last[axis]) for axis in (0, 1))
    within = (rows[:, None] & columns[None, :])[None, :, :, None]
    kept = 1.0 - tf.cast(tf.reduce_prod(last - first), tf.float32) / float(size * size)
    return tf.where(within, partners(images), images), kept * targets + (1.0 - kept) * partners(targets)


def mixer(recipe: Recipe, classes: int, seed: int) -> Callable[[tf.Tensor, Batch], Batch]:
    """(step, (images, labels)) -> (images, targets): a batch as the recipe mixes it.

    Where it has both, each batch takes one of them, each in half of all cases.
    """

    def mix(step: tf.Tensor, batch: Batch) -> Batch:
        images, labels = batch
        targets = tf.one_hot(labels, classes)

        def seed_of(name):
            return tf.stack([tf.constant(stream_key(seed, name), tf.int64), step])

        def mixed_up():
            return mixup(images, targets, share(recipe.mixup, seed_of, "mixup"))

        def cut_and_mixed():
            kept = share(recipe.cutmix, seed_of, "cutmix")
            return cutmix(images, targets, *box(kept, images.shape[1], seed_of("cutmix_box")))

        if recipe.mixup and recipe.cutmix:
            return tf.cond(tf.random.stateless_uniform([], seed_of("mix")) < 0.5, mixed_up, cut_and_mixed)
        return mixed_up() if recipe.mixup else cut_and_mixed()

    return mix
