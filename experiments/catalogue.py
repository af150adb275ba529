"""All comparisons, in the order of RESULTS.md."""

import importlib

from common.errors import unknown
from experiments.design import Comparison

NAMES = (
    "resnet20",
    "plain_residual",
    "shortcuts",
    "normalization",
    "initialization",
    "activations",
    "optimizers",
    "schedules",
    "regularization",
    "lrn",
    "ensembles",
    "zoo",
    "transfer",
    "recipes",
)


def find(name: str) -> Comparison:
    """The comparison of that name. Raises UserError with the nearest names otherwise."""
    if name not in NAMES:
        raise unknown("comparison", name, NAMES)
    return importlib.import_module(f"experiments.{name}").COMPARISON


def every() -> list[Comparison]:
    """All of them."""
    return [find(name) for name in NAMES]
