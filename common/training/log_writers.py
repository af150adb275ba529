"""TensorBoard's events that a run writes for people, and the rewinding of them and of metrics.csv.

TensorBoard's curves of one quantity share a chart: the tag is the quantity, the run is the split.

    RUN/tensorboard             the recipe (TEXT and HPARAMS), the graph of the network, best_top1 and best_loss
    RUN/tensorboard/train       a point every log interval; augmented inputs
    RUN/tensorboard/validation  a point every validation; first filters, histograms
    RUN/tensorboard/test        what `--mode test` measured
"""

import dataclasses
import math
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.recipe import Recipe
from common.training import metrics_file

EVENTS_FOLDER = "tensorboard"


class Profiler:
    """Profiles some steps for TensorBoard, into RUN/tensorboard/plugins/profile.

    Args:
        run: the run directory.
        steps: first and last step, counted from 1 over the whole run; None: none at all.
    """

    def __init__(self, run: Path, steps: tuple[int, int] | None):
        self.folder, self.steps, self.running = str(Path(run) / EVENTS_FOLDER), steps, False

    def step(self, number: int) -> AbstractContextManager:
        """Marks what happens within it as step `number`; starts the profiler at the first one (or within the range)."""
        if self.steps and not self.running and self.steps[0] <= number <= self.steps[1]:
            tf.profiler.experimental.start(self.folder)
            self.running = True
        return tf.profiler.experimental.Trace("train", step_num=number, _r=1) if self.running else nullcontext()

    def last(self, number: int) -> bool:
        """True after the last step."""
        return self.running and self.steps is not None and number >= self.steps[1]

    def stop(self) -> None:
        """Writes the profile, if one is being taken."""
        if self.running:
            self.running = False
            tf.profiler.experimental.stop()


def rewind(run: Path, step: int, validated: bool = True) -> None:
    """Removes what a run wrote after `step`, from metrics.csv and TensorBoard's events; -1: all of it.

    Unless `validated`, the results of a validation after exactly `step` steps are removed too.
    """
    metrics_file.MetricsFile(run).rewind(step, validated)
    board = Path(run) / EVENTS_FOLDER
    _rewind_events(board / "train", step)
    for folder in (board, board / "validation"):
        _rewind_events(folder, step if validated else step - 1)


def _rewind_events(folder: Path, step: int) -> None:
    """Removes from TensorBoard's event files what lies after `step`: a resumed run would draw it a second time."""
    for path in sorted(Path(folder).glob("events.*")):
        kept, dropped = [], False
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if tf.compat.v1.Event.FromString(record).step <= step:
                    kept.append(record)
                else:
                    dropped = True
        except tf.errors.DataLossError:  # the record that was being written when the process was killed
            dropped = True
        if not dropped:
            continue
        if not kept:
            path.unlink()
            continue
        temporary = path.with_name(f".{path.name}")
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in kept:
                writer.write(record)
        os.replace(temporary, path)


class TensorBoard:
    """Events in RUN/tensorboard or a folder in it. Steps are global steps."""

    def __init__(self, run: Path, folder: str = ""):
        self.writer = tf.summary.create_file_writer(str(Path(run) / EVENTS_FOLDER / folder))

    def scalars(self, step: int, values: dict) -> None:
        """One point of each curve."""
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def histograms(self, step: int, variables: Any) -> None:
        """The distribution of the values of each Keras variable."""
        with self.writer.as_default(step=step):
            for variable in variables:
                tf.summary.histogram(variable.path, variable.value)

    def recipe(self, recipe: Recipe, more: dict) -> None:
        """The recipe, and what else tells runs apart: a page of the TEXT tab, a row of the HPARAMS tab.

        That tab shows best_top1 and best_loss beside it, which are scalars of this folder.
        """
        from tensorboard.plugins.hparams import api

        values = more | dataclasses.asdict(recipe)
        table = ["| field | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in values.items())]
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in values.items()
        }
        metrics = [api.Metric("best_top1"), api.Metric("best_loss")]
        with self.writer.as_default(step=0):
            tf.summary.text("recipe", "\n".join(table))
            api.hparams_config([api.HParam(name) for name in plain], metrics)
            api.hparams(plain)

    def graph(self, model: Any) -> None:
        """The network for the GRAPHS tab: one node a layer of a functional Keras model."""
        graph = tf.compat.v1.GraphDef()
        for layer in model.layers:
            node = graph.node.add(name=layer.name, op=type(layer).__name__)
            if not isinstance(layer, keras.layers.InputLayer):
                inputs = layer.input if isinstance(layer.input, list) else [layer.input]
                node.input.extend(tensor._keras_history.operation.name for tensor in inputs)
            shape = tf.TensorShape(layer.output.shape).as_proto()
            node.attr["_output_shapes"].list.shape.append(shape)
        with self.writer.as_default(step=0):
            tf.summary.graph(graph)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """One picture, (H, W, 3) uint8."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, picture[None])

    def flush(self) -> None:
        """Hands what was added to the disk."""
        self.writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self.writer.close()


def tile(pictures: np.ndarray, gap: int = 1) -> np.ndarray:
    """(N, H, W, C) uint8 pictures -> one nearly square sheet (rows * (H + gap) - gap, ..., C), white between them."""
    count, height, width, channels = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def input_sheet(images: np.ndarray, mean: np.ndarray, most: int = 16) -> np.ndarray:
    """The first images of a batch (N, H, W, 3) with their mean added back, as one sheet of uint8."""
    return tile(np.clip(np.rint(images[:most] + mean), 0, 255).astype(np.uint8), gap=4)


def filter_sheet(kernel: np.ndarray) -> np.ndarray:
    """The filters of a first convolution (k, k, 3, N), each stretched to 0..255 and enlarged, as one sheet of uint8."""
    filters = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    span = np.maximum(filters.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
    enlarge = max(1, 32 // filters.shape[1])
    filters = np.rint((filters - low) / span * 255).astype(np.uint8)
    return tile(filters.repeat(enlarge, axis=1).repeat(enlarge, axis=2), gap=2)
