"""Small pictures of some images of a split, and the file names of all."""

import numpy as np

from common import machine
from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import datasets, read_errors

SIDE = 128  # width and height of a picture


def look_up(split: "datasets.Split", places: np.ndarray) -> tuple[list[str], dict[int, np.ndarray]]:
    """The file name of every image of a split, and small pictures (SIDE, SIDE, 3) uint8 of those at some places."""
    import tensorflow as tf

    from common.input import images

    wanted = tf.constant(places, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def read(place, element):
        encoded, _, name = split.parse(element)
        return name, tf.where(tf.reduce_any(wanted == place), encoded, b"")

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def show(encoded):
        return crops.views(images.decode(encoded), Protocol(), SIDE, (SIDE,))[0]

    names, found = [], {}
    with read_errors.named(split):
        read_all = machine.parallel_map(split.serialized(None).enumerate(), read)
        for place, (name, encoded) in enumerate(read_all.prefetch(64).as_numpy_iterator()):
            names.append(name.decode("utf-8", "surrogateescape"))
            if encoded:
                found[place] = np.rint(show(tf.constant(encoded)).numpy()).astype(np.uint8)
    return names, found
