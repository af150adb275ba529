"""What all layers of one network have in common: initial weights, normalisation, activation.

A network's `build` is `styled` with its own defaults and reads one layer a line; the layers look the style up while it
runs. So `build(..., norm="none")` reaches every layer without an argument that travels through every function.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from inspect import Parameter, signature
from typing import Any

from common.errors import UserError
from common.settings import Setting


def _choice(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(help, **limits)})


@dataclass(frozen=True)
class Style:
    """How the layers of a network are made. Every field but the initializers is a flag, and an option of the network.

    Raises UserError where a value is not allowed.
    """

    initializer: str = "he"
    classifier_initializer: str | None = None
    # fmt: off
    norm: str = _choice("none", "normalisation after each convolution", choices="common.nn.layers:NORMS")
    norm_groups: int = _choice(32, "group norm: into how many groups the channels are split; where that does not "
                                   "divide them, the largest number below that does", least=1)
    batch_norm: str = _choice("replica", "batch norm: statistics of each device's share of the batch, or of the "
                                         "global batch", choices=("replica", "global"))
    weight_standardization: bool = _choice(False, "give each filter that a normalisation follows mean 0 and standard "
                                                  "deviation 1")
    activation: str = _choice("relu", "activation after the convolutions and fully connected layers",
                              choices="common.nn.layers:ACTIVATIONS")
    leaky_slope: float = _choice(0.1, "leaky_relu: slope below 0", least=0, below=1)
    elu_alpha: float = _choice(1.0, "elu: alpha, minus its limit far below 0", above=0)
    maxout_pieces: int = _choice(2, "maxout: k, the linear pieces of a unit; the layer before has k times the channels",
                                 least=2)
    # fmt: on

    def __post_init__(self):
        for name, setting in SETTINGS.items():
            setting.check(name, getattr(self, name))
        if self.weight_standardization and self.norm == "none":
            raise UserError("--weight_standardization needs a normalisation after the convolutions, e.g. --norm group")


SETTINGS: dict[str, Setting] = {one.name: one.metadata["setting"] for one in fields(Style) if "setting" in one.metadata}
_CURRENT: ContextVar[Style | None] = ContextVar("style", default=None)


def current() -> Style:
    """The style of the network that is being built; outside of a `build` the plain one."""
    return _CURRENT.get() or Style()


def styled(**defaults: Any) -> Callable:
    """Decorates a network's `build`: it takes every field of `Style` as a keyword, with these defaults.

    The decorated function has the attribute `style`, the `Style` of the defaults.
    """
    own = Style(**defaults)
    names = [one.name for one in fields(Style)]
    keywords = [Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(own, name)) for name in names]

    def decorate(build: Callable) -> Callable:
        @functools.wraps(build)
        def styled_build(*arguments: Any, **options: Any) -> Any:
            chosen = {name: options.pop(name) for name in names if name in options}
            token = _CURRENT.set(replace(own, **chosen))
            try:
                return build(*arguments, **options)
            finally:
                _CURRENT.reset(token)

        found = signature(build)
        styled_build.__signature__ = found.replace(  # type: ignore[attr-defined]
            parameters=[*found.parameters.values(), *keywords]
        )
        styled_build.style = own  # type: ignore[attr-defined]
        return styled_build

    return decorate
