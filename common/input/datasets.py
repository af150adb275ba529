"""Opens a data set, whatever form it has: prepared records, records of others, a tree of class folders."""

import os
from pathlib import Path

from common.errors import UserError
from common.input import class_folders, external_records, records, splits
from common.input.splits import Dataset, Split

__all__ = ["Dataset", "Split", "open_dataset"]


def open_dataset(path: str, seed: int = 0) -> Dataset:
    """Opens the data set at `path`.

    Recognised, in this order: a folder with dataset.json (data/prepare.py), TFRecord files named like those of TF-slim,
    the Model Garden or TFDS, a tree of class folders. Without a validation split, a tenth of the training images drawn
    by `seed` becomes one.

    Raises:
        UserError: nothing that is known, or a fault that can be seen from outside; names the file.
    """
    if not os.path.isdir(path):
        raise UserError(f"--dataset={path}: no such directory")
    if (Path(path) / records.INFO_FILE).exists():
        return _open_prepared(path, seed)
    files = external_records.find_files(path)
    if files:
        return external_records.open_records(path, files, seed)
    if class_folders.is_tree(path):
        return class_folders.open_tree(path, seed)
    raise UserError(
        f"--dataset={path}: neither dataset.json, nor TFRecord files, nor class folders are in this directory"
    )


def _open_prepared(path: str, seed: int) -> Dataset:
    info = records.read_info(Path(path))
    if not {"train", "validation", "test"} & set(info.splits):
        raise UserError(f"{path}: dataset.json has no split train, validation or test; prepare the data set again", 1)
    opened, notes = {}, []
    for name, split in info.splits.items():
        files = [os.path.join(path, shard.file) for shard in split.shards]
        for file, shard in zip(files, split.shards, strict=True):
            if not os.path.exists(file):
                raise UserError(f"{file}: missing; prepare the data set again", 1)
            if os.path.getsize(file) != shard.bytes:
                wrong = f"{os.path.getsize(file):,} bytes long instead of {shard.bytes:,}"
                raise UserError(f"{file}: {wrong}; prepare the data set again", 1)
        counts = [shard.examples for shard in split.shards]
        size = sum(shard.bytes for shard in split.shards) / max(split.examples, 1)
        opened[name] = splits.record_split(files, counts, records.parse_example, size)
        if name == "train" and "validation" not in info.splits:
            opened |= splits.with_held_out(files, counts, records.parse_example, size, seed, notes)
    return Dataset(info, opened, path, tuple(notes))
