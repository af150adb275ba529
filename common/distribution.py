"""Devices, strategy and precision: chosen here, invisible elsewhere."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import machine, processor
from common.errors import UserError, unknown
from common.lazy import lazy

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:  # --help lists the names below: TensorFlow waits until a device is chosen
    keras = lazy("keras")
    tf = lazy("tensorflow")

STRATEGIES = ("auto", "one", "mirrored", "multiworker")
COMMUNICATIONS = ("auto", "ring", "nccl")
DRIVER = (Path("/proc/driver"), Path("/dev"))  # where NVIDIA's driver shows nvidia, nvidia0 ...
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
NORMALISE = ("auto", "on", "off")


@dataclass(frozen=True)
class Devices:
    """Where a run computes.

    Attributes:
        strategy: enters scope for building, runs the step.
        worker, workers: this process' place among the machines, from 0, and their number.
        replicas: devices over all machines; the global batch is divided by it.
        text: for people, e.g. "2 x CPU, mirrored".
    """

    strategy: tf.distribute.Strategy
    worker: int
    workers: int
    replicas: int
    text: str

    @property
    def chief(self) -> bool:
        """True in the one process that writes."""
        return self.worker == 0


def choose(
    name: str = "auto", virtual_devices: int = 0, deterministic: bool = False, communication: str = "auto"
) -> Devices:
    """The devices that `--strategy` and `--virtual_devices` ask for; with `deterministic` operations repeat their bits.

    `communication` is how several machines reduce. auto: several machines where TF_CONFIG names them, several GPUs (or
    virtual CPUs) where they are visible, else one device. Call it before anything else touches TensorFlow's devices.
    Raises UserError where what is asked is not here.
    """
    if name not in STRATEGIES:
        raise unknown("--strategy", name, STRATEGIES)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if virtual_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * virtual_devices)
    workers = len(_addresses())
    if name == "multiworker" or (name == "auto" and workers > 1):
        return _several_machines(workers, communication)
    if communication != "auto":
        raise UserError(f"--communication={communication} is for several machines (--strategy multiworker)")
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if name == "one" or (name == "auto" and len(devices) < 2):
        return Devices(tf.distribute.get_strategy(), 0, 1, 1, f"one {'GPU' if gpus else 'CPU'}")
    if len(devices) < 2:
        raise UserError("--strategy=mirrored needs two devices or more; on a CPU add --virtual_devices 2")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Devices(strategy, 0, 1, len(devices), f"{len(devices)} x {'GPU' if gpus else 'CPU'}, mirrored")


def unseen_gpu() -> str | None:
    """A line for a machine with a GPU that TensorFlow does not see, with the command that helps; else None."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    present = any(path for folder in DRIVER for path in folder.glob("nvidia*"))
    if hidden or not present or tf.config.list_physical_devices("GPU"):
        return None
    return (
        "note: there is a GPU in this machine, but TensorFlow does not see it; this installs CUDA's libraries: "
        f"pip install 'tensorflow[and-cuda]=={tf.__version__}'"
    )


def _several_machines(workers: int, communication: str) -> Devices:
    """Joins the cluster of TF_CONFIG; waits until every worker has. Nothing may have touched a device before it."""
    if not workers:
        raise UserError("--strategy=multiworker needs TF_CONFIG with the cluster's workers and this process' task")
    of = tf.distribute.experimental
    if communication == "nccl" and not tf.config.list_physical_devices("GPU"):
        raise UserError("--communication=nccl needs GPUs, and TensorFlow sees none; use ring, or leave it out")
    options = of.CommunicationOptions(implementation=of.CommunicationImplementation[communication.upper()])
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    replicas = strategy.num_replicas_in_sync
    task = strategy.cluster_resolver
    worker = task.task_id + (task.task_type == "worker" and "chief" in task.cluster_spec().jobs)
    return Devices(strategy, worker, workers, replicas, f"{workers} machines, {replicas} replicas")


def resolve_precision(name: str = "auto") -> str:
    """The Keras dtype policy for `--precision`.

    auto: mixed_bfloat16 where the hardware computes in it faster - GPUs with bfloat16 tensor cores, processors with AMX
    or AVX-512 BF16 - else float32, since it would be emulated.
    """
    if name not in PRECISIONS:
        raise unknown("--precision", name, PRECISIONS)
    return ("mixed_bfloat16" if bfloat16_units() else "float32") if name == "auto" else name


