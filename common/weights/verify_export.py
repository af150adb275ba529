"""Exported files, loaded in a process of their own and compared with the network's predictions.

python -m common.weights.verify_export OUT REFERENCE FORMAT...

OUT is what `--mode export` wrote, REFERENCE a folder: images/ with image files; what the network says of them, (N,
classes) float32, in files.npy, and of their crops made as model.json says, without TensorFlow, in crops.npy. Each
FORMAT, the path of an exported file within OUT, is asked from the image file on: the SavedModel takes it whole, the
others such a crop. One line a format; the exit code is 1 where one of them differs or fails.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.weights import plain_preprocessing as plain

TOLERANCE = 1e-4  # of a probability, for formats in float32
LEVELS = 0.5  # grey levels by which a crop may differ on average: CMYK and rounding after each axis take up to 0.3
AGREEMENT = 0.8  # least share of images whose most likely class stays, for whole numbers

SAVED_MODEL = Path("saved_model") / "1"  # the version, which TensorFlow Serving looks for
KERAS = Path("model.keras")
TFLITE = Path("model.tflite")
TFLITE_INT8 = Path("model_int8.tflite")
ONNX = Path("model.onnx")
INFO = Path("model.json")
MEAN_IMAGE = Path("mean_image.npy")


def _images(reference: Path) -> list[Path]:
    return sorted((reference / "images").iterdir())


def crops(out: Path, reference: Path) -> Iterator[np.ndarray]:
    """The network's input before normalisation as model.json says, (S, S, 3) float32, of every image."""
    how = json.loads((out / INFO).read_text(encoding="utf-8"))["preprocessing"]
    return (plain.crop(file, how) for file in _images(reference))


def _saved_model(out: Path, name: Path, reference: Path) -> np.ndarray:
    import tensorflow as tf

    serve = tf.saved_model.load(str(out / name)).signatures["serving_default"]
    encoded = [file.read_bytes() for file in _images(reference)]
    return serve(image_bytes=tf.constant(encoded))["probabilities"].numpy()


def _keras(out: Path, name: Path, reference: Path) -> np.ndarray:
    import keras

    from common.nn import all_layers

    assert all_layers.RULES  # importing them is what registers them
    how = json.loads((out / INFO).read_text(encoding="utf-8"))["preprocessing"]
    pictures = np.stack([plain.normalise(crop, how, out) for crop in crops(out, reference)])
    return keras.ops.softmax(keras.models.load_model(out / name)(pictures, training=False)).numpy()


def _tflite(out: Path, name: Path, reference: Path) -> np.ndarray:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(out / name))
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for crop in crops(out, reference):
        whole = given["dtype"] == np.uint8
        interpreter.set_tensor(given["index"], (np.rint(crop) if whole else crop)[None].astype(given["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(wanted["index"])[0])
    return np.stack(found)


def _onnx(out: Path, name: Path, reference: Path) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(out / name), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": np.stack(list(crops(out, reference)))})[0]


FORMATS = {SAVED_MODEL: _saved_model, KERAS: _keras, TFLITE: _tflite, TFLITE_INT8: _tflite, ONNX: _onnx}


def compare(out: Path, reference: Path, name: Path) -> bool:
    """Loads one exported file, prints a line on it, and returns whether it is as it should be."""
    wanted = np.load(reference / ("files.npy" if name == SAVED_MODEL else "crops.npy"))
    try:
        found = FORMATS[name](out, name, reference)
    except Exception as error:  # each library has errors of its own; the other formats are still looked at
        print(f"{out / name}: FAILED: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]}", flush=True)
        return False
    same = float((found.argmax(1) == wanted.argmax(1)).mean())
    difference = float(np.abs(found - wanted).max())
    right = same >= AGREEMENT if name == TFLITE_INT8 else difference <= TOLERANCE
    print(
        f"{out / name}: {len(wanted)} images, largest difference of a probability {difference:.1e}, "
        f"same most likely class {same:.1%}{'' if right else ': TOO FAR OFF'}",
        flush=True,
    )
    return right


def compare_crops(out: Path, made: np.ndarray, wanted: np.ndarray) -> bool:
    """Prints how crops made as model.json says differ from those of testing, (N, S, S, 3); is it little enough?"""
    difference = float(np.abs(made - wanted).mean((1, 2, 3)).max())
    right = difference <= LEVELS
    print(
        f"{out / INFO}: {len(wanted)} images, crops made as it says differ by {difference:.3f} grey levels on average, "
        f"at most{'' if right else ': TOO FAR OFF'}",
        flush=True,
    )
    return right


def check(out: Path, reference: Path) -> bool:
    """Compares every exported file in `out`, in a fresh process, and prints a line on each; are all as they should be?

    A file that ends the process which loads it, as a runtime in C++ may, is named, and another process goes on.
    """
    waiting, good = [name for name in FORMATS if (out / name).exists()], True
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    while waiting:
        command = [
            sys.executable,
            "-m",
            "common.weights.verify_export",
            *map(str, (out.resolve(), reference, *waiting)),
        ]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{out.resolve()}{os.sep}")]
        for line in lines:
            print(f"{out}{line.removeprefix(str(out.resolve()))}", flush=True)
        good = good and done.returncode == 0
        waiting = waiting[len(lines) :]
        if waiting:
            last = " ".join(done.stderr.strip().splitlines()[-1:])
            print(f"{out / waiting.pop(0)}: FAILED: it ended its process (exit code {done.returncode}) {last}".rstrip())
            good = False
    return good


if __name__ == "__main__":
    folder, images, *names = map(Path, sys.argv[1:])
    sys.exit(0 if all([compare(folder, images, name) for name in names]) else 1)
