"""What two replicas share: in processes of their own, for their devices."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HEAD = """
    import os, sys
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import dataclasses, keras, numpy as np, tensorflow as tf
    sys.path.insert(0, "tests")
    import tiny
    from cli import registry
    from common import distribution
    from common.recipe import Recipe
    from common.training import ema, optimizers, replicas, trainer
    from jobs import make_job

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    def dealt(devices, *tensors):
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        data = tf.data.Dataset.from_tensors(tensors).repeat().apply(endless)
        return iter(distribution.distribute(data, devices))

    def make(strategy, recipe, build, **more):
        devices = distribution.Devices(strategy, 0, 1, strategy.num_replicas_in_sync, "")
        keras.utils.set_random_seed(0)
        with strategy.scope():
            job = make_job(build(), recipe, devices=devices, **more)
            return dataclasses.replace(job, average=ema.WeightAverage(job.model, 0.5))
"""

# Several machines reduce by collective operations, which the graph shows; here they are two devices of one process.
COLLECTIVES = """
    from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceStrategy

    strategy = CollectiveAllReduceStrategy._from_local_devices(("CPU:0", "CPU:1"))

    def collectives(name, size, **changes):
        architecture = registry.find(name)
        recipe = dataclasses.replace(architecture.recipe, batch_size=8, **changes)
        auxiliary = {"auxiliary": True} if architecture.auxiliary_weight else {}
        job = make(strategy, recipe, lambda: architecture.build(classes=10, image_size=size, **auxiliary),
                   auxiliary_weight=architecture.auxiliary_weight)
        batch = next(dealt(job.devices, tf.zeros([8, size, size, 3]), tf.zeros([8], tf.int32)))
        graph = trainer.make_train_step(job).get_concrete_function(*batch).graph
        definition = graph.as_graph_def()
        nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
        return [node.op for node in nodes if "Collective" in node.op]

    for name, size, changes in (
        ("resnet20", 32, {}), ("resnet20", 32, {"clip_norm": 1.0}), ("resnet20", 32, {"accumulate": 2}),
        ("alexnet", 67, {}), ("googlenet", 96, {}),
    ):
        found = collectives(name, size, **changes)
        assert found == ["CollectiveReduceV2"] * 2, (name, changes, found)  # one for each replica
    print("equal")
"""

STATISTICS = """
    rng = np.random.default_rng(0)
    images = rng.normal(3, 2, (6, 16, 16, 3)).astype(np.float32)
    labels = rng.integers(0, 10, 6).astype(np.int32)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    job = make(strategy, Recipe(batch_size=6, learning_rate=1e-9, weight_decay=0.0, epochs=1),
               lambda: tiny.build(dropout=0.0))
    statistics = job.model.get_layer("conv1_bn").moving_mean, job.model.get_layer("conv1_bn").moving_variance
    local = lambda variable: [one.numpy() for one in strategy.experimental_local_results(variable.value)]
    assert all(variable.synchronization == "on_read" for variable in statistics)

    step, batches = trainer.make_train_step(job), dealt(job.devices, images, labels)
    step(*next(batches))
    maps = keras.Model(job.model.inputs, job.model.get_layer("conv1").output)(images).numpy()
    halves = [(half.mean((0, 1, 2)), half.var((0, 1, 2), ddof=1)) for half in (maps[:3], maps[3:])]
    for place, variable in enumerate(statistics):  # each replica took its own half's
        for mine, half in zip(local(variable), halves):
            np.testing.assert_allclose(mine, half[place], rtol=1e-4, atol=1e-5)
    replicas.make_synchronise([*job.model.variables, *job.average.variables], job.devices)()
    averages = {variable.path: variable for variable in job.average.variables}
    for place, variable in enumerate(statistics):
        wanted = (halves[0][place] + halves[1][place]) / 2
        for of in (variable, averages[variable.path]):
            for mine in (*local(of), of.numpy()):
                np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5)
    kernel = job.model.get_layer("conv1").kernel
    assert (local(kernel)[0] == local(kernel)[1]).all()
    print("equal")
"""

ACCUMULATION = """
    rng = np.random.default_rng(0)
    images, labels = rng.normal(0, 1, (12, 16, 16, 3)).astype(np.float32), rng.integers(0, 10, 12).astype(np.int32)

    def run(strategy, parts, norm, dropout):
        recipe = Recipe(batch_size=12, learning_rate=0.05, weight_decay=0.01, clip_norm=0.5, accumulate=parts, epochs=1)
        job = make(strategy, recipe, lambda: tiny.build(dropout=dropout, norm=norm))
        step, batches = trainer.make_train_step(job), dealt(job.devices, images, labels)
        results = [step(*next(batches)).numpy() for _ in range(2)]
        assert np.isfinite(results).all()
        return results, job.model.get_weights()

    one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    (wanted, weights), (results, mine) = run(one, 1, "none", 0.0), run(two, 3, "none", 0.0)
    np.testing.assert_allclose(results, wanted, rtol=1e-4, atol=1e-6)
    for a, b in zip(mine, weights):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max() + 1e-7)
    run(two, 3, "batch", 0.5)  # and with what is drawn and what moves in each part
    print("equal")
"""

NORMS = """
    from common.training import gradient_norms

    rng = np.random.default_rng(0)
    images, labels = rng.normal(0, 1, (12, 16, 16, 3)).astype(np.float32), rng.integers(0, 10, 12).astype(np.int32)

    def run(strategy, parts):
        recipe = Recipe(batch_size=12, learning_rate=0.05, weight_decay=0.01, accumulate=parts, epochs=1)
        job = make(strategy, recipe, lambda: tiny.build(dropout=0.0, norm="none"))
        step, batches = gradient_norms.WatchedStep(job), dealt(job.devices, images, labels)
        for _ in range(2):
            step(*next(batches))
        return step.take()

    wanted, found = run(tf.distribute.get_strategy(), 1), run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), 3)
    assert len(wanted) == 1 + 2 * 6 and wanted.keys() == found.keys(), wanted
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, err_msg=name)
    print("equal")
"""
BYTES = """
    from common.input import device_part, pipeline

    rng = np.random.default_rng(0)
    pictures, drawn = rng.integers(0, 256, (12, 16, 16, 3)).astype(np.uint8), rng.normal(1, 0.2, (12, 4))
    labels = rng.integers(0, 10, 12).astype(np.int32)
    finish = device_part.finisher(pipeline.Preprocessing(16, 16, (120.0, 115.0, 100.0)))

    def run(strategy, parts):
        recipe = Recipe(batch_size=12, learning_rate=0.001, accumulate=parts, epochs=1)
        job = make(strategy, recipe, lambda: tiny.build(dropout=0.0, norm="none"), finish=finish)
        step, batches = trainer.make_train_step(job), dealt(job.devices, (pictures, drawn.astype(np.float32)), labels)
        return [step(*next(batches)).numpy() for _ in range(2)]

    wanted = run(tf.distribute.get_strategy(), 1)
    for parts in (1, 2):
        mine = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), parts)
        np.testing.assert_allclose(mine, wanted, rtol=1e-3, atol=1e-5)
    print("equal")
"""


SCRIPTS = {
    "all-reduces": COLLECTIVES,
    "statistics": STATISTICS,
    "parts": ACCUMULATION,
    "norms": NORMS,
    "bytes": BYTES,
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_two_replicas(script):
    command = [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(script)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("equal"), done.stdout + done.stderr[-3000:]
