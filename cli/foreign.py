"""What is known of a weight file from elsewhere once its names have told which network it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from common.weights import weight_layouts
    from common.weights.weight_files import Arrays

Rename = Callable[[str], str]

# RGB, 0..255, and how a picture is resized. torchvision's transforms; keras.applications' "caffe", "torch" and "tf"
# modes, and what its documented figures were measured with; the mean of Caffe's mean image.
TORCHVISION = {
    "mean": tuple(255 * value for value in (0.485, 0.456, 0.406)),
    "std": tuple(255 * value for value in (0.229, 0.224, 0.225)),
    "interpolation": "pil_bilinear",
}
CAFFE = {"mean": (123.68, 116.779, 103.939), "channels": "bgr"}
KERAS_CAFFE = CAFFE | {"interpolation": "opencv_bicubic"}
KERAS_TORCH = TORCHVISION | {"interpolation": "opencv_bicubic"}
TF_MODE = {"mean": (127.5,) * 3, "std": (127.5,) * 3}
KERAS_TF = TF_MODE | {"interpolation": "opencv_bicubic"}
TORCHVISION_TF = TF_MODE | {"interpolation": "pil_bilinear"}
BVLC = {"mean": (122.6789, 116.6688, 104.0070), "channels": "bgr"}


@dataclass(frozen=True)
class Foreign:
    """What a weight file turned out to be.

    Attributes:
        origin: whose names and layouts, for people.
        archs: the networks it fits: the first, or another where `--arch` names it.
        layout: how its arrays are laid out.
        rename: layer here -> layer there.
        classes: of its classifier.
        preprocessing: what it was trained on: fields of `pipeline.Preprocessing` that differ from the defaults.
        image_size: where a fully connected layer fixes it, in pixels; None: the network's own.
        options: of the network's build, beside its defaults.
        arrays: to be used: the file's, under names without wrappers' prefixes.
        undecided: nothing in the file tells which of `archs` it is: `--arch` has to.
    """

    origin: str
    archs: tuple[str, ...]
    layout: "weight_layouts.Layout"
    rename: Rename
    classes: int
    preprocessing: dict
    image_size: int | None = None
    options: dict = field(default_factory=dict)
    arrays: "Arrays" = field(default_factory=dict)
    undecided: bool = False


def count_classes(arrays: "Arrays", name: str, axis: int, where: str, axes: int = 2) -> int:
    """How many classes the classifier called `name` has: the length of one of its axes.

    Raises UserError where it is not there.
    """
    if name not in arrays or arrays[name].ndim != axes:
        count = "two" if axes == 2 else "four"
        raise UserError(f"{where}: has no classifier ({name}, {count} axes); save the network with its top", 1)
    return arrays[name].shape[axis]
