"""Optimizers, clipping and the average of weights on two replicas: in a process of its own, for its two devices."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MIRRORED = """
    import numpy as np, keras, tensorflow as tf
    from common.training import ema, optimizers, replicas
    from common.recipe import Recipe
    from common.training.optimizers import OPTIMIZERS

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    shares = np.random.default_rng(5).normal(size=(4, 2, 3)).astype(np.float32)  # step, replica, weight

    def run(name, strategy, gradients, clip_norm):
        count = gradients.shape[1]
        with strategy.scope():
            with keras.name_scope("fc"):
                weight = keras.Variable(np.array([0.5, -1.0, 2.0], np.float32), name="kernel")
            model = type("Model", (), {"variables": [weight]})
            optimizer = optimizers.make_optimizer(Recipe(optimizer=name, learning_rate=0.1, l1=0.01))
            optimizer.build([weight])
            average = ema.WeightAverage(model, 0.4)

        def replica_step(rows):
            place = tf.distribute.get_replica_context().replica_id_in_sync_group
            optimizers.apply_gradients(optimizer, replicas.summed([rows[place]]), [weight], clip_norm)

        @tf.function
        def step(rows):
            strategy.run(replica_step, args=(rows,))
            average.update(optimizer.iterations.value)

        for rows in gradients:
            step(tf.constant(rows))
        copies = [[local.numpy() for local in strategy.experimental_local_results(v.value)]
                  for v in (weight, *average.variables)]
        for locals_ in copies:
            assert len(locals_) == count and all((local == locals_[0]).all() for local in locals_), name
        with average.swapped():
            assert all((c.numpy() == copies[1][0]).all() for c in strategy.experimental_local_results(weight.value))
        assert all((c.numpy() == copies[0][0]).all() for c in strategy.experimental_local_results(weight.value))
        return np.array([locals_[0] for locals_ in copies])

    for name, clip_norm in (*((name, 0.0) for name in OPTIMIZERS), ("momentum", 0.5), ("adagrad_da", 0.5)):
        one = run(name, tf.distribute.get_strategy(), shares.sum(1, keepdims=True), clip_norm)
        two = run(name, mirrored, shares, clip_norm)
        np.testing.assert_allclose(two, one, rtol=2e-5, atol=1e-6, err_msg=f"{name} {clip_norm}")
    print("equal")
"""


@pytest.mark.slow
def test_two_replicas_step_as_one_with_and_without_clipping():
    """Each replica has its own gradient; clipped is their sum, so one replica with that sum must do the same."""
    command = [sys.executable, "-c", textwrap.dedent(MIRRORED)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]
