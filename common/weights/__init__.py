"""Weights of other frameworks read, and finished networks exported."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common.architecture import Architecture

if TYPE_CHECKING:
    from common.weights.run_model import LoadedRun


def load_run(path: str | Path, find: Callable[[str], Architecture] | None = None) -> "LoadedRun":
    """A trained network as a Keras model from pictures to probabilities, and its class names (docs/library.md).

        network, classes = load_run("ckpt/resnet20")
        probabilities = network(pictures)

    It is what `--mode predict --precision float32` runs: the weights of the best checkpoint, or of the one named, their
    moving averages where the run kept them.

    Args:
        path: a run directory, or one checkpoint's folder in it.
        find: a network's name -> its `Architecture`, for a network of one's own. None: the module that config.json
            names is imported, and has the network in its `ARCHITECTURES`.

    Returns:
        (model, classes): pictures (N, H, W, 3) RGB, 0..255, uint8 or float, of any one size -> probabilities
        (N, classes) float32; class names by label, in words where they are known, as `--mode predict` prints them.

    Raises:
        UserError: no run or checkpoint is there, it is damaged, or the network is not found.
    """
    from common.weights import run_model  # TensorFlow waits until a run is loaded

    return run_model.load(path, find)
