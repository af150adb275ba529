"""The registry: every network of the four families, found by name."""

import alexnet
import googlenet
import resnet34
import vgg16
from common.architecture import Architecture
from common.errors import unknown

FAMILIES = {module.__name__: module.ARCHITECTURES for module in (alexnet, vgg16, googlenet, resnet34)}
ARCHITECTURES = {member.name: member for members in FAMILIES.values() for member in members}
OPTIONS = {option.name for network in ARCHITECTURES.values() for option in network.options}


def find(name: str) -> Architecture:
    """The architecture called `name`. Raises UserError with the nearest names otherwise."""
    if name not in ARCHITECTURES:
        raise unknown("--arch", name, ARCHITECTURES)
    return ARCHITECTURES[name]
