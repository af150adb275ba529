"""torchvision's SqueezeNet, DenseNet, ResNet of bottlenecks and Inception v3: their names and their forward pass."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


class Fire(nn.Module):
    def __init__(self, into, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(into, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeNet(nn.Module):
    def __init__(self, version, classes=5):
        super().__init__()
        pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
        stem = nn.Conv2d(3, 96, 7, 2) if version == "1_0" else nn.Conv2d(3, 64, 3, 2)
        pools = (4, 8) if version == "1_0" else (3, 5)
        parts, into = [stem, nn.ReLU(), pool()], stem.out_channels
        for number in range(2, 10):
            squeeze = 16 * (number // 2)
            parts.append(Fire(into, squeeze, 4 * squeeze))
            into = 8 * squeeze
            parts += [pool()] if number in pools else []
        self.features = nn.Sequential(*parts)
        last = nn.Conv2d(512, classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


class DenseLayer(nn.Module):
    def __init__(self, into, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(into), nn.Conv2d(into, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


class Transition(nn.Module):
    def __init__(self, into):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(into), nn.Conv2d(into, into // 2, 1, bias=False)

    def forward(self, x):
        return functional.avg_pool2d(self.conv(self.norm(x).relu()), 2)


class DenseNet(nn.Module):
    def __init__(self, growth, blocks, classes=5):
        super().__init__()
        self.features, into = nn.Sequential(), 2 * growth
        self.features.add_module("conv0", nn.Conv2d(3, into, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(into))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for block, count in enumerate(blocks, 1):
            layers = nn.Sequential()
            for number in range(1, count + 1):
                layers.add_module(f"denselayer{number}", DenseLayer(into, growth))
                into += growth
            self.features.add_module(f"denseblock{block}", layers)
            if block < 4:
                self.features.add_module(f"transition{block}", Transition(into))
                into //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(into))
        self.classifier = nn.Linear(into, classes)

    def forward(self, x):
        return self.classifier(self.features(x).relu().mean((2, 3)))


class Bottleneck(nn.Module):
    def __init__(self, into, planes, stride, width, groups):
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
    """Of bottlenecks with `groups` and a base width."""

    def __init__(self, blocks, width, groups, classes=5):
        super().__init__()
        self.conv1, self.bn1, into = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), 64
        for stage, count in enumerate(blocks):
            planes, made = 64 * 2**stage, []
            for number in range(count):
                made.append(Bottleneck(into, planes, 2 if stage and not number else 1, width, groups))
                into = 4 * planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(into, classes)

    def forward(self, x):
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class ConvNorm(nn.Module):
    def __init__(self, into, out, size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(into, out, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Convolutions `branchNAME`; `forward(run, x)` lists the outputs, `run(x, *names)` is one branch."""

    def __init__(self, forward, **convolutions):
        super().__init__()
        for name, arguments in convolutions.items():
            setattr(self, f"branch{name}", ConvNorm(*arguments))
        self._forward = forward

    def forward(self, x):
        run = lambda x, *names: run(getattr(self, f"branch{names[0]}")(x), *names[1:]) if names else x  # noqa: E731
        return torch.cat(self._forward(run, x), 1)


