import hashlib
import io
import json
import lzma
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

import foreign
import tiny
import train
from cli import flags, import_weights, plan, setup, weight_names
from common.errors import UserError
from common.runs import config as runs
from common.weights import weight_files
from data import prepare
from importing import applications, assert_same, filled, loaded, pictures


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("arch", "blocks", "bottleneck"), [("resnet18", (2, 2, 2, 2), False), ("resnet50", (3, 4, 6, 3), True)]
)
def test_torchvisions_resnets_are_their_numpy_forward(arch, blocks, bottleneck):
    state = foreign.resnet_state(blocks, bottleneck)
    model, found = filled(state, size=33)
    assert found.archs == (arch,)
    images = pictures(33)
    assert_same(model(images).numpy(), foreign.resnet(state, images.transpose(0, 3, 1, 2).astype(np.float64)))


@pytest.mark.parametrize("depth", [34, 101, 152])
def test_the_other_resnets_are_told_apart(depth):
    kind, blocks = {
        34: ("basic", (3, 4, 6, 3)),
        101: ("bottleneck", (3, 4, 23, 3)),
        152: ("bottleneck", (3, 8, 36, 3)),
    }[depth]
    arrays = {"layer2.0.downsample.0.weight": np.zeros(1), "fc.weight": np.zeros((9, 4))}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            for number in (1, 2, 3) if kind == "bottleneck" else (1, 2):
                arrays[f"layer{stage}.{block}.conv{number}.weight"] = np.zeros((64, 64, 1, 1))
    assert weight_names.recognise(arrays, "here").archs == (f"resnet{depth}",)


def test_a_cifar_resnet_of_either_shortcut_and_with_a_wrappers_prefix():
    images = pictures(32)
    turned = images.transpose(0, 3, 1, 2).astype(np.float64)
    for projections, options in ((False, "A"), (True, "B")):
        state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=projections, head="linear")
        np.savez("file.npz", **{f"module.{name}": value for name, value in state.items()})
        model, config = loaded("file.npz")
        assert (config.arch, config.options["shortcut"]) == ("resnet20", options)
        assert_same(model(images).numpy(), foreign.resnet(state, turned, "linear"))


def test_torchvisions_vgg_is_its_numpy_forward():
    state = foreign.vgg_state()
    model, found = filled(state)
    assert (found.archs, found.image_size, found.classes) == (("vgg11",), 64, 5)
    images = pictures(64)
    assert_same(model(images).numpy(), foreign.vgg(state, images.transpose(0, 3, 1, 2)))


def test_caffes_alexnet_is_its_numpy_forward_in_either_layout():
    blobs = foreign.alexnet_blobs()
    np.save("bvlc.npy", blobs, allow_pickle=True)
    model, config = loaded("bvlc.npy")
    assert (config.arch, config.options["lrn"], config.image_size) == ("alexnet_two_towers", "caffe", 99)
    assert config.preprocessing["channels"] == "bgr"
    images = 40 * pictures(99)
    assert_same(model(images).numpy(), foreign.alexnet(blobs, images.transpose(0, 3, 1, 2).astype(np.float64)))
    turned = {f"{name}/{i}": v for name, parts in foreign.to_tensorflow(blobs).items() for i, v in enumerate(parts)}
    for one, other in zip(model.layers, filled(turned)[0].layers, strict=True):
        for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
            if not hasattr(one, "seed_generator"):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("name", "size", "file"),
    [
        ("VGG16", 64, "a.weights.h5"),
        ("ResNet50", 40, "a.keras"),
        pytest.param("VGG19", 64, "a.keras", marks=pytest.mark.slow),
        pytest.param("ResNet50", 40, "a.weights.h5", marks=pytest.mark.slow),
        pytest.param("ResNet101", 40, "a.weights.h5", marks=pytest.mark.slow),
        pytest.param("ResNet152", 40, "a.keras", marks=pytest.mark.slow),
    ],
)
def test_keras_applications_give_the_same_here(name, size, file):
    theirs = applications(name, size)
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(file)
    ours, found = filled(weight_files.read(file), size)
    assert found.archs == (name.lower(),)
    assert found.preprocessing == {
        "mean": (123.68, 116.779, 103.939),
        "channels": "bgr",
        "interpolation": "opencv_bicubic",
    }
    images = 50 * pictures(size)
    assert_same(ours(images).numpy(), theirs(images).numpy())


