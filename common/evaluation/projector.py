"""Points for TensorBoard's projector, which draws them by PCA, t-SNE or UMAP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

MOST = 10_000  # points; more are slow to draw in a browser
_CHECKPOINT, _METADATA = "projector.ckpt", "projector.tsv"


def chosen(count: int) -> np.ndarray:
    """Which of `count` points are drawn: all of them, or an even choice of `MOST`, in their order."""
    return np.unique(np.linspace(0, count - 1, min(MOST, count)).round().astype(int))


def write(folder: Path, points: np.ndarray, rows: Sequence[tuple[str, str]]) -> None:
    """Writes points (N, D) float32 with (class, file) of each."""
    from tensorboard.plugins import projector

    lines = ["class\tfile", *("\t".join(" ".join(cell.split()) for cell in row) for row in rows)]
    (folder / _METADATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    tf.train.Checkpoint(features=tf.Variable(points)).write(str(folder / _CHECKPOINT))
    config = projector.ProjectorConfig(model_checkpoint_path=_CHECKPOINT)
    config.embeddings.add(tensor_name="features/.ATTRIBUTES/VARIABLE_VALUE", metadata_path=_METADATA)
    projector.visualize_embeddings(str(folder), config)
