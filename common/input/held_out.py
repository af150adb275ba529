"""Splits that a source leaves open: which of its training images are held out, drawn by a hash of their names.

So the draw is the same on every machine and with every version of every library, and a tree of class folders that is
read on the fly has the same images in each split as the same tree prepared.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

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
    names: Sequence[str], labels: np.ndarray, places: np.ndarray, share: float, seed: int, salt: str
) -> tuple[np.ndarray, np.ndarray]:
    """Splits some places of `names` into (the rest, held out): of each class the nearest whole number to `share`.

    Never all of a class. Both are ordered by class, then by rank.
    """
    by_class = places[np.argsort(labels[places], kind="stable")]
    ends = np.cumsum(np.unique(labels[places], return_counts=True)[1])
    rest, out = [places[:0]], [places[:0]]
    for own in np.split(by_class, ends[:-1]):
        drawn = np.array(sorted(own.tolist(), key=lambda place: rank(names[place], seed, salt)), np.int64)
        count = min(round(share * len(drawn)), len(drawn) - 1)
        out.append(drawn[:count])
        rest.append(drawn[count:])
    return np.concatenate(rest), np.concatenate(out)


def draw(
    names: Sequence[str], labels: Sequence[int] | np.ndarray, given: Collection[str], shares: Shares, seed: int
) -> dict[str, np.ndarray]:
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
    rest, labels = np.arange(len(names)), np.asarray(labels)
    if "validation" in given:
        return {"train": rest}
    drawn, share = {}, shares.validation
    if "test" not in given:
        rest, drawn["test"] = hold_out(names, labels, rest, shares.test, seed, "test")
        share /= 1 - shares.test  # of what is left, a larger part
    rest, drawn["validation"] = hold_out(names, labels, rest, share, seed, "validation")
    return {"train": rest, "validation": drawn["validation"]} | drawn
