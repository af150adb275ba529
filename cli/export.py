"""`--mode export`: a trained network as files for other programs."""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, setup
from cli import trained as trained_networks
from common.errors import UserError, unknown
from common.input import datasets, pipeline, read_errors
from common.nn import batch_norm_folding, layers
from common.runs.files import write_json
from common.weights import export as export_formats
from common.weights import verify_export

FORMATS = ("saved_model", "keras", "tflite", "tflite_int8", "onnx")
CALIBRATION = 100  # crops of training images that tell the ranges of 8-bit numbers
VERIFIED = 32  # images


def run(options: flags.Options, family: str | None) -> None:
    """`--mode export`: writes the network in the formats asked for, batch norm folded, float32."""
    formats = options.export_format
    for name in formats:
        if name not in FORMATS:
            raise unknown("--export_format", name, FORMATS)
    trained = trained_networks.one(options, family)
    out = Path(options.out or f"export/{trained.config.arch}")
    data = None
    if options.verify or "tflite_int8" in formats or "dataset" in options.given:
        data, trained = trained_networks.with_data(options, trained)
    config = dataclasses.replace(trained.config, precision="float32")
    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    whole = trained_networks.build(dataclasses.replace(trained, config=config))
    model = batch_norm_folding.fold(whole)
    with read_errors.writing(out):
        out.mkdir(parents=True, exist_ok=True)
        info = {"arch": config.arch, "classes": config.names}
        info |= {"synsets": config.synsets} if config.synsets else {}
        write_json(out / verify_export.INFO, info | export_formats.write_preprocessing(out, preprocessing))
        for name in formats:
            print(f"writing {_write(name, out, model, config, preprocessing, data)}", flush=True)
    if options.verify:
        assert data is not None  # opened above
        verify(out, whole, preprocessing, data, setup.test_split(options, data))


def _write(name: str, out: Path, model: Any, config: Any, preprocessing: Any, data: Any) -> Path:
    """Writes one format; returns its path."""
    if name == "saved_model":
        export_formats.write_saved_model(out / verify_export.SAVED_MODEL, model, preprocessing, config.names)
        return out / verify_export.SAVED_MODEL
    if name == "keras":
        with layers.deep():
            model.save(out / verify_export.KERAS)
        return out / verify_export.KERAS
    if name == "onnx":
        path, content = out / verify_export.ONNX, export_formats.to_onnx(model, preprocessing)
    elif name == "tflite":
        path, content = out / verify_export.TFLITE, export_formats.to_tflite(model, preprocessing)
    else:
        crops = (crop[None] for _, crop, _, _ in _pictures(data.splits["train"], preprocessing, CALIBRATION))
        path, content = out / verify_export.TFLITE_INT8, export_formats.to_tflite(model, preprocessing, list(crops))
    path.write_bytes(content)
    return path


def _pictures(split: "datasets.Split", preprocessing: Any, count: int) -> Iterator[tuple]:
    """(file, crop (S, S, 3) float32 0..255, label, name) of the first `count` images of a split, in an order drawn."""
    import tensorflow as tf

    from common.input import images

    cut = export_formats.crop(preprocessing)

    def load(element):
        encoded, label, name = split.parse(element)
        return encoded, cut(images.decode(encoded)), label, name

    with read_errors.named(split):
        yield from split.serialized(tf.constant(0, tf.int64)).take(count).map(load).as_numpy_iterator()


def verify(out: Path, model: Any, preprocessing: Any, data: "datasets.Dataset", wanted: str) -> None:
    """Loads what was exported in a fresh process and compares its answers with the network's, on images of a split.

    Raises UserError where they differ, after all files were looked at.
    """
    import tensorflow as tf

    split = data.splits[wanted]
    files, cut, *_ = zip(*_pictures(split, preprocessing, VERIFIED), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder)
        (reference / "images").mkdir()
        for number, encoded in enumerate(files):
            (reference / "images" / f"{number:03d}").write_bytes(encoded)
        made = np.stack(list(verify_export.crops(out, reference)))
        compute = export_formats.probabilities(model, preprocessing)
        for name, shown in (("files", np.stack(cut)), ("crops", made)):
            np.save(reference / f"{name}.npy", compute(tf.constant(shown)).numpy())
        good = verify_export.compare_crops(out, made, np.stack(cut))
        good = verify_export.check(out, reference) and good
    if not good:
        raise UserError(f"--verify: what {out} holds does not answer as the network does", 1)
