"""`--mode predict`: the likeliest classes of image files, by one run or by several together."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags
from cli import trained as trained_networks
from common import distribution
from common.errors import UserError
from common.evaluation import prediction
from common.evaluation.protocol import Protocol
from common.input import class_folders, splits


def run(options: flags.Options, family: str | None) -> None:
    """`--mode predict`: the five likeliest classes of image files.

    Files that cannot be read are named, the others predicted; the exit code is 1 then.
    """
    for name in ("restore", "images"):
        if not options.values[name]:
            raise UserError(f"--mode=predict needs --{name}")
    trained = trained_networks.restored(options, family)
    files = list_images(options.images)
    protocol = Protocol(options.crops, options.scales or ())
    devices = distribution.choose("one")
    batch_size = trained_networks.batch_size_of(options, trained[0].config)
    failed: dict[str, str] = {}
    members = [trained_networks.load(one, protocol, devices) for one in trained]
    result = prediction.predict(members, image_files(files, failed), devices, batch_size)
    classes = trained[0].config.classes
    answers = [
        {"file": _printable(file), "error": failed[file]}
        if file in failed
        else {
            "file": _printable(file),
            "predictions": [
                {"class": classes[label], "label": int(label), "probability": float(sure)}
                for label, sure in zip(top, probability, strict=True)
            ],
        }
        for file, top, probability in zip(files, result.together.top, result.together.probability, strict=True)
    ]
    print(json.dumps(answers, indent=1, ensure_ascii=False) if options.predict_format == "json" else _table(answers))
    if failed:
        sys.stdout.flush()
        named = "; ".join(f"{_printable(file)}: {reason}" for file, reason in failed.items())
        raise UserError(f"{len(failed)} of {len(files)} images cannot be read: {named}", 1)


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _table(answers: list[dict[str, Any]]) -> str:
    """A line a file: its name and the likeliest classes, each column as wide as it needs to be."""
    lines = [
        [answer["file"], answer["error"]]
        if "error" in answer
        else [answer["file"], *(f"{one['class']} {one['probability']:.4f}" for one in answer["predictions"])]
        for answer in answers
    ]
    columns = max(map(len, lines))
    widths = [max((len(line[i]) for line in lines if len(line) > max(i, 2)), default=0) for i in range(columns)]
    widths[0] = max(len(line[0]) for line in lines)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines
    )


def list_images(named: Sequence[str]) -> list[str]:
    """The files that `--images` means: files and folders; of a folder all images inside, sorted.

    Raises UserError for what does not exist and for a folder without images.
    """
    found = []
    for part in named:
        path = Path(part)
        if not path.exists():
            raise UserError(f"--images={part}: no such file or folder")
        inside = class_folders.list_images(part) if path.is_dir() else [part]
        if not inside:
            raise UserError(f"--images={part}: no image in this folder")
        found += inside
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
