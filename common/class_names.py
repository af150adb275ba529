"""How people read a class: by words where they are known, else by its name in the data set.

ImageNet names a class by its synset in WordNet: n01440764 is "tench, Tinca tinca". imagenet_words.txt has the synsets
of ILSVRC 2012 by label and their words, as WordNet 3.0 gives them. A data set may bring words of its own, which win.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_words.txt")


@cache
def imagenet() -> dict[str, str]:
    """The 1,000 classes of ILSVRC 2012, in the order of their labels: synset -> words, comma-separated."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def shown(classes: Sequence[str], words: Sequence[str] = ()) -> tuple[str, ...]:
    """The classes for people, by label, no two alike: `tench`, and `crane (n02012849)` where two have one word.

    Args:
        classes: names in the data set, no two alike.
        words: what each of them means, synonyms comma-separated; "" where that is not known. Those of another number
            of classes mean nothing.
    """
    known = list(words) if len(words) == len(classes) else [""] * len(classes)
    known = [text or imagenet().get(name, "") for name, text in zip(classes, known, strict=True)]
    first = [text.split(",")[0].strip() or name for name, text in zip(classes, known, strict=True)]
    same = Counter(word.casefold() for word in first)
    return tuple(
        word if word == name or same[word.casefold()] == 1 else f"{word} ({name})"
        for name, word in zip(classes, first, strict=True)
    )
