"""Every network's file can be imported, and its networks built with plain arguments, from one's own Python."""

import importlib

import keras
import pytest

from cli import registry
from common.errors import UserError

# For each module its builders with arguments as one would type them: five classes, small.
CALLS = {
    "alexnet": {"build": (5, 67), "build_two_towers": (5, 67)},
    "vgg16": {"build": ("A", "vgg11", 5, 32)},
    "googlenet": {"build": (5, 64)},
    "resnet34": {"build": (18, 5, 32), "build_cifar": (20, 5, 16)},
    "zoo.lenet": {"build": (5, 32), "build_1998": (5, 32)},
    "zoo.zfnet": {"build": ("a", "zfnet", 5, 64)},
    "zoo.vgg_cnn": {"build": ("M", "cnn_m", 5, 128)},
    "zoo.nin": {"build": (5, 64), "build_cifar": (5, 16)},
    "zoo.squeezenet": {"build_1_0": (5, 32), "build_1_1": (5, 32)},
    "zoo.fractalnet": {"build": (20, 5, 32)},
    "zoo.densenet": {"build_cifar": (40, 12, False, 5, 8)},
    "zoo.mobilenet": {"build": (0.25, 5, 32)},
    "zoo.inception": {"build_v2": (5, 32), "build_v3": (5, 75)},
    "zoo.preresnet": {"build": (50, 5, 32), "build_cifar": (110, 5, 16), "build_v2": (50, 5, 32)},
    "zoo.wide_resnet": {"build": (50, 5, 32), "build_cifar": (16, 1, 5, 16)},
    "zoo.resnext": {"build": (50, 32, 4, 5, 32), "build_cifar": (29, 8, 4, 5, 16)},
    "zoo.stochastic_depth": {},
    "zoo.senet": {"build": (50, 1, 64, 5, 32), "build_cifar": (20, 5, 16)},
}
UNKNOWN = [
    ("resnet34", "build", 35, "depth: 35 is not known; choose one of: 18, 34, 50, 101, 152"),
    ("resnet34", "build_cifar", 21, "depth 21: a network for 32x32 images has 6n"),
    ("vgg16", "build", "F", "column: 'F' is not known; choose one of: A, A-LRN, B, C, D, E"),
    ("zoo.densenet", "build", 120, "depth: 120 is not known; choose one of: 121, 169, 201, 161"),
    ("zoo.fractalnet", "build", 30, "depth: 30 is not known; choose one of: 20, 40"),
    ("zoo.preresnet", "build", 18, "depth: 18 is not known; choose one of: 50, 101, 152, 200"),
    ("zoo.preresnet", "build_v2", 18, "depth: 18 is not known; choose one of: 50, 101, 152, 200"),
    ("zoo.preresnet", "build_cifar", 56, "depth: 56 is not known; choose one of: 110, 164, 1001"),
    ("zoo.vgg_cnn", "build", "L", "letter: 'L' is not known; choose one of: F, M, S"),
    ("zoo.zfnet", "build", "c", "row: 'c' is not known; choose one of: a, b"),
    ("zoo.resnext", "build", 51, "depth: 51 is not known"),
    ("zoo.senet", "build", 51, "depth: 51 is not known"),
    ("zoo.wide_resnet", "build", 51, "depth: 51 is not known"),
]
BUILDERS = [(module, name, given) for module, calls in CALLS.items() for name, given in calls.items()]


def test_every_module_is_here():
    assert tuple(CALLS) == registry.MODULES


@pytest.mark.parametrize(("module", "name", "given"), BUILDERS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_network_is_built_with_plain_arguments(module, name, given):
    build = getattr(importlib.import_module(module), name)
    with keras.StatelessScope(initialize_variables=False):  # shapes suffice
        model = build(*given)
    assert isinstance(model, keras.Model)
    assert model.output_shape == (None, 5)
    assert model.input_shape == (None, given[-1], given[-1], 3)


@pytest.mark.parametrize(("module", "name", "given", "said"), UNKNOWN, ids=lambda one: str(one)[:20])
def test_a_row_that_the_table_does_not_have_is_named(module, name, given, said):
    with pytest.raises(UserError, match=said):
        getattr(importlib.import_module(module), name)(given)