def bfloat16_units() -> str | None:
    """What computes in bfloat16 here faster than in float32, for people; None: nothing does.

    GPUs do from compute capability 8 on.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capable = all(one.get("compute_capability", (0,))[0] >= 8 for one in details)
        return "tensor cores" if capable else None
    return processor.describe().bfloat16_units


def normalises(name: str = "auto") -> bool:
    """Whether the device normalises what it is shown, for `--device_normalise`. auto: where that is a GPU."""
    if name not in NORMALISE:
        raise unknown("--device_normalise", name, NORMALISE)
    return name == "on" or (name == "auto" and machine.gpu_visible())


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers built inside compute in `policy`; variables stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def distribute(dataset: tf.data.Dataset, devices: Devices) -> tf.data.Dataset:
    """Deals this worker's batches out to its replicas: each takes an equal, contiguous part of every batch.

    GPUs get the next batch while they compute.
    """
    if devices.replicas == 1:
        gpus = tf.config.list_logical_devices("GPU")
        return prefetched(dataset, gpus[0].name) if gpus else dataset
    local = devices.replicas // devices.workers

    def split(*batch):
        def parts(whole):
            return tf.reshape(whole, tf.concat([[local, tf.shape(whole)[0] // local], tf.shape(whole)[1:]], 0))

        return tf.nest.map_structure(parts, batch)

    def restore_shapes(*batch):
        def restore(part, spec):
            return tf.ensure_shape(part, [spec.shape[0] and spec.shape[0] // local, *spec.shape[1:]])

        return tf.nest.map_structure(restore, batch, dataset.element_spec)

    dealt = dataset.map(split).unbatch().map(restore_shapes).prefetch(2 * local)
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:  # unbatch forgets it
        # Where there may be an end TensorFlow asks all workers at every step whether one of them has reached it.
        dealt = dealt.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    # A strategy copies one batch ahead to each of its devices by itself (tf.distribute.InputOptions' defaults).
    return devices.strategy.distribute_datasets_from_function(lambda _: dealt)


def prefetched(dataset: tf.data.Dataset, device: str) -> tf.data.Dataset:
    """The same batches, the next one copied to a device, by its name, while the last is used. Nothing may follow it."""
    return dataset.apply(tf.data.experimental.prefetch_to_device(device, 1))


def make_any(devices: Devices) -> Callable[[object], bool]:
    """A function of a truth value of this worker -> whether it is true on any worker. All of them must call it."""
    if devices.workers == 1:
        return bool

    @tf.function
    def count(flags):
        return devices.strategy.reduce("SUM", flags, axis=None)

    def any_worker(value: object) -> bool:
        flag = tf.constant(float(bool(value)))
        return bool(count(devices.strategy.experimental_distribute_values_from_function(lambda _: flag)) > 0)

    return any_worker


def from_chief(number: int, devices: Devices) -> int:
    """The chief's number, on every worker. All of them must call it, and wait for one another."""
    if devices.workers == 1:
        return number
    # It reaches the others as the sum of numbers of which only the chief's is not zero.
    values = devices.strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(0 if context.replica_id_in_sync_group else number, tf.float64)
    )
    return int(devices.strategy.reduce("SUM", values, axis=None))


def check_shared(run: Path, step: int, devices: Devices) -> None:
    """Raises UserError where workers would go on from different checkpoints: their run directories are not the same."""
    if devices.workers == 1:
        return
    chief = from_chief(step, devices)
    if make_any(devices)(chief != step):
        raise UserError(
            f"--ckpt={run}: the workers find different checkpoints there (the chief step {chief}, worker "
            f"{devices.worker} step {step}); the directory must be one that all of them share",
            1,
        )


@contextmanager
def peers_named(devices: Devices) -> Iterator[None]:
    """Losing another worker inside it raises UserError (exit code 1) that names the worker, where TensorFlow does."""
    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except lost as error:
        if devices.workers == 1:
            raise
        named = [int(task) for task in re.findall(r"/task:(\d+)", error.message) if int(task) != devices.worker]
        if devices.workers == 2:  # whatever the message says
            named = [1 - devices.worker]
        worker = f"worker {named[0]} ({_addresses()[named[0]]})" if named else "another worker"
        raise UserError(
            f"{worker} is gone; start the same command on all machines again: the run goes on from its last checkpoint",
            1,
        ) from error


def _addresses() -> list[str]:
    """host:port of every worker, in their order. Raises UserError where TF_CONFIG is not what TensorFlow wants."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    except (ValueError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is not a JSON object ({error})") from error
    return [*cluster.get("chief", ()), *cluster.get("worker", ())]


def check_batch(batch_size: int, devices: Devices, accumulate: int = 1) -> None:
    """Raises UserError where the global batch cannot be shared out equally, each share in `accumulate` parts."""
    if batch_size % devices.replicas:
        raise UserError(f"--batch_size={batch_size} does not divide among {devices.replicas} replicas")
    share = batch_size // devices.replicas
    if share % accumulate:
        raise UserError(f"--accumulate={accumulate} does not divide a replica's {share} images of --batch_size")
