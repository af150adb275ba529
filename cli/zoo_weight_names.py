"""What other programs call the layers of the networks in zoo/, and what they do to a picture first.

torchvision             squeezenet1_0, 1_1; densenet121, 161, 169, 201: RGB, divided by 255, mean and std of ImageNet
keras.applications      DenseNet121, 169, 201: the same; MobileNet of each width: RGB, -1 to 1, ReLU6
Caffe, as {layer: [weights, biases]}   NIN for ImageNet, CNN-F, CNN-M, CNN-S: BGR, ImageNet's mean; NIN for
                        CIFAR-10: whitened pixels
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cli.foreign import BVLC, KERAS_TF, KERAS_TORCH, TORCHVISION, Foreign, count_classes
from common.errors import UserError
from common.weights import weight_layouts
from zoo import densenet, mobilenet

if TYPE_CHECKING:
    from common.weights.weight_files import Arrays

WIDTHS = {mobilenet.title(alpha): alpha for alpha in (1.0, 0.75, 0.5, 0.25)}
KERAS = {f"densenet{depth}": f"DenseNet{depth}" for depth in (121, 169, 201)} | dict.fromkeys(WIDTHS, "MobileNet")
KERAS_ARGUMENTS = {arch: {"alpha": alpha} for arch, alpha in WIDTHS.items()}

# Where the Fire modules 2 to 9 stand in torchvision's `features`, in which ReLUs and pools are counted too.
_FIRES = {"squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12), "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12)}


def _torch_squeezenet(arrays: "Arrays", where: str) -> Foreign | None:
    squeezing = (re.fullmatch(r"features\.(\d+)\.squeeze\.weight", name) for name in arrays)
    places = tuple(sorted(int(match[1]) for match in squeezing if match))
    if not places:
        return None
    arch = next((arch for arch, fires in _FIRES.items() if fires == places), None)
    if arch is None:
        raise UserError(f"{where}: a SqueezeNet of {len(places)} Fire modules, which is neither version 1.0 nor 1.1", 1)
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for number, place in enumerate(places, start=2):
        for part in ("squeeze", "expand1x1", "expand3x3"):
            names[f"fire{number}_{part}"] = f"features.{place}.{part}"
    count = count_classes(arrays, "classifier.1.weight", 0, where, axes=4)
    origin = "PyTorch state dict, torchvision's names"
    return Foreign(origin, (arch,), weight_layouts.PYTORCH, names.__getitem__, count, TORCHVISION)


def _densenet(arrays: "Arrays", layer: str, growth: str, axis: int, where: str) -> str:
    """Which DenseNet it is: `layer` matches one convolution of each layer, `growth` names one that makes k maps.

    Raises UserError where it is none of Table 1.
    """
    found: dict[str, set[str]] = {}
    for match in filter(None, (re.fullmatch(layer, name) for name in arrays)):
        found.setdefault(match[1], set()).add(match[2])
    blocks = tuple(len(found[block]) for block in sorted(found))
    maps = arrays[growth].shape[axis] if growth in arrays and arrays[growth].ndim == 4 else 0
    for depth, row in densenet.TABLE.items():
        if row == (maps, blocks):
            return f"densenet{depth}"
    raise UserError(
        f"{where}: a DenseNet of growth {maps} and blocks {blocks}, which is not in Table 1 of the paper", 1
    )


_DENSENET_LAYER = re.compile(r"dense(\d)_(\d+)_(\dx\d(?:_pre_bn)?)|transition(\d)(_pre_bn)?")


def _densenet_names(
    ends: dict[str, str], layer: str, parts: dict[str, str], transition: tuple[str, str], first_block: int
) -> Callable[[str], str]:
    """Another program's names of DenseNet's layers.

    Args:
        ends: what stands before and behind the blocks, by the names here.
        layer: a layer of a block, with {block}, {number} and {part}.
        parts: {part} by the names here.
        transition: its convolution and its norm, with {block}, the block before it.
        first_block: the number of the first block there.
    """

    def name(own: str) -> str:
        if own in ends:
            return ends[own]
        match = _DENSENET_LAYER.fullmatch(own)
        assert match, own
        block, number, part, before, norm = match.groups()
        if before:
            return transition[bool(norm)].format(block=int(before) - 1 + first_block)
        return layer.format(block=int(block) - 1 + first_block, number=number, part=parts[part])

    return name


_TORCH_DENSENET_NAME = _densenet_names(
    {"conv1": "features.conv0", "conv1_bn": "features.norm0", "final_bn": "features.norm5", "fc": "classifier"},
    "features.denseblock{block}.denselayer{number}.{part}",
    {"1x1_pre_bn": "norm1", "1x1": "conv1", "3x3_pre_bn": "norm2", "3x3": "conv2"},
    ("features.transition{block}.conv", "features.transition{block}.norm"),
    first_block=1,
)
_KERAS_DENSENET_NAME = _densenet_names(
    {"conv1": "conv1_conv", "conv1_bn": "conv1_bn", "final_bn": "bn", "fc": "predictions"},
    "conv{block}_block{number}_{part}",
    {"1x1_pre_bn": "0_bn", "1x1": "1_conv", "3x3_pre_bn": "1_bn", "3x3": "2_conv"},
    ("pool{block}_conv", "pool{block}_bn"),
    first_block=2,
)


def _torch_densenet(arrays: "Arrays", where: str) -> Foreign | None:
    # torchvision's files of 2017 have conv.1 where its layers are called conv1.
    arrays = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): value for name, value in arrays.items()}
    first = "features.denseblock1.denselayer1.conv2.weight"
    if first not in arrays:
        return None
    arch = _densenet(arrays, r"features\.denseblock(\d+)\.denselayer(\d+)\.conv2\.weight", first, 0, where)
    count = count_classes(arrays, "classifier.weight", 0, where)
    origin, layout = "PyTorch state dict, torchvision's names", weight_layouts.PYTORCH
    return Foreign(origin, (arch,), layout, _TORCH_DENSENET_NAME, count, TORCHVISION, arrays=arrays)


def _keras_densenet(arrays: "Arrays", where: str) -> Foreign | None:
    if "pool2_conv/0" not in arrays:
        return None
    arch = _densenet(arrays, r"conv(\d)_block(\d+)_2_conv/0", "conv2_block1_2_conv/0", 3, where)
    count = count_classes(arrays, "predictions/0", 1, where)
    return Foreign("keras.applications", (arch,), weight_layouts.KERAS, _KERAS_DENSENET_NAME, count, KERAS_TORCH)


def _keras_mobilenet(arrays: "Arrays", where: str) -> Foreign | None:
    if "conv_dw_1/0" not in arrays or "conv1/0" not in arrays:
        return None
    filters = arrays["conv1/0"].shape[-1] if arrays["conv1/0"].ndim == 4 else 0
    arch = next((arch for arch, alpha in WIDTHS.items() if int(32 * alpha) == filters), None)
    if arch is None:
        raise UserError(f"{where}: a MobileNet whose first layer has {filters} channels, which is none of these", 1)
    count = count_classes(arrays, "conv_preds/0", 3, where, axes=4)
    kernel = arrays["conv_preds/0"]  # a 1x1 convolution of the 1x1 map that is left
    arrays = arrays | {"conv_preds/0": kernel.reshape(kernel.shape[0] * kernel.shape[1] * kernel.shape[2], count)}
    names = {"fc": "conv_preds"}
    return Foreign(
        "keras.applications",
        (arch,),
        replace(weight_layouts.KERAS, epsilon=1e-3),
        lambda layer: names.get(layer, layer),
        count,
        KERAS_TF,
        options={"activation": "relu6"},
        arrays=arrays,
    )


def _caffe_nin(arrays: "Arrays", where: str) -> Foreign | None:
    """Layers by the names of the author's Caffe files, which are those here but for an ending. Axes of either kind."""
    if "cccp1/0" not in arrays or "conv1/0" not in arrays or arrays["conv1/0"].ndim != 4:
        return None
    blobs = arrays["conv1/0"].shape[1] == 3  # (filters, channels, k, k); else (k, k, channels, filters)
    layout = replace(weight_layouts.KERAS, channels_first=blobs)
    endings = {name.partition("/")[0].partition("-")[0]: name.partition("/")[0] for name in arrays}  # conv4: conv4-1024

    def rename(layer: str) -> str:
        return endings.get(layer, layer)

    imagenet = "conv4" in endings
    last = rename("cccp8" if imagenet else "cccp6")
    count = count_classes(arrays, f"{last}/0", 0 if blobs else 3, where, axes=4)
    if imagenet:
        return Foreign("Caffe", ("nin",), layout, rename, count, BVLC)
    origin = "Caffe, trained on pixels of normalised contrast, whitened, which are not made here"
    return Foreign(origin, ("nin_cifar",), layout, rename, count, {}, options={"pool2": "average"})