@pytest.mark.slow
def test_keras_imagenet_is_fetched_once(monkeypatch, capsys):
    asked = []

    def fetched(weights):
        asked.append(weights)
        return applications_resnet50(weights=None, input_shape=(32, 32, 3), classes=6)

    applications_resnet50 = keras.applications.ResNet50
    monkeypatch.setattr(keras.applications, "ResNet50", fetched)
    run = import_weights.import_run("keras:imagenet", "resnet50")
    assert import_weights.import_run("keras:imagenet", "resnet50") == run
    assert asked == ["imagenet"]
    config = runs.read(run)
    assert (config.arch, len(config.classes), config.options["stride_in"]) == ("resnet50", 6, "1x1")
    assert config.preprocessing["channels"] == "bgr"
    assert capsys.readouterr().out.count("imported as") == 1


def test_what_cannot_be_fetched_is_one_clear_error(monkeypatch):
    def offline(weights):
        raise Exception("URL fetch failure on https://...:\n no network")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    for path, arch, said in (
        ("keras:imagenet", "vgg16", "could not fetch vgg16"),
        ("keras:imagenet", "vgg11", "give --arch, one of vgg16"),
        ("keras:coco", "vgg16", "no such weights"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            import_weights.import_run(path, arch)
        assert "\n" not in str(caught.value)
    assert not Path("ckpt").exists()


def test_every_name_and_shape_that_does_not_fit_is_listed():
    state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=False)
    state["layer1.0.conv1.weight"] = np.zeros((16, 16, 5, 5), np.float32)
    state["layer2.1.bn2.running_var"] = np.zeros(7, np.float32)
    state["layer3.2.conv2.weight"][0, 0, 0, 0] = np.nan
    state["bn1.bias"] = np.arange(16)
    del state["layer3.0.bn1.weight"]
    state["extra.weight"] = np.zeros(3, np.float32)
    np.savez("odd.npz", **state)
    with pytest.raises(UserError) as caught:
        import_weights.import_run("odd.npz", None)
    message = str(caught.value)
    for said in (
        "layer1.0.conv1.weight is (16, 16, 5, 5) where conv2_1_conv1/kernel needs (16, 16, 3, 3)",
        "layer2.1.bn2.running_var is (7,) where conv3_2_conv2_bn/moving_variance needs (32,)",
        "layer3.2.conv2.weight has values that are not finite",
        "bn1.bias is int64, not floating point",
        "layer3.0.bn1.weight is missing (conv4_1_conv1_bn/gamma (64,))",
        "extra.weight (3,) has no place in the network",
    ):
        assert said in message
    assert message.count(";") == 5
    assert "\n" not in message
    assert not Path("ckpt").exists()


def test_hdf5_with_wrong_shapes():
    with h5py.File("wrong.h5", "w") as file:
        for number, (layer, shape) in enumerate({"conv1_conv": (7, 7, 3, 64), "predictions": (2048, 9)}.items()):
            group = file.create_group(f"layers/layer_{number}/vars")
            group.attrs["name"] = layer
            group["0"], group["1"] = np.zeros(shape), np.zeros(5)
    with pytest.raises(UserError, match=r"blocks \(\), which is not in Table 1"):
        import_weights.import_run("wrong.h5", None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["encoder.weight"], "holds no network of these: its names (encoder.weight ...)"),
        (
            ["features.0.weight", "features.1.running_mean", "classifier.6.weight"],
            "a VGG of 0 convolutions, which is none of vgg11_bn",
        ),
        (["conv1_conv/0", "conv2_block1_preact_bn/0"], "a ResNetV2 of blocks (1,)"),
        (["layer1.0.conv1.weight", "layer2.0.conv1.weight"], "blocks (1, 1), which is not in Table 1"),
        (["block1_conv1/0", "block1_conv2/0"], "a VGG of 2 convolutions"),
    ],
)
def test_networks_that_are_not_here(names, said):
    with pytest.raises(UserError) as caught:
        weight_names.recognise({name: np.zeros((3, 3)) for name in names}, "file.npz")
    assert str(caught.value).startswith("file.npz: ")
    assert said in str(caught.value)


