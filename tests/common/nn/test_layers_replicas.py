"""Batch normalisation and dropout on two replicas."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

REPLICAS = textwrap.dedent(
    """
    import json, keras, numpy as np, tensorflow as tf
    from common.nn import layers
    from common.nn.dropout import Dropout
    from common import distribution
    from common.nn.normalization import BatchNorm
    from common.training import replicas as shared

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    devices = distribution.Devices(strategy, 0, 1, 2, "")
    rng = np.random.default_rng(3)
    x = rng.normal([1, 2, 3], [1, 2, 3], size=(2, 4, 5, 5, 3)).astype("float32")
    x[1] += 4.0
    target = rng.normal(size=x.shape).astype("float32")
    per_replica = lambda values: strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group]))
    gather = lambda values: np.stack([value.numpy() for value in strategy.experimental_local_results(values)])

    def run(layer, x, target, distributed):
        def step(x, target):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y * target)
            gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
            if distributed:
                context = tf.distribute.get_replica_context()
                gradients[1:] = context.all_reduce("SUM", gradients[1:])
            return y, *gradients
        step = tf.function(step)
        if not distributed:
            return [value.numpy() for value in step(tf.constant(x), tf.constant(target))]
        return [gather(value) for value in strategy.run(step, args=(per_replica(x), per_replica(target)))]

    result = {}
    for name, synchronised in (("replica", False), ("global", True)):
        with strategy.scope():
            layer = BatchNorm(synchronised=synchronised)
            layer.build((None, 5, 5, 3))
        for _ in range(2):
            y, dx, dgamma, dbeta = run(layer, x, target, True)
        shared.make_synchronise([layer.moving_mean, layer.moving_variance], devices)()
        result[name] = {
            "y": y.tolist(), "dx": dx.tolist(), "dgamma": dgamma[0].tolist(), "dbeta": dbeta[0].tolist(),
            "mean": gather(layer.moving_mean.value).tolist(),
            "variance": gather(layer.moving_variance.value).tolist(),
        }
    alone = BatchNorm()
    alone.build((None, 5, 5, 3))
    for _ in range(2):
        y, dx, dgamma, dbeta = run(alone, x.reshape(8, 5, 5, 3), target.reshape(8, 5, 5, 3), False)
    result["one"] = {"y": y.reshape(x.shape).tolist(), "dx": dx.reshape(x.shape).tolist(), "dgamma": dgamma.tolist(),
                     "dbeta": dbeta.tolist(), "mean": alone.moving_mean.numpy().tolist(),
                     "variance": alone.moving_variance.numpy().tolist()}
    result["x"] = x.tolist()

    with strategy.scope():
        dropout = Dropout(0.5)
    masks = [gather(strategy.run(tf.function(lambda: dropout(tf.ones((4, 64)), training=True)))) for _ in range(2)]
    result["masks"] = np.stack(masks).tolist()
    result["seeds"] = gather(dropout.seed_generator.state.value).tolist()
    print("RESULT" + json.dumps(result))
    """
)


@pytest.fixture(scope="module")
def replicas():
    """Two logical CPUs need a process of their own: TensorFlow splits a device only before its first use."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.split("RESULT")[1])
    return {
        key: {name: np.float32(part) for name, part in value.items()} if isinstance(value, dict) else np.array(value)
        for key, value in result.items()
    }


def test_moving_statistics_brought_together_are_the_mean_over_replicas_and_equal_on_each(replicas):
    found, x = replicas["replica"], replicas["x"]

    np.testing.assert_array_equal(found["mean"][0], found["mean"][1])
    np.testing.assert_array_equal(found["variance"][0], found["variance"][1])
    np.testing.assert_allclose(found["mean"][0], x.mean((1, 2, 3)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["variance"][0], x.var((1, 2, 3), ddof=1).mean(0), rtol=1e-5)


def test_each_replica_normalises_its_own_part(replicas):
    x = replicas["x"]
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-5)

    np.testing.assert_allclose(replicas["replica"]["y"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("what", ["y", "dx", "dgamma", "dbeta"])
def test_synchronised_batch_norm_equals_one_device_with_the_whole_batch(replicas, what):
    np.testing.assert_allclose(replicas["global"][what], replicas["one"][what], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("what", ["mean", "variance"])
def test_synchronised_moving_statistics_equal_one_devices(replicas, what):
    for replica in range(2):
        np.testing.assert_allclose(replicas["global"][what][replica], replicas["one"][what], rtol=1e-4)


def test_replicas_drop_different_values_from_equal_seed_states(replicas):
    masks = replicas["masks"]  # (call, replica, 4, 64)

    assert (masks[0, 0] != masks[0, 1]).any()
    assert (masks[0, 0] != masks[1, 0]).any()
    np.testing.assert_array_equal(replicas["seeds"][0], replicas["seeds"][1])
