import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.drop_path import Join, PathDraw

LOCAL = -1


def shares(join, steps, column=LOCAL):
    """The weights of a join's inputs in many steps: (steps, n)."""
    draws = tf.stack([tf.range(steps), tf.range(steps) + 7, tf.fill([steps], column)], 1)
    return tf.map_fn(join.shares, draws, fn_output_signature=tf.float32).numpy()


@pytest.mark.slow
def test_local_drop_path_keeps_one_at_least_and_is_the_mean_of_the_kept_ones():
    """Of two inputs, each dropped with p = 0.3: both stay 0.49, one 0.42, none, so that one is drawn, 0.09."""
    found = shares(Join((0, 1), rate=0.3), 4000)
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    np.testing.assert_array_equal(kinds, [[0, 1], [0.5, 0.5], [1, 0]])
    np.testing.assert_allclose(counts / 4000, [0.255, 0.49, 0.255], atol=0.03)  # a standard deviation is 0.008


@pytest.mark.slow
def test_the_expectation_of_local_drop_path_is_the_plain_mean():
    found = shares(Join((0, 1, 2), rate=0.15), 4000)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(found.mean(0), [1 / 3] * 3, atol=0.02)
    # All three stay with 0.85^3 = 0.614.
    assert np.mean((found > 0).all(1)) == pytest.approx(0.614, abs=0.03)


def test_two_joins_draw_for_themselves():
    one, other = (shares(Join((0, 1), rate=0.5, number=number), 200) for number in (1, 2))
    agree = np.mean((one == other).all(1))
    assert 0.2 < agree < 0.6  # 0.375^2 + 0.25^2 + 0.375^2 = 0.34


def test_a_global_step_passes_the_drawn_column_alone():
    join = Join((0, 2), rate=0.15)
    np.testing.assert_array_equal(shares(join, 5, column=0), [[1, 0]] * 5)
    np.testing.assert_array_equal(shares(join, 5, column=2), [[0, 1]] * 5)
    np.testing.assert_array_equal(shares(join, 5, column=1), [[0.5, 0.5]] * 5)  # it does not pass here


def test_half_of_the_steps_are_global_and_their_columns_equally_frequent():
    draw = PathDraw(3, 0.5)
    step = tf.function(lambda: draw(tf.zeros((1, 1)), training=True))
    found = np.array([step().numpy() for _ in range(600)])
    values, counts = np.unique(found[:, 2], return_counts=True)
    np.testing.assert_array_equal(values, [-1, 0, 1, 2])
    np.testing.assert_allclose(counts / 600, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.08)  # four standard deviations
    assert len(np.unique(found[:, :2], axis=0)) == 600
    np.testing.assert_array_equal(draw(tf.zeros((1, 1)), training=False), [0, 0, -1])


def test_a_resumed_run_draws_what_it_would_have_drawn():
    first, second = PathDraw(3, 0.5), PathDraw(3, 0.5)
    first(tf.zeros(1), training=True)
    second.seed_generator.state.assign(first.seed_generator.state)
    for _ in range(3):
        np.testing.assert_array_equal(first(tf.zeros(1), training=True), second(tf.zeros(1), training=True))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_output_is_the_mean_outside_of_training_and_the_weighted_one_in_it(dtype):
    parts = [tf.fill((2, 3, 3, 1), value) for value in (1.0, 2.0, 6.0)]
    join = Join((0, 1, 2), rate=0.5, dtype=dtype)
    parts = [tf.cast(part, join.compute_dtype) for part in parts]
    draw = tf.constant([3, 4, 1])
    np.testing.assert_array_equal(tf.cast(join([*parts, draw]), tf.float32), np.full((2, 3, 3, 1), 3.0))
    np.testing.assert_array_equal(tf.cast(join([*parts, draw], training=True), tf.float32), np.full((2, 3, 3, 1), 2.0))
    assert join([*parts, draw], training=True).dtype == join.compute_dtype


def test_a_network_with_joins_is_saved_and_loaded(tmp_path):
    image = keras.Input((4, 4, 3))
    draw = PathDraw(2, 0.5, name="paths")(image)
    both = [keras.layers.Conv2D(2, 1, name=name)(image) for name in ("a", "b")]
    model = keras.Model(image, Join((0, 1), 0.15, 3, name="join")([*both, draw]))
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pixels), model(pixels), rtol=1e-6)
    assert (loaded.get_layer("join").columns, loaded.get_layer("join").rate) == ((0, 1), 0.15)
