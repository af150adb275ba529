"""Descendants of ResNet and Inception in PyTorch, written from their papers, and what compares them with those here.

A `Network` makes each layer with random weights when it is first used, under the name that the layer has here.
"""

import numpy as np
import pytest

from cli import registry
from common.weights import weight_layouts

torch = pytest.importorskip("torch")
functional = torch.nn.functional


class Network:
    """Layers by name; `state` holds their weights as a state dict does."""

    def __init__(self, seed=0):
        self.random, self.state = np.random.default_rng(seed), {}

    def _weight(self, name, draw):
        if name not in self.state:
            self.state[name] = torch.from_numpy(draw().astype(np.float32))
        return self.state[name]

    def conv(self, name, x, filters, size, stride=1, pad=0, groups=1, bias=False):
        height, width = (size, size) if isinstance(size, int) else size
        shape = (filters, x.shape[1] // groups, height, width)
        scale = (2 / np.prod(shape[1:])) ** 0.5
        weight = self._weight(f"{name}.weight", lambda: self.random.normal(0, scale, shape))
        offset = self._weight(f"{name}.bias", lambda: self.random.normal(0, 0.1, filters)) if bias else None
        return functional.conv2d(x, weight, offset, stride, pad, groups=groups)

    def norm(self, name, x, eps=1e-5):
        channels = x.shape[1]
        gamma = self._weight(f"{name}.weight", lambda: self.random.uniform(0.6, 1.0, channels))
        beta = self._weight(f"{name}.bias", lambda: self.random.normal(0, 0.1, channels))
        mean = self._weight(f"{name}.running_mean", lambda: self.random.normal(0, 0.1, channels))
        variance = self._weight(f"{name}.running_var", lambda: self.random.uniform(0.7, 1.4, channels))
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=eps)

    def cnr(self, name, x, *args, **kwargs):
        """Convolution, norm, ReLU."""
        return torch.relu(self.norm(f"{name}_bn", self.conv(name, x, *args, **kwargs)))

    def linear(self, name, x, units):
        shape = (units, x.shape[1])
        weight = self._weight(f"{name}.weight", lambda: self.random.normal(0, (2 / shape[1]) ** 0.5, shape))
        return functional.linear(x, weight, self._weight(f"{name}.bias", lambda: self.random.normal(0, 0.1, units)))

    def squeeze_excite(self, name, x, hidden):
        """fc, ReLU, fc, sigmoid on the means."""
        z = torch.relu(self.linear(f"{name}.squeeze", x.mean((2, 3)), hidden))
        return x * torch.sigmoid(self.linear(f"{name}.excite", z, x.shape[1]))[:, :, None, None]


def imagenet_stem(net, x, ceil=False):
    x = net.cnr("conv1", x, 64, 7, 2, 3)
    return functional.max_pool2d(x, 3, 2, 0 if ceil else 1, ceil_mode=ceil)


