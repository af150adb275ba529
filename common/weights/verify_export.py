"""Exported files loaded in a process of their own and held against what the network said before.

python -m common.weights.verify_export OUT REFERENCE

REFERENCE is a folder: images/ with image files, crops.npy (N, S, S, 3) uint8, files.npy and pixels.npy (N, classes)
float32, the probabilities of the files and of the crops. OUT is what `--mode export` wrote. One line a format; the exit
code is 1 where one of them differs.
"""

import json
import sys
from pathlib import Path

import numpy as np

TOLERANCE = 1e-4  # of a probability, for formats in float32
AGREEMENT = 0.8  # least share of images whose likeliest class stays, for whole numbers

SAVED_MODEL = Path("saved_model") / "1"  # the version, which TensorFlow Serving looks for
KERAS = Path("model.keras")
TFLITE = Path("model.tflite")
TFLITE_INT8 = Path("model_int8.tflite")
ONNX = Path("model.onnx")
INFO = Path("model.json")


def _saved_model(path: Path, reference: Path, _: dict) -> tuple[np.ndarray, str]:
    import tensorflow as tf

    serve = tf.saved_model.load(str(path)).signatures
    encoded = [file.read_bytes() for file in sorted((reference / "images").iterdir())]
    return serve["serving_default"](image_bytes=tf.constant(encoded))["probabilities"].numpy(), "files"


def _keras(path: Path, reference: Path, info: dict) -> tuple[np.ndarray, str]:
    import keras
    import tensorflow as tf

    from common.input import pipeline
    from common.nn import all_layers

    assert all_layers.ALL  # importing them is what registers them
    normalise = pipeline.normaliser(pipeline.Preprocessing(**info["preprocessing"]))
    pictures = tf.cast(np.load(reference / "crops.npy"), tf.float32)
    logits = keras.models.load_model(path)(normalise(pictures), training=False)
    return tf.nn.softmax(logits).numpy(), "crops"


def _tflite(path: Path, reference: Path, _: dict) -> tuple[np.ndarray, str]:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for picture in np.load(reference / "crops.npy"):
        interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(wanted["index"])[0])
    return np.stack(found), "crops"


def _onnx(path: Path, reference: Path, _: dict) -> tuple[np.ndarray, str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pictures = np.load(reference / "crops.npy").astype(np.float32)
    return session.run(["probabilities"], {session.get_inputs()[0].name: pictures})[0], "crops"


FORMATS = {SAVED_MODEL: _saved_model, KERAS: _keras, TFLITE: _tflite, TFLITE_INT8: _tflite, ONNX: _onnx}


def compare(out: Path, reference: Path) -> bool:
    """Loads every exported file in `out`, prints a line for each, and returns whether all are as they should be."""
    info = json.loads((out / INFO).read_text(encoding="utf-8"))
    good = True
    for name, run in FORMATS.items():
        if not (out / name).exists():
            continue
        found, kind = run(out / name, reference, info)
        wanted = np.load(reference / f"{kind}_probabilities.npy")
        same = float((found.argmax(1) == wanted.argmax(1)).mean())
        difference = float(np.abs(found - wanted).max())
        right = same >= AGREEMENT if name == TFLITE_INT8 else difference <= TOLERANCE
        good = good and right
        print(
            f"{out / name}: {len(wanted)} images, largest difference of a probability {difference:.1e}, "
            f"same likeliest class {same:.1%}{'' if right else ': TOO FAR OFF'}",
            flush=True,
        )
    return good


if __name__ == "__main__":
    sys.exit(0 if compare(Path(sys.argv[1]), Path(sys.argv[2])) else 1)
