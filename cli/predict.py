"""`--mode predict`: the most likely classes of image files, by one run or by several together."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags
from cli import trained as trained_networks
from common import distribution
from common.errors import UserError, printable
from common.evaluation import prediction
from common.evaluation.protocol import Protocol
from common.input import folder_tree, splits

NAMED = 10  # files that were passed over; more are counted


def run(options: flags.Options, family: str | None) -> None:
    """`--mode predict`: the five most likely classes of image files, printed batch by batch.

    Files that cannot be read are named, the others predicted; the exit code is 1 then.
    """
    for name in ("restore", "images"):
        if not options.values[name]:
            raise UserError(f"--mode=predict needs --{name}")
    files = list_images(options.images)
    protocol = Protocol(options.crops, options.scales or ())
    devices = distribution.choose("one")
    trained = trained_networks.restored(options, family)
    batch_size = trained_networks.batch_size_of(options, trained[0].config)
    failed: dict[str, str] = {}
    members = [trained_networks.load(one, protocol, devices) for one in trained]
    answers = Answers(files, failed, trained[0].config.classes)
    with json_array() if options.predict_format == "json" else nullcontext(table(files)) as show:
        prediction.predict(
            members,
            image_files(files, failed),
            devices,
            batch_size,
            lambda places, predicted: show(answers.of_batch(places, predicted)),
            as_bytes=distribution.normalises(options.device_normalise),
        )
    if failed:
        named = "; ".join(f"{printable(file)}: {reason}" for file, reason in failed.items())
        raise UserError(f"{len(failed)} of {len(files)} images cannot be read: {named}", 1)


class Answers:
    """Predictions as what is printed of each file, in the order of the files.

    Args:
        files: all that were asked for.
        failed: the reason for each that cannot be used, known by the time its batch is answered.
        classes: names by label.
    """

    def __init__(self, files: Sequence[str], failed: dict[str, str], classes: Sequence[str]):
        self._files, self._failed, self._classes = files, failed, classes
        self._waiting: dict[int, dict[str, Any]] = {}
        self._next = 0

    def of_batch(self, places: np.ndarray, predicted: "prediction.Predictions") -> list[dict[str, Any]]:
        """The answers that are due now: those of the batch, and of earlier ones, before which none is missing."""
        for place, top, probability in zip(places, predicted.top, predicted.probability, strict=True):
            self._waiting[int(place)] = self._answer(self._files[place], top, probability)
        due = []
        while self._next in self._waiting:
            due.append(self._waiting.pop(self._next))
            self._next += 1
        return due

    def _answer(self, file: str, top: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
        if file in self._failed:
            return {"file": printable(file), "error": self._failed[file]}
        best = [
            {"class": self._classes[label], "label": int(label), "probability": float(sure)}
            for label, sure in zip(top, probability, strict=True)
        ]
        return {"file": printable(file), "predictions": best}


Show = Callable[[list[dict[str, Any]]], None]


@contextmanager
def json_array() -> Iterator[Show]:
    """A function that prints answers as elements of one JSON array, which the end of the block, or an error, closes."""
    before = "["

    def show(answers):
        nonlocal before
        for answer in answers:
            text = json.dumps(answer, indent=1, ensure_ascii=False).replace("\n", "\n ")
            print(f"{before}\n {text}", end="", flush=True)
            before = ","

    try:
        yield show
    finally:
        if before == ",":
            print("\n]", flush=True)


def table(files: Sequence[str]) -> Show:
    """A function that prints a line an answer: file and most likely classes, columns as wide as was needed so far."""
    longest = max(len(printable(file)) for file in files)
    widths: list[int] = []

    def show(answers):
        nonlocal widths
        rows = [
            [f"{one['class']} {one['probability']:.4f}" for one in answer.get("predictions", ())] for answer in answers
        ]
        for row in rows:
            widths = [max(pair) for pair in zip_longest(widths, map(len, row), fillvalue=0)]
        for answer, row in zip(answers, rows, strict=True):
            cells = [answer["error"]] if "error" in answer else map(str.ljust, row, widths)
            print("  ".join([answer["file"].ljust(longest), *cells]).rstrip(), flush=True)

    return show


def list_images(named: Sequence[str]) -> list[str]:
    """The files that `--images` means: files and folders; of a folder all images inside, sorted.

    Files of a folder that are no images are listed on stderr. Raises UserError for what does not exist and for a
    folder without images.
    """
    found = []
    for path in named:
        if not os.path.exists(path):
            raise UserError(f"--images={printable(path)}: no such file or folder")
        found += _inside(path) if os.path.isdir(path) else [path]
    return found


def _inside(folder: str) -> list[str]:
    """The images of a folder, by name. Raises UserError where there is none."""
    passed_over: folder_tree.Notes = []
    found = list(folder_tree.walk(folder, os.path.join(folder, ""), passed_over))
    if not found:
        raise UserError(f"--images={printable(folder)}: no image in this folder")
    if passed_over:
        named = [f"{printable(name)} ({reason})" for name, reason in passed_over[:NAMED]]
        more = [f"and {len(passed_over) - NAMED:,} more"] if len(passed_over) > NAMED else []
        print(f"{printable(folder)}: passed over {', '.join(named + more)}", file=sys.stderr, flush=True)
    return found


def image_files(files: Sequence[str], failed: dict[str, str]) -> "splits.Split":
    """Image files as a split without labels, repaired as data/prepare.py does.

    `failed` takes the reason for every file that cannot be used; a black picture stands in its place.
    """
    import tensorflow as tf

    from data.repair import Unusable, repair

    black = tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()

    def usable(file: str) -> bytes:
        try:
            return repair(Path(file).read_bytes(), file).encoded
        except OSError as error:
            failed[file] = error.strerror or str(error)
        except Unusable as error:
            failed[file] = str(error)
        return black

    def serialized(_: Any) -> "tf.data.Dataset":
        read: Callable[[], Iterator[bytes]] = lambda: map(usable, files)  # noqa: E731
        return tf.data.Dataset.from_generator(read, output_signature=tf.TensorSpec([], tf.string))

    def parse(encoded):
        return encoded, tf.constant(0), tf.constant("")

    return splits.Split(len(files), serialized, parse, tuple(files), records=False)
