import numpy as np
import pytest
import tensorflow as tf

from common.input import augmentation as augment


def seed(number: int) -> tf.Tensor:
    return tf.constant([7, number], tf.int64)


def many(draw, count: int) -> np.ndarray:
    """(count, ...): what `draw` gives for as many seeds."""
    seeds = tf.data.Dataset.range(count).map(lambda number: tf.stack([tf.constant(7, tf.int64), number]))
    return next(iter(seeds.map(draw).batch(count))).numpy()


def windows(make, shape, count=300) -> np.ndarray:
    """(count, 2, 2): the windows of as many seeds."""
    return many(lambda s: make(s)(tf.constant(shape)), count)


def picture(height: int = 5, width: int = 6) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 255, (height, width, 3)).astype(np.float32)


def test_the_numbered_streams_keep_their_keys_and_a_further_one_has_a_key_of_its_own():
    names = ("crop", "flip", "contrast", "brightness", "pca_lighting", "pad_crop")
    assert [augment.stream_key(7, name) for name in names] == [42, 43, 44, 45, 46, 47]
    others = {augment.stream_key(seed, name) for seed in range(100) for name in ("mixup", "erasing")}
    assert len(others) == 200
    assert not others & set(range(600))
    assert all(-(2**63) <= key < 2**63 for key in others)
    assert augment.stream_key(7, "mixup") == -1308262594125807687  # saved runs depend on it


def test_random_crop_takes_every_place_about_as_often():
    # 256 x 260 stored, short side 256: nothing is resized; 254 of it leaves 3 x 7 places.
    found = windows(lambda s: augment.random_crop(256, 254, s), (256, 260), 2100)
    assert (found[:, 1] == 254).all()
    places, counts = np.unique(found[:, 0], axis=0, return_counts=True)
    assert {tuple(place) for place in places} == {(float(y), float(x)) for y in range(3) for x in range(7)}
    assert counts.min() > 60  # of 100 expected
    assert counts.max() < 145


def test_random_crop_maps_back_to_the_stored_picture():
    # 300 x 600 to short side 100: a 75-pixel crop is 225 stored pixels, its corner a multiple of 3.
    found = windows(lambda s: augment.random_crop(100, 75, s), (300, 600))
    np.testing.assert_allclose(found[:, 1], 225, rtol=1e-6)
    corners = found[:, 0] / 3
    np.testing.assert_allclose(corners, np.round(corners), atol=1e-4)
    np.testing.assert_array_equal(corners.round().max(0), [25, 125])
    np.testing.assert_array_equal(corners.round().min(0), [0, 0])


def test_scale_crop_draws_every_short_side():
    found = windows(lambda s: augment.scale_crop((8, 12), 8, s), (120, 240), 1000)
    sides = 8 * 120 / found[:, 1, 0]
    np.testing.assert_allclose(sides, sides.round(), atol=1e-4)
    values, counts = np.unique(sides.round(), return_counts=True)
    np.testing.assert_array_equal(values, [8, 9, 10, 11, 12])
    assert counts.min() > 150  # of 200 expected
    assert (found[:, 0] + found[:, 1] <= [120 + 1e-3, 240 + 1e-3]).all()


def test_scale_crop_never_asks_for_less_than_the_crop():
    found = windows(lambda s: augment.scale_crop((4, 6), 8, s), (120, 240), 50)
    np.testing.assert_allclose(found[:, 1], 120)


def test_inception_crop_keeps_to_area_and_aspect():
    height, width = 375, 500
    found = windows(lambda s: augment.inception_crop(s), (height, width), 1000)
    extents = found[:, 1]
    np.testing.assert_array_equal(extents, extents.round())
    areas = extents.prod(1) / (height * width)
    assert 0.08 * 0.98 < areas.min() < 0.1
    assert 0.9 < areas.max() <= 1
    # Uniform area, less where a large one does not fit: half of [0.08, 0.5] lies below 0.29.
    small = areas[areas < 0.5]
    assert 0.4 < (small < 0.29).mean() < 0.6
    aspects = extents[:, 1] / extents[:, 0]
    assert 3 / 4 - 0.01 < aspects.min() < 0.78
    assert 1.28 < aspects.max() < 4 / 3 + 0.01
    assert 0.43 < (np.log(aspects[areas < 0.5]) < 0).mean() < 0.57
    assert (found[:, 0] >= 0).all()
    assert (found[:, 0] + extents <= [height, width]).all()


def test_inception_crop_falls_back_to_the_central_square():
    # 20 x 400: eight per cent of it is 640 pixels, at least 21.9 high.
    found = windows(lambda s: augment.inception_crop(s), (20, 400), 20)
    np.testing.assert_array_equal(found, np.broadcast_to([[0, 190], [20, 20]], (20, 2, 2)))


