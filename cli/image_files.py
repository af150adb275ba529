"""The image files that `--images` means, and their reading."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from common import machine
from common.errors import UserError, printable
from common.input import folder_tree, splits

NAMED = 10  # files that were passed over, or cannot be read; more are counted
STANDARD_INPUT = "-"


class Names:
    """Names of image files, all known or still coming from standard input.

    Attributes:
        files: those that are known by now, in their order.
        complete: no further ones come.
    """

    def __init__(self, files: Sequence[str], coming: Iterator[str] | None = None):
        self.files = list(files)
        self.complete = coming is None
        self._coming = coming or iter(())

    def __iter__(self) -> Iterator[str]:
        """Every name once, waiting for those that come."""
        yield from self.files[:]
        for name in self._coming:
            self.files.append(name)
            yield name
        self.complete = True


def named(images: Sequence[str]) -> Names:
    """The files that `--images` names: `list_images`, or what standard input says, one a line, for `-`.

    Raises UserError as `list_images` does, for `-` beside other names, and where standard input is empty.
    """
    if STANDARD_INPUT not in images:
        return Names(list_images(images))
    if len(images) > 1:
        raise UserError(
            "--images=-: names come from standard input alone; leave the others out, or write ./- for a file"
        )
    if sys.stdin.isatty():
        print("one file name a line; Ctrl-D ends", file=sys.stderr, flush=True)
    coming = _lines()
    first = next(coming, None)
    if first is None:
        raise UserError("--images=-: standard input is empty; give it one file name a line, e.g. find photos -type f |")
    return Names([], chain([first], coming))


def _lines() -> Iterator[str]:
    """The lines of standard input that are not empty, without their end, as file names."""
    for line in sys.stdin.buffer:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            yield name


def list_images(images: Sequence[str]) -> list[str]:
    """The files that names mean: files and folders; of a folder all images inside, sorted.

    Files of a folder that are no images are listed on stderr. Raises UserError for what does not exist and for a
    folder without images.
    """
    found = []
    for path in images:
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
        listed = some([f"{printable(name)} ({reason})" for name, reason in passed_over])
        print(f"{printable(folder)}: passed over {', '.join(listed)}", file=sys.stderr, flush=True)
    return found


def some(texts: Sequence[str]) -> list[str]:
    """The first texts, and how many more there are."""
    more = [f"and {len(texts) - NAMED:,} more"] if len(texts) > NAMED else []
    return [*texts[:NAMED], *more]


def usable(file: str, failed: dict[str, str]) -> bytes | None:
    """A file's image, repaired as data/prepare.py does; None where it cannot be used: `failed` takes the reason."""
    from data.repair import Unusable, repair

    try:
        return repair(Path(file).read_bytes(), file).encoded
    except IsADirectoryError:
        failed[file] = "a folder, not an image (find -type f names files alone)"
    except OSError as error:
        failed[file] = error.strerror or str(error)
    except (Unusable, ValueError) as error:  # ValueError: a name with a null byte
        failed[file] = str(error)
    return None


def as_split(names: Names, failed: dict[str, str]) -> "splits.Split":
    """Image files as a split without labels, which can be read once where names still come.

    `failed` takes the reason for every file that cannot be used; a black picture stands in its place.
    """
    import tensorflow as tf

    black = tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()

    def serialized(_: Any) -> "tf.data.Dataset":
        read: Callable[[], Iterator[bytes]] = lambda: (usable(file, failed) or black for file in names)  # noqa: E731
        options = tf.data.Options()
        if not names.complete:  # a thread that waits for a name must not keep the others, and the network, waiting
            options.threading.private_threadpool_size = machine.cores() + 1
        found = tf.data.Dataset.from_generator(read, output_signature=tf.TensorSpec([], tf.string))
        return found.with_options(options)

    def parse(encoded):
        return encoded, tf.constant(0), tf.constant("")

    count = len(names.files) if names.complete else splits.UNKNOWN
    return splits.Split(count, serialized, parse, tuple(names.files), records=False)
