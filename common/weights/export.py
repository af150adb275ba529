"""A trained network in the forms that other programs take.

    SavedModel   files or pixels in, class names and probabilities out, the preprocessing inside: needs TensorFlow only
    TFLite       crops of the input's size in, probabilities out; float32, or 8-bit whole numbers
    ONNX         the same crops in, probabilities out

A crop is RGB, 0..255, (S, S, 3): what is left to do is normalising, and that is inside too.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.input import images, pipeline, resampling
from common.input.pipeline import Preprocessing
from common.nn import metrics
from common.weights import finite_padding, verify_export

TOP = 5
ONNX_OPSET = 18


RESIZING = {
    resampling.LAB: "rounded; averaged over areas where both sides become half as long or less, else bilinear, pixel "
    "centres at halves, without antialiasing",
    resampling.PIL_BILINEAR: "rounded down; Pillow's bilinear (antialiased)",
    resampling.OPENCV_BICUBIC: "rounded down; OpenCV's bicubic (INTER_CUBIC, not antialiased)",
}


def probabilities(model: keras.Model, preprocessing: Preprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
    """Crops (N, S, S, 3), 0..255 -> (N, classes) float32: normalised, through the network, softmax."""

    def compute(pictures):
        normalise = pipeline.normaliser(preprocessing)  # here: constants of the graph, not inputs to it
        logits = metrics.main_logits(model(normalise(tf.cast(pictures, tf.float32)), training=False))
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    return compute


def crop(preprocessing: Preprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
    """A picture (H, W, 3) -> the one crop of testing, (S, S, 3) float32, 0..255."""
    size, interpolation = preprocessing.image_size, preprocessing.interpolation
    return lambda image: resampling.central_crop(image, preprocessing.resize, size, interpolation)


def write_preprocessing(folder: Path, preprocessing: Preprocessing) -> dict:
    """What model.json says of a picture's way to the network: `preprocessing`, for a program, `steps`, for a person.

    A mean image is written beside it, (S, S, 3) float32, as it is subtracted.
    """
    how = dataclasses.asdict(preprocessing)
    if preprocessing.mean_image is not None:
        how["mean_image"] = str(verify_export.MEAN_IMAGE)
        np.save(folder / verify_export.MEAN_IMAGE, pipeline.mean_picture(preprocessing))
    size, mean = preprocessing.image_size, how["mean_image"] or "mean"
    return {
        "preprocessing": how,
        "steps": [
            "decode to RGB, 0..255, turned as the EXIF orientation says",
            f"resize: the short side to {preprocessing.resize} pixels, the long side in proportion, "
            + RESIZING[preprocessing.interpolation],
            f"crop the central {size}x{size}: from row (height - {size}) / 2 and column (width - {size}) / 2, rounded "
            + ("to even" if preprocessing.interpolation == resampling.PIL_BILINEAR else "down"),
            f"for model.keras alone: subtract {mean}, divide by std, channels in the order {preprocessing.channels}",
        ],
    }


class Classifier(tf.Module):
    """What a SavedModel holds: two signatures over one network.

    `serving_default` takes `image_bytes` (N,) string: JPEG, PNG, GIF, BMP or WebP files. `pixels` takes `images`
    (N, H, W, 3) uint8 RGB of any one size. Both give `probabilities` (N, classes) float32, and of the K = 5 largest,
    largest first, `top_classes` (N, K) string and `top_probabilities` (N, K) float32.
    """

    def __init__(self, model: keras.Model, preprocessing: Preprocessing, classes: tuple[str, ...]):
        super().__init__(name="classifier")
        self.weights = [variable.value for variable in model.variables]  # tracked; the model is only called
        self.class_names = tf.constant([name.encode("utf-8", "surrogateescape") for name in classes])
        cut, compute = crop(preprocessing), probabilities(model, preprocessing)
        size = preprocessing.image_size
        one = tf.TensorSpec((size, size, 3), tf.float32)

        def answer(pictures):
            found = compute(tf.ensure_shape(pictures, (None, size, size, 3)))
            best = tf.math.top_k(found, min(TOP, len(classes)))
            names = tf.gather(self.class_names, best.indices)
            return {"probabilities": found, "top_classes": names, "top_probabilities": best.values}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
        def of_files(image_bytes):
            read = lambda encoded: cut(images.decode(encoded))  # noqa: E731
            return answer(tf.map_fn(read, image_bytes, fn_output_signature=one))

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
        def of_pixels(images):
            return answer(tf.map_fn(cut, images, fn_output_signature=one))

        self.of_files, self.of_pixels = of_files, of_pixels


def write_saved_model(folder: Path, model: keras.Model, preprocessing: Preprocessing, classes: tuple[str, ...]) -> None:
    """Writes a SavedModel, e.g. into NAME/1 as TensorFlow Serving wants it."""
    classifier = Classifier(model, preprocessing, classes)
    signatures = {"serving_default": classifier.of_files, "pixels": classifier.of_pixels}
    tf.saved_model.save(classifier, str(folder), signatures=signatures)


def _of_crops(model: keras.Model, preprocessing: Preprocessing, batch: int | None):
    """A traced function crops -> probabilities, and the module that holds its variables."""
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    size = preprocessing.image_size
    signature = [tf.TensorSpec((batch, size, size, 3), tf.float32, name="image")]
    return tf.function(probabilities(model, preprocessing), input_signature=signature), module


def to_tflite(
    model: keras.Model, preprocessing: Preprocessing, calibration: Iterable[np.ndarray] | None = None
) -> bytes:
    """A TFLite model of one crop at a time: (1, S, S, 3) -> (1, classes) float32.

    Without `calibration` it computes, and takes its input, in float32. With it weights and activations are 8-bit whole
    numbers, whose ranges the calibration crops (1, S, S, 3) float32 tell, and the input is uint8. Operations that have
    no 8-bit form (local response normalisation) stay in float32. Raises UserError for a pool without an 8-bit form.
    """
    model = model if calibration is None else finite_padding.finite(model)
    function, module = _of_crops(model, preprocessing, 1)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([picture] for picture in calibration)
        builtins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS
        converter.target_spec.supported_ops = list(builtins)
        converter.inference_input_type = tf.uint8
    return converter.convert()


def to_onnx(model: keras.Model, preprocessing: Preprocessing) -> bytes:
    """An ONNX model: crops `image` (N, S, S, 3) float32 -> `probabilities` (N, classes) float32.

    Raises UserError where tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"--export_format=onnx needs tf2onnx: pip install -r requirements-optional.txt ({error})"
        ) from error
    function, _ = _of_crops(model, preprocessing, None)
    made, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=ONNX_OPSET)
    made.graph.output[0].name, old = "probabilities", made.graph.output[0].name
    for node in made.graph.node:
        for number, name in enumerate(node.output):
            node.output[number] = "probabilities" if name == old else name
    return made.SerializeToString()
