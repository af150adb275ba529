"""Splits that a source leaves open: which of its training images are held out, drawn by a hash of their names.

So the draw is the same on every machine and with every version of every library, and a tree of class folders that is
read on the fly has the same images in each split as the same tree prepared.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SHARE = 0.1


@dataclass(frozen=True)
class Shares:
    """Parts of the images to hold out where a source does not say: 0 to below 1, of each class."""

    validation: float = SHARE
    test: float = SHARE


def rank(name: str, seed: int, salt: str) -> bytes:
    """16 bytes; in their order, names look shuffled, another way for each seed and salt."""
    return hashlib.blake2b(f"{seed}/{salt}/{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


def hold_out(
    names: Sequence[str], labels: Sequence[int], places: Sequence[int], share: float, seed: int, salt: str
) -> tuple[list[int], list[int]]:
    """Splits some places of `names` into (the rest, held out): of each class the nearest whole number to `share`.

    Never all of a class. Both are ordered by class, then by rank.
    """
    by_label: dict[int, list[int]] = {}
    for place in places:
        by_label.setdefault(labels[place], []).append(place)
    rest, out = [], []
    for label in sorted(by_label):
        drawn = sorted(by_label[label], key=lambda place: rank(names[place], seed, salt))
        count = min(round(share * len(drawn)), len(drawn) - 1)
        out += drawn[:count]
        rest += drawn[count:]
    return rest, out


def draw(
    names: Sequence[str], labels: Sequence[int], given: Collection[str], shares: Shares, seed: int
) -> dict[str, list[int]]:
    """The places of the training images, by the split they come to lie in.

    Args:
        names, labels: of the training images.
        given: the splits that the source has. With validation among them nothing is drawn; with test and without
            validation, validation is; with neither, both are.
        shares: of each class; of all its images, also where two splits are drawn.
        seed: of the draw.

    Returns:
        "train" and the splits that were drawn, "test" last; a split may be empty.
    """
    rest: Sequence[int] = range(len(names))
    if "validation" in given:
        return {"train": list(rest)}
    drawn, share = {}, shares.validation
    if "test" not in given:
        rest, drawn["test"] = hold_out(names, labels, rest, shares.test, seed, "test")
        share /= 1 - shares.test  # of what is left, a larger part
    rest, drawn["validation"] = hold_out(names, labels, rest, share, seed, "validation")
    return {"train": rest, "validation": drawn["validation"]} | drawn
