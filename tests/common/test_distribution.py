import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import local_workers
from common import distribution, processor
from common.errors import UserError
from common.runs import checkpoints

TESTS = Path(__file__).parents[1]
STEPS = 57  # three epochs of 19


def begin(folder: Path, which: str, tf_config: str | None = None) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    if tf_config:
        environment["TF_CONFIG"] = tf_config
    command = [sys.executable, str(TESTS / "replicas.py"), str(folder), which]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begin_workers(folder: Path, count: int, which: str = "workers") -> list[subprocess.Popen]:
    return [begin(folder, which, config) for config in local_workers.configs(count)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Both networks trained on 1, 2 and 4 replicas, on two workers, and on 2 then 1."""
    folder = tmp_path_factory.mktemp("replicas")
    for group in ([begin(folder, "1,2")], [begin(folder, "4")], begin_workers(folder, 2)):
        for process in group:
            output, _ = process.communicate(timeout=900)
            assert process.returncode == 0, output
    return folder


def losses(run: Path) -> np.ndarray:
    with open(run / "metrics.csv", newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file) if row["split"] != "step"])


def variables(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoints.newest(run).folder / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/") and "seed" not in name]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("network", ["normalised", "plain"])
@pytest.mark.parametrize("replicas", ["2", "4", "workers"])
def test_replicas_and_workers_do_what_one_device_does(runs, network, replicas):
    one, many = runs / f"{network}-1", runs / f"{network}-{replicas}"
    assert len(losses(one)) == STEPS + 3  # and three validations
    assert losses(one)[-1] < losses(one)[0] - 0.3  # it learns
    np.testing.assert_allclose(losses(many), losses(one), rtol=1e-4)
    mine, theirs = variables(one), variables(many)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(theirs[name], value, rtol=0, atol=1e-4 * np.abs(value).max(), err_msg=name)


@pytest.mark.slow
def test_a_run_may_go_on_with_another_number_of_replicas(runs):
    np.testing.assert_allclose(losses(runs / "normalised-moved"), losses(runs / "normalised-1"), rtol=1e-4)


@pytest.mark.slow
def test_only_the_chief_writes(runs):
    written = {path.name for path in (runs / "plain-workers").iterdir()}
    assert written == {"config.json", "checkpoints", "tensorboard", "metrics.csv", "results.json", ".lock"}
    assert len(list((runs / "plain-workers/tensorboard").rglob("events.*"))) == 3  # at the top, train, validation
    assert not list((runs / "plain-workers/checkpoints").glob(".*"))


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_of_them_at_the_next_log_interval(tmp_path):
    workers = begin_workers(tmp_path, 2, "stopped")
    outputs = [worker.communicate(timeout=900)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143], outputs
    assert checkpoints.newest(tmp_path / "normalised-stopped").step == 30
    assert "stopped at step 30 of 57, saved; go on with:" in outputs[0]
    assert "stopped" not in outputs[1]


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_with_its_name(tmp_path):
    workers = begin_workers(tmp_path, 2)
    lines = [workers[0].stdout.readline()]
    while lines[-1] and not lines[-1].startswith("epoch 1: validation"):
        lines.append(workers[0].stdout.readline())
    workers[1].kill()
    output = "".join(lines) + workers[0].communicate(timeout=900)[0]
    workers[1].communicate()
    assert workers[0].returncode == 1, output
    last = output.splitlines()[-1]
    assert re.match(r"alexnet.py: worker 1 \(127\.0\.0\.1:\d+\) is gone; start the same command", last), output
    assert checkpoints.newest(tmp_path / "normalised-workers").step in (19, 38, 57)


@pytest.mark.parametrize(
    ("workers", "message", "name"),
    [
        (2, "Connection reset by peer", r"worker 1 \(b:1\)"),  # there is but one other
        (3, "from /job:worker/replica:0/task:0: no answer from /job:worker/replica:0/task:2", r"worker 2 \(c:1\)"),
        (3, "Connection reset by peer", "another worker"),
    ],
)
def test_the_worker_that_is_gone_is_named_where_it_is_known(workers, message, name, monkeypatch):
    addresses = ["a:1", "b:1", "c:1"][:workers]
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": addresses}, "task": {"index": 0}}))
    devices = distribution.Devices(tf.distribute.get_strategy(), 0, workers, workers, "")
    said = f"^{name} is gone; start the same command on all machines again"
    with pytest.raises(UserError, match=said), distribution.peers_named(devices):
        raise tf.errors.UnavailableError(None, None, message)


def test_a_batch_that_does_not_divide_is_refused():
    devices = distribution.Devices(None, 0, 1, 4, "")
    distribution.check_batch(8, devices)
    with pytest.raises(UserError, match="--batch_size=6 does not divide among 4 replicas"):
        distribution.check_batch(6, devices)
    distribution.check_batch(24, devices, accumulate=3)
    with pytest.raises(UserError, match="--accumulate=4 does not divide a replica's 6 images of --batch_size"):
        distribution.check_batch(24, devices, accumulate=4)


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="two devices or more"):
        distribution.choose("mirrored")
    with pytest.raises(UserError, match="TF_CONFIG"):
        distribution.choose("multiworker")
    assert distribution.choose("one").replicas == 1
    with pytest.raises(UserError, match="--communication=ring is for several machines"):
        distribution.choose("one", communication="ring")
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}}))
    with pytest.raises(UserError, match="--communication=nccl needs GPUs"):
        distribution.choose(communication="nccl")


def test_endless_batches_stay_known_as_endless_when_they_are_dealt_out():
    class Strategy:
        def distribute_datasets_from_function(self, make):
            return make(None)

    devices = distribution.Devices(Strategy(), 0, 2, 4, "")
    batches = tf.data.Dataset.from_tensors((tf.range(8), tf.range(8))).repeat()
    dealt = distribution.distribute(batches, devices)
    assert dealt.cardinality() == tf.data.INFINITE_CARDINALITY
    assert [part.numpy().tolist() for _, part in dealt.take(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert distribution.distribute(batches.take(2), devices).cardinality() != tf.data.INFINITE_CARDINALITY


def test_nested_batches_are_dealt_out_part_by_part():
    class Strategy:
        def distribute_datasets_from_function(self, make):
            return make(None)

    devices = distribution.Devices(Strategy(), 0, 1, 2, "")
    pictures, drawn, labels = tf.zeros([4, 3, 3, 1], tf.uint8), tf.range(16.0), tf.range(4)
    batches = tf.data.Dataset.from_tensors(((pictures, tf.reshape(drawn, [4, 4])), labels)).repeat()
    dealt = distribution.distribute(batches, devices)
    specs = [(spec.shape, spec.dtype) for spec in tf.nest.flatten(dealt.element_spec)]
    assert specs == [((2, 3, 3, 1), tf.uint8), ((2, 4), tf.float32), ((2,), tf.int32)]
    (_, second), (_, last) = [(first[1].numpy(), part.numpy()) for first, part in dealt.take(2)]
    assert second.tolist() == [0, 1]
    assert last.tolist() == [2, 3]


def test_batches_are_copied_ahead_to_a_gpu_alone(monkeypatch):
    devices = distribution.choose("one")
    batches = tf.data.Dataset.range(5).batch(2)
    assert distribution.distribute(batches, devices) is batches
    ahead = distribution.prefetched(batches, "/cpu:0")
    assert [batch.numpy().tolist() for batch in ahead] == [[0, 1], [2, 3], [4]]
    gpu = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(distribution.tf.config, "list_logical_devices", lambda kind: [gpu])
    asked = []
    monkeypatch.setattr(distribution, "prefetched", lambda data, device: asked.append(device) or data)
    assert distribution.distribute(batches, devices) is batches
    assert asked == ["/device:GPU:0"]


def test_a_gpu_normalises_by_itself_and_a_cpu_where_asked(monkeypatch):
    for gpu in (False, True):
        monkeypatch.setattr(distribution.machine, "gpu_visible", lambda gpu=gpu: gpu)
        assert [distribution.normalises(name) for name in ("auto", "on", "off")] == [gpu, True, False]
    with pytest.raises(UserError, match="--device_normalise"):
        distribution.normalises("maybe")


def test_precision_holds_inside_only():
    before = keras.config.dtype_policy().name
    with distribution.precision("mixed_bfloat16"):
        layer = keras.layers.Dense(2)
    assert layer.compute_dtype == "bfloat16"
    assert layer.variable_dtype == "float32"
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    ("flags", "limit", "units"),
    [
        ("fma avx2", "", None),
        ("fma avx2 avx512f avx512_vnni", "", None),
        ("avx2 avx512bw avx512_bf16", "", "AVX-512 BF16"),
        ("avx2 avx512bw avx512_bf16 amx_bf16 amx_tile", "", "AMX"),
        ("avx2 avx512bw avx512_bf16 amx_bf16 amx_tile", "avx512_core_bf16", "AVX-512 BF16"),
        ("avx2 avx512bw avx512_bf16 amx_bf16 amx_tile", "AVX512_CORE_AMX", "AMX"),
        ("avx2 avx512bw avx512_bf16 amx_bf16 amx_tile", "AVX512_CORE", None),
        ("avx2 avx512bw avx512_bf16", "AVX2", None),
        ("avx2 amx_bf16_of_another_name", "", None),
    ],
)
def test_auto_precision_wants_a_processor_that_computes_in_bfloat16(monkeypatch, tmp_path, flags, limit, units):
    monkeypatch.setattr(distribution.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert distribution.bfloat16_units() == units
    assert distribution.resolve_precision("auto") == ("mixed_bfloat16" if units else "float32")
    assert distribution.resolve_precision("mixed_float16") == "mixed_float16"
    assert distribution.resolve_precision("float32") == "float32"


@pytest.mark.parametrize(("capability", "units"), [((7, 5), None), ((8, 0), "tensor cores"), ((9, 0), "tensor cores")])
def test_auto_precision_of_gpus(monkeypatch, capability, units):
    monkeypatch.setattr(distribution.tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    details = {"compute_capability": capability}
    monkeypatch.setattr(distribution.tf.config.experimental, "get_device_details", lambda gpu: details)
    assert distribution.bfloat16_units() == units


def test_a_gpu_that_tensorflow_does_not_see_is_said_with_the_command_that_helps(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(distribution, "DRIVER", (tmp_path / "none", tmp_path))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert distribution.unseen_gpu() is None
    (tmp_path / "nvidia0").touch()
    assert distribution.unseen_gpu().endswith(f"pip install 'tensorflow[and-cuda]=={tf.__version__}'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # the user does not want it
    assert distribution.unseen_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    assert distribution.unseen_gpu() is None
