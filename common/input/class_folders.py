"""Trees of class folders (`folder_tree`), read on the fly.

One tree without split folders is split 80/10/10 by the seed. TIFF, AVIF and PPM files are left out: TensorFlow does not
decode them, data/prepare.py converts them. JPEGs are turned as their EXIF orientation says (`orientation`).
"""

import os
from collections.abc import Callable, Collection, Sequence

import numpy as np
import tensorflow as tf

from common.errors import UserError, printable
from common.input import color_statistics, folder_tree, held_out, splits
from common.input.folder_tree import SPLITS, Images, Tree
from common.input.records import DatasetInfo, Shard, SplitInfo
from common.input.splits import Dataset, Split


def list_images(path: str) -> list[str]:
    """The paths of all images under a folder, by name. Raises UserError for an unreadable folder."""
    skipped: folder_tree.Notes = []
    found = list(folder_tree.walk(path, os.path.join(path, ""), skipped))
    _check_readable(path, skipped)
    return found


def is_tree(path: str) -> bool:
    """Does a folder hold folders?"""
    return any(entry.is_dir() for entry in folder_tree.inside(path))


def _check_readable(base: str, skipped: Sequence[tuple[str, str]]) -> None:
    for name, reason in skipped:
        if reason.startswith(folder_tree.UNREADABLE):
            raise UserError(f"{os.path.join(base, name)}: {reason}", 1)


def _content(images: Images) -> Callable[[], tf.Tensor]:
    """-> what the list of these files, and of others of the tree, holds: (1,) string.

    It is kept in a variable: tf.data copies several times what a function of a data set has captured.
    """
    kept = tf.raw_ops.VarHandleOp(dtype=tf.string, shape=[1])
    tf.raw_ops.AssignVariableOp(resource=kept, value=tf.constant([images.paths.content]))
    return lambda: tf.raw_ops.ReadVariableOp(resource=kept, dtype=tf.string)


def _index_split(images: Images, content: Callable[[], tf.Tensor], drawn: bool) -> Split:
    """A split of image files, whose list has this content.

    Its elements are their places in the list, so the order costs no memory.
    """
    files, classes, examples = images.paths, tf.constant(images.labels), len(images.paths)
    base, begins, lengths = os.fsencode(files.base), tf.constant(files.begins), tf.constant(files.lengths)

    def ranks(seed: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        return splits.mixed(examples, seed, 0, positions)

    def serialized(seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is None:
            return tf.data.Dataset.range(examples)
        return splits.in_blocks(examples, lambda some: ranks(seed, some))

    def parse(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        begin, length = tf.gather(begins, place[None]), tf.cast(tf.gather(lengths, place[None]), tf.int64)
        path = base + tf.strings.substr(content(), begin, length)[0]
        return tf.io.read_file(path), classes[place], path

    return Split(examples, serialized, parse, files, records=False, drawn=drawn, ranks=ranks)


def open_tree(path: str, seed: int, share: float = held_out.SHARE) -> Dataset:
    """Opens a tree of class folders; its colours are measured on up to `splits.MEASURED` training images.

    Without a validation split, a `share` of the training images of each class, drawn by `seed`, becomes one.

    Raises:
        UserError: no class folders, one without an image, one that cannot be read, or a class that training does not
        have.
    """
    tree = folder_tree.list_tree(path)
    notes = _check(tree, path)
    listed = {split: _decoded(images, tree, path, notes) for split, images in tree.splits.items() if len(images.paths)}
    drawn = _draw(listed, seed, share, notes) if "validation" not in listed else ()
    content = _content(tree.splits["train"])  # the other splits' too
    opened = {
        name: _index_split(listed[name], content, name in drawn)
        for name in SPLITS
        if name in listed and len(listed[name].paths)
    }
    count = min(opened["train"].examples, splits.MEASURED)
    measured = _colours(opened["train"], count)
    notes.append(f"colours measured on {count:,} training images")
    infos = {
        name: SplitInfo(
            (Shard(os.path.basename(tree.roots.get(name, path)), split.examples, 0, ""),),
            tuple(np.bincount(listed[name].labels, minlength=len(tree.classes)).tolist()),
        )
        for name, split in opened.items()
    }
    info = DatasetInfo(
        os.path.basename(os.path.abspath(path)),
        tree.classes,
        infos,
        measured.mean,
        measured.std,
        measured.eigenvalues,
        measured.eigenvectors,
    )
    return Dataset(info, opened, path, tuple(notes))


def _draw(listed: dict[str, Images], seed: int, share: float, notes: list[str]) -> Collection[str]:
    """Draws the splits that are missing in `listed` from its training images; returns which splits were drawn."""
    train = listed["train"]
    drawn = held_out.draw(train.paths.names, train.labels, listed, held_out.Shares(share), seed)
    for split, places in drawn.items():
        listed[split] = train.chosen(np.sort(places))
    notes.append(f"split by seed {seed}: " + ", ".join(f"{len(listed[name].paths):,} {name}" for name in SPLITS))
    wanted = [name for name in SPLITS if share or name != "validation"]
    few = "too few images of each class for a {} split; add images, or a folder of that name"
    notes += [few.format(name) for name in wanted if not len(listed[name].paths)]
    return drawn.keys()


def _check(tree: Tree, path: str) -> list[str]:
    """What to say of a tree that can be used. Raises UserError for one that cannot."""
    _check_readable(tree.base, tree.skipped)
    for folder in tree.unknown:
        raise UserError(f"{folder}: there is no training class of this name; rename or remove the folder", 1)
    notes = []
    for folder in tree.empty:
        if folder not in tree.roots.values():
            raise UserError(f"{folder}: no image in this class folder; fill or remove it", 1)
        notes.append(f"{folder} is left out: it holds no class folders")
    if len(tree.classes) < 2:
        found = f"{len(tree.classes)} class folders, two are needed"
        raise UserError(f"{path}: {found}: CLASS/IMAGE or train/CLASS/IMAGE", 1)
    notes += [f"{printable(name)}: {what}" for name, what in tree.merged]
    if tree.skipped:
        name, reason = tree.skipped[0]
        notes.append(f"left out: {len(tree.skipped):,} files or folders, the first {printable(name)} ({reason})")
    return notes


def _decoded(images: Images, tree: Tree, path: str, notes: list[str]) -> Images:
    """The images that TensorFlow decodes. Raises UserError where a class has only others."""
    others = images.paths.end_in(folder_tree.CONVERTED_ENDINGS)
    if not others.any():
        return images
    first, advice = images.paths[int(others.argmax())], "TensorFlow does not decode it, data/prepare.py converts it"
    kept = images.chosen(~others)
    missing = np.setdiff1d(images.labels, kept.labels)
    if len(missing):
        raise UserError(f"{path}: no other image of class {tree.classes[missing[0]]} than {first}: {advice}", 1)
    notes.append(f"left out: {others.sum():,} images of a form such as that of {tree.name(first)}: {advice}")
    return kept


def _colours(train: Split, count: int) -> color_statistics.Statistics:
    places = tf.data.Dataset.range(count).map(lambda i: i * train.examples // count)
    return splits.measure_colours(places.map(lambda place: train.parse(place)[0]))
