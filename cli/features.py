"""`--mode features`: what one layer gives for every image of a split."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, setup
from cli import trained as trained_networks
from common import distribution
from common.errors import UserError, unknown
from common.evaluation import feature_file, projector
from common.input import bad_images, datasets, device_part, pipeline, read_errors
from common.nn import layers

FILE = "features.npz"


def run(options: flags.Options, family: str | None) -> None:
    """`--mode features`: what one layer gives for every image of a split, as .npz and for TensorBoard's projector."""
    trained = trained_networks.one(options, family)
    data, trained = trained_networks.with_data(options, trained)
    split_name = setup.test_split(options, data)
    split = data.splits[split_name]
    config = trained.config
    model = trained_networks.build(trained)
    layer = find_layer(model, options.layer) if options.layer else classifier_input(model)
    out = Path(options.out or f"features/{config.arch}-{split_name}")
    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    batch_size = options.batch_size if "batch_size" in options.given else min(config.recipe.batch_size, split.examples)
    bad = setup.bad_images_of(options, data)
    as_bytes = distribution.normalises(options.device_normalise)
    images, width = _write(out, model, layer, split, preprocessing, batch_size, config.names, bad, as_bytes)
    setup.tell(bad)
    print(f"{out / FILE}: {images:,} images, {width:,} values of {layer.name} each")
    print(f"tensorboard --logdir {out}")


def _computing(model: Any, layer: Any, finish: Callable) -> Callable:
    """A traced function: pictures that `finish` normalises -> (N, D) float32, a layer's values, means over a map."""
    import tensorflow as tf

    cut = layers.network(model.inputs[0], layer.output, "features")

    @tf.function
    def compute(pictures):
        values = cut(finish(pictures), training=False)
        return tf.cast(tf.reduce_mean(values, [1, 2]) if len(values.shape) == 4 else values, tf.float32)

    return compute


def _write(
    out: Path,
    model: Any,
    layer: Any,
    split: "datasets.Split",
    preprocessing: "pipeline.Preprocessing",
    batch_size: int,
    classes: tuple[str, ...],
    bad: "bad_images.BadImages | None",
    as_bytes: bool,
) -> tuple[int, int]:
    """Writes the features of a split as they are computed, and what the projector shows.

    Returns the numbers of images and of their values. `bad` takes down the images that cannot be decoded; without it
    they are an error. With `as_bytes` the device normalises the images.
    """
    import tensorflow as tf

    compute = _computing(model, layer, device_part.finisher(preprocessing) if as_bytes else tf.identity)
    drawn = projector.chosen(split.examples)
    places: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    points: list[np.ndarray] = []
    names: list[str] = []

    def parts() -> Iterator[np.ndarray]:
        with read_errors.named(split):
            settings: dict[str, Any] = {"batch_size": batch_size, "skip_bad_images": bad, "as_bytes": as_bytes}
            for pictures, label, valid, index in pipeline.evaluation(split, preprocessing, **settings):
                kept = valid.numpy()
                values = compute(pictures).numpy()[kept]
                places.append(index.numpy()[kept])
                labels.append(label.numpy()[kept])
                points.append(values[np.isin(places[-1], drawn)])
                yield values

    def others() -> dict[str, np.ndarray]:
        if not sum(map(len, places)):
            raise UserError(f"none of the {split.examples:,} images can be decoded, so there are no features", 1)
        with read_errors.named(split):
            listed = list(_names(split) if split.records else map(os.fsencode, split.files))
            names.extend(listed[place].decode("utf-8", "backslashreplace") for place in np.concatenate(places))
        return {"labels": np.concatenate(labels), "files": np.array(names), "classes": np.array(classes)}

    width = int(layer.output.shape[-1])
    try:
        out.mkdir(parents=True, exist_ok=True)
        feature_file.write(out / FILE, (split.examples, width), parts(), others, fewer=bad is not None)
    except OSError as error:
        raise UserError(f"--out={out}: cannot be written ({error.strerror})", 1) from error
    numbers = np.concatenate(labels)
    shown = np.flatnonzero(np.isin(np.concatenate(places), drawn))
    with read_errors.writing(out):
        projector.write(out, np.concatenate(points), [(classes[numbers[row]], names[row]) for row in shown])
    return len(names), width


def _names(split: "datasets.Split") -> Iterator[bytes]:
    return split.serialized(None).map(lambda element: split.parse(element)[2]).as_numpy_iterator()


def classifier_input(model: Any) -> Any:
    """The layer that the classifier reads, before dropout: `fc7_relu` of AlexNet and VGG, the last pool of a ResNet."""
    from common.nn.dropout import Dropout

    layer = model.outputs[0]._keras_history.operation
    while not layer.weights:  # a pool of class maps
        layer = layer.input._keras_history.operation
    layer = layer.input._keras_history.operation
    while isinstance(layer, Dropout):
        layer = layer.input._keras_history.operation
    return layer


def find_layer(model: Any, name: str, flag: str = "layer") -> Any:
    """The layer that `--layer` (or another `flag`) names. Raises UserError where there is none.

    A convolution or fully connected layer means its output after normalisation and activation, as in Caffe (`fc7`).
    `pool` is the last pool, whatever it is called.
    """
    names = [layer.name for layer in model.layers]
    if name == "pool":
        name = next((layer for layer in reversed(names) if layer.startswith("pool")), name)
    found = [layer for layer in (name, *layers.after(name)) if layer in names]
    if not found:
        raise unknown(f"--{flag}", name, [layer.name for layer in model.layers if layer.weights])
    return model.get_layer(found[-1])
