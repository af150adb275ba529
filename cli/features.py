"""`--mode features`: what one layer gives for every image of a split."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, setup
from cli import trained as trained_networks
from common.errors import unknown
from common.evaluation import projector
from common.input import datasets, pipeline, read_errors
from common.nn import layers


def run(options: flags.Options, family: str | None) -> None:
    """`--mode features`: what one layer gives for every image of a split, as .npz and for TensorBoard's projector."""
    import tensorflow as tf

    trained = trained_networks.one(options, family)
    data, trained = trained_networks.with_data(options, trained)
    split_name = setup.test_split(data, options.split)
    split = data.splits[split_name]
    config = trained.config
    model = trained_networks.build(trained)
    layer = find_layer(model, options.layer or "fc7")
    cut = layers.network(model.inputs[0], layer.output, "features")

    @tf.function
    def compute(pictures):
        values = cut(pictures, training=False)
        return tf.cast(tf.reduce_mean(values, [1, 2]) if len(values.shape) == 4 else values, tf.float32)

    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    batch_size = options.batch_size if "batch_size" in options.given else min(config.recipe.batch_size, split.examples)
    found: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    with read_errors.named(split):
        for pictures, label, valid, _ in pipeline.evaluation(split, preprocessing, batch_size=batch_size):
            kept = valid.numpy()
            found.append(compute(pictures).numpy()[kept])
            labels.append(label.numpy()[kept])
        names = [name.decode("utf-8", "backslashreplace") for name in _names(split)]
    values, numbers = np.concatenate(found), np.concatenate(labels)
    out = Path(options.out or f"features/{config.arch}-{split_name}")
    with read_errors.writing(out):
        write_features(out, values, numbers, names, config.classes)
    print(f"{out / 'features.npz'}: {len(values):,} images, {values.shape[1]:,} values of {layer.name} each")
    print(f"tensorboard --logdir {out}")


def _names(split: "datasets.Split") -> Iterator[bytes]:
    return split.serialized(None).map(lambda element: split.parse(element)[2]).as_numpy_iterator()


def find_layer(model: Any, name: str) -> Any:
    """The layer that `--layer` names. Raises UserError where there is none.

    A convolution or fully connected layer means its output after batch norm and ReLU, as in Caffe (`fc7`). `pool` is
    the last pool, whatever it is called.
    """
    names = [layer.name for layer in model.layers]
    if name == "pool":
        name = next((layer for layer in reversed(names) if layer.startswith("pool")), name)
    chosen = f"{name}_relu" if f"{name}_relu" in names else name
    if chosen not in names:
        raise unknown("--layer", name, [layer.name for layer in model.layers if layer.weights])
    return model.get_layer(chosen)


def write_features(
    out: Path, values: np.ndarray, labels: np.ndarray, files: Sequence[str], classes: Sequence[str]
) -> None:
    """features.npz, and beside it what TensorBoard's projector shows.

    Args:
        out: folder, made if it is not there.
        values: (N, D) float32.
        labels: (N,) int32.
        files: N names, in the stored order.
        classes: names by label.
    """
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".features.{os.getpid()}.npz"
    np.savez(temporary, features=values, labels=labels, files=np.array(files), classes=np.array(classes))
    os.replace(temporary, out / "features.npz")
    projector.write(out, values, [(classes[label], file) for label, file in zip(labels, files, strict=True)])
