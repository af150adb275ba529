"""The pictures that `--mode visualize` looks at: of a split or from files, by number."""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cli import flags, image_files, setup
from common.errors import UserError, printable
from common.input import datasets, pipeline, read_errors, splits


@dataclass(frozen=True)
class Source:
    """Pictures by number.

    Attributes:
        examples: how many.
        part: numbers (n,) -> a split of these pictures alone, in that order.
        names: numbers (n,) -> the names of their files; "" of a picture without.
        labelled: their labels are known.
    """

    examples: int
    part: "Callable[[np.ndarray], splits.Split]"
    names: Callable[[np.ndarray], list[str]]
    labelled: bool

    def evenly(self, most: int) -> np.ndarray:
        """The numbers of at most `most` pictures, evenly spread over all."""
        return np.unique(np.linspace(0, self.examples - 1, min(most, self.examples)).round().astype(int))

    def batches(
        self, numbers: np.ndarray, preprocessing: "pipeline.Preprocessing", at_once: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs (n, S, S, 3) float32, normalised, and labels (n,) of some pictures, at most `at_once` of them."""
        split = self.part(numbers)
        with read_errors.named(split):
            read = pipeline.evaluation(split, preprocessing, batch_size=min(at_once, len(numbers)))
            for inputs, labels, valid, _ in read:
                kept = valid.numpy()
                yield inputs.numpy()[kept], labels.numpy()[kept]


def of_split(data: "datasets.Dataset", options: flags.Options) -> Source:
    """The split that `--split` names, by default the test split."""
    import tensorflow as tf

    split = data.splits[setup.test_split(options, data)]

    def part(numbers):
        chosen = tf.data.Dataset.from_tensor_slices(np.asarray(numbers, np.int64))
        return dataclasses.replace(split, examples=len(numbers), serialized=lambda _: split.fetch(chosen))

    def names(numbers):
        found = part(numbers).serialized(None).map(lambda element: split.parse(element)[2]).as_numpy_iterator()
        return [os.path.basename(name.decode("utf-8", "backslashreplace")) for name in found]

    return Source(split.examples, part, names, labelled=True)


def of_files(named: list[str]) -> Source:
    """The image files that `--images` means; those that cannot be read are named on stderr and left out.

    Raises UserError (exit code 1) where none is left.
    """
    failed: dict[str, str] = {}
    files = list(image_files.named(named))
    for file in files:
        image_files.usable(file, failed)
    for file, reason in failed.items():
        print(f"{printable(file)}: left out ({reason})", file=sys.stderr)
    usable = [file for file in files if file not in failed]
    if not usable:
        raise UserError("--images: none of these files can be read", 1)

    def part(numbers):
        return image_files.as_split(image_files.Names([usable[number] for number in numbers]), {})

    def names(numbers):
        return [os.path.basename(printable(usable[number])) for number in numbers]

    return Source(len(usable), part, names, labelled=False)
