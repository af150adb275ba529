import re

import keras
import numpy as np
import pytest

from cli import import_weights, weight_names
from common.errors import UserError
from common.runs import config as runs
from common.weights import weight_files
from importing import applications, assert_same, filled, loaded, pictures

TORCHVISION = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "size", "file"),
    [
        pytest.param("DenseNet121", 40, "a.weights.h5", marks=pytest.mark.slow),
        pytest.param("DenseNet169", 33, "a.keras", marks=pytest.mark.slow),
        pytest.param("DenseNet201", 33, "a.weights.h5", marks=pytest.mark.slow),
    ],
)
def test_keras_densenets_give_the_same_here(name, size, file):
    theirs = applications(name, size)
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(file)
    ours, found = filled(weight_files.read(file), size)
    assert found.archs == (name.lower(),)
    assert found.preprocessing["mean"] == pytest.approx(TORCHVISION["mean"])
    assert found.preprocessing["std"] == pytest.approx(TORCHVISION["std"])
    images = pictures(size)
    assert_same(ours(images).numpy(), theirs(images).numpy())


@pytest.mark.parametrize(
    ("alpha", "arch", "file"),
    [
        (0.25, "mobilenet_025", "a.weights.h5"),
        pytest.param(1.0, "mobilenet", "a.keras", marks=pytest.mark.slow),
        pytest.param(0.75, "mobilenet_075", "a.weights.h5", marks=pytest.mark.slow),
    ],
)
def test_keras_mobilenets_give_the_same_here(alpha, arch, file):
    theirs = applications("MobileNet", 64, alpha=alpha)
    random = np.random.default_rng(2)
    for layer in theirs.layers:  # Glorot's initial weights would shrink the maps to nothing
        if hasattr(layer, "kernel"):
            shape = layer.kernel.shape
            inputs = 9 if "_dw_" in layer.name else np.prod(shape[:-1])
            layer.kernel.assign(random.normal(0, (2 / inputs) ** 0.5, shape))
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(file)
    ours, config = loaded(file)
    assert (config.arch, config.options["activation"], len(config.classes)) == (arch, "relu6", 5)
    assert (config.preprocessing["mean"], config.preprocessing["std"]) == ((127.5,) * 3, (127.5,) * 3)
    assert (config.preprocessing["channels"], config.image_size) == ("rgb", 224)
    images = 2 * pictures(64)
    activations = keras.Model(theirs.input, theirs.get_layer("conv_pw_2_relu").output)(images)
    assert (activations.numpy() == 6).any()  # both ends of ReLU6 are met
    assert_same(filled(weight_files.read(file), 64)[0](images).numpy(), theirs(images).numpy())
    assert ours.input.shape == (None, 224, 224, 3)


def test_keras_imagenet_is_fetched_with_its_width(monkeypatch):
    def fetched(weights, **arguments):
        asked.append((weights, arguments))
        return make(weights=None, input_shape=(32, 32, 3), classes=6, **arguments)

    asked, make = [], keras.applications.MobileNet
    monkeypatch.setattr(keras.applications, "MobileNet", fetched)
    config = runs.read(import_weights.import_run("keras:imagenet", "mobilenet_050"))
    assert asked == [("imagenet", {"alpha": 0.5})]
    assert (config.arch, len(config.classes)) == ("mobilenet_050", 6)


@pytest.mark.parametrize(("version", "size"), [("1_0", 61), ("1_1", 61), ("1_1", 64)])
def test_torchvisions_squeezenets_give_the_same_here(version, size):
    networks = pytest.importorskip("torchvision_networks")
    networks.torch.manual_seed(0)
    theirs = networks.SqueezeNet(version)
    np.savez("file.npz", **networks.of_consequence(theirs))
    images = 3 * pictures(size)
    ours, found = filled(weight_files.read("file.npz"), size)
    assert found.archs == (f"squeezenet{version}",)
    assert found.preprocessing["std"] == pytest.approx(TORCHVISION["std"])
    assert_same(ours(images).numpy(), networks.logits(theirs, images))


