"""What other programs call the layers of these networks, and what they do to a picture first.

    torchvision             vgg11, 13, 16, 19, with batch norm too; resnet18, 34, 50, 101, 152; resnext50_32x4d,
                            101_32x8d, 101_64x4d; wide_resnet50_2, 101_2: RGB, divided by 255, mean and std of ImageNet
    CIFAR ResNets           of torchvision's names in three stages: resnet20 ... resnet1202, the same mean and std
    keras.applications      VGG16, VGG19, ResNet50, 101, 152: BGR, ImageNet's mean
    Caffe, as {layer: [weights, biases]}   bvlc_alexnet (alexnet_two_towers), VGG-16, VGG-19: BGR, ImageNet's mean

Those of the networks in zoo/ are in zoo_weight_names.py and residual_weight_names.py. Which of them a file is, its
names and shapes tell.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import resnet34
import vgg16
from cli import registry, residual_weight_names, zoo_weight_names
from cli.foreign import BVLC, CAFFE, KERAS_CAFFE, TORCHVISION, Foreign, count_classes
from common.errors import UserError
from common.weights import weight_layouts

if TYPE_CHECKING:
    from common.weights.weight_files import Arrays

VGG_COLUMNS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
KERAS = {"vgg16": "VGG16", "vgg19": "VGG19", "resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152"}
KERAS |= zoo_weight_names.KERAS | residual_weight_names.KERAS


def recognise(arrays: "Arrays", where: str) -> Foreign:
    """What network these arrays are of. Raises UserError where they are of none here."""
    for wrapper in ("state_dict.", "module."):
        if all(name.startswith(wrapper) for name in arrays):
            arrays = {name.removeprefix(wrapper): array for name, array in arrays.items()}
    zoo = (*zoo_weight_names.TESTS, *residual_weight_names.TESTS)
    for test in (*zoo, _torch_resnet, _torch_vgg, _keras_vgg, _keras_resnet, _caffe):
        found = test(arrays, where)
        if found:
            return replace(found, arrays=found.arrays or arrays)
    shown = ", ".join(list(arrays)[:3])
    raise UserError(
        f"{where}: holds no network of these: its names ({shown} ...) are not those of torchvision's VGG, ResNet, "
        "ResNeXt, Inception, SqueezeNet or DenseNet, keras.applications' VGG, ResNet, Inception, DenseNet or "
        "MobileNet, or Caffe's AlexNet, VGG, NIN or CNN-F, M, S",
        1,
    )


def _side(arrays: "Arrays", name: str, axis: int, channels: int) -> int:
    """Width of the map that a fully connected layer takes in; 1 where that does not come out even."""
    values = arrays[name].shape[axis] if name in arrays and arrays[name].ndim == 2 else channels
    return max(1, round((values / channels) ** 0.5))


def _blocks(arrays: "Arrays", pattern: str) -> tuple[int, ...]:
    """Blocks in each stage, where group 1 of `pattern` is a name's stage and group 2 its block."""
    found: dict[int, set[int]] = {}
    for match in filter(None, (re.match(pattern, name) for name in arrays)):
        found.setdefault(int(match[1]), set()).add(int(match[2]))
    return tuple(len(found[stage]) for stage in sorted(found))


def _table_depth(kind: str, blocks: tuple[int, ...], where: str) -> int:
    for depth, row in resnet34.TABLE.items():
        if row == (kind, blocks):
            return depth
    raise UserError(f"{where}: a ResNet of {kind} blocks {blocks}, which is not in Table 1 of the paper", 1)


# Bottlenecks of the first stage in torchvision: channels of the 3x3, and how many of them one filter sees.
BOTTLENECKS = {
    (64, 64): "resnet{}",
    (128, 128): "wide_resnet{}_2",
    (128, 4): "resnext{}_32x4d",
    (256, 8): "resnext{}_32x8d",
    (256, 4): "resnext{}_64x4d",
}


