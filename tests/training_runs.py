"""What the tests of `--mode train` ask of a run directory: its weights, its rows, its events."""

import csv
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.runs import checkpoints


def last_line(capsys) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def weights(run: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoints.newest(Path(run)).folder / "variables"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def same_weights(one: str, other: str) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def read_metrics(run: str, *splits: str) -> list[dict]:
    with open(Path(run) / "metrics.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] in (splits or ("train", "validation"))]


class Killed(BaseException):
    """A kill at the place where it is raised."""


def events(folder: str) -> dict[str, list]:
    """Every value in a folder of TensorBoard's events, and the graph, by tag: (step, value)."""
    found = {}
    for path in Path(folder).glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.graph_def:
                found["graph"] = [(event.step, tf.compat.v1.GraphDef.FromString(event.graph_def))]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found
