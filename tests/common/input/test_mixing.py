"""Mixup and CutMix against NumPy: shares, boxes clipped at the border, targets, and their distributions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import mixing
from common.recipe import Recipe

CLASSES = 3
IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
TARGETS = np.eye(CLASSES, dtype=np.float32)[LABELS]
SWAPPED = [1, 0, 3, 2, 5, 4]


def seed_of(number):
    """Streams by name, of batch `number` of a run."""
    return lambda name: tf.stack([tf.constant(sum(name.encode()), tf.int64), number])


def many(draw, count: int) -> np.ndarray:
    return next(iter(tf.data.Dataset.range(count).map(draw).batch(count))).numpy()


def test_partners_are_neighbours():
    np.testing.assert_array_equal(mixing.partners(tf.constant(IMAGES)), IMAGES[SWAPPED])
    assert mixing.partners(tf.constant(IMAGES)).shape == IMAGES.shape


def test_mixup_is_the_papers_formula_for_pictures_and_labels():
    images, targets = mixing.mixup(tf.constant(IMAGES), tf.constant(TARGETS), tf.constant(0.7))
    np.testing.assert_allclose(images, 0.7 * IMAGES + 0.3 * IMAGES[SWAPPED], atol=1e-6)
    np.testing.assert_allclose(
        targets, [[0.7, 0.3, 0], [0.3, 0.7, 0], [0, 0, 1], [0, 0, 1], [0.3, 0.7, 0], [0.7, 0.3, 0]], atol=1e-6
    )


@pytest.mark.parametrize(("first", "last", "pasted"), [((2, 3), (6, 7), 16), ((0, 4), (3, 8), 12), ((5, 5), (5, 5), 0)])
def test_cutmix_pastes_a_box_and_weighs_labels_by_its_area(first, last, pasted):
    """A box of 4x4 pixels, one that the border cut to 3x4, and none, of 64 pixels."""
    images, targets = mixing.cutmix(tf.constant(IMAGES), tf.constant(TARGETS), tf.constant(first), tf.constant(last))
    wanted = IMAGES.copy()
    wanted[:, first[0] : last[0], first[1] : last[1]] = IMAGES[SWAPPED][:, first[0] : last[0], first[1] : last[1]]
    np.testing.assert_array_equal(images, wanted)
    kept = 1 - pasted / 64
    np.testing.assert_allclose(targets, kept * TARGETS + (1 - kept) * TARGETS[SWAPPED], atol=1e-6)
    np.testing.assert_allclose(np.sum(targets, 1), 1, atol=1e-6)


def test_a_box_has_its_share_and_is_clipped_at_the_border():
    """Of 100 pixels a share of 0.25 is 50 wide: centred on c it covers c - 25 to c + 25, as far as there are pixels."""
    boxes = many(lambda n: tf.stack(mixing.box(tf.constant(0.75), 100, seed_of(n)("box"))), 2000)
    first, last = boxes[:, 0], boxes[:, 1]
    centre = np.where(first > 0, first + 25, last - 25)
    np.testing.assert_array_equal(first, np.maximum(centre - 25, 0))
    np.testing.assert_array_equal(last, np.minimum(centre + 25, 100))
    assert centre.min() == 0
    assert centre.max() == 99
    clipped = np.mean((first == 0) | (last == 100))
    assert abs(clipped - 0.5) < 0.05


def test_the_pasted_share_of_cutmix_is_a_third_on_average_not_a_half():
    """With alpha 1 the mean area within the picture is (1/2 - 1/5 + 1/48) = 0.3208 of it: the border cuts boxes."""

    def pasted(number):
        kept = mixing.share(1.0, seed_of(number), "cutmix")
        first, last = mixing.box(kept, 400, seed_of(number)("box"))
        return tf.cast(tf.reduce_prod(last - first), tf.float32) / 400**2

    assert many(pasted, 6000).mean() == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.012)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0])
def test_the_share_is_beta_distributed(alpha):
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)); at alpha 1 it is uniform."""
    found = many(lambda n: mixing.share(alpha, seed_of(n), "mixup"), 4000)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(found.mean() - 0.5) < 5 * math.sqrt(variance / 4000)
    assert found.var() == pytest.approx(variance, rel=0.08)
    if alpha == 1.0:
        assert np.abs(np.quantile(found, [0.1, 0.3, 0.7, 0.9]) - [0.1, 0.3, 0.7, 0.9]).max() < 0.03


def mixed(recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray]:
    mix = mixing.mixer(recipe, CLASSES, seed=5)
    batches = tf.data.Dataset.range(count).map(lambda step: mix(step, (tf.constant(IMAGES), tf.constant(LABELS))))
    return tuple(part.numpy() for part in next(iter(batches.batch(count))))


def test_with_both_a_batch_has_one_of_them_each_half_of_the_time():
    images, targets = mixed(Recipe(mixup=1.0, cutmix=1.0), 300)
    own, other = IMAGES[None], IMAGES[SWAPPED][None]
    pasted = ((images == own) | (images == other)).all((1, 2, 3, 4))
    assert 110 < pasted.sum() < 190
    kept = targets[:, 0, 0]
    blended = kept[~pasted][:, None, None, None, None]
    np.testing.assert_allclose(images[~pasted], blended * own + (1 - blended) * other, atol=1e-5)
    shares = (images[pasted] == own).all(4).mean((1, 2, 3))
    np.testing.assert_allclose(shares, kept[pasted], atol=1e-5)
    # By symmetry a label keeps half of the share of mixup, and 1 - 0.3208 of that of CutMix.
    assert kept[~pasted].mean() == pytest.approx(0.5, abs=0.12)
    assert kept[pasted].mean() > 0.6


def test_one_of_them_alone_draws_what_it_draws_beside_the_other():
    alone, both = mixed(Recipe(cutmix=1.0), 40), mixed(Recipe(mixup=0.2, cutmix=1.0), 40)
    same = [np.array_equal(one, other) for one, other in zip(alone[0], both[0], strict=True)]
    assert 8 < sum(same) < 32


def test_pairs_are_not_torn_apart():
    mixing.check(Recipe(mixup=0.2), 12, 3)
    mixing.check(Recipe(), 7, 1)
    with pytest.raises(UserError, match="mix pairs: --batch_size=7 must be even"):
        mixing.check(Recipe(mixup=0.2), 7, 1)
    with pytest.raises(UserError, match="the 3 pictures that each of 2 workers has of --batch_size=6 must be even"):
        mixing.check(Recipe(cutmix=1.0), 6, 2)
