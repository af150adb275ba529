import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tiny
import train
from cli import import_weights, weight_names
from common.errors import UserError
from common.runs import config as runs
from common.weights import weight_files
from importing import applications, assert_same, filled, pictures

CENTRED = {"mean": (127.5,) * 3, "std": (127.5,) * 3}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arch", "size", "file"),
    [
        ("ResNet50V2", "resnet50v2", 40, "a.weights.h5"),
        ("InceptionV3", "inception_v3", 75, "a.weights.h5"),
        pytest.param("ResNet50V2", "resnet50v2", 65, "a.keras", marks=pytest.mark.slow),
        pytest.param("ResNet101V2", "resnet101v2", 40, "a.keras", marks=pytest.mark.slow),
        pytest.param("ResNet152V2", "resnet152v2", 40, "a.weights.h5", marks=pytest.mark.slow),
        pytest.param("InceptionV3", "inception_v3", 107, "a.keras", marks=pytest.mark.slow),
    ],
)
def test_keras_applications_give_the_same_here(name, arch, size, file):
    theirs = applications(name, size)
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(file)
    ours, found = filled(weight_files.read(file), size)
    assert found.archs == (arch,)
    assert found.preprocessing == CENTRED | {"interpolation": "opencv_bicubic"}
    images = pictures(size)
    assert_same(ours(images).numpy(), theirs(images).numpy())


def test_the_input_of_keras_applications_is_centred():
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.float32)
    for module in (keras.applications.resnet_v2, keras.applications.inception_v3):
        wanted = module.preprocess_input(picture.copy())
        np.testing.assert_allclose((picture - 127.5) / 127.5, wanted, atol=1e-6)


def compared(networks, model, arch, size, options):
    networks.randomised(model)
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    ours, found = filled(arrays, size)
    assert found.archs == (arch,)
    assert found.options == options
    images = pictures(size)
    assert_same(ours(images).numpy(), networks.logits(model, images))
    return found


DEEP = (3, 4, 23, 3)


@pytest.mark.parametrize(
    ("arch", "blocks", "width", "groups"),
    [
        ("resnext50_32x4d", (3, 4, 6, 3), 4, 32),
        pytest.param("wide_resnet50_2", (3, 4, 6, 3), 128, 1, marks=pytest.mark.slow),
        pytest.param("resnext101_32x8d", DEEP, 8, 32, marks=pytest.mark.slow),
        pytest.param("resnext101_64x4d", DEEP, 4, 64, marks=pytest.mark.slow),
        pytest.param("wide_resnet101_2", DEEP, 128, 1, marks=pytest.mark.slow),
    ],
)
def test_torchvisions_wider_resnets_give_the_same_here(arch, blocks, width, groups):
    networks = pytest.importorskip("torchvision_networks")
    found = compared(networks, networks.ResNet(blocks, width, groups), arch, 33, {})
    assert found.preprocessing["mean"] == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.slow
@pytest.mark.parametrize("aux", [True, False])
def test_torchvisions_inception_gives_the_same_here(aux):
    networks = pytest.importorskip("torchvision_networks")
    found = compared(networks, networks.Inception(aux), "inception_v3", 80, {"count_padding": True})
    assert found.preprocessing == CENTRED | {"interpolation": "pil_bilinear"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"conv2_block1_preact_bn/0": (64,)}, "a ResNetV2 of blocks (1,), which is none of resnet50v2"),
        ({"Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1)}, "has no classifier (fc.weight, two axes)"),
        ({"conv2d/0": (3, 3, 3, 32), "batch_normalization/0": (32,)}, "holds no network of these"),
    ],
)
def test_what_is_none_of_them_is_refused_in_one_line(names, said):
    with pytest.raises(UserError) as caught:
        weight_names.recognise({name: np.zeros(shape) for name, shape in names.items()}, "file.npz")
    assert str(caught.value).startswith("file.npz: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_resnext_of_no_known_width_is_refused():
    counts = {1: 3, 2: 4, 3: 6, 4: 3}
    names = [f"layer{stage}.{block}.conv3.weight" for stage, count in counts.items() for block in range(count)]
    arrays = dict.fromkeys(names, np.zeros(1))
    arrays |= {"layer1.0.conv1.weight": np.zeros(1), "layer1.0.conv2.weight": np.zeros((96, 3, 3, 3))}
    with pytest.raises(UserError, match=r"a ResNet of depth 50 with a first 3x3 of \(96, 3\)"):
        weight_names.recognise(arrays, "file.npz")


@pytest.mark.slow
def test_one_image_by_inception_v3_at_299_pixels(monkeypatch, capsys):
    """`--restore keras:imagenet`, with random weights in place of those that would be fetched."""
    theirs = keras.applications.InceptionV3(weights=None, classes=10, classifier_activation=None)
    random = np.random.default_rng(0)
    for variable in theirs.variables:
        if variable.path.endswith(("beta", "moving_mean")):
            variable.assign(random.normal(0, 0.1, variable.shape))
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda weights: theirs)
    picture = random.integers(0, 256, (299, 299, 3), dtype=np.uint8)
    Path("photo.png").write_bytes(tf.io.encode_png(picture).numpy())

    arguments = ["--mode", "predict", "--arch", "inception_v3", "--restore", "keras:imagenet", "--images", "photo.png"]
    train.main(None, [*arguments, "--predict_format", "json"])

    config = runs.read(import_weights.FOLDER / "inception_v3-keras-imagenet")
    assert (config.image_size, config.preprocessing["resize"]) == (299, 342)
    printed = capsys.readouterr().out
    (answer,) = json.loads(printed[printed.index("[\n") :])
    # The picture at short side 342, its centre, as the network sees it.
    larger = tf.image.resize(picture.astype(np.float32), (342, 342), antialias=True).numpy()
    seen = (larger[21:320, 21:320] - 127.5) / 127.5
    scores = tf.nn.softmax(theirs(seen[None])[0]).numpy()
    assert [one["label"] for one in answer["predictions"]] == list(np.argsort(-scores)[:5])
    found = [one["probability"] for one in answer["predictions"]]
    np.testing.assert_allclose(found, np.sort(scores)[::-1][:5], rtol=0, atol=1e-3)