def test_pad_crop_is_a_shift_with_zeros():
    pixels = picture(6, 6)
    padded = np.pad(pixels, ((2, 2), (2, 2), (0, 0)))
    all_shifts = {(y, x): padded[y : y + 6, x : x + 6] for y in range(5) for x in range(5)}
    met = set()
    for got in many(lambda s: augment.pad_crop(tf.constant(pixels), s, pad=2), 200):
        met |= {shift for shift, want in all_shifts.items() if np.array_equal(got, want)}
    assert met == set(all_shifts)


def test_flip_is_tf_image_s_and_happens_half_the_time():
    pixels = tf.constant(picture())
    mirrored = many(augment.flip, 200)
    wanted = many(lambda s: tf.image.stateless_random_flip_left_right(pixels, s), 200)
    np.testing.assert_array_equal(mirrored, [np.array_equal(image, pixels.numpy()[:, ::-1]) for image in wanted])
    assert 75 < sum(mirrored) < 125


def test_brightness_is_uniform_in_its_range():
    drawn = many(lambda s: augment.brightness(0.1, s), 500)
    assert (np.abs(drawn) <= 25.5).all()
    assert drawn.min() < -24
    assert drawn.max() > 24
    assert abs(drawn.mean()) < 2.5


def test_contrast_stretches_about_each_channel_s_mean():
    pixels = picture()
    mean = pixels.mean((0, 1))
    factors = []
    for got in many(lambda s: augment.contrast(tf.constant(pixels), 0.3, s), 100):
        factor = ((got - mean) * (pixels - mean)).sum() / ((pixels - mean) ** 2).sum()
        np.testing.assert_allclose(got, mean + factor * (pixels - mean), atol=1e-2)
        factors.append(factor)
    assert 0.7 <= min(factors) < 0.73
    assert 1.27 < max(factors) <= 1.3


def test_pca_lighting_is_the_papers_formula():
    """The shift lies along eigenvector i with a deviation of 255 * stddev * eigenvalue i."""
    values = (0.2, 0.05, 0.01)
    vectors = ((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0))
    shifts = many(lambda s: augment.pca_lighting(values, vectors, 0.1, s), 2000)
    along = shifts @ np.array(vectors).T
    np.testing.assert_allclose(along.std(0), 255 * 0.1 * np.array(values), rtol=0.06)
    np.testing.assert_allclose(along.mean(0), 0, atol=0.4)
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize(
    "apply",
    [lambda _, s: augment.flip(s), lambda image, s: augment.contrast(image, 0.5, s), augment.pad_crop],
    ids=["flip", "contrast", "pad_crop"],
)
def test_the_same_seed_gives_the_same_picture(apply):
    pixels = tf.constant(picture(6, 6))
    for number in range(5):
        np.testing.assert_array_equal(apply(pixels, seed(number)), apply(pixels, seed(number)))


def test_erasing_is_a_rectangle_of_zeros_of_the_papers_areas_and_aspects():
    size, count = 64, 1500
    pixels = tf.ones((size, size, 3))
    erased = many(lambda s: augment.random_erasing(pixels, 0.75, s), count) == 0
    np.testing.assert_array_equal(erased, erased[..., :1].repeat(3, 3))
    erased = erased[..., 0]
    found = erased.any((1, 2))
    assert abs(found.mean() - 0.75) < 0.05
    rows, columns = erased[found].any(2), erased[found].any(1)
    np.testing.assert_array_equal(erased[found], rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # without a gap
        assert (np.abs(np.diff(np.pad(side, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1) == 2).all()
    heights, widths = rows.sum(1), columns.sum(1)
    areas, aspects = heights * widths / size**2, heights / widths
    assert 0.015 < areas.min() < 0.03
    assert 0.3 < areas.max() < 0.35
    # Uniform in area but for the shapes that do not fit, which are few below a fifth.
    small = areas[areas < 0.2]
    assert abs((small < 0.11).mean() - 0.5) < 0.06
    assert 0.26 < aspects.min() < 0.4
    assert 2.6 < aspects.max() < 3.7
    assert abs((np.log(aspects) < 0).mean() - 0.5) < 0.06
    assert heights.max() < size
    assert rows[:, 0].any()
    assert rows[:, -1].any()


def test_erasing_leaves_the_rest_and_the_same_seed_erases_the_same():
    pixels = tf.constant(picture(12, 12))
    for number in range(5):
        found = augment.random_erasing(pixels, 1.0, seed(number)).numpy()
        np.testing.assert_array_equal(found[found != 0], pixels.numpy()[found != 0])
        assert (found == 0).any()
        np.testing.assert_array_equal(found, augment.random_erasing(pixels, 1.0, seed(number)))
        np.testing.assert_array_equal(augment.random_erasing(pixels, 0.0, seed(number)), pixels)
