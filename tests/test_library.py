"""Every network's file can be imported, and its networks built with plain arguments, from one's own Python."""

import importlib

import keras
import pytest

from cli import registry

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
