"""The spread of the activations in untrained networks, layer by layer.

    python experiments/spread.py --arch vgg11,vgg16 --initializer gaussian,glorot,he --ckpt FOLDER

Writes results.json with a curve for each pair, `vgg16-he`: number of the layer -> standard deviation of what it puts
out, before its activation, for 64 of the digits, mean subtracted, 0..255.
"""

import argparse
import random
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a script: sys.path begins with experiments/ instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

import train
from cli import registry
from common import errors
from common.runs import files

IMAGES = 64


def pictures(size: int) -> np.ndarray:
    """Digits (64, size, size, 3) float32, 0..255, less their mean."""
    from sklearn.datasets import load_digits

    small = load_digits().images[:IMAGES]
    place = np.arange(size) * small.shape[1] // size
    large = small[:, place][:, :, place] * (255 / 16)
    return np.repeat((large - large.mean())[..., None], 3, axis=-1).astype(np.float32)


def spread(arch: str, initializer: str, images: np.ndarray) -> list[tuple[int, float]]:
    """(number from 1, standard deviation) of each convolution and fully connected layer of an untrained network."""
    import keras
    import tensorflow as tf

    from common.nn.convolution import Conv
    from common.nn.cost import ordered

    model = registry.find(arch).build(classes=10, image_size=images.shape[1], initializer=initializer)
    weighted = [layer for layer in ordered(model.outputs[:1]) if isinstance(layer, Conv | keras.layers.Dense)]
    outputs = keras.Model(model.inputs, [layer.output for layer in weighted])(images, training=False)
    return [(number, float(tf.math.reduce_std(tf.cast(y, tf.float32)))) for number, y in enumerate(outputs, start=1)]


def main(words: list[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", required=True, help="networks, comma-separated")
    parser.add_argument("--initializer", required=True, help="initial weights, comma-separated")
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ckpt", type=Path, required=True, help="folder for results.json")
    options = parser.parse_args(words)
    train.start_tensorflow()
    random.seed(options.seed)  # Keras draws its seeds from it
    images = pictures(options.image_size)
    curves = {
        f"{arch}-{initializer}": spread(arch, initializer, images)
        for arch in options.arch.split(",")
        for initializer in options.initializer.split(",")
    }
    options.ckpt.mkdir(parents=True, exist_ok=True)
    files.write_json(options.ckpt / "results.json", {"curves": curves})
    print(f"{len(curves)} curves in {options.ckpt / 'results.json'}")


if __name__ == "__main__":
    with errors.ending_in_a_line("spread.py"):
        main()
