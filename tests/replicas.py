"""Trains small networks on as many replicas or workers as asked for: processes of test_distribution.

python replicas.py FOLDER COUNTS     one process; a run for each count of replicas, into FOLDER/NETWORK-COUNT
python replicas.py FOLDER workers    one of several workers (TF_CONFIG), into FOLDER/NETWORK-workers
python replicas.py FOLDER stopped    the same, but worker 1 gets SIGTERM in step 25; into FOLDER/normalised-stopped
"""

import contextlib
import signal
import sys
from functools import partial

import keras
import pytest

import tiny
from cli import registry
from common import distribution
from common.architecture import Architecture
from common.nn import layers
from common.style import styled
from common.training import logger

# No randomness that depends on the number of replicas: masks of dropout are drawn by each replica for itself.
SETTINGS = (
    "--mode=train",
    "--precision=float32",
    "--dropout=0",
    "--epochs=3",
    "--batch_size=64",
    "--ema=0",
    "--log_every=1",
    "--schedule=cosine",
)
NETWORKS = {
    "normalised": ("--arch=smooth", "--batch_norm=global"),
    "plain": ("--arch=smooth_plain", "--initializer=gaussian", "--learning_rate=0.01"),
}


@styled(initializer="he", norm="batch")
def build(classes=10, image_size=16, dropout=0.0):
    """A network without kinks, which learns 80 % of the digits within these epochs.

    Its sums may be taken in any order: a rounding error changes the losses as little as itself. At a ReLU's zero or
    between two equal values of a maximum pool it would turn a whole gradient over.
    """
    x = image = layers.image_input(image_size, smallest=4)
    for stage, channels in enumerate((8, 16), start=1):
        x = layers.conv(x, channels, 3, padding=1, relu=False, name=f"conv{stage}")
        x = layers.avg_pool(x, 2, 2, name=f"pool{stage}")
        x = keras.layers.Activation("tanh", name=f"tanh{stage}")(x)  # TensorFlow fuses it wrongly with a convolution
    x = layers.flatten(x, name="flatten")
    return layers.network(image, layers.logits(x, classes, name="fc"), name="smooth")


def register(patch: pytest.MonkeyPatch) -> None:
    """Adds `smooth`, and `smooth_plain` without batch norm, to the registry."""
    plain, note = partial(build, norm="none"), "made for the tests"
    for network in (
        Architecture("smooth", "alexnet", build, 16, tiny.RECIPE, note),
        Architecture("smooth_plain", "alexnet", plain, 16, tiny.RECIPE, note),
    ):
        patch.setitem(registry.ARCHITECTURES, network.name, network)
        patch.setitem(registry.FAMILIES, "alexnet", (*registry.FAMILIES["alexnet"], network))


def subset(devices: distribution.Devices, count: int) -> distribution.Devices:
    """The first `count` replicas of a mirrored strategy."""
    import tensorflow as tf

    names = [device.name for device in tf.config.list_logical_devices("CPU")][:count]
    strategy = tf.distribute.MirroredStrategy(names) if count > 1 else tf.distribute.get_strategy()
    return distribution.Devices(strategy, 0, 1, count, f"{count} x CPU")


def stop_after(patch: pytest.MonkeyPatch, step: int) -> None:
    """Sends this process SIGTERM once `step` steps are done."""
    real = logger.Interval.add

    def add(self, values, rate):
        real(self, values, rate)
        if self.state.step == step - 1:
            signal.raise_signal(signal.SIGTERM)

    patch.setattr(logger.Interval, "add", add)


def stopped_worker(patch: pytest.MonkeyPatch) -> None:
    """Trains one network; worker 1 alone is told to stop. Ends with the exit code of the program."""
    devices = distribution.choose("multiworker")
    patch.setattr(distribution, "choose", lambda *_: devices)
    if devices.worker == 1:
        stop_after(patch, 25)
    tiny.run(*SETTINGS, "--log_every=10", *NETWORKS["normalised"], "--ckpt=normalised-stopped")


def main(folder: str, which: str) -> None:
    """Trains both networks."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, folder)
        register(patch)
        if which == "stopped":
            stopped_worker(patch)
        elif which == "workers":
            devices = distribution.choose("multiworker")
            assert distribution.from_chief(7 + devices.worker, devices) == 7
            runs = {"workers": devices}
        else:
            counts = [int(count) for count in which.split(",")]
            devices = distribution.choose("auto", max(counts))
            runs = {str(count): subset(devices, count) for count in counts}
        for label, devices in runs.items():
            patch.setattr(distribution, "choose", lambda *_, chosen=devices: chosen)
            for name, settings in NETWORKS.items():
                tiny.run(*SETTINGS, *settings, f"--ckpt={name}-{label}")
        if len(runs) == 2:  # and one run that begins on the many and goes on on the few
            for devices, step in zip(reversed(runs.values()), (25, 99), strict=True):
                patch.setattr(distribution, "choose", lambda *_, chosen=devices: chosen)
                with patch.context() as short, contextlib.suppress(SystemExit):  # exit code 143
                    stop_after(short, step)
                    tiny.run(*SETTINGS, *NETWORKS["normalised"], "--ckpt=normalised-moved")


if __name__ == "__main__":
    main(*sys.argv[1:])
