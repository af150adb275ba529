import re
from functools import partial

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


def overhanging(x, reduce, size=3, stride=2):
    """Caffe's pool: sizes are rounded up, the last window may be smaller."""
    places = [range(0, -(-(side - size) // stride) * stride + 1, stride) for side in x.shape[2:]]
    rows = [[reduce(x[:, :, i : i + size, j : j + size], axis=(2, 3)) for j in places[1]] for i in places[0]]
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


# The authors' prototxts: conv1 and conv2 (filters, channels, window, stride, padding); their pools and the last one's
# (window, stride); maps of conv3, 4, 5; whether LRN follows conv2 as it does conv1.
VGG_CNN = {
    "cnn_f": ((64, 3, 11, 4, 0), (256, 64, 5, 1, 2), ((3, 2), (3, 2), (3, 2)), 256, True),
    "cnn_m": ((96, 3, 7, 2, 0), (256, 96, 5, 2, 1), ((3, 2), (3, 2), (3, 2)), 512, True),
    "cnn_s": ((96, 3, 7, 2, 0), (256, 96, 5, 1, 0), ((3, 3), (2, 2), (3, 3)), 512, False),
}


def vgg_cnn_blobs(arch, side, classes=5):
    maker, (first, second, _, maps, _) = foreign.Maker(), VGG_CNN[arch]
    for name, out, into, size in (
        ("conv1", *first[:3]),
        ("conv2", *second[:3]),
        ("conv3", maps, 256, 3),
        ("conv4", maps, maps, 3),
        ("conv5", maps, maps, 3),
    ):
        maker.conv(name, out, into, size, bias=True)
    for name, out, into in (("fc6", 4096, maps * side * side), ("fc7", 4096, 4096), ("fc8", classes, 4096)):
        maker.linear(name, out, into)
    names = {name.split(".")[0] for name in maker.state}
    return {name: [maker.state[f"{name}.weight"], maker.state[f"{name}.bias"]] for name in sorted(names)}


def vgg_cnn(blobs, arch, x):
    first, second, pools, _, norm2 = VGG_CNN[arch]
    lrn = partial(foreign.caffe_lrn, alpha=5e-4, k=2.0)
    x = overhanging(lrn(foreign.relu(foreign.conv(x, *blobs["conv1"], *first[3:]))), np.max, *pools[0])
    x = foreign.relu(foreign.conv(x, *blobs["conv2"], *second[3:]))
    x = overhanging(lrn(x) if norm2 else x, np.max, *pools[1])
    for name in ("conv3", "conv4", "conv5"):
        x = foreign.relu(foreign.conv(x, *blobs[name], 1, 1))
    x = overhanging(x, np.max, *pools[2])
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7", "fc8"):
        x = x @ blobs[name][0].T + blobs[name][1]
        x = x if name == "fc8" else foreign.relu(x)
    return x


@pytest.mark.parametrize(("arch", "size"), [("cnn_f", 87), ("cnn_m", 89), ("cnn_s", 91)])
def test_caffes_cnn_f_m_and_s_are_their_numpy_forward_in_either_layout(arch, size):
    blobs = vgg_cnn_blobs(arch, side=2)
    images = 40 * pictures(size)
    wanted = vgg_cnn(blobs, arch, images.transpose(0, 3, 1, 2).astype(np.float64))
    arrays = {f"{name}/{i}": part for name, parts in blobs.items() for i, part in enumerate(parts)}
    turned = {f"{n}/{i}": part for n, parts in foreign.to_tensorflow(blobs).items() for i, part in enumerate(parts)}
    for each in (arrays, turned):
        ours, found = filled(each, size, arch)
        assert arch in found.archs
        assert found.undecided == (arch != "cnn_f")
        assert_same(ours(images).numpy(), wanted)
    assert found.preprocessing == {"mean": (122.6789, 116.6688, 104.0070), "channels": "bgr"}


def test_weights_of_cnn_m_or_s_need_a_name():
    np.save("file.npy", vgg_cnn_blobs("cnn_s", side=1), allow_pickle=True)
    with pytest.raises(UserError, match="fits cnn_m and cnn_s alike; give --arch") as caught:
        import_weights.read("file.npy", None)
    assert "\n" not in str(caught.value)
    assert import_weights.read("file.npy", "cnn_s").config.arch == "cnn_s"


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
