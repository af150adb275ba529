"""What a source of images is to the writer: named splits of items, and a way to read them.

A source module lists its items without opening an image. Order and splits are drawn from hashes of the items' names, so
they are the same on every machine and with every version of every library.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.input import held_out
from common.input.folder_tree import SPLITS
from common.input.held_out import Shares
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


def shuffle(items: Iterable[Item], seed: int, salt: str) -> list[Item]:
    """The items in the order of a hash of (seed, salt, name): looks random, never changes."""
    return sorted(items, key=lambda item: held_out.rank(item.name, seed, salt))


def complete(splits: dict[str, list[Item]], shares: Shares, seed: int) -> tuple[dict[str, list[Item]], dict]:
    """Adds the splits a source lacks, drawn from its training images; also returns the settings this depended on."""
    if "validation" in splits:
        return splits, {}
    settings = {"seed": seed, "validation_share": shares.validation}
    settings |= {} if "test" in splits else {"test_share": shares.test}
    train = splits["train"]
    drawn = held_out.draw([item.name for item in train], [item.label for item in train], splits, shares, seed)
    made = splits | {split: [train[place] for place in places] for split, places in drawn.items()}
    return {name: made[name] for name in SPLITS if made.get(name)}, settings
