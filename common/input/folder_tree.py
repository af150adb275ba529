"""What lies in a tree of class folders, without decoding an image: for reading on the fly and for data/prepare.py.

Either PATH/train/CLASS/..., with PATH/val and PATH/test beside it where they exist, or PATH/CLASS/... alone. Images may
lie in folders inside a class folder. Hidden files are passed over. Class folders whose names differ only in case, outer
blanks or the form of accents are one class; a folder that is there twice, by a link, counts once. A file is an image if
its name ends like one's, or, where the ending says nothing, if it begins like one.
"""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.errors import UserError, printable
from common.input.file_list import Collector, FileList

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp")
CONVERTED_ENDINGS = (".tif", ".tiff", ".avif", ".ppm")  # images that TensorFlow does not decode; data/ converts them
OTHER_ENDINGS = (".txt", ".csv", ".json", ".xml", ".md", ".html", ".npy", ".npz", ".pdf", ".db", ".ini", ".py", ".zip")
UNREADABLE = "cannot be read"

Notes = list[tuple[str, str]]  # (name, what was done with it and why)


@dataclass(frozen=True)
class Images:
    """The images of one split: paths, and (images,) int32, a label for each."""

    paths: FileList
    labels: np.ndarray

    def chosen(self, places: np.ndarray | slice) -> "Images":
        """Those at some places, or where an array of bool is true."""
        return Images(self.paths.chosen(places), self.labels[places])


@dataclass(frozen=True)
class Tree:
    """A tree that was listed.

    Attributes:
        base: its path and a slash; what follows it in an image's path is the image's name.
        classes: names by label, printable.
        roots: the folder of each split; empty where the tree is one of classes alone.
        splits: the images, by split, "train" first; in the order of their names. Their paths share one content.
        empty: class folders without an image, and split folders without a class folder.
        unknown: class folders of other splits whose names no training class has.
        skipped: what was left out, and why.
        merged: class folders that were taken for another class of nearly the same name.
    """

    base: str
    classes: tuple[str, ...]
    roots: dict[str, str]
    splits: dict[str, Images]
    empty: tuple[str, ...]
    unknown: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    merged: tuple[tuple[str, str], ...]

    def name(self, path: str) -> str:
        """An image's name in the data set: its path within the tree."""
        return path[len(self.base) :]


def _looks_like_an_image(start: bytes) -> bool:
    """By a file's first 12 bytes: JPEG, PNG, GIF, WebP, TIFF, AVIF, BMP (whose bytes 6 to 9 are reserved zeros)."""
    return (
        start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*"))
        or start[:4] + start[8:] == b"RIFFWEBP"
        or start[4:] == b"ftypavif"
        or start[:2] + start[6:10] == b"BM\0\0\0\0"
    )


def _is_image(entry: os.DirEntry) -> bool:
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in IMAGE_ENDINGS or ending in CONVERTED_ENDINGS:
        return True
    if ending in OTHER_ENDINGS:
        return False
    with open(entry.path, "rb") as file:
        return _looks_like_an_image(file.read(12))


def inside(folder: str) -> list[os.DirEntry]:
    """What is in a folder, by name, without hidden names. Raises UserError where it cannot be read."""
    try:
        return _entries(folder)
    except OSError as error:
        raise UserError(f"{folder}: {UNREADABLE}: {error.strerror}", 1) from error


def _entries(folder: str) -> list[os.DirEntry]:
    return sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name)


def walk(folder: str, base: str, skipped: Notes, above: tuple = ()) -> Iterator[str]:
    """The paths of all images under a folder, by name; everything else is noted.

    Args:
        folder: its path, which begins with `base`.
        base: what is left away from paths to make names.
        skipped: takes what is left out.
        above: identities of the folders it lies in, to notice links that lead back up.
    """
    try:
        status = os.stat(folder)
        above = (*above, (status.st_dev, status.st_ino))
        entries = _entries(folder)
    except OSError as error:
        skipped.append((folder[len(base) :], f"{UNREADABLE}: {error.strerror}"))
        return
    for entry in entries:
        try:
            if entry.is_dir():
                status = entry.stat()
                if entry.name.lower().endswith(IMAGE_ENDINGS + CONVERTED_ENDINGS):
                    reason = "a folder, not an image"
                elif (status.st_dev, status.st_ino) in above:
                    reason = "a link to a folder it lies in"
                else:
                    yield from walk(entry.path, base, skipped, above)
                    continue
            elif entry.is_file():
                if _is_image(entry):
                    yield entry.path
                    continue
                reason = "not an image"
            else:
                reason = "a broken link" if entry.is_symlink() else "not a regular file"
        except OSError as error:
            reason = "a broken link" if entry.is_symlink() else f"{UNREADABLE}: {error.strerror}"
        skipped.append((entry.path[len(base) :], reason))


