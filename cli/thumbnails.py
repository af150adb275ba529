"""Small pictures of images, and the file names of all that were tested."""

from collections.abc import Callable
from functools import cache

import numpy as np

from common import machine
from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import datasets, read_errors

SIDE = 128  # width and height of a picture


@cache
def maker() -> Callable[[bytes], np.ndarray]:
    """A function: a file's bytes -> the central square of its picture, (SIDE, SIDE, 3) uint8."""
    import tensorflow as tf

    from common.input import images

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def show(encoded):
        return crops.views(images.decode(encoded), Protocol(), SIDE, (SIDE,))[0]

    return lambda encoded: np.rint(show(tf.constant(encoded)).numpy()).astype(np.uint8)


def look_up(split: "datasets.Split", places: np.ndarray, wanted: np.ndarray) -> tuple[list[str], dict[int, np.ndarray]]:
    """The file names of images of a split, and small pictures (SIDE, SIDE, 3) uint8 of some of them.

    Args:
        split: that was tested.
        places: (N,) int64, the places of the images in it, ascending.
        wanted: which of the N are wanted as pictures; they are the keys.
    """
    import tensorflow as tf

    row_of = {int(places[row]): int(row) for row in wanted}
    shown = tf.constant(sorted(row_of), tf.int64)

    @tf.autograph.experimental.do_not_convert
    def read(place, element):
        encoded, _, name = split.parse(element)
        return place, name, tf.where(tf.reduce_any(shown == place), encoded, b"")

    shrink = maker()
    names, found = dict(enumerate(() if split.records else split.files)), {}
    elements = split.serialized(None).enumerate()
    if not split.records:  # their names are known, and the elements are their places
        elements = tf.data.Dataset.from_tensor_slices((shown, shown))
    with read_errors.named(split):
        for place, name, encoded in machine.parallel_map(elements, read).prefetch(64).as_numpy_iterator():
            names[int(place)] = name.decode("utf-8", "surrogateescape")
            if encoded:
                found[row_of[int(place)]] = shrink(encoded)
    return [names[int(place)] for place in places], found
