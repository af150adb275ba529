"""All comparisons, in the order in which `run.py all` runs them; their markers give the order of RESULTS.md."""

import importlib
import importlib.util
from pathlib import Path

from common.errors import UserError, unknown
from experiments.design import Comparison

NAMES = (
    "plain_residual",
    "optimizers",
    "normalization",
    "schedules",
    "initialization",
    "regularization",
    "ensembles",
    "transfer",
    "shortcuts",
    "activations",
    "lrn",
    "zoo",
    "recipes",
    "digits",
    "parity",
    "resnet20",
)


def find(name: str) -> Comparison:
    """The comparison of that name, or of a file like those here. Raises UserError with the nearest names otherwise."""
    if name.endswith(".py"):
        return _of_file(Path(name))
    if name not in NAMES:
        raise unknown("comparison", name, NAMES)
    return importlib.import_module(f"experiments.{name}").COMPARISON


def _of_file(path: Path) -> Comparison:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise UserError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "COMPARISON"):
        raise UserError(f"{path}: it does not define COMPARISON")
    return module.COMPARISON


def every() -> list[Comparison]:
    """All of them."""
    return [find(name) for name in NAMES]
