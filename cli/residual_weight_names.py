"""What other programs call the layers of Inception v3 and ResNet v2, and what they do to a picture first.

torchvision          inception_v3, with or without its auxiliary classifier: RGB, -1 to 1 (`transform_input`)
keras.applications   InceptionV3, ResNet50V2, 101V2, 152V2: RGB, -1 to 1
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from cli.foreign import KERAS_TF, TORCHVISION_TF, Foreign, count_classes
from common.errors import UserError
from common.weights import weight_layouts
from zoo import preresnet

if TYPE_CHECKING:
    from common.weights.weight_files import Arrays

KERAS = {f"resnet{depth}v2": f"ResNet{depth}V2" for depth in (50, 101, 152)} | {"inception_v3": "InceptionV3"}

# Inception v3's convolutions in the order in which Keras makes and numbers them, and torchvision's names of the first.
_STEM = {
    "conv1": "Conv2d_1a_3x3",
    "conv2": "Conv2d_2a_3x3",
    "conv3": "Conv2d_2b_3x3",
    "conv4": "Conv2d_3b_1x1",
    "conv5": "Conv2d_4a_3x3",
}
_35 = ("1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "pool_proj")
_17 = ("1x1", "7x7_1", "7x7_2", "7x7_3", *(f"7x7dbl_{number}" for number in range(1, 6)), "pool_proj")
_8 = ("1x1", "3x3_1", "3x3_2a", "3x3_2b", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3a", "3x3dbl_3b", "pool_proj")
_MODULES = (
    dict.fromkeys(("5b", "5c", "5d"), _35)
    | {"6a": ("3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3")}
    | dict.fromkeys(("6b", "6c", "6d", "6e"), _17)
    | {"7a": ("3x3_1", "3x3_2", *(f"7x7x3_{number}" for number in range(1, 5)))}
    | dict.fromkeys(("7b", "7c"), _8)
)
_CONVOLUTIONS = (*_STEM, *(f"mixed_{module}_{part}" for module, parts in _MODULES.items() for part in parts))


def _torch_inception_name(layer: str) -> str:
    if layer == "fc":
        return layer
    conv, kind = layer.removesuffix("_bn"), "bn" if layer.endswith("_bn") else "conv"
    if conv in _STEM:
        return f"{_STEM[conv]}.{kind}"
    _, module, part = conv.split("_", 2)
    return f"Mixed_{module}.branch{'_pool' if part == 'pool_proj' else part}.{kind}"


def _torch_inception(arrays: "Arrays", where: str) -> Foreign | None:
    if "Mixed_5b.branch1x1.conv.weight" not in arrays:
        return None
    return Foreign(
        "PyTorch state dict, torchvision's names",
        ("inception_v3",),
        replace(weight_layouts.PYTORCH, epsilon=1e-3),
        _torch_inception_name,
        count_classes(arrays, "fc.weight", 0, where),
        TORCHVISION_TF,
        options={"count_padding": True},
        arrays={name: array for name, array in arrays.items() if not name.startswith("AuxLogits.")},
    )


def _numbered(arrays: "Arrays", kind: str) -> list[str]:
    """The layers that Keras called `kind`, `kind`_1 ..., in the order in which they were made."""
    matches = filter(None, (re.match(rf"{kind}(?:_(\d+))?(?=/)", name) for name in arrays))
    found = {match[0]: int(match[1] or 0) for match in matches}
    return sorted(found, key=found.__getitem__)


def _keras_inception(arrays: "Arrays", where: str) -> Foreign | None:
    """Layers without names of their own: which is which, their order says."""
    convolutions, norms = _numbered(arrays, "conv2d"), _numbered(arrays, "batch_normalization")
    if not len(convolutions) == len(norms) == len(_CONVOLUTIONS):
        return None
    names = dict(zip(_CONVOLUTIONS, convolutions, strict=True))
    names |= {f"{layer}_bn": norm for layer, norm in zip(_CONVOLUTIONS, norms, strict=True)} | {"fc": "predictions"}
    return Foreign(
        "keras.applications",
        ("inception_v3",),
        replace(weight_layouts.KERAS, epsilon=1e-3, norm=(None, "/0", "/1", "/2")),
        names.__getitem__,
        count_classes(arrays, "predictions/0", 1, where),
        KERAS_TF,
    )


def _keras_resnet_v2_name(layer: str) -> str:
    ends = {"conv1": "conv1_conv", "last_bn": "post_bn", "fc": "predictions"}
    if layer in ends:
        return ends[layer]
    match = re.fullmatch(r"conv(\d+)_(\d+)_(preact|conv\d|shortcut)(_bn)?", layer)
    assert match, layer
    stage, block, part, norm = match.groups()
    number = {"preact": "preact", "shortcut": "0"}.get(part, part[-1])
    return f"conv{stage}_block{block}_{number}_{'bn' if norm else 'conv'}"


def _keras_resnet_v2(arrays: "Arrays", where: str) -> Foreign | None:
    first = "conv2_block1_preact_bn/0"
    if first not in arrays:
        return None
    found: dict[str, set[str]] = {}
    for match in filter(None, (re.match(r"conv(\d)_block(\d+)_preact_bn/0", name) for name in arrays)):
        found.setdefault(match[1], set()).add(match[2])
    blocks = tuple(len(found[stage]) for stage in sorted(found))
    depth = next((depth for depth, row in preresnet.TABLE.items() if row == blocks), None)
    if depth is None or f"resnet{depth}v2" not in KERAS:
        raise UserError(f"{where}: a ResNetV2 of blocks {blocks}, which is none of {', '.join(KERAS)}", 1)
    count, layout = count_classes(arrays, "predictions/0", 1, where), weight_layouts.KERAS
    return Foreign("keras.applications", (f"resnet{depth}v2",), layout, _keras_resnet_v2_name, count, KERAS_TF)


TESTS = (_torch_inception, _keras_inception, _keras_resnet_v2)
