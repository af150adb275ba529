"""Networks as other programs have them: state dicts with random values, and NumPy's forward pass over them, float64.

Written from torchvision's and Caffe's definitions, in their layouts (N, C, H, W), without anything of this program.
"""

from functools import partial

import numpy as np

VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


def conv(x, weight, bias=None, stride=1, pad=0, groups=1):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    if groups > 1:
        parts = zip(np.split(x, groups, 1), np.split(weight, groups), strict=True)
        out = np.concatenate([conv(part, w, None, stride) for part, w in parts], 1)
    else:
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        out = np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    return out if bias is None else out + bias[:, None, None]


def max_pool(x, size, stride, pad=0):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride].max((4, 5))


def relu(x):
    return np.maximum(x, 0)


def caffe_lrn(x, n=5, alpha=1e-4, beta=0.75, k=1.0):
    """Caffe's LRN layer: alpha is divided by n."""
    padded = np.pad(x * x, ((0, 0), (n // 2, n // 2), (0, 0), (0, 0)))
    sums = sum(padded[:, i : i + x.shape[1]] for i in range(n))
    return x / (k + alpha / n * sums) ** beta


class Maker:
    """Random parameters that keep activations near 1, and are all of consequence."""

    def __init__(self, seed=0):
        self.random, self.state = np.random.default_rng(seed), {}

    def conv(self, name, out, into, size, bias=False):
        scale = (2 / (into * size * size)) ** 0.5
        self.state[f"{name}.weight"] = self.random.normal(0, scale, (out, into, size, size)).astype(np.float32)
        if bias:
            self.state[f"{name}.bias"] = self.random.normal(0, 0.1, out).astype(np.float32)

    def linear(self, name, out, into):
        weight = self.random.normal(0, (2 / into) ** 0.5, (out, into))
        self.state |= {f"{name}.weight": weight.astype(np.float32)}
        self.state |= {f"{name}.bias": self.random.normal(0, 0.1, out).astype(np.float32)}

    def norm(self, name, channels):
        values = {
            "weight": self.random.uniform(0.6, 1.0, channels),
            "bias": self.random.normal(0, 0.1, channels),
            "running_mean": self.random.normal(0, 0.1, channels),
            "running_var": self.random.uniform(0.7, 1.4, channels),
        }
        self.state |= {f"{name}.{key}": value.astype(np.float32) for key, value in values.items()}
        self.state[f"{name}.num_batches_tracked"] = np.array(7)


def resnet_state(blocks, bottleneck=False, classes=5, stem=7, widths=(64, 128, 256, 512), projections=True, head="fc"):
    """torchvision's ResNet; with `stem=3` and three widths the CIFAR one."""
    maker, grow = Maker(), 4 if bottleneck else 1
    maker.conv("conv1", widths[0], 3, stem)
    maker.norm("bn1", widths[0])
    into = widths[0]
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(count):
            name = f"layer{stage}.{number}"
            shapes = [(width, into, 1), (width, width, 3), (4 * width, width, 1)]
            for i, shape in enumerate(shapes if bottleneck else [(width, into, 3), (width, width, 3)], 1):
                maker.conv(f"{name}.conv{i}", *shape)
                maker.norm(f"{name}.bn{i}", shape[0])
            if projections and into != width * grow:
                maker.conv(f"{name}.downsample.0", width * grow, into, 1)
                maker.norm(f"{name}.downsample.1", width * grow)
            into = width * grow
    maker.linear(head, classes, into)
    return maker.state


def batch_norm(s, x, name):
    """torchvision's, with its moving statistics."""
    scale = s[f"{name}.weight"] / np.sqrt(s[f"{name}.running_var"] + 1e-5)
    shift = s[f"{name}.bias"] - s[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def resnet(state, x, head="fc"):
    """torchvision's forward: the stride in the 3x3 of a bottleneck; option A where there is no projection."""
    s = {name: value.astype(np.float64) for name, value in state.items()}

    norm = partial(batch_norm, s)
    stem = s["conv1.weight"].shape[-1]
    x = relu(norm(conv(x, s["conv1.weight"], None, 2 if stem == 7 else 1, stem // 2), "bn1"))
    x = max_pool(x, 3, 2, 1) if stem == 7 else x
    stage = 1
    while f"layer{stage}.0.conv1.weight" in s:
        number = 0
        while f"layer{stage}.{number}.conv1.weight" in s:
            name = f"layer{stage}.{number}"
            stride = 2 if stage > 1 and number == 0 else 1
            bottleneck = f"{name}.conv3.weight" in s
            y = x
            for i in (1, 2, 3) if bottleneck else (1, 2):
                kernel = s[f"{name}.conv{i}.weight"]
                y = norm(
                    conv(y, kernel, None, stride if i == (2 if bottleneck else 1) else 1, kernel.shape[-1] // 2),
                    f"{name}.bn{i}",
                )
                y = relu(y) if i < (3 if bottleneck else 2) else y
            if f"{name}.downsample.0.weight" in s:
                x = norm(conv(x, s[f"{name}.downsample.0.weight"], None, stride), f"{name}.downsample.1")
            elif stride != 1:
                more = (y.shape[1] - x.shape[1]) // 2
                x = np.pad(x[:, :, ::2, ::2], ((0, 0), (more, more), (0, 0), (0, 0)))
            x = relu(x + y)
            number += 1
        stage += 1
    return x.mean((2, 3)) @ s[f"{head}.weight"].T + s[f"{head}.bias"]


def vgg_state(plan=VGG11, side=2, classes=5, batch_norm=False):
    """torchvision's VGG, for a last map of side x side; with batch norm its convolutions have biases, too."""
    maker, place, into = Maker(), 0, 3
    for entry in plan:
        if entry != "M":
            maker.conv(f"features.{place}", entry, into, 3, bias=True)
            into = entry
            if batch_norm:
                maker.norm(f"features.{place + 1}", entry)
        place += 1 if entry == "M" else 2 + batch_norm
    for number, (out, values) in {0: (4096, into * side * side), 3: (4096, 4096), 6: (classes, 4096)}.items():
        maker.linear(f"classifier.{number}", out, values)
    return maker.state


def vgg(state, x, plan=VGG11):
    s, place = state, 0
    for entry in plan:
        if entry == "M":
            x, place = max_pool(x, 2, 2), place + 1
            continue
        x, place = conv(x, s[f"features.{place}.weight"], s[f"features.{place}.bias"], 1, 1), place + 1
        if f"features.{place}.running_mean" in s:
            x, place = batch_norm(s, x, f"features.{place}"), place + 1
        x, place = relu(x), place + 1
    x = x.reshape(len(x), -1)
    for number in (0, 3, 6):
        x = x @ s[f"classifier.{number}.weight"].T + s[f"classifier.{number}.bias"]
        x = x if number == 6 else relu(x)
    return x


# bvlc_alexnet's deploy.prototxt: filters, channels of a group, window, stride, padding, groups.
ALEXNET = {
    "conv1": (96, 3, 11, 4, 0, 1),
    "conv2": (256, 48, 5, 1, 2, 2),
    "conv3": (384, 256, 3, 1, 1, 1),
    "conv4": (384, 192, 3, 1, 1, 2),
    "conv5": (256, 192, 3, 1, 1, 2),
}


def alexnet_blobs(side=2, classes=5):
    """Caffe's blobs: {layer: [weights, biases]}."""
    maker = Maker()
    for name, (out, into, size, *_) in ALEXNET.items():
        maker.conv(name, out, into, size, bias=True)
    for name, out, into in (("fc6", 4096, 256 * side * side), ("fc7", 4096, 4096), ("fc8", classes, 4096)):
        maker.linear(name, out, into)
    return {name: [maker.state[f"{name}.weight"], maker.state[f"{name}.bias"]] for name in (*ALEXNET, *FC)}


FC = ("fc6", "fc7", "fc8")


def alexnet(blobs, x):
    for name, (*_, stride, pad, groups) in ALEXNET.items():
        x = relu(conv(x, blobs[name][0], blobs[name][1], stride, pad, groups))
        if name in ("conv1", "conv2"):
            x = max_pool(caffe_lrn(x), 3, 2)
    x = max_pool(x, 3, 2)
    x = x.reshape(len(x), -1)
    for name in FC:
        x = x @ blobs[name][0].T + blobs[name][1]
        x = x if name == "fc8" else relu(x)
    return x


def to_tensorflow(blobs, side=2):
    """The blobs as caffe-tensorflow writes them: (k, k, in, out), fully connected (in, out), fc6 by pixels."""
    out = {}
    for name, (weights, bias) in blobs.items():
        if weights.ndim == 4:
            weights = weights.transpose(2, 3, 1, 0)
        elif name == "fc6":
            weights = weights.reshape(len(weights), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(weights))
        else:
            weights = weights.T
        out[name] = [weights, bias]
    return out
