"""The mode export on a small trained network, and what reads its files."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tiny
from cli import export as exporting
from cli import setup, trained
from common.errors import UserError
from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import images, pipeline
from common.nn import graph_rewrite
from common.nn.normalization import BatchNorm
from common.weights import export as export_formats

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a run, `run`, and its exported files."""
    root = tmp_path_factory.mktemp("exporting")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        tiny.start("run")
        onnx = all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime")))
        formats = "saved_model,keras,tflite,tflite_int8" + ",onnx" * onnx
        tiny.run("--mode", "export", "--restore", "run", "--export_format", formats, "--out", "files", "--verify")
    return root


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def stored_pictures(count):
    """(encoded pictures, network inputs) of the first ones of the test split, in the stored order, and the classes."""
    _, config = tiny.trained()
    data = setup.open_data("digits", 0)
    split, preprocessing = data.splits["test"], pipeline.Preprocessing(**config.preprocessing)
    encoded = [one for one, _, _ in split.serialized(None).take(count).map(split.parse).as_numpy_iterator()]
    cut = [crops.views(images.decode(e), Protocol(), 16, (preprocessing.resize,))[0].numpy() for e in encoded]
    return encoded, np.stack(cut) - np.float32(preprocessing.mean), config.classes


def test_the_saved_model_takes_files_and_pixels_and_names_classes():
    model, _ = tiny.trained()
    encoded, inputs, classes = stored_pictures(7)
    wanted = tf.nn.softmax(model(inputs)).numpy()
    serve = tf.saved_model.load("files/saved_model/1").signatures
    found = serve["serving_default"](image_bytes=tf.constant(encoded))
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
    order = np.argsort(-wanted, 1)[:, :5]
    assert [[name.decode() for name in row] for row in found["top_classes"].numpy()] == [
        [classes[place] for place in row] for row in order
    ]
    np.testing.assert_allclose(found["top_probabilities"], np.take_along_axis(wanted, order, 1), atol=1e-5)
    pixels = tf.stack([images.decode(tf.constant(one)) for one in encoded])
    assert pixels.dtype == tf.uint8
    np.testing.assert_allclose(serve["pixels"](images=pixels)["probabilities"], wanted, atol=1e-5)


def test_batch_norm_is_folded_in_what_is_exported():
    model = keras.models.load_model("files/model.keras")
    assert not any(isinstance(layer, BatchNorm) for layer in model.layers)
    whole, _ = tiny.trained()
    _, inputs, _ = stored_pictures(5)
    np.testing.assert_allclose(model(inputs), whole(inputs), rtol=1e-4, atol=1e-4)


def test_whole_numbers_are_8_bit_and_take_uint8():
    for name, kind in (("model.tflite", np.float32), ("model_int8.tflite", np.uint8)):
        interpreter = tf.lite.Interpreter(f"files/{name}")
        (given,) = interpreter.get_input_details()
        assert (given["dtype"], list(given["shape"])) == (kind, [1, 16, 16, 3])
        kernels = [t for t in interpreter.get_tensor_details() if list(t["shape"]) == [16, 3, 3, 8]]
        assert {t["dtype"] for t in kernels} == {np.int8 if kind is np.uint8 else np.float32}


def documented(*kinds):
    """The lines of docs/weights.md that lead from a picture to the answer of the formats `kinds`, in their order."""
    text = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text.split("### From a picture to the answer")[1], re.DOTALL)
    found = dict(zip(("crop", "onnx", "tflite", "keras"), blocks, strict=True))
    return "".join(found[kind] for kind in ("crop", *kinds))


@pytest.fixture
def export_of_the_docs(tmp_path, monkeypatch, folder, capsys):
    """A folder in which the documented lines find their files, and what the program predicts for photo.jpg.

    A function (height, width) -> the five most likely (label, probability).
    """
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "resnet34").symlink_to(folder / "files")
    monkeypatch.chdir(tmp_path)

    def predicted(height, width):
        rough = np.random.default_rng(height).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save("photo.jpg")
        capsys.readouterr()
        restored = ("--restore", str(folder / "run"), "--precision", "float32")
        tiny.run("--mode", "predict", *restored, "--images", "photo.jpg", "--predict_format", "json")
        (answer,) = json.loads(capsys.readouterr().out)
        return [(one["label"], one["probability"]) for one in answer["predictions"]]

    return predicted


@pytest.mark.parametrize(("kind", "tolerance"), [("keras", 1e-4), ("tflite", 0.05), ("onnx", 1e-4)])
@pytest.mark.parametrize("size", [(25, 21), (37, 50)])  # resized bilinearly, and by areas
def test_the_documented_lines_say_what_the_program_predicts(export_of_the_docs, folder, kind, tolerance, size):
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    wanted = export_of_the_docs(*size)
    names = {}
    exec(documented(kind), names)
    assert names["probabilities"].shape == (10,)
    for label, probability in wanted:
        assert names["probabilities"][label] == pytest.approx(probability, abs=tolerance)


def test_verification_tells_a_file_that_answers_otherwise(capfd):
    model, config = tiny.trained()
    model.get_layer("fc").bias.assign(np.arange(10.0)[::-1] * 3)
    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    with pytest.raises(UserError, match="does not answer as the network does"):
        exporting.verify(Path("files"), model, preprocessing, setup.open_data("digits", 0), "test")
    assert capfd.readouterr().out.count("TOO FAR OFF") == len(list(Path("files").glob("*model*"))) - 1  # model.json


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mode", "export", "--restore", "run", "--export_format", "caffe"), "--export_format: 'caffe' is not known"),
        (("--mode", "export", "--restore", "run", "--layer", "fc"), "--layer means nothing in --mode=export"),
    ],
)
def test_mistakes_are_said_in_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as caught:
        tiny.run(*arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert said in error
    assert error.count("\n") == 1


def test_onnx_without_its_converter_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    model, config = tiny.trained()
    with pytest.raises(UserError, match=r"pip install -r requirements-optional\.txt"):
        export_formats.to_onnx(model, pipeline.Preprocessing(**config.preprocessing))


def test_onnx_where_its_converter_is_installed():
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, config = tiny.trained()
    preprocessing = pipeline.Preprocessing(**config.preprocessing)
    made = export_formats.to_onnx(trained.for_testing(graph_rewrite.main_path(model), Protocol()), preprocessing)
    session = runtime.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["image"]
    _, inputs, _ = stored_pictures(6)
    cut = inputs + np.float32(preprocessing.mean)
    found = session.run(["probabilities"], {"image": cut})[0]
    np.testing.assert_allclose(found, tf.nn.softmax(model(inputs)), atol=1e-5)