def module_a(into, out):
    return Branches(
        lambda run, x: [
            run(x, "1x1"),
            run(x, "5x5_1", "5x5_2"),
            run(x, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
            run(functional.avg_pool2d(x, 3, 1, 1), "_pool"),
        ],
        **{"1x1": (into, 64, 1), "5x5_1": (into, 48, 1), "5x5_2": (48, 64, 5, 1, 2), "3x3dbl_1": (into, 64, 1)},
        **{"3x3dbl_2": (64, 96, 3, 1, 1), "3x3dbl_3": (96, 96, 3, 1, 1), "_pool": (into, out, 1)},
    )


def module_b():
    return Branches(
        lambda run, x: [
            run(x, "3x3"),
            run(x, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
            functional.max_pool2d(x, 3, 2),
        ],
        **{"3x3": (288, 384, 3, 2), "3x3dbl_1": (288, 64, 1), "3x3dbl_2": (64, 96, 3, 1, 1)},
        **{"3x3dbl_3": (96, 96, 3, 2)},
    )


def module_c(w):
    row, column = {"padding": (0, 3), "size": (1, 7)}, {"padding": (3, 0), "size": (7, 1)}
    thin = lambda into, out, window: (into, out, window["size"], 1, window["padding"])  # noqa: E731
    return Branches(
        lambda run, x: [
            run(x, "1x1"),
            run(x, "7x7_1", "7x7_2", "7x7_3"),
            run(x, *(f"7x7dbl_{number}" for number in range(1, 6))),
            run(functional.avg_pool2d(x, 3, 1, 1), "_pool"),
        ],
        **{"1x1": (768, 192, 1), "7x7_1": (768, w, 1), "7x7_2": thin(w, w, row), "7x7_3": thin(w, 192, column)},
        **{"7x7dbl_1": (768, w, 1), "7x7dbl_2": thin(w, w, column), "7x7dbl_3": thin(w, w, row)},
        **{"7x7dbl_4": thin(w, w, column), "7x7dbl_5": thin(w, 192, row), "_pool": (768, 192, 1)},
    )


def module_d():
    return Branches(
        lambda run, x: [
            run(x, "3x3_1", "3x3_2"),
            run(x, "7x7x3_1", "7x7x3_2", "7x7x3_3", "7x7x3_4"),
            functional.max_pool2d(x, 3, 2),
        ],
        **{"3x3_1": (768, 192, 1), "3x3_2": (192, 320, 3, 2), "7x7x3_1": (768, 192, 1)},
        **{"7x7x3_2": (192, 192, (1, 7), 1, (0, 3)), "7x7x3_3": (192, 192, (7, 1), 1, (3, 0))},
        **{"7x7x3_4": (192, 192, 3, 2)},
    )


def module_e(into):
    def forward(run, x):
        three, double = run(x, "3x3_1"), run(x, "3x3dbl_1", "3x3dbl_2")
        split = [run(three, "3x3_2a"), run(three, "3x3_2b"), run(double, "3x3dbl_3a"), run(double, "3x3dbl_3b")]
        return [run(x, "1x1"), *split, run(functional.avg_pool2d(x, 3, 1, 1), "_pool")]

    wide, high = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
    return Branches(
        forward,
        **{"1x1": (into, 320, 1), "3x3_1": (into, 384, 1), "3x3_2a": (384, 384, *wide)},
        **{"3x3_2b": (384, 384, *high), "3x3dbl_1": (into, 448, 1), "3x3dbl_2": (448, 384, 3, 1, 1)},
        **{"3x3dbl_3a": (384, 384, *wide), "3x3dbl_3b": (384, 384, *high), "_pool": (into, 192, 1)},
    )


class Inception(nn.Module):
    """Version 3, evaluated without its head."""

    def __init__(self, aux=True, classes=5):
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = ConvNorm(3, 32, 3, 2), ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3, self.Conv2d_3b_1x1 = ConvNorm(32, 64, 3, 1, 1), ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = module_a(192, 32), module_a(256, 64), module_a(288, 64)
        self.Mixed_6a, self.Mixed_6b, self.Mixed_6c = module_b(), module_c(128), module_c(160)
        self.Mixed_6d, self.Mixed_6e = module_c(160), module_c(192)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = module_d(), module_e(1280), module_e(2048)
        if aux:
            self.AuxLogits = nn.Sequential()
            self.AuxLogits.conv0, self.AuxLogits.fc = ConvNorm(768, 128, 1), nn.Linear(768, classes)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(self, f"Mixed_{name}")(x)
        return self.fc(x.mean((2, 3)))


def randomised(model):
    """The module with norms that are of consequence, ready to be tested."""
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


def of_consequence(model):
    """Its state dict as arrays: the norms and biases random, convolutions strong enough for the picture to matter."""
    random = np.random.default_rng(1)
    state = model.state_dict()
    for name, value in state.items():
        if value.ndim == 1 and ("norm" in name or name.endswith("bias")):
            low, high = (-0.1, 0.1) if name.endswith(("bias", "running_mean")) else (0.7, 1.3)
            value.copy_(torch.from_numpy(random.uniform(low, high, tuple(value.shape))))
        elif value.ndim == 4:
            value.mul_(6**0.5)  # Torch's variance is 1 / (3 in), He's 2 / in
    return {name: value.numpy().copy() for name, value in state.items()}


def logits(model, images):
    """Of pictures (N, H, W, 3), as an array."""
    with torch.no_grad():
        return model.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