def _caffe_vgg_cnn(arrays: "Arrays", where: str) -> Foreign | None:
    """Layers by the names of the authors' Caffe files, which are AlexNet's and those here. Axes of either kind.

    CNN-M and CNN-S have the same layers of the same shapes; they differ in strides, pools and normalisation.
    """
    first, third = arrays.get("conv1/0"), arrays.get("conv3/0")
    if first is None or third is None or "fc6/0" not in arrays or not first.ndim == third.ndim == 4:
        return None
    blobs = first.shape[1] == 3  # (filters, channels, k, k); else (k, k, channels, filters)
    filters = 0 if blobs else 3
    seen = first.shape[filters], first.shape[2 if blobs else 0], third.shape[filters]
    archs = {(64, 11, 256): ("cnn_f",), (96, 7, 512): ("cnn_m", "cnn_s")}.get(seen)
    if archs is None:
        return None
    count = count_classes(arrays, "fc8/0", 0 if blobs else 1, where)
    origin = "Caffe, whose mean image is its mean here"
    layout = replace(weight_layouts.KERAS, channels_first=blobs)
    return Foreign(origin, archs, layout, str, count, BVLC, undecided=len(archs) > 1)


TESTS = (_torch_squeezenet, _torch_densenet, _keras_densenet, _keras_mobilenet, _caffe_nin, _caffe_vgg_cnn)
