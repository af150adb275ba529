"""The modes export and features: a trained network's files for other programs, and what its layers say of images."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import assembly
import flags
import testing
from common import (
    checkpoints,
    distribution,
    faults,
    folding,
    layers,
    pipeline,
    projector,
    rewriting,
    serving,
    sources,
    verification,
)
from common.errors import UserError, unknown
from testing import Trained

FORMATS = ("saved_model", "keras", "tflite", "tflite_int8", "onnx")
CALIBRATION = 100  # crops of training images that tell the ranges of 8-bit numbers
VERIFIED = 32  # images


def _one(options: flags.Options, family: str | None) -> Trained:
    """The one network that `--restore` names. Raises UserError for none or several."""
    if not options.restore:
        raise UserError(f"--mode={options.mode} needs --restore: a run directory, a checkpoint, or a weight file")
    trained = testing.restored(options, family)
    if len(trained) > 1:
        raise UserError(f"--restore={options.restore}: {len(trained)} networks; name one for --mode={options.mode}")
    return trained[0]


def _data(options: flags.Options, trained: Trained) -> tuple["sources.Dataset", Trained]:
    """The data set to use, and the network with its class names."""
    data = assembly.open_data(assembly.dataset_of(options, trained.config), trained.config.data_seed)
    return data, dataclasses.replace(trained, config=assembly.named(trained.config, data))


def _build(trained: Trained) -> Any:
    """The main path of the network with its weights, on one device."""
    with distribution.choose("one").strategy.scope():
        model = assembly.build_model(trained.architecture, trained.config)
        checkpoints.restore_weights(trained.checkpoint, model)
        return rewriting.main_path(model)


def export(options: flags.Options, family: str | None) -> None:
    """`--mode export`: writes the network in the formats asked for, batch norm folded, float32."""
    formats = options.export_format
    for name in formats:
        if name not in FORMATS:
            raise unknown("--export_format", name, FORMATS)
    trained = _one(options, family)
    out = Path(options.out or f"export/{trained.config.arch}")
    data = None
    if options.verify or "tflite_int8" in formats or "dataset" in options.given:
        data, trained = _data(options, trained)
    config = dataclasses.replace(trained.config, precision="float32")
    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    whole = _build(dataclasses.replace(trained, config=config))
    model = folding.fold(whole)
    with faults.writing(out):
        out.mkdir(parents=True, exist_ok=True)
        info = {"arch": config.arch, "classes": config.classes, "preprocessing": config.preprocessing}
        checkpoints.write_json(out / verification.INFO, info)
        for name in formats:
            print(f"writing {_write(name, out, model, config, preprocessing, data)}", flush=True)
    if options.verify:
        verify(out, whole, preprocessing, data, options.split)


def _write(name: str, out: Path, model: Any, config: Any, preprocessing: Any, data: Any) -> Path:
    """Writes one format; returns its path."""
    if name == "saved_model":
        serving.write_saved_model(out / verification.SAVED_MODEL, model, preprocessing, config.classes)
        return out / verification.SAVED_MODEL
    if name == "keras":
        with layers.deep():
            model.save(out / verification.KERAS)
        return out / verification.KERAS
    if name == "onnx":
        path, content = out / verification.ONNX, serving.to_onnx(model, preprocessing)
    elif name == "tflite":
        path, content = out / verification.TFLITE, serving.to_tflite(model, preprocessing)
    else:
        crops = (crop[None] for _, crop, _, _ in _pictures(data.splits["train"], preprocessing, CALIBRATION))
        path, content = out / verification.TFLITE_INT8, serving.to_tflite(model, preprocessing, list(crops))
    path.write_bytes(content)
    return path


def _pictures(split: "sources.Split", preprocessing: Any, count: int) -> Iterator[tuple]:
    """(file, crop (S, S, 3) float32 0..255, label, name) of the first `count` images of a split, in an order drawn."""
    import tensorflow as tf

    from common import images

    cut = serving.crop(preprocessing)

    def load(element):
        encoded, label, name = split.parse(element)
        return encoded, cut(images.decode(encoded)), label, name

    with faults.named(split):
        yield from split.serialized(tf.constant(0, tf.int64)).take(count).map(load).as_numpy_iterator()


def verify(out: Path, model: Any, preprocessing: Any, data: "sources.Dataset", wanted: str) -> None:
    """Loads what was exported in a fresh process and compares its answers with the network's, on images of a split.

    Raises UserError where they differ.
    """
    import tensorflow as tf

    compute = serving.probabilities(model, preprocessing)
    split = data.splits[assembly.test_split(data, wanted)]
    files, cut, *_ = zip(*_pictures(split, preprocessing, VERIFIED), strict=True)
    whole = np.rint(cut).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder)
        (reference / "images").mkdir()
        for number, encoded in enumerate(files):
            (reference / "images" / f"{number:03d}").write_bytes(encoded)
        np.save(reference / "crops.npy", whole)
        np.save(reference / "files_probabilities.npy", compute(tf.constant(np.stack(cut))).numpy())
        np.save(reference / "crops_probabilities.npy", compute(tf.constant(whole)).numpy())
        command = [sys.executable, "-m", "common.verification", str(out.resolve()), folder]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] if not done.stdout.rstrip().endswith("TOO FAR OFF") else []
        raise UserError(f"--verify: what {out} holds does not answer as the network does {' '.join(last)}".strip(), 1)


def features(options: flags.Options, family: str | None) -> None:
    """`--mode features`: what one layer gives for every image of a split, as .npz and for TensorBoard's projector."""
    import tensorflow as tf

    trained = _one(options, family)
    data, trained = _data(options, trained)
    split_name = assembly.test_split(data, options.split)
    split = data.splits[split_name]
    config = trained.config
    model = _build(trained)
    layer = find_layer(model, options.layer)
    cut = layers.network(model.inputs[0], layer.output, "features")

    @tf.function
    def compute(pictures):
        values = cut(pictures, training=False)
        return tf.cast(tf.reduce_mean(values, [1, 2]) if len(values.shape) == 4 else values, tf.float32)

    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    batch_size = options.batch_size if "batch_size" in options.given else min(config.recipe.batch_size, split.examples)
    found: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    with faults.named(split):
        for pictures, label, valid, _ in pipeline.evaluation(split, preprocessing, batch_size=batch_size):
            kept = valid.numpy()
            found.append(compute(pictures).numpy()[kept])
            labels.append(label.numpy()[kept])
        names = [name.decode("utf-8", "backslashreplace") for name in _names(split)]
    values, numbers = np.concatenate(found), np.concatenate(labels)
    out = Path(options.out or f"features/{config.arch}-{split_name}")
    with faults.writing(out):
        write_features(out, values, numbers, names, config.classes)
    print(f"{out / 'features.npz'}: {len(values):,} images, {values.shape[1]:,} values of {layer.name} each")
    print(f"tensorboard --logdir {out}")


def _names(split: "sources.Split") -> Iterator[bytes]:
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
