"""What a source of images is to the writer: named splits of items, and a way to read them.

A source module lists its items without opening an image. Order and splits are drawn from hashes of the items' names, so
they are the same on every machine and with every version of every library.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from data.repair import Unusable

MAX_BYTES = 512 * 2**20  # a larger file is not one image


class Item(NamedTuple):
    """One labelled image: where it is, not what it holds.

    `name` is unique in the data set and goes into the record. `path`, `offset` and `size` are for the source's own
    `read`; a whole file has offset 0. The label is -1 where only reading tells it.
    """

    name: str
    label: int
    path: str = ""
    offset: int = 0
    size: int = 0


def read_files(items: Sequence[Item]) -> Iterator[tuple[Item, bytes | Unusable]]:
    """Reads items that are files, or parts of files (members of an uncompressed tar)."""
    for item in items:
        try:
            if item.size > MAX_BYTES:
                raise Unusable(f"file of {item.size // 2**20} MiB")
            with open(item.path, "rb") as file:
                file.seek(item.offset)
                yield item, file.read(item.size if item.offset else -1)
        except OSError as error:
            yield item, Unusable(f"cannot be read: {error.strerror}")
        except Unusable as error:
            yield item, error


@dataclass(frozen=True)
class Source:
    """A listed source.

    Attributes:
        kind: which module it comes from.
        name: short name of the data set.
        classes: class names by label, printable.
        splits: items by split; "train" first.
        read: items -> (item, bytes of an image file, or why there are none), in order. Runs in worker processes, so it
            must be picklable.
        settings: what the lists depend on beside the files, to be compared when work is resumed.
        skipped, repaired: (file, reason) pairs found while listing.
        shuffled: the items' order is a fair mixture already and cheapest to read, so it is kept.
        flip, suggested, extra: as in `common.input.records.DatasetInfo`.
    """

    kind: str
    name: str
    classes: tuple[str, ...]
    splits: dict[str, list[Item]]
    read: Callable[[Sequence[Item]], Iterable[tuple[Item, bytes | Unusable]]] = read_files
    settings: dict = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    repaired: tuple[tuple[str, str], ...] = ()
    shuffled: bool = False
    flip: bool = True
    suggested: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Shares:
    """Parts of the images to hold out where a source does not say: 0 to below 1, of each class."""

    validation: float = 0.1
    test: float = 0.1


def printable(name: str) -> str:
    """A file system's name as text that can be printed: bytes that are not UTF-8 become \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shuffle(items: Iterable[Item], seed: int, salt: str) -> list[Item]:
    """The items in the order of a hash of (seed, salt, name): looks random, never changes."""

    def key(item: Item) -> bytes:
        text = f"{seed}/{salt}/{item.name}"
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()

    return sorted(items, key=key)


def hold_out(items: Iterable[Item], share: float, seed: int, salt: str) -> tuple[list[Item], list[Item]]:
    """Splits items into (the rest, held out): of each class the nearest whole number to `share`, but never all."""
    by_label: dict[int, list[Item]] = {}
    for item in items:
        by_label.setdefault(item.label, []).append(item)
    rest, out = [], []
    for label in sorted(by_label):
        drawn = shuffle(by_label[label], seed, salt)
        count = min(round(share * len(drawn)), len(drawn) - 1)
        out += drawn[:count]
        rest += drawn[count:]
    return rest, out


def complete(splits: dict[str, list[Item]], shares: Shares, seed: int) -> tuple[dict[str, list[Item]], dict]:
    """Adds the splits a source lacks, cut off from its training images; also returns the settings this depended on.

    With a validation split nothing is cut off. With a test split alone, validation is. With neither, both are.
    """
    if "validation" in splits:
        return splits, {}
    settings = {"seed": seed, "validation_share": shares.validation}
    train, validation = list(splits["train"]), []
    test = splits.get("test")
    if test is None:
        settings["test_share"] = shares.test
        everything = train
        train, test = hold_out(everything, shares.test, seed, "test")
        # Shares are of the whole, so what is left after the first cut gives a larger share of itself.
        if shares.test < 1:
            train, validation = hold_out(train, shares.validation / (1 - shares.test), seed, "validation")
    else:
        train, validation = hold_out(train, shares.validation, seed, "validation")
    made = {"train": train, "validation": validation, "test": test}
    return {name: items for name, items in made.items() if items}, settings
