"""Trees of class folders (`common.input.folder_tree`).

    python data/prepare.py --source PATH --out DIR

A single tree of classes is split by the seed. What is no image is listed in skipped.csv, class folders that were taken
for one another in repaired.csv.
"""

import os
from pathlib import Path

from common.input import folder_tree
from common.input.folder_tree import Images, Tree
from data.source import Item, Shares, Source, complete


def _items(images: Images, tree: Tree) -> list[Item]:
    return [
        Item(tree.name(path), label, path, size=os.stat(path).st_size)
        for path, label in zip(images.paths, images.labels.tolist(), strict=True)
    ]


def open_source(path: str, shares: Shares, seed: int) -> Source:
    """Lists a tree of class folders. Raises UserError where there are none."""
    tree = folder_tree.list_tree(path)
    splits, settings = complete({split: _items(images, tree) for split, images in tree.splits.items()}, shares, seed)
    unknown = [(tree.name(folder), "no training class of this name") for folder in tree.unknown]
    return Source(
        kind="folders",
        name=Path(path).resolve().name,
        classes=tree.classes,
        splits=splits,
        settings=settings,
        skipped=(*tree.skipped, *unknown),
        repaired=tree.merged,
    )
