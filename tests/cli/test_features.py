"""The mode features on a small trained network, and what reads its files."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tiny
from benchmarks import linear_probe
from cli import features, registry, setup
from common.errors import UserError
from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import images, pipeline
from common.nn import graph_rewrite, layers
from common.runs import config as runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a run, `run`, and features of its test and training images."""
    root = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        tiny.start("run")
        tiny.run("--mode", "features", "--restore", "run", "--split", "test", "--layer", "conv2", "--out", "test")
        tiny.run("--mode", "features", "--restore", "run", "--split", "train", "--layer", "pool", "--out", "train")
    return root


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def inputs():
    """Network inputs (360, 16, 16, 3) and labels of the test split, in the stored order."""
    preprocessing = pipeline.Preprocessing(**runs.read(Path("run")).preprocessing)
    split = setup.open_data("digits", 0).splits["test"]
    pairs = [(e, int(label)) for e, label, _ in split.serialized(None).map(split.parse).as_numpy_iterator()]
    cut = [crops.views(images.decode(e), Protocol(), 16, (preprocessing.resize,))[0].numpy() for e, _ in pairs]
    return np.stack(cut) - np.float32(preprocessing.mean), np.array([label for _, label in pairs])


@pytest.mark.slow
def test_features_are_the_layers_values_averaged_over_the_map():
    model, config = tiny.trained()
    pictures, labels = inputs()
    with np.load("test/features.npz") as found:
        assert found["features"].dtype == np.float32
        np.testing.assert_array_equal(found["labels"], labels)
        assert list(found["classes"]) == list(config.classes)
        assert len(set(found["files"])) == 360
        maps = keras.Model(model.inputs, model.get_layer("conv2_relu").output)([pictures]).numpy()
        assert maps.shape == (360, 8, 8, 16)
        np.testing.assert_allclose(found["features"], maps.mean((1, 2)), atol=1e-5)
    assert not list(Path("test").glob(".*"))


def test_without_layer_it_is_the_classifiers_input(capsys):
    tiny.run("--mode", "features", "--restore", "run", "--out", "default")
    assert "64 values of flatten each" in capsys.readouterr().out  # before the dropout


@pytest.mark.parametrize(
    ("arch", "size", "wanted"),
    [("alexnet", 67, "fc7_relu"), ("googlenet", 79, "pool5"), ("resnet20", 8, "pool5"), ("resnet18", 32, "pool5")],
)
def test_the_classifiers_input_is_fc7_or_the_last_pool(arch, size, wanted):
    architecture = registry.find(arch)
    auxiliary = {"auxiliary": True} if architecture.auxiliary_weight else {}
    model = graph_rewrite.main_path(architecture.build(classes=3, image_size=size, **auxiliary))
    assert features.classifier_input(model).name == wanted


def test_the_classifiers_input_of_a_network_that_ends_in_a_pool():
    x = image = layers.image_input(8)
    x = layers.conv(layers.dropout(layers.conv(x, 4, 3, name="conv1"), 0.5, name="drop"), 3, 1, name="conv2")
    model = layers.network(image, layers.global_avg_pool(x, name="pool"), "small")
    assert features.classifier_input(model).name == "conv1_relu"


def test_a_layer_means_what_follows_it():
    model = registry.find("resnet20").build(classes=3, image_size=8)
    found = [features.find_layer(model, name).name for name in ("conv1", "conv2_1_conv2", "fc", "conv2_1", "pool")]
    assert found == ["conv1_relu", "conv2_1_conv2_bn", "fc", "conv2_1_relu", "pool5"]


def test_the_projector_finds_its_points():
    with np.load("test/features.npz") as found:
        values, labels, files = found["features"], found["labels"], found["files"]
    text = Path("test/projector_config.pbtxt").read_text()
    assert 'metadata_path: "projector.tsv"' in text
    reader = tf.train.load_checkpoint("test/projector.ckpt")
    name = next(line.split('"')[1] for line in text.splitlines() if "tensor_name" in line)
    np.testing.assert_array_equal(reader.get_tensor(name), values)
    lines = Path("test/projector.tsv").read_text().splitlines()
    assert lines[0] == "class\tfile"
    assert lines[1:] == [f"{label}\t{file}" for label, file in zip(labels, files, strict=True)]


def test_the_linear_probe_learns_from_features(capsys):
    tiny.run("--mode", "features", "--restore", "run", "--split", "test", "--layer", "pool", "--out", "pooled")
    capsys.readouterr()
    linear_probe.main(["train", "pooled", "--c", "0.1"])
    first, last = capsys.readouterr().out.splitlines()
    assert first == "16 values of 1,257 images, C 0.1"
    assert 0.5 < float(last.split()[3]) <= float(last.split()[5]) <= 1  # guessing: 0.1
    with pytest.raises(UserError, match="nowhere: no features here"):
        linear_probe.main(["train", "nowhere"])


@pytest.mark.parametrize("labels", [[0] * 20 + [1], [0, 0, 1, 1] * 4])
def test_a_linear_probe_of_too_few_images_wants_one_strength(labels):
    features = np.eye(2, dtype=np.float32)[labels]
    with pytest.raises(UserError, match="are too few to choose among several --c; give one"):
        linear_probe.fit(features, np.array(labels), [0.1, 1.0])
    model, strength = linear_probe.fit(features, np.array(labels), [1.0])
    assert strength == 1.0
    assert model.predict([[1, 0], [0, 1]]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--restore", "run", "--layer", "fc9"), "--layer: 'fc9' is not known; did you mean fc?"),
        ((), "--mode=features needs --restore"),
        (("--restore", "run", "--out", "run/config.json"), "--out=run/config.json: cannot be written (File exists)"),
    ],
)
def test_mistakes_are_said_in_one_line(capsys, arguments, said):
    capsys.readouterr()
    with pytest.raises(SystemExit):
        tiny.run("--mode", "features", *arguments)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
