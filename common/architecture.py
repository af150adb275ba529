"""`Architecture`: what the program has to know of a network to build, train, test and print it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common.recipe import Recipe


@dataclass(frozen=True)
class Architecture:
    """One network of a family.

    Attributes:
        name: what `--arch` takes, e.g. `resnet50`.
        family: the script it lives in, without `.py`.
        build: `build(classes, image_size, initializer, dropout, **options)` -> `keras.Model` from images
            (N, image_size, image_size, 3), mean subtracted, to logits (N, classes) float32. A network with auxiliary
            classifiers returns a list of logits, the main one first; they exist only when `auxiliary=True` is passed.
        image_size: the paper's input in pixels, square.
        recipe: the lab's recipe, the default.
        paper: the paper's recipe where it differs (`--recipe paper`), else the lab's.
        source: paper and section or table.
        options: further keyword arguments of `build` with their defaults (e.g. `shortcut`), each one a flag.
        auxiliary_weight: weight of each auxiliary classifier's loss; 0 for a network without.
        inherits: layers that may start from another network's weights (`--restore` in train mode); all of them where
            the other network is the same one.
    """

    name: str
    family: str
    build: Callable[..., Any]
    image_size: int
    recipe: Recipe
    source: str
    paper: Recipe | None = None
    options: dict[str, Any] = field(default_factory=dict)
    auxiliary_weight: float = 0.0
    inherits: tuple[str, ...] = ()
