"""Norms of gradients and updates, against GradientTape and the weights themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tiny
from common.recipe import Recipe
from common.training import gradient_norms, loss_scaling, train_step
from jobs import make_job

RECIPE = Recipe(batch_size=16, learning_rate=0.01, weight_decay=0.1, clip_norm=0.5, epochs=1)
IMAGES, LABELS = tf.random.stateless_normal((16, 16, 16, 3), (1, 2)), tf.range(16) % 10


def network():
    keras.utils.set_random_seed(3)
    return tiny.build(dropout=0.0, norm="none")


def norm(values) -> float:
    return float(np.sqrt(np.sum(np.square(np.asarray(values, np.float64)))))


def test_norms_are_those_of_the_step():
    model = network()
    before = [variable.numpy() for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, model(IMAGES, training=True))
        kernels = [variable.value for variable in model.trainable_variables if variable.path.endswith("kernel")]
        loss = tf.reduce_mean(each) + 0.1 / 2 * tf.add_n([tf.reduce_sum(kernel**2) for kernel in kernels])
    wanted = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    together = norm([norm(gradient) for gradient in wanted])
    assert together > 0.5  # so that the step is clipped, and the norms are not
    job = make_job(model, RECIPE)
    job.optimizer.learning_rate.assign(0.01)
    step = gradient_norms.WatchedStep(job)

    results = step(IMAGES, LABELS)
    found = step.take()

    assert float(results[2]) == pytest.approx(float(loss), rel=1e-4)
    assert found.pop("global_gradient_norm") == pytest.approx(together, rel=1e-3)
    for variable, gradient, old in zip(model.trainable_variables, wanted, before, strict=True):
        assert found.pop(f"gradient_norm/{variable.path}") == pytest.approx(norm(gradient), rel=1e-3)
        moved = norm(variable.numpy() - old)
        assert moved == pytest.approx(0.01 * norm(gradient) * 0.5 / together, rel=1e-2)  # momentum's first step
        if variable.path.endswith("bias"):  # zero before: no ratio
            assert f"update_ratio/{variable.path}" not in found
        else:
            assert found.pop(f"update_ratio/{variable.path}") == pytest.approx(moved / norm(old), rel=1e-3)
    assert not found


def test_a_watched_step_trains_as_a_plain_one():
    models = network(), network()
    plain = train_step.make_train_step(make_job(models[0], RECIPE))
    watched = gradient_norms.WatchedStep(make_job(models[1], RECIPE))
    for _ in range(2):
        np.testing.assert_allclose(plain(IMAGES, LABELS), watched(IMAGES, LABELS), rtol=1e-5)
    for one, other in zip(models[0].variables, models[1].variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5 * np.abs(one.numpy()).max())


def test_a_step_that_float16_skips_has_no_norms():
    job = make_job(network(), RECIPE, loss_scale=loss_scaling.LossScale(2.0**127))
    step = gradient_norms.WatchedStep(job)
    step(IMAGES, LABELS)
    assert step.take() == {}
    step = gradient_norms.WatchedStep(make_job(network(), RECIPE, loss_scale=loss_scaling.LossScale(2.0)))
    step(IMAGES, LABELS)
    assert step.take()["global_gradient_norm"] > 0.5
