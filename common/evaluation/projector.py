"""Points for TensorBoard's projector, which draws them by PCA, t-SNE or UMAP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

MOST = 10_000  # points; more are slow to draw in a browser
_CHECKPOINT, _METADATA = "projector.ckpt", "projector.tsv"


def write(folder: Path, values: np.ndarray, rows: Sequence[tuple[str, str]]) -> None:
    """Writes points (N, D) float32 with (class, file) of each; of more than `MOST` an even choice."""
    from tensorboard.plugins import projector

    chosen = np.unique(np.linspace(0, len(values) - 1, min(MOST, len(values))).round().astype(int))
    lines = ["class\tfile", *("\t".join(" ".join(cell.split()) for cell in rows[i]) for i in chosen)]
    (folder / _METADATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    points = tf.train.Checkpoint(features=tf.Variable(values[chosen]))
    points.write(str(folder / _CHECKPOINT))
    config = projector.ProjectorConfig(model_checkpoint_path=_CHECKPOINT)
    config.embeddings.add(tensor_name="features/.ATTRIBUTES/VARIABLE_VALUE", metadata_path=_METADATA)
    projector.visualize_embeddings(str(folder), config)
