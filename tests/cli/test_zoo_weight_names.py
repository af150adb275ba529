import re

import keras
import numpy as np
import pytest

import foreign
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
        ("DenseNet121", 40, "a.weights.h5"),
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
    [(0.25, "mobilenet_025", "a.weights.h5"), (1.0, "mobilenet", "a.keras"), (0.75, "mobilenet_075", "a.weights.h5")],
)
def test_keras_mobilenets_give_the_same_here(alpha, arch, file):
    theirs = applications("MobileNet", 64, alpha=alpha)
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(file)
    ours, config = loaded(file)
    assert (config.arch, config.options["activation"], len(config.classes)) == (arch, "relu6", 5)
    assert (config.preprocessing["mean"], config.preprocessing["std"]) == ((127.5,) * 3, (127.5,) * 3)
    assert (config.preprocessing["channels"], config.image_size) == ("rgb", 224)
    images = 40 * pictures(64)
    activations = keras.Model(theirs.input, theirs.get_layer("conv_pw_3_relu").output)(images)
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
        (121, 32, (6, 12, 24, 16)),
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


# The author's Caffe files: filters, channels, window, stride, padding.
NIN = {
    "conv1": (96, 3, 11, 4, 0),
    "cccp1": (96, 96, 1, 1, 0),
    "cccp2": (96, 96, 1, 1, 0),
    "conv2": (256, 96, 5, 1, 2),
    "cccp3": (256, 256, 1, 1, 0),
    "cccp4": (256, 256, 1, 1, 0),
    "conv3": (384, 256, 3, 1, 1),
    "cccp5": (384, 384, 1, 1, 0),
    "cccp6": (384, 384, 1, 1, 0),
    "conv4-1024": (1024, 384, 3, 1, 1),
    "cccp7-1024": (1024, 1024, 1, 1, 0),
    "cccp8-1024": (5, 1024, 1, 1, 0),
}
NIN_CIFAR = {
    "conv1": (192, 3, 5, 1, 2),
    "cccp1": (160, 192, 1, 1, 0),
    "cccp2": (96, 160, 1, 1, 0),
    "conv2": (192, 96, 5, 1, 2),
    "cccp3": (192, 192, 1, 1, 0),
    "cccp4": (192, 192, 1, 1, 0),
    "conv3": (192, 192, 3, 1, 1),
    "cccp5": (192, 192, 1, 1, 0),
    "cccp6": (5, 192, 1, 1, 0),
}


def nin_blobs(table):
    maker = foreign.Maker()
    for name, (out, into, size, *_) in table.items():
        maker.conv(name, out, into, size, bias=True)
    return {name: [maker.state[f"{name}.weight"], maker.state[f"{name}.bias"]] for name in table}


def overhanging(x, reduce):
    """Caffe's pool of 3 by 2: sizes are rounded up, the last window may be smaller."""
    places = [range(0, -(-(side - 3) // 2) * 2 + 1, 2) for side in x.shape[2:]]
    rows = [[reduce(x[:, :, i : i + 3, j : j + 3], axis=(2, 3)) for j in places[1]] for i in places[0]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def nin(blobs, table, x, pools):
    for name, (*_, stride, pad) in table.items():
        x = foreign.relu(foreign.conv(x, *blobs[name], stride, pad))
        if name in pools:
            x = overhanging(x, pools[name])
    return x.mean((2, 3))


@pytest.mark.parametrize("imagenet", [True, False])
def test_caffes_nin_is_its_numpy_forward_in_either_layout(imagenet):
    table, size = (NIN, 99) if imagenet else (NIN_CIFAR, 14)
    pools = {"cccp2": np.max, "cccp4": np.max, "cccp6": np.max} if imagenet else {"cccp2": np.max, "cccp4": np.mean}
    blobs = nin_blobs(table)
    np.save("nin.npy", blobs, allow_pickle=True)
    _, config = loaded("nin.npy")
    assert config.arch == ("nin" if imagenet else "nin_cifar")
    assert config.preprocessing["channels"] == ("bgr" if imagenet else "rgb")
    if imagenet:
        assert (config.image_size, config.preprocessing["resize"]) == (224, 256)
        assert config.preprocessing["mean"] == (122.6789, 116.6688, 104.0070)
    else:
        assert config.options["pool2"] == "average"
    images = 2 * pictures(size)
    wanted = nin(blobs, table, images.transpose(0, 3, 1, 2).astype(np.float64), pools)
    ours, _ = filled(weight_files.read("nin.npy"), size)
    assert_same(ours(images).numpy(), wanted)
    turned = {f"{name}/0": weights.transpose(2, 3, 1, 0) for name, (weights, _) in blobs.items()}
    turned |= {f"{name}/1": bias for name, (_, bias) in blobs.items()}
    assert_same(filled(turned, size)[0](images).numpy(), wanted)


def test_whitened_inputs_are_said_to_be_missing(capsys):
    np.save("nin.npy", nin_blobs(NIN_CIFAR), allow_pickle=True)
    import_weights.import_run("nin.npy", None)
    assert "whitened, which are not made here" in capsys.readouterr().out


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
