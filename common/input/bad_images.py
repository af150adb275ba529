"""Passing over image files that cannot be read or decoded, for those who ask for it; by default they stop the program.

In training the place of such a file in a batch is taken by the next file of the split that can be decoded. So every
other picture comes when it would have come, and what replaces a file does not depend on workers or on time.
"""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import printable
from common.input.splits import Split

NAMED = 5  # files in the summary
Load = Callable[[tf.Tensor, tf.Tensor], tuple]


class BadImages:
    """The files that were passed over, in the order in which they were met; `say` takes a line for each, once."""

    def __init__(self, say: Callable[[str], None]):
        self.files: list[str] = []
        self._known: set[str] = set()
        self._say = say

    @property
    def summary(self) -> str:
        """How many were passed over, and the names of the first; "" where none was."""
        if not self.files:
            return ""
        named = [printable(os.fsencode(file)) for file in self.files[:NAMED]]
        more = [f"and {len(self.files) - NAMED:,} more"] if len(self.files) > NAMED else []
        files = "image file" if len(self.files) == 1 else "image files"
        return f"left out {len(self.files):,} {files} that cannot be decoded: {', '.join(named + more)}"

    def note(self, split: Split, place: tf.Tensor) -> tf.Tensor:
        """Takes down the file at a place of a split of image files; to be called in a graph."""

        def take_down(found: np.int64) -> np.int64:
            file = split.files[int(found)]
            if file not in self._known:
                self._known.add(file)
                self.files.append(file)
                self._say(f"left out: {printable(os.fsencode(file))} cannot be decoded")
            return found

        return tf.ensure_shape(tf.numpy_function(take_down, [place], tf.int64), ())


def load_or_next(numbered: tf.data.Dataset, load: Load, split: Split, bad: BadImages) -> tf.data.Dataset:
    """`load(number, place)` of every element; where that fails, of the next place at which it does not."""

    @tf.autograph.experimental.do_not_convert
    def attempts(number, place):
        further = tf.data.Dataset.range(split.examples)
        tried = further.map(lambda step: (place, step, load(number, (place + step) % split.examples)))
        return tried.ignore_errors().take(1)

    @tf.autograph.experimental.do_not_convert
    def taken(place, steps, loaded):
        def note_all():
            return tf.map_fn(lambda step: bad.note(split, (place + step) % split.examples), tf.range(steps))[0]

        with tf.control_dependencies([tf.cond(steps > 0, note_all, lambda: tf.zeros([], tf.int64))]):
            return tf.nest.map_structure(tf.identity, loaded)

    return machine.parallel_interleave(numbered, attempts).map(taken)


def load_or_nothing(
    numbered: tf.data.Dataset, load: Load, nothing: tuple, split: Split, bad: BadImages, parallel: int | None = None
) -> tf.data.Dataset:
    """`load(number, place)` of every element; where that fails, `nothing`, of the same structure."""

    @tf.autograph.experimental.do_not_convert
    def attempts(number, place):
        tried = tf.data.Dataset.from_tensors(number).map(lambda n: (place, tf.constant(True), load(n, place)))
        failed = tf.data.Dataset.from_tensors((place, tf.constant(False), nothing))
        return tried.ignore_errors().concatenate(failed).take(1)

    @tf.autograph.experimental.do_not_convert
    def taken(place, found, loaded):
        with tf.control_dependencies([tf.cond(found, lambda: place, lambda: bad.note(split, place))]):
            return tf.nest.map_structure(tf.identity, loaded)

    return machine.parallel_interleave(numbered, attempts, parallel).map(taken)
