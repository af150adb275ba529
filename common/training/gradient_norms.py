"""Norms of gradients and updates, a curve for each variable, for TensorBoard (`--log_gradients`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from common.training.run_state import Job
from common.training.train_step import make_train_step


class WatchedStep:
    """A training step, `make_train_step`'s, that also notes what it does to each variable that trains.

    It is traced beside the plain step and takes the same arguments; the norms are those of the very gradients with
    which it updates the weights: of the whole batch, with weight decay, before `clip_norm`.
    """

    def __init__(self, job: Job):
        self._variables = job.model.trainable_variables
        with job.devices.strategy.scope():
            self._found = tf.Variable(
                tf.fill([3, len(self._variables)], np.nan),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
        self._step = make_train_step(job, self._watch)

    @contextmanager
    def _watch(self, gradients: Sequence[tf.Tensor | None]) -> Iterator[None]:
        """Notes the norms of gradients and weights, and of what a step within it changes. In replica context."""
        before = [tf.identity(variable.value) for variable in self._variables]
        yield
        moved = [variable.value - earlier for variable, earlier in zip(self._variables, before, strict=True)]
        self._found.assign([_norms(gradients), _norms(before), _norms(moved)])

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One step; see `make_train_step`."""
        self._found.assign(tf.fill(self._found.shape, np.nan))  # a step that is skipped, in float16, notes nothing
        return self._step(images, labels)

    def take(self) -> dict[str, float]:
        """The curves' points of the last step; {} where it was skipped.

        `gradient_norm/PATH` of each variable's gradient, `update_ratio/PATH` of its change to its weights before (none
        where those are zero), and `global_gradient_norm`, the root of the sum of all squares.
        """
        gradients, weights, moved = tf.convert_to_tensor(self._found).numpy().astype(np.float64)
        if np.isnan(weights).all():
            return {}
        paths = [variable.path for variable in self._variables]
        found = {f"gradient_norm/{path}": norm for path, norm in zip(paths, gradients, strict=True)}
        for path, weight, change in zip(paths, weights, moved, strict=True):
            if weight > 0:
                found[f"update_ratio/{path}"] = change / weight
        return {"global_gradient_norm": float(np.sqrt(np.sum(gradients**2)))} | found


def _norms(tensors: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """(N,) float32: the L2 norm of each; 0 of None."""
    return tf.stack([0.0 if one is None else tf.norm(tf.cast(one, tf.float32)) for one in tensors])
