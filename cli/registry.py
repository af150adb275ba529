"""The registry: every network, found by name."""

import importlib

from common.architecture import Architecture
from common.errors import unknown

# One line a family: the module its networks stand in.
MODULES = (
    "alexnet",
    "vgg16",
    "googlenet",
    "resnet34",
    "zoo.lenet",
    "zoo.zfnet",
    "zoo.vgg_cnn",
    "zoo.nin",
    "zoo.squeezenet",
    "zoo.fractalnet",
    "zoo.densenet",
    "zoo.mobilenet",
    "zoo.inception",
    "zoo.preresnet",
    "zoo.wide_resnet",
    "zoo.resnext",
    "zoo.stochastic_depth",
    "zoo.senet",
)
FAMILIES: dict[str, tuple[Architecture, ...]] = {
    module.rpartition(".")[2]: importlib.import_module(module).ARCHITECTURES for module in MODULES
}
ARCHITECTURES = {member.name: member for members in FAMILIES.values() for member in members}
OPTIONS = {option.name for network in ARCHITECTURES.values() for option in network.options}
RECIPES = tuple(dict.fromkeys(name for network in ARCHITECTURES.values() for name in network.recipe_names))


def find(name: str) -> Architecture:
    """The architecture called `name`. Raises UserError with the nearest names otherwise."""
    if name not in ARCHITECTURES:
        raise unknown("--arch", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def module(architecture: Architecture) -> str:
    """Where a network stands, as it is imported."""
    return next(name for name in MODULES if name.rpartition(".")[2] == architecture.family)


def script(architecture: Architecture) -> str:
    """What runs a network: its family's own script, or train.py for those of zoo/."""
    return f"{architecture.family}.py" if architecture.family in MODULES else "train.py"
