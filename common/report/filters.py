"""The first filters of a network, read from a checkpoint without building it."""

import numpy as np

from common.runs.checkpoints import Checkpoint

COLOURS = 3


def first(checkpoint: Checkpoint, channels: str = "rgb") -> np.ndarray | None:
    """The kernel (k, k, 3, N) float32 of the first convolution as it is tested: its moving average where one was kept.

    Args:
        checkpoint: of a run.
        channels: the order in which the network takes colours, rgb or bgr; the kernel is given in rgb.

    Returns:
        None where the first kernel does not look at three colours.
    """
    import tensorflow as tf

    shapes = checkpoint.state["variables"]
    path, shape = next(
        (
            (key.partition(":")[2], shape)
            for key, shape in shapes.items()
            if key.startswith("model:") and len(shape) == 4
        ),
        ("", [0, 0, 0, 0]),
    )
    if shape[2] != COLOURS:
        return None
    group = "average" if f"average:{path}" in shapes else "model"
    kernel = tf.Variable(tf.zeros(shape))
    status = tf.train.Checkpoint(**{group: {path: kernel}}).read(str(checkpoint.folder / "variables"))
    status.assert_existing_objects_matched().expect_partial()
    return kernel.numpy()[:, :, ::-1] if channels == "bgr" else kernel.numpy()