@pytest.mark.parametrize(
    ("depth", "growth", "blocks"),
    [
        pytest.param(121, 32, (6, 12, 24, 16), marks=pytest.mark.slow),
        pytest.param(161, 48, (6, 12, 36, 24), marks=pytest.mark.slow),
        pytest.param(169, 32, (6, 12, 32, 32), marks=pytest.mark.slow),
        pytest.param(201, 32, (6, 12, 48, 32), marks=pytest.mark.slow),
    ],
)
def test_torchvisions_densenets_give_the_same_here(depth, growth, blocks):
    networks = pytest.importorskip("torchvision_networks")
    networks.torch.manual_seed(0)
    theirs = networks.DenseNet(growth, blocks)
    state = networks.of_consequence(theirs)
    if depth == 121:  # the names of torchvision's own file, of 2017
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): v for name, v in state.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    np.savez("file.npz", **state)
    images = pictures(33)
    ours, found = filled(weight_files.read("file.npz"), 33)
    assert found.archs == (f"densenet{depth}",)
    assert_same(ours(images).numpy(), networks.logits(theirs, images))


FOUR = np.zeros((3, 3, 3, 5))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"features.3.squeeze.weight": FOUR}, "a SqueezeNet of 1 Fire modules, which is neither"),
        ({f"features.{i}.squeeze.weight": FOUR for i in (3, 4, 5, 7, 8, 9, 10, 12)}, r"no classifier \(classifier.1"),
        ({"features.denseblock1.denselayer1.conv2.weight": FOUR}, r"a DenseNet of growth 3 and blocks \(1,\)"),
        ({"features.denseblock1.denselayer1.conv.2.weight": np.zeros(3)}, r"a DenseNet of growth 0 and blocks \(1,\)"),
        ({"pool2_conv/0": FOUR}, r"a DenseNet of growth 0 and blocks \(\)"),
        ({"conv_dw_1/0": FOUR, "conv1/0": FOUR}, "a MobileNet whose first layer has 5 channels"),
        ({"conv_dw_1/0": FOUR, "conv1/0": np.zeros((3, 3, 3, 32))}, r"no classifier \(conv_preds/0, four axes\)"),
        ({"cccp1/0": FOUR, "conv1/0": FOUR}, r"no classifier \(cccp6/0, four axes\)"),
        (
            {"conv1/0": np.zeros((64, 3, 11, 11)), "conv3/0": np.zeros((256, 256, 3, 3)), "fc6/0": FOUR},
            r"no classifier \(fc8/0, two axes\)",
        ),
        (
            {"features.0.weight": FOUR, "features.1.running_mean": FOUR[0, 0, 0], "classifier.6.weight": FOUR},
            "a VGG of 1 convolutions, which is none of vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn",
        ),
    ],
)
def test_what_is_not_here_is_one_line(arrays, said):
    with pytest.raises(UserError, match=said) as caught:
        weight_names.recognise(arrays, "file.npz")
    assert str(caught.value).startswith("file.npz: ")
    assert "\n" not in str(caught.value)


def test_every_wrong_shape_and_name_is_listed():
    theirs = applications("MobileNet", 32, alpha=0.25)
    theirs.save_weights("a.weights.h5")
    arrays = weight_files.read("a.weights.h5")
    arrays["conv_dw_2/0"] = arrays["conv_dw_2/0"].transpose(0, 1, 3, 2)
    arrays["conv_preds/0"] = np.zeros((1, 1, 9, 5), np.float32)
    del arrays["conv_pw_1_bn/2"]
    with pytest.raises(UserError) as caught:
        filled(arrays, 32)
    for said in (
        "conv_dw_2/0 is (3, 3, 1, 16) where conv_dw_2/depthwise_kernel needs (3, 3, 16, 1)",
        "conv_preds/0 is (9, 5) where fc/kernel needs (256, 5)",
        "conv_pw_1_bn/2 is missing",
    ):
        assert said in str(caught.value)
    assert str(caught.value).count(";") == 2