def post_activation(net, x, counts, widths, middle, groups=1, stride_in=2, se=False, expansion=4):
    """ResNet's stages of bottlenecks (expansion 4) or pairs of 3x3 with zeros for new channels (expansion 1)."""
    for stage, (count, width) in enumerate(zip(counts, widths, strict=True), 2):
        for block in range(1, count + 1):
            name, stride = f"conv{stage}_{block}", 2 if block == 1 and stage > 2 else 1
            if expansion == 4:
                y = net.cnr(f"{name}_conv1", x, middle(width), 1, stride if stride_in == 1 else 1)
                y = net.cnr(f"{name}_conv2", y, middle(width), 3, stride if stride_in == 2 else 1, 1, groups)
                y = net.norm(f"{name}_conv3_bn", net.conv(f"{name}_conv3", y, 4 * width, 1))
            else:
                y = net.cnr(f"{name}_conv1", x, width, 3, stride, 1)
                y = net.norm(f"{name}_conv2_bn", net.conv(f"{name}_conv2", y, width, 3, 1, 1))
            if se:
                y = net.squeeze_excite(f"{name}_se", y, max(1, y.shape[1] // 16))
            if y.shape != x.shape and expansion == 4:
                x = net.norm(f"{name}_shortcut_bn", net.conv(f"{name}_shortcut", x, 4 * width, 1, stride))
            elif y.shape != x.shape:
                more = (y.shape[1] - x.shape[1]) // 2
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
            x = torch.relu(x + y)
    return x


def pre_activation(net, x, counts, widths, kind, activated, stride_in=1, shortcut_pads=False):
    """Units of He 2016b; `activated`: a norm and ReLU stand before the first."""
    for stage, (count, width) in enumerate(zip(counts, widths, strict=True), 2):
        for block in range(1, count + 1):
            name, stride = f"conv{stage}_{block}", 2 if block == 1 and stage > 2 else 1
            first = activated and stage == 2 and block == 1
            y = x if first else torch.relu(net.norm(f"{name}_preact_bn", x))
            out = width if kind == "basic" else 4 * width
            shortcut = x
            if stride == 2 or x.shape[1] != out:
                shortcut = y
                if shortcut_pads:
                    more = (out - x.shape[1]) // 2
                    shortcut = functional.pad(y[:, :, ::stride, ::stride], (0, 0, 0, 0, more, more))
                else:
                    shortcut = net.conv(f"{name}_shortcut", y, out, 1, stride)
            if kind == "basic":
                y = net.cnr(f"{name}_conv1", y, width, 3, stride, 1)
                y = net.conv(f"{name}_conv2", y, width, 3, 1, 1)
            else:
                y = net.cnr(f"{name}_conv1", y, width, 1, stride if stride_in == 1 else 1)
                y = net.cnr(f"{name}_conv2", y, width, 3, stride if stride_in == 2 else 1, 1)
                y = net.conv(f"{name}_conv3", y, out, 1)
            x = shortcut + y
    return torch.relu(net.norm("last_bn", x))


def assert_equal_here(arch, forward, size, **options):
    """The logits of `forward(net, x)` and of the network here with its weights, to 1e-4 of the largest."""
    net = Network()
    images = np.random.default_rng(3).normal(0, 1, (2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        x = forward(net, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        wanted = net.linear("fc", x.mean((2, 3)), 5).numpy()
    model = registry.find(arch).build(classes=5, image_size=size, **options)
    arrays = {name: value.numpy() for name, value in net.state.items()}
    for layer in model.layers:
        if f"{layer.name}.squeeze.weight" in arrays:
            parts = [arrays.pop(f"{layer.name}.{part}") for part in SE_PARTS]
            layer.set_weights([part.T for part in parts])
    names = {layer.name: layer.name for layer in model.layers}
    weight_layouts.fill(model, names, arrays, weight_layouts.PYTORCH, "made here")
    found = model(images).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    assert np.abs(wanted[0] - wanted[1]).max() > 0.01 * np.abs(wanted).max()


SE_PARTS = ("squeeze.weight", "squeeze.bias", "excite.weight", "excite.bias")


def inception_v2(net, x, rows):
    """Ioffe & Szegedy 2015; rows: (name, 1x1, 3x3 reduce, 3x3, double reduce, double, pool, projection)."""
    x = net.cnr("conv1", net.conv("conv1_depthwise", x, 24, 7, 2, 3, groups=3), 64, 1)
    x = functional.max_pool2d(x, 3, 2, 1)
    x = net.cnr("conv2", net.cnr("conv2_reduce", x, 64, 1), 192, 3, 1, 1)
    x = functional.max_pool2d(x, 3, 2, 1)
    for name, one, reduce3, three, reduce_double, double, pool, projection in rows:
        name, stride = f"inception_{name}", 1 if projection else 2
        parts = [net.cnr(f"{name}_1x1", x, one, 1)] if one else []
        parts.append(net.cnr(f"{name}_3x3", net.cnr(f"{name}_3x3_reduce", x, reduce3, 1), three, 3, stride, 1))
        y = net.cnr(f"{name}_double_1", net.cnr(f"{name}_double_reduce", x, reduce_double, 1), double, 3, 1, 1)
        parts.append(net.cnr(f"{name}_double_2", y, double, 3, stride, 1))
        if pool == "max":
            y = functional.max_pool2d(x, 3, stride, 1)
        else:
            y = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        parts.append(net.cnr(f"{name}_pool_proj", y, projection, 1) if projection else y)
        x = torch.cat(parts, 1)
    return x
