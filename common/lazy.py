"""Modules that are imported when they are first used, so that `--help` does not wait for TensorFlow."""

import importlib
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    """Stands for a module until an attribute of it is asked for, and hands that on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy(name: str) -> Any:
    """The module `name`, imported at its first attribute access.

    For what a network's file or the table of flags would otherwise pull in: keras, and the modules that import it.
    """
    return _Lazy(name)
