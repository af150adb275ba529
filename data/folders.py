"""Trees of class folders.

    python data/prepare.py --source PATH --out DIR

Either PATH/train/CLASS/..., with PATH/val and PATH/test beside it where they exist, or PATH/CLASS/... alone, which is
split by the seed. Images may lie in folders inside a class folder. Hidden files are passed over.
"""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError
from data.source import Item, Shares, Source, complete, printable

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}
IMAGE_NAMES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm")
Notes = list[tuple[str, str]]


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders of `folder` that hold splits; empty where it is a single tree of classes."""
    inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    found = {}
    for split, names in SPLITS.items():
        present = [inside[name] for name in names if name in inside]
        if len(present) > 1:
            raise UserError(f"{folder}: two folders for one split: {', '.join(path.name for path in present)}", 1)
        if present:
            found[split] = present[0]
    return found


def walk(folder: str, name: str, skipped: Notes, above: tuple = ()) -> Iterator[tuple[str, str, int]]:
    """(name, path, bytes) of every file under a folder, sorted; what is no file is noted in `skipped`.

    Args:
        folder: its path.
        name: its name in the data set; files are called `name/...`.
        above: identities of the folders it lies in, to notice links that lead back up.
    """
    try:
        status = os.stat(folder)
        above = (*above, (status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        skipped.append((name, f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        child = f"{name}/{entry.name}"
        try:
            status = entry.stat()
            if entry.is_dir():
                if entry.name.lower().endswith(IMAGE_NAMES):
                    skipped.append((child, "a folder, not an image"))
                elif (status.st_dev, status.st_ino) in above:
                    skipped.append((child, "a link to a folder it lies in"))
                else:
                    yield from walk(entry.path, child, skipped, above)
            elif entry.is_file():
                yield child, entry.path, status.st_size
            else:
                skipped.append((child, "not a regular file"))
        except OSError as error:
            skipped.append((child, "a broken link" if entry.is_symlink() else f"cannot be read: {error.strerror}"))


def class_folders(folder: Path, prefix: str, skipped: Notes) -> list[os.DirEntry]:
    """The class folders in a folder, sorted by name; two that are one (by a link) count once."""
    found, seen = [], {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if entry.name.lower().endswith(IMAGE_NAMES):
                skipped.append((prefix + entry.name, "not in a class folder"))
            continue
        status = entry.stat()
        first = seen.setdefault((status.st_dev, status.st_ino), entry.name)
        if first == entry.name:
            found.append(entry)
        else:
            skipped.append((prefix + entry.name, f"the same folder as {printable(first)}"))
    return found


def _same(name: str) -> str:
    """What names of one class have in common: all but case, outer white space and the form of accents."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def open_source(path: str, shares: Shares, seed: int) -> Source:
    """Lists a tree of class folders. Raises UserError where there are none."""
    root = Path(path)
    skipped, repaired = [], []
    roots = split_folders(root)
    if roots and "train" not in roots:
        raise UserError(f"{path}: there is a folder {next(iter(roots.values())).name} but none named train", 1)
    labels: dict[str, int] = {}
    classes: list[str] = []
    splits: dict[str, list[Item]] = {}
    for split, folder in (roots or {"train": root}).items():
        prefix = f"{folder.name}/" if roots else ""
        items = splits.setdefault(split, [])
        for entry in class_folders(folder, prefix, skipped):
            key, name = _same(entry.name), prefix + entry.name
            if key not in labels and split == "train":
                labels[key] = len(classes)
                classes.append(printable(entry.name))
            elif key not in labels:
                skipped.append((name, "no training class of this name"))
                continue
            elif classes[labels[key]] != printable(entry.name):
                repaired.append((name, f"class folder taken as {classes[labels[key]]}"))
            files = walk(entry.path, name, skipped)
            items += [Item(file, labels[key], place, size=size) for file, place, size in files]
    if not classes:
        raise UserError(f"{path}: no class folders here, neither CLASS/ nor train/CLASS/", 1)
    splits, settings = complete(splits, shares, seed)
    return Source(
        kind="folders",
        name=root.resolve().name,
        classes=tuple(classes),
        splits=splits,
        settings=settings,
        skipped=tuple(skipped),
        repaired=tuple(repaired),
    )
