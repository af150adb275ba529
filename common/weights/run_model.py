"""A trained network as one Keras model, from pictures to probabilities: what `common.weights.load_run` gives."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from common.architecture import Architecture
from common.errors import UserError
from common.input import images, pipeline, resampling
from common.input.pipeline import Preprocessing
from common.nn import graph_rewrite, layers
from common.runs import checkpoints, network
from common.runs import config as runs
from common.weights import export

SETTINGS = ("image_size", "resize", "std", "channels", "interpolation")  # of `Preprocess`; the mean is its weight


class LoadedRun(NamedTuple):
    """A network and what its answers mean.

    Attributes:
        model: pictures (N, H, W, 3) RGB, 0..255, uint8 or float, of any one size -> probabilities (N, classes) float32.
            Its layers are `picture` (the input), `preprocess`, the network under its own name, and `probabilities`.
        classes: names by label, as `--mode predict` prints them.
    """

    model: keras.Model
    classes: tuple[str, ...]


@keras.saving.register_keras_serializable("common")
class Preprocess(keras.layers.Layer):
    """The preprocessing of testing: pictures (N, H, W, 3) RGB, 0..255 -> (N, S, S, 3) float32, as a network takes them.

    Short side to `resize` by `interpolation`, the central crop, minus `mean` (S, S, 3), a weight that is not trained,
    divided by `std`, channels in the order asked for.
    """

    def __init__(self, image_size, resize, std=(1.0, 1.0, 1.0), channels="rgb", interpolation=resampling.LAB, **kwargs):
        super().__init__(dtype="float32", **{"trainable": False} | kwargs)
        self.image_size, self.resize, self.std = image_size, resize, tuple(std)
        self.channels, self.interpolation = channels, interpolation

    def build(self, input_shape):
        shape = (self.image_size, self.image_size, 3)
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.image_size, self.image_size, 3)

    def call(self, pictures):
        shape = (self.image_size, self.image_size, 3)
        cut = export.crop(Preprocessing(self.image_size, self.resize, interpolation=self.interpolation))
        crops = tf.map_fn(cut, tf.cast(pictures, tf.float32), fn_output_signature=tf.TensorSpec(shape, tf.float32))
        return images.normalise(crops, tf.convert_to_tensor(self.mean), tf.constant(self.std), self.channels)

    def get_config(self):
        own = {name: getattr(self, name) for name in SETTINGS}
        return {name: value for name, value in super().get_config().items() if name != "dtype"} | own


def load(path: str | Path, find: Callable[[str], Architecture]) -> LoadedRun:
    """See `common.weights.load_run`."""
    folder = Path(path)
    checkpoint: checkpoints.Checkpoint | None
    if (folder / checkpoints.STATE_FILE).exists():
        run, checkpoint = folder.parent.parent, checkpoints.open_checkpoint(folder)
    elif (folder / checkpoints.CONFIG_FILE).exists():
        run, checkpoint = folder, checkpoints.best(folder)
    else:
        raise UserError(f"{path}: neither a run directory nor a checkpoint")
    if checkpoint is None:
        raise UserError(f"{path}: holds no checkpoint yet; let it train for an epoch first")
    config = dataclasses.replace(runs.read(run), precision="float32")
    trained = network.build(find(config.arch), config)
    checkpoints.restore_weights(checkpoint, trained)
    return LoadedRun(_from_pictures(graph_rewrite.main_path(trained), config), config.names)


def _from_pictures(trained: keras.Model, config: runs.RunConfig) -> keras.Model:
    """The network with its preprocessing before it and the softmax behind it."""
    preprocessing = Preprocessing(**config.preprocessing)
    picture = keras.Input((None, None, 3), name="picture")
    preprocess = Preprocess(**{name: getattr(preprocessing, name) for name in SETTINGS}, name="preprocess")
    x = preprocess(picture)
    preprocess.mean.assign(pipeline.mean_picture(preprocessing))
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(trained(x))
    return layers.network(picture, x, name=f"{config.arch}_from_pictures")
