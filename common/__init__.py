"""What every network shares. No module here knows a network by name.

The modules that need TensorFlow are bound lazily: `from common import layers` costs nothing until `layers.conv` is
first looked up. So a network's file can be imported, and `--help` answered, without waiting for TensorFlow.
"""

import importlib.util
import sys

_LAZY = (
    "augmentation",
    "averages",
    "checkpoints",
    "crops",
    "dense",
    "distribution",
    "evaluation",
    "faults",
    "finetuning",
    "folders",
    "folding",
    "images",
    "layers",
    "losses",
    "mistakes",
    "monitor",
    "optimizers",
    "pipeline",
    "prediction",
    "projector",
    "records",
    "reporter",
    "rewriting",
    "runs",
    "serving",
    "sources",
    "splits",
    "summary",
    "trainer",
    "weight_files",
    "weight_layouts",
)


def _lazy(name: str):
    """The submodule `name`, executed at its first attribute access (importlib's own LazyLoader)."""
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


for _name in _LAZY:
    globals()[_name] = _lazy(f"{__name__}.{_name}")
