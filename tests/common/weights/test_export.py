"""Every layer of the vocabulary in the formats of other programs."""

import numpy as np
import pytest
import tensorflow as tf

from common import machine
from common.input.pipeline import Preprocessing
from common.nn import batch_norm_folding, layers
from common.weights import export

PREPROCESSING = Preprocessing(20, 20, (127.0, 120.0, 110.0), (60.0, 61.0, 62.0), channels="bgr")


def every_layer():
    x = image = layers.image_input(20)
    x = layers.conv(x, 8, 3, 2, 1, name="conv1")
    x = layers.lrn(x, k=1.5, n=3, alpha=0.1, beta=0.5, name="norm1")
    x = layers.conv(x, 8, 3, 1, 1, groups=2, bias=False, relu=False, name="conv2")
    x = layers.relu(layers.batch_norm(x, name="bn"), name="relu")
    x = layers.add(layers.max_pool(x, 3, 1, 1, name="pool1"), x, name="add")
    x = layers.concat([x, layers.padded_identity(x, 12, 1, name="identity")], name="concat")
    x = layers.group_norm(layers.max_pool(x, 3, 2, padding=1, name="pool2"), 4, name="groups")
    x = layers.avg_pool(layers.max_pool(x, 2, 2, ceil=True, name="pool3"), 2, 1, name="pool4")
    x = layers.dropout(layers.fc(layers.flatten(x, name="flat"), 16, name="fc1"), 0.3, name="drop")
    model = layers.network(image, layers.logits(x, 5, name="fc2"), name="every")
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.5, variable.shape))
    model.get_layer("bn").moving_variance.assign(random.uniform(0.5, 2.0, 8))
    return batch_norm_folding.fold(model)


@pytest.fixture(params=[False, True], ids=["made on a CPU", "made on a GPU"])
def answers(request, monkeypatch):
    """The network, 16 crops and their probabilities; on a GPU other operations are traced."""
    monkeypatch.setattr(machine, "gpu_visible", lambda: request.param)
    model = every_layer()
    crops = np.random.default_rng(1).integers(0, 256, (16, 20, 20, 3)).astype(np.float32)
    wanted = export.probabilities(model, PREPROCESSING)(crops).numpy()
    assert wanted.std(0).max() > 0.05  # the crops are told apart
    return model, crops, wanted


def test_every_layer_in_onnx(answers):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    model, crops, wanted = answers
    session = runtime.InferenceSession(export.to_onnx(model, PREPROCESSING), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": crops})
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(("whole", "tolerance"), [(False, 1e-4), (True, 0.15)])
def test_every_layer_in_tflite(answers, whole, tolerance):
    model, crops, wanted = answers
    calibration = [crop[None] for crop in crops] if whole else None
    interpreter = tf.lite.Interpreter(model_content=export.to_tflite(model, PREPROCESSING, calibration))
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for crop in crops:
        interpreter.set_tensor(given["index"], crop[None].astype(given["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(answer["index"])[0])
    np.testing.assert_allclose(found, wanted, atol=tolerance)
    assert np.corrcoef(np.ravel(found), wanted.ravel())[0, 1] > 0.98