def class_folders(folder: str, base: str, skipped: Notes) -> list[os.DirEntry]:
    """The class folders in a folder, by name; two that are one (by a link) count once."""
    found: list[os.DirEntry] = []
    seen: dict = {}
    for entry in inside(folder):
        name = entry.path[len(base) :]
        if not entry.is_dir():
            if entry.name.lower().endswith(IMAGE_ENDINGS + CONVERTED_ENDINGS):
                skipped.append((name, "not in a class folder"))
            continue
        status = entry.stat()
        first = seen.setdefault((status.st_dev, status.st_ino), entry.name)
        if first == entry.name:
            found.append(entry)
        else:
            skipped.append((name, f"the same folder as {printable(first)}"))
    return found


def split_folders(path: str) -> dict[str, str]:
    """The folders of a tree that hold splits, by split; empty where it is one tree of classes.

    Raises UserError for two of one split, or where there are some but none for training.
    """
    found: dict[str, list[str]] = {}
    for entry in inside(path):
        for split, names in SPLITS.items():
            if entry.name.lower() in names and entry.is_dir():
                found.setdefault(split, []).append(entry.path)
    for split, folders in found.items():
        if len(folders) > 1:
            listed = ", ".join(map(os.path.basename, folders))
            raise UserError(f"{path}: two folders for one split: {listed}; {split} needs one", 1)
    if found and "train" not in found:
        first = os.path.basename(next(iter(found.values()))[0])
        raise UserError(f"{path}: there is a folder {first} but none named train", 1)
    return {split: found[split][0] for split in SPLITS if split in found}


def _same(name: str) -> str:
    """What names of one class have in common: all but case, outer white space and the form of accents."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def list_tree(path: str) -> Tree:
    """Lists a tree of class folders. Raises UserError where there are none."""
    base, roots = os.path.join(path, ""), split_folders(path)
    skipped: Notes = []
    merged, empty, unknown = [], [], []
    labels: dict[str, int] = {}
    classes: list[str] = []
    images = Collector(base)
    found: dict[str, list[tuple[int, int]]] = {}  # of each split the label of every class folder, and its images
    for split, root in (roots or {"train": path}).items():
        in_split = found.setdefault(split, [])
        folders = class_folders(root, base, skipped)
        empty += [] if folders else [root]
        for entry in folders:
            key = _same(entry.name)
            if key not in labels and split == "train":
                labels[key] = len(classes)
                classes.append(printable(entry.name))
            elif key not in labels:
                unknown.append(entry.path)
                continue
            elif classes[labels[key]] != printable(entry.name):
                merged.append((entry.path[len(base) :], f"class folder taken as {classes[labels[key]]}"))
            before = len(images.lengths)
            for image in walk(entry.path, base, skipped):
                images.add(image)
            in_split.append((labels[key], len(images.lengths) - before))
            empty += [] if in_split[-1][1] else [entry.path]
    if not classes:
        raise UserError(f"{path}: no class folders here, neither CLASS/ nor train/CLASS/", 1)
    splits = _by_split(images.collected(), found)
    return Tree(base, tuple(classes), roots, splits, tuple(empty), tuple(unknown), tuple(skipped), tuple(merged))


def _by_split(paths: FileList, found: dict[str, list[tuple[int, int]]]) -> dict[str, Images]:
    """The images of every split out of those of all, for splits of (label, images) one after another."""
    splits, begin = {}, 0
    for split, folders in found.items():
        labels = np.repeat(*np.array(folders, np.int32).reshape(-1, 2).T)
        splits[split] = Images(paths[begin : begin + len(labels)], labels)
        begin += len(labels)
    return splits