def _wider(arrays: "Arrays", depth: int, where: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The network of this depth with such bottlenecks, and its options. Raises UserError where there is none."""
    shape = arrays["layer1.0.conv2.weight"].shape[:2] if "layer1.0.conv2.weight" in arrays else ()
    arch = BOTTLENECKS.get(shape, "").format(depth)
    if arch not in registry.ARCHITECTURES:
        raise UserError(f"{where}: a ResNet of depth {depth} with a first 3x3 of {shape}, which is none of these", 1)
    return (arch,), {"stride_in": "3x3"} if arch == f"resnet{depth}" else {}


def _torch_resnet(arrays: "Arrays", where: str) -> Foreign | None:
    if "layer1.0.conv1.weight" not in arrays:
        return None
    blocks = _blocks(arrays, r"layer(\d+)\.(\d+)\.")
    head = "linear" if "linear.weight" in arrays else "fc"
    projection = "shortcut" if any(".shortcut." in name for name in arrays) else "downsample"
    options, origin = {}, "PyTorch state dict, torchvision's names"
    if len(blocks) == 3:
        if len(set(blocks)) != 1:
            raise UserError(f"{where}: a ResNet of three stages of {blocks} blocks; they must be equal", 1)
        archs = tuple(f"{kind}{6 * blocks[0] + 2}" for kind in ("resnet", "plain"))
        archs = tuple(name for name in archs if name in registry.ARCHITECTURES)
        if not archs:
            raise UserError(f"{where}: a ResNet of depth {6 * blocks[0] + 2}, which is not among these networks", 1)
        if any(f".{projection}." in name for name in arrays):
            options["shortcut"] = "B"
        origin = "PyTorch state dict of a CIFAR ResNet"
    else:
        kind = "bottleneck" if "layer1.0.conv3.weight" in arrays else "basic"
        depth = _table_depth(kind, blocks, where)
        plain = depth < 50 and not any(f".{projection}." in name for name in arrays)
        archs = (f"plain{depth}" if plain else f"resnet{depth}",)
        if kind == "bottleneck":
            archs, options = _wider(arrays, depth, where)

    def rename(layer: str) -> str:
        if layer == "fc":
            return head
        match = re.fullmatch(r"(?:conv(\d+)_(\d+)_)?(?:conv(\d)|(shortcut))(_bn)?", layer)
        assert match, layer
        stage, block, number, shortcut, norm = match.groups()
        within = f"{projection}.{1 if norm else 0}" if shortcut else f"{'bn' if norm else 'conv'}{number}"
        return f"layer{int(stage) - 1}.{int(block) - 1}.{within}" if stage else within

    classes = count_classes(arrays, f"{head}.weight", 0, where)
    return Foreign(origin, archs, weight_layouts.PYTORCH, rename, classes, TORCHVISION, None, options)


def _vgg_layers(column: str, batch_norm: bool = False) -> dict[str, int]:
    """Layer here -> its place in torchvision's `features`, where ReLUs and pools are counted too."""
    places: dict[str, int] = {}
    place = 0
    for block, channels in enumerate(vgg16.COLUMNS[column], start=1):
        for number in range(1, len(channels) + 1):
            name = f"conv{block}_{number}"
            places |= {name: place, f"{name}_bn": place + 1} if batch_norm else {name: place}
            place += 3 if batch_norm else 2  # the convolution, its norm and its ReLU
        place += 1  # the pool
    return places


def _feature(place: int) -> str:
    return f"features.{place}.weight"


def _torch_vgg(arrays: "Arrays", where: str) -> Foreign | None:
    if "features.0.weight" not in arrays or "classifier.6.weight" not in arrays:
        return None
    norm = "features.1.running_mean" in arrays
    present = {name for name in arrays if re.fullmatch(r"features\.\d+\.weight", name)}
    columns = {f"{arch}{'_bn' * norm}": _vgg_layers(column, norm) for arch, column in VGG_COLUMNS.items()}
    arch = next((arch for arch, places in columns.items() if present == set(map(_feature, places.values()))), None)
    if arch is None:
        count = sum(arrays[name].ndim == 4 for name in present)
        raise UserError(f"{where}: a VGG of {count} convolutions, which is none of {', '.join(columns)}", 1)
    names = {layer: f"features.{place}" for layer, place in columns[arch].items()}
    names |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    return Foreign(
        "PyTorch state dict, torchvision's names",
        (arch,),
        weight_layouts.PYTORCH,
        names.__getitem__,
        count_classes(arrays, "classifier.6.weight", 0, where),
        TORCHVISION,
        32 * _side(arrays, "classifier.0.weight", 1, 512),
    )


def _vgg_of(convolutions: set[str], where: str) -> str:
    """The network whose convolutions are called so here. Raises UserError where there is none."""
    for arch, column in VGG_COLUMNS.items():
        if set(_vgg_layers(column)) == convolutions:
            return arch
    raise UserError(f"{where}: a VGG of {len(convolutions)} convolutions, which is none of {', '.join(VGG_COLUMNS)}", 1)


def _keras_vgg(arrays: "Arrays", where: str) -> Foreign | None:
    matches = [re.fullmatch(r"block(\d)_conv(\d)/0", name) for name in arrays]
    convolutions = {f"conv{match[1]}_{match[2]}" for match in matches if match}
    if not convolutions:
        return None
    heads = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    return Foreign(
        "keras.applications",
        (_vgg_of(convolutions, where),),
        weight_layouts.KERAS,
        lambda layer: heads.get(layer) or re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", layer),
        count_classes(arrays, "predictions/0", 1, where),
        KERAS_CAFFE,
        32 * _side(arrays, "fc1/0", 0, 512),
    )


def _keras_resnet(arrays: "Arrays", where: str) -> Foreign | None:
    if "conv1_conv/0" not in arrays:
        return None
    depth = _table_depth("bottleneck", _blocks(arrays, r"conv(\d)_block(\d+)_"), where)

    def rename(layer: str) -> str:
        if layer == "fc":
            return "predictions"
        match = re.fullmatch(r"(?:conv(\d+)_(\d+)_)?(?:conv(\d)|shortcut)(_bn)?", layer)
        assert match, layer
        stage, block, number, norm = match.groups()
        place = f"conv{stage}_block{block}_{number or 0}" if stage else "conv1"
        return f"{place}_{'bn' if norm else 'conv'}"

    classes = count_classes(arrays, "predictions/0", 1, where)
    options = {"stride_in": "1x1"}
    arch = (f"resnet{depth}",)
    return Foreign("keras.applications", arch, weight_layouts.KERAS, rename, classes, KERAS_CAFFE, None, options)


def _caffe(arrays: "Arrays", where: str) -> Foreign | None:
    """Layers by the names of Caffe's model files, which are those here. Axes are Caffe's own or TensorFlow's."""
    first = next((arrays[name] for name in ("conv1/0", "conv1_1/0") if name in arrays), None)
    if first is None or "fc6/0" not in arrays or first.ndim != 4:
        return None
    blobs = first.shape[1] == 3  # (filters, channels, k, k); else (k, k, channels, filters)
    layout = replace(weight_layouts.KERAS, channels_first=blobs)
    classes, inputs = count_classes(arrays, "fc8/0", 0 if blobs else 1, where), 1 if blobs else 0
    if "conv1_1/0" in arrays:
        convolutions = {name.removesuffix("/0") for name in arrays if re.fullmatch(r"conv\d_\d/0", name)}
        arch, size = _vgg_of(convolutions, where), 32 * _side(arrays, "fc6/0", inputs, 512)
        return Foreign("Caffe", (arch,), layout, str, classes, CAFFE, size)
    size = 32 * _side(arrays, "fc6/0", inputs, 256) + 35  # the smallest with such a map after pool3; 227 for 6x6
    preprocessing = BVLC | {"resize": round(size * 256 / 227)}
    return Foreign("Caffe", ("alexnet_two_towers",), layout, str, classes, preprocessing, size, {"lrn": "caffe"})
