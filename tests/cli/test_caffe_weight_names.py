"""Caffe's networks of zoo/: NIN, CNN-F, CNN-M, CNN-S, beside their forward pass in NumPy."""

from functools import partial

import numpy as np
import pytest

import foreign
from cli import import_weights
from common.errors import UserError
from common.weights import weight_files
from importing import assert_same, filled, loaded, pictures


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


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
NIN_CIFAR = dict(
    zip(
        tuple(NIN)[:9],
        (
            *((192, 3, 5, 1, 2), (160, 192, 1, 1, 0), (96, 160, 1, 1, 0)),
            *((192, 96, 5, 1, 2), (192, 192, 1, 1, 0), (192, 192, 1, 1, 0)),
            *((192, 192, 3, 1, 1), (192, 192, 1, 1, 0), (5, 192, 1, 1, 0)),
        ),
        strict=True,
    )
)


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


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        pytest.param("cnn_f", 87, marks=pytest.mark.slow),
        pytest.param("cnn_m", 89, marks=pytest.mark.slow),
        pytest.param("cnn_s", 91, marks=pytest.mark.slow),
    ],
)
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
