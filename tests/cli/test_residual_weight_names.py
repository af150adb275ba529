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


def torch_bottlenecks(blocks, width, groups, classes=5):
    """torchvision's ResNet of bottlenecks with `groups` and a base width."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Bottleneck(nn.Module):
        def __init__(self, into, planes, stride):
            super().__init__()
            middle = planes * width // 64 * groups
            self.conv1, self.bn1 = nn.Conv2d(into, middle, 1, bias=False), nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=groups, bias=False)
            self.bn2 = nn.BatchNorm2d(middle)
            self.conv3, self.bn3 = nn.Conv2d(middle, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
            if stride != 1 or into != 4 * planes:
                project = nn.Conv2d(into, 4 * planes, 1, stride, bias=False)
                self.downsample = nn.Sequential(project, nn.BatchNorm2d(4 * planes))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
            return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1, into = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), 64
            for stage, count in enumerate(blocks):
                planes, made = 64 * 2**stage, []
                for number in range(count):
                    made.append(Bottleneck(into, planes, 2 if stage and not number else 1))
                    into = 4 * planes
                setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
            self.fc = nn.Linear(into, classes)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return torch_randomised(ResNet())


def torch_inception(aux=True, classes=5):
    """torchvision's Inception v3, evaluated without its head."""
    torch = pytest.importorskip("torch")
    nn, pool = torch.nn, torch.nn.functional.avg_pool2d

    class Conv(nn.Module):
        def __init__(self, into, out, size, stride=1, padding=0):
            super().__init__()
            self.conv = nn.Conv2d(into, out, size, stride, padding, bias=False)
            self.bn = nn.BatchNorm2d(out, eps=0.001)

        def forward(self, x):
            return torch.relu(self.bn(self.conv(x)))

    class Module(nn.Module):
        """Branches as lists of layers; a branch that ends in a pair of layers splits there."""

        def __init__(self, forward, **convolutions):
            super().__init__()
            for name, arguments in convolutions.items():
                setattr(self, f"branch{name}", Conv(*arguments))
            self._forward = forward

        def forward(self, x):
            run = lambda x, *names: run(getattr(self, f"branch{names[0]}")(x), *names[1:]) if names else x  # noqa: E731
            return torch.cat(self._forward(run, x), 1)

    def a(into, out):
        return Module(
            lambda run, x: [
                run(x, "1x1"),
                run(x, "5x5_1", "5x5_2"),
                run(x, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
                run(pool(x, 3, 1, 1), "_pool"),
            ],
            **{"1x1": (into, 64, 1), "5x5_1": (into, 48, 1), "5x5_2": (48, 64, 5, 1, 2), "3x3dbl_1": (into, 64, 1)},
            **{"3x3dbl_2": (64, 96, 3, 1, 1), "3x3dbl_3": (96, 96, 3, 1, 1), "_pool": (into, out, 1)},
        )

    def b():
        return Module(
            lambda run, x: [
                run(x, "3x3"),
                run(x, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
                nn.functional.max_pool2d(x, 3, 2),
            ],
            **{"3x3": (288, 384, 3, 2), "3x3dbl_1": (288, 64, 1), "3x3dbl_2": (64, 96, 3, 1, 1)},
            **{"3x3dbl_3": (96, 96, 3, 2)},
        )

    def c(w):
        row, column = {"padding": (0, 3), "size": (1, 7)}, {"padding": (3, 0), "size": (7, 1)}
        thin = lambda into, out, window: (into, out, window["size"], 1, window["padding"])  # noqa: E731
        return Module(
            lambda run, x: [
                run(x, "1x1"),
                run(x, "7x7_1", "7x7_2", "7x7_3"),
                run(x, *(f"7x7dbl_{number}" for number in range(1, 6))),
                run(pool(x, 3, 1, 1), "_pool"),
            ],
            **{"1x1": (768, 192, 1), "7x7_1": (768, w, 1), "7x7_2": thin(w, w, row), "7x7_3": thin(w, 192, column)},
            **{"7x7dbl_1": (768, w, 1), "7x7dbl_2": thin(w, w, column), "7x7dbl_3": thin(w, w, row)},
            **{"7x7dbl_4": thin(w, w, column), "7x7dbl_5": thin(w, 192, row), "_pool": (768, 192, 1)},
        )

    def d():
        return Module(
            lambda run, x: [
                run(x, "3x3_1", "3x3_2"),
                run(x, "7x7x3_1", "7x7x3_2", "7x7x3_3", "7x7x3_4"),
                nn.functional.max_pool2d(x, 3, 2),
            ],
            **{"3x3_1": (768, 192, 1), "3x3_2": (192, 320, 3, 2), "7x7x3_1": (768, 192, 1)},
            **{"7x7x3_2": (192, 192, (1, 7), 1, (0, 3)), "7x7x3_3": (192, 192, (7, 1), 1, (3, 0))},
            **{"7x7x3_4": (192, 192, 3, 2)},
        )

    def e(into):
        def forward(run, x):
            three, double = run(x, "3x3_1"), run(x, "3x3dbl_1", "3x3dbl_2")
            split = [run(three, "3x3_2a"), run(three, "3x3_2b"), run(double, "3x3dbl_3a"), run(double, "3x3dbl_3b")]
            return [run(x, "1x1"), *split, run(pool(x, 3, 1, 1), "_pool")]

        wide, high = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
        return Module(
            forward,
            **{"1x1": (into, 320, 1), "3x3_1": (into, 384, 1), "3x3_2a": (384, 384, *wide)},
            **{"3x3_2b": (384, 384, *high), "3x3dbl_1": (into, 448, 1), "3x3dbl_2": (448, 384, 3, 1, 1)},
            **{"3x3dbl_3a": (384, 384, *wide), "3x3dbl_3b": (384, 384, *high), "_pool": (into, 192, 1)},
        )

    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Conv(3, 32, 3, 2), Conv(32, 32, 3)
            self.Conv2d_2b_3x3, self.Conv2d_3b_1x1 = Conv(32, 64, 3, 1, 1), Conv(64, 80, 1)
            self.Conv2d_4a_3x3 = Conv(80, 192, 3)
            self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = a(192, 32), a(256, 64), a(288, 64)
            self.Mixed_6a, self.Mixed_6b, self.Mixed_6c = b(), c(128), c(160)
            self.Mixed_6d, self.Mixed_6e = c(160), c(192)
            self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = d(), e(1280), e(2048)
            if aux:
                self.AuxLogits = nn.Sequential()
                self.AuxLogits.conv0, self.AuxLogits.fc = Conv(768, 128, 1), nn.Linear(768, classes)
            self.fc = nn.Linear(2048, classes)

        def forward(self, x):
            x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
            x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(nn.functional.max_pool2d(x, 3, 2)))
            x = nn.functional.max_pool2d(x, 3, 2)
            for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
                x = getattr(self, f"Mixed_{name}")(x)
            return self.fc(x.mean((2, 3)))

    return torch_randomised(Inception())


def torch_randomised(model):
    """The module with norms that are of consequence, ready to be tested."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.6, 1.0),
                (module.bias.data, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.7, 1.4),
            ):
                tensor.uniform_(low, high)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


def compared(model, arch, size, options):
    torch = pytest.importorskip("torch")
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    ours, found = filled(arrays, size)
    assert found.archs == (arch,)
    assert found.options == options
    images = pictures(size)
    with torch.no_grad():
        wanted = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert_same(ours(images).numpy(), wanted)
    return found


DEEP = (3, 4, 23, 3)


@pytest.mark.parametrize(
    ("arch", "blocks", "width", "groups"),
    [
        ("resnext50_32x4d", (3, 4, 6, 3), 4, 32),
        ("wide_resnet50_2", (3, 4, 6, 3), 128, 1),
        pytest.param("resnext101_32x8d", DEEP, 8, 32, marks=pytest.mark.slow),
        pytest.param("resnext101_64x4d", DEEP, 4, 64, marks=pytest.mark.slow),
        pytest.param("wide_resnet101_2", DEEP, 128, 1, marks=pytest.mark.slow),
    ],
)
def test_torchvisions_wider_resnets_give_the_same_here(arch, blocks, width, groups):
    found = compared(torch_bottlenecks(blocks, width, groups), arch, 33, {})
    assert found.preprocessing["mean"] == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize("aux", [True, False])
def test_torchvisions_inception_gives_the_same_here(aux):
    found = compared(torch_inception(aux), "inception_v3", 80, {"count_padding": True})
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