@pytest.fixture
def cifar_file():
    state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=False, classes=10)
    np.savez("resnet.npz", **state)
    return state


@pytest.mark.slow
def test_a_weight_file_is_tested_like_a_run(cifar_file, capsys):
    arguments = ("--mode", "test", "--arch", "resnet20", "--restore", "resnet.npz")
    with pytest.raises(SystemExit) as caught:
        train.main("resnet34", list(arguments))
    assert caught.value.code == 2
    assert "--dataset is needed" in capsys.readouterr().err

    train.main("resnet34", [*arguments[:2], *arguments[4:], "--dataset", "digits"])
    (run,) = Path("ckpt/imported").glob("resnet20-resnet-*")
    results = json.loads((run / "results-digits.json").read_text())
    split = setup.open_data("digits", 0).splits["test"]
    pixels, labels = [], []
    for encoded, label, _ in split.serialized(None).map(split.parse).as_numpy_iterator():
        picture = Image.open(io.BytesIO(encoded)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
        pixels.append(np.asarray(picture, np.float64) / 255)
        labels.append(label)
    x = (np.stack(pixels) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    scores = foreign.resnet(cifar_file, x.transpose(0, 3, 1, 2))
    assert results["images"] == 360
    assert results["top1"] == pytest.approx(np.mean(scores.argmax(1) == labels))
    scores -= scores.max(1, keepdims=True)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(360), labels]
    assert results["loss"] == pytest.approx(losses.mean(), rel=1e-4)


def test_a_file_for_other_classes_is_said_to_be_so(capsys):
    state = foreign.resnet_state((3, 3, 3), stem=3, widths=(16, 32, 64), projections=False, classes=7)
    np.savez("seven.npz", **state)
    with pytest.raises(SystemExit):
        train.main("resnet34", ["--mode", "test", "--restore", "seven.npz", "--dataset", "digits"])
    error = capsys.readouterr().err
    assert "10 classes" in error
    assert "are for 7" in error


def started(*more):
    """The configuration of a training that starts from the weight file."""
    return plan.make(flags.parse(["--mode", "train", "--restore", "resnet.npz", *more]), "resnet34").config


def test_training_on_brings_the_preprocessing_along(cifar_file):
    config = started()
    assert config.arch == "resnet20"  # as in the file: --arch is not given
    assert config.preprocessing["mean"] == pytest.approx((123.675, 116.28, 103.53))
    assert config.preprocessing["std"] == pytest.approx((58.395, 57.12, 57.375))
    assert config.preprocessing["interpolation"] == "lab"  # as the training pictures
    assert config.imported is None
    assert config.started_from == {
        "path": os.path.abspath("resnet.npz"),
        "sha256": hashlib.sha256(Path("resnet.npz").read_bytes()).hexdigest(),
    }
    own = started("--arch", "resnet20", "--mean", "channel").preprocessing
    assert own["mean"] == tuple(setup.open_data("digits", 0).info.mean)
    assert own["std"] == pytest.approx((58.395, 57.12, 57.375))
    assert not Path("ckpt").exists()  # what is only looked at is not written


REAL = os.environ.get("REAL_DATA_DIR")


@pytest.mark.slow
@pytest.mark.skipif(not REAL or not Path(REAL, "resnet20-cifar10.npz").exists(), reason="REAL_DATA_DIR is not set")
def test_the_published_resnet20_reaches_its_accuracy_on_cifar10():
    with lzma.open(Path(REAL, "cifar10.npz.xz")) as packed, np.load(io.BytesIO(packed.read())) as arrays:
        few = slice(0, None, 500)
        chosen = {"x_train": arrays["x_train"][few], "y_train": arrays["y_train"][few]}
        np.savez("cifar10.npz", **chosen, **{name: arrays[name] for name in ("x_test", "y_test", "classes")})
    assert prepare.main(["--source", "cifar10.npz", "--out", "cifar10", "--workers", "0"]) == 0
    file = str(Path(REAL, "resnet20-cifar10.npz"))
    train.main("resnet34", ["--mode", "test", "--restore", file, "--dataset", "cifar10"])
    (run,) = Path("ckpt/imported").glob("resnet20-*")
    results = json.loads((run / "results-cifar10.json").read_text())
    assert results["images"] == 10_000
    assert results["top1"] == pytest.approx(0.9173, abs=0.0005)
