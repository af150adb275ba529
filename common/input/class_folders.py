"""Trees of class folders, read on the fly.

Either PATH/train/CLASS/..., with PATH/val and PATH/test beside it where they exist, or PATH/CLASS/... alone, which is
split 80/10/10 by the seed. A file is an image if its name ends like one's, or, where the ending says nothing, if it
begins like one. Hidden files are passed over. Orientation tags are not applied: data/prepare.py does that.
"""

import os
import unicodedata
from collections.abc import Iterator

import tensorflow as tf

from common.errors import UserError
from common.input import splits
from common.input.records import DatasetInfo, Shard, SplitInfo
from common.input.splits import Dataset, Split

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}
ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp")
OTHER_ENDINGS = (".txt", ".csv", ".json", ".xml", ".md", ".html", ".npy", ".npz", ".pdf", ".db", ".ini", ".py", ".zip")


def _is_image(entry: os.DirEntry) -> bool:
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in ENDINGS or ending in OTHER_ENDINGS:
        return ending in ENDINGS
    try:
        with open(entry.path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")) or start[:4] + start[8:] == b"RIFFWEBP"


def _inside(folder: str) -> list[os.DirEntry]:
    """What is in a folder, sorted, without hidden names. Raises UserError where it cannot be read."""
    try:
        return sorted((e for e in os.scandir(folder) if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}", 1) from error


def _walk(folder: str, name: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(name/..., path) of every image under a folder, sorted; a link that leads back up is not followed."""
    above = (*above, os.path.realpath(folder))
    for entry in _inside(folder):
        if entry.is_dir():
            if os.path.realpath(entry.path) not in above:
                yield from _walk(entry.path, f"{name}/{entry.name}", above)
        elif entry.is_file() and _is_image(entry):
            yield f"{name}/{entry.name}", entry.path


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _class_folders(folder: str) -> dict[str, str]:
    """Class name -> path. Raises UserError for two that are one but for case, outer blanks or the form of accents."""
    found: dict[str, tuple[str, str]] = {}
    for entry in _inside(folder):
        if entry.is_dir():
            key = unicodedata.normalize("NFC", entry.name).strip().casefold()
            if key in found:
                names = f"{_printable(found[key][0])!r} and {_printable(entry.name)!r}"
                raise UserError(
                    f"{folder}: class folders {names} differ only in case or blanks; merge or rename them", 1
                )
            found[key] = entry.name, entry.path
    return dict(found.values())


def split_folders(path: str) -> dict[str, str]:
    """The folders of a tree that hold splits, by split; empty where it is one tree of classes."""
    inside: dict[str, list[str]] = {}
    for entry in _inside(path):
        for split, names in SPLITS.items():
            if entry.name.lower() in names and entry.is_dir():
                inside.setdefault(split, []).append(entry.path)
    for split, found in inside.items():
        if len(found) > 1:
            raise UserError(f"{path}: two folders for the {split} split: {', '.join(map(os.path.basename, found))}", 1)
    return {split: inside[split][0] for split in SPLITS if split in inside}


def list_images(path: str) -> list[str]:
    """The paths of all images under a folder, by the rules above, sorted. Raises UserError for an unreadable folder."""
    return [file for _, file in _walk(path, "")]


def is_tree(path: str) -> bool:
    """Does a folder hold folders?"""
    return any(entry.is_dir() for entry in _inside(path))


def _index_split(paths: list[str], labels: list[int], drawn: bool) -> Split:
    """A split of image files. Its elements are their places in the list, so the order costs no memory."""
    files = tf.constant([os.fsencode(path) for path in paths])
    classes = tf.constant(labels, tf.int32)
    examples = len(paths)

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        places = tf.data.Dataset.range(examples)
        if seed is None or examples == 1:
            return places
        keys = tf.random.stateless_uniform([2], tf.stack([tf.cast(seed, tf.int64), 0]), None, None, tf.int32)
        return places.map(lambda place: tf.random.experimental.index_shuffle(place, keys, examples - 1))

    def parse(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return tf.io.read_file(files[place]), classes[place], files[place]

    return Split(examples, serialized, parse, tuple(paths), records=False, drawn=drawn)


def open_tree(path: str, seed: int) -> Dataset:
    """Opens a tree of class folders; its colours are measured on up to `splits.MEASURED` training images.

    Raises:
        UserError: no class folders, one without an image, two of one name, or a class that training does not have.
    """
    roots, notes = split_folders(path), []
    if roots and "train" not in roots:
        raise UserError(
            f"{path}: there is a folder {os.path.basename(next(iter(roots.values())))} but none named train", 1
        )
    classes: tuple[str, ...] = ()
    listed: dict[str, list[tuple[str, str, int]]] = {}
    for split, root in (roots or {"train": path}).items():
        folders = _class_folders(root)
        if split == "train":
            classes = tuple(folders)
        elif not folders:
            notes.append(f"{root} is left out: it holds no class folders")
            continue
        prefix = f"{os.path.basename(root)}/" if roots else ""
        for name, folder in folders.items():
            if name not in classes:
                raise UserError(f"{folder}: there is no training class of this name; rename or remove the folder", 1)
            found = [(*image, classes.index(name)) for image in _walk(folder, prefix + name)]
            if not found:
                raise UserError(f"{folder}: no image in this class folder; fill or remove it", 1)
            listed.setdefault(split, []).extend(found)
    if len(classes) < 2:
        raise UserError(f"{path}: {len(classes)} class folders, two are needed: CLASS/IMAGE or train/CLASS/IMAGE", 1)

    given = set(listed)
    if "validation" not in listed:
        given.discard("train")
        train = listed["train"]
        if "test" not in listed:
            train, listed["test"] = _cut(train, splits.HELD_OUT, seed, "test")
            train, listed["validation"] = _cut(train, splits.HELD_OUT / (1 - splits.HELD_OUT), seed, "validation")
        else:
            train, listed["validation"] = _cut(train, splits.HELD_OUT, seed, "validation")
        listed["train"] = train
        notes.append(f"split by seed {seed}: " + ", ".join(f"{len(listed[name]):,} {name}" for name in SPLITS))
        for name in [name for name, images in listed.items() if not images]:
            notes.append(f"too few images for a {name} split")
            del listed[name]
    opened = {
        name: _index_split([file for _, file, _ in images], [label for *_, label in images], name not in given)
        for name, images in ((name, listed[name]) for name in SPLITS if name in listed)
    }
    train = opened["train"]
    count = min(train.examples, splits.MEASURED)
    places = tf.data.Dataset.range(count).map(lambda i: i * train.examples // count)
    measured = splits.measure_colours(places.map(lambda place: train.parse(place)[0]))
    notes.append(f"colours measured on {count:,} training images")
    infos = {
        name: SplitInfo(
            (Shard(os.path.basename(roots.get(name, path)), split.examples, 0, ""),),
            tuple([label for *_, label in listed[name]].count(label) for label in range(len(classes))),
        )
        for name, split in opened.items()
    }
    info = DatasetInfo(
        os.path.basename(os.path.abspath(path)),
        tuple(map(_printable, classes)),
        infos,
        measured.mean,
        measured.std,
        measured.eigenvalues,
        measured.eigenvectors,
    )
    return Dataset(info, opened, path, tuple(notes))


def _cut(listed: list, share: float, seed: int, salt: str) -> tuple[list, list]:
    rest, out = splits.hold_out([name for name, *_ in listed], [label for *_, label in listed], share, seed, salt)
    return [listed[place] for place in rest], [listed[place] for place in out]
