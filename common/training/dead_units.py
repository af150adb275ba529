"""Units that are zero for every image of a validation: a network that holds many of them has fewer than it seems.

A rectifier passes no gradient where it gives zero, so a unit that gives zero for all images does not learn. Large
first steps do that to many of them (He et al. 2015, "Delving Deep into Rectifiers").
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.distribution import Devices
from common.nn import graph_rewrite, layers
from common.training import validation
from common.training.run_state import as_they_are

LIMIT = 0.1  # share of a layer's units that may be dead without a warning


@dataclass(frozen=True)
class Dead:
    """How many of a layer's units (channels of a map) are dead."""

    layer: str
    dead: int
    units: int


class WatchedStep:
    """An eval step, `validation.make_eval_step`'s, that also notes which units of which ReLU were not zero.

    It sums each rectified map over its places: a few per cent of the time of the step. Images that only fill up the
    last batch do not count.
    """

    def __init__(self, model: keras.Model, devices: Devices, jit: bool = False, finish: Callable = as_they_are):
        main = graph_rewrite.main_path(model)
        self._relus = [layer for layer in main.layers if isinstance(layer, keras.layers.ReLU)]
        with layers.deep():
            outputs = {"logits": main.outputs[0], "maps": [layer.output for layer in self._relus]}
            watched = keras.Model(main.inputs, outputs)

        def replica_step(images, labels, valid, _):
            found = watched(finish(images), training=False)
            active = [_active(rectified, valid) for rectified in found["maps"]]
            return validation.sums(labels, found["logits"], valid), tf.concat([tf.zeros(0), *active], 0)

        @tf.function(jit_compile=jit or None)
        def step(*batch):
            parts = devices.strategy.run(replica_step, args=batch)
            return [devices.strategy.reduce("SUM", part, axis=None) for part in parts]

        self._step = step
        self._active: tf.Tensor | None = None
        self._named: set[str] = set()

    def __call__(self, *batch) -> tf.Tensor:
        """`validation.sums` over a global batch."""
        sums, active = self._step(*batch)
        self._active = active if self._active is None else self._active + active
        return sums

    def take(self) -> list[Dead]:
        """The counts of every ReLU over all batches since the last call, in the network's order. Empty without any."""
        ends = np.cumsum([layer.output.shape[-1] for layer in self._relus])
        parts: list = [] if self._active is None else np.split(self._active.numpy(), ends[:-1])
        self._active = None
        return [
            Dead(layer.name, int(np.sum(part == 0)), part.size) for layer, part in zip(self._relus, parts, strict=False)
        ]

    def remark(self, found: list[Dead]) -> str | None:
        """A line that names the layers of which more than a tenth of the units are dead, where one is named first."""
        many = {one.layer: f"{one.layer} {one.dead} of {one.units}" for one in found if one.dead > LIMIT * one.units}
        if many.keys() <= self._named:
            return None
        self._named |= many.keys()
        return (
            f"warning: units that were zero for every image of the validation: {', '.join(many.values())}. They learn "
            "nothing; known cures: a smaller --learning_rate, --warmup gradual, --initializer glorot"
        )


def share(found: list[Dead]) -> float:
    """The share of all units that are dead, 0..1."""
    return sum(one.dead for one in found) / max(sum(one.units for one in found), 1)


def _active(rectified: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """(units,) float32: in how many valid images a unit of a rectified map (N, ..., units) is not zero."""
    places = list(range(1, len(rectified.shape) - 1))
    positive = tf.reduce_sum(rectified, places) > 0  # no value is below zero
    return tf.reduce_sum(tf.cast(tf.logical_and(positive, valid[:, None]), tf.float32), 0)
