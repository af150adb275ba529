"""`Architecture`: what the program has to know of a network to build, train, test and print it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from common.errors import UserError
from common.recipe import Recipe
from common.settings import Setting
from common.style import SETTINGS, Style


@dataclass(frozen=True)
class Option:
    """A further keyword of a network's `build`: a flag for the networks that have it.

    Attributes:
        name, default, setting: of the keyword and the flag.
        testing: a trained network may be built with another value, which leaves some of its layers out.
    """

    name: str
    default: Any
    setting: Setting
    testing: bool = False


@dataclass(frozen=True)
class Architecture:
    """One network of a family.

    Attributes:
        name: what `--arch` takes, e.g. `resnet50`.
        family: the module it stands in, e.g. `resnet34`, without its package.
        build: `build(classes=, image_size=, dropout=, **options)` -> `keras.Model` from images
            (N, image_size, image_size, 3), mean subtracted, to logits (N, classes) float32; `styled`, so that it takes
            the fields of `Style` too. A network with auxiliary classifiers returns a list of logits, the main one
            first; they exist only when `auxiliary=True` is passed.
        image_size: the paper's input in pixels, square.
        recipe: the lab's recipe, the default.
        source: paper and section or table.
        recipes: further recipes by name (`--recipe`), each as what it changes of `recipe`: fields of `Recipe`, and
            `image_size`. `paper` is there where the paper's recipe differs from the lab's.
        own_options: what only this network's `build` takes.
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
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own_options: tuple[Option, ...] = ()
    auxiliary_weight: float = 0.0
    inherits: tuple[str, ...] = ()

    @property
    def recipe_names(self) -> tuple[str, ...]:
        """What `--recipe` takes for this network, the lab's first."""
        return tuple(dict.fromkeys(("lab", "paper", *self.recipes)))

    def changes(self, name: str) -> Mapping[str, Any]:
        """What the recipe called `name` changes of the lab's. Raises UserError for one that the network lacks."""
        if name not in self.recipe_names:
            raise UserError(f"--recipe={name}: {self.name} has no such recipe, only {', '.join(self.recipe_names)}")
        return self.recipes.get(name, {})

    def recipe_named(self, name: str) -> Recipe:
        """The recipe called `name`. Raises UserError for one that the network lacks."""
        return replace(self.recipe, **{key: value for key, value in self.changes(name).items() if key != "image_size"})

    @property
    def style(self) -> Style:
        """The style that `build` has by default."""
        build: Any = self.build
        keywords: dict[str, Any] = {}
        while isinstance(build, partial):
            build, keywords = build.func, build.keywords | keywords
        return replace(build.style, **{name: value for name, value in keywords.items() if name in SETTINGS})

    @property
    def options(self) -> tuple[Option, ...]:
        """The network's own options and those of its style."""
        shared = tuple(Option(name, getattr(self.style, name), setting) for name, setting in SETTINGS.items())
        return (*self.own_options, *shared)

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option with its default."""
        return {option.name: option.default for option in self.options}
