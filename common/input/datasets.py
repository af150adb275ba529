"""Opens a data set, whatever form it has: prepared records, records of others, a tree of class folders."""

import os
from dataclasses import replace
from pathlib import Path

from common.errors import UserError
from common.input import class_folders, external_records, held_out, records, splits
from common.input.splits import Dataset, Split

__all__ = ["Dataset", "Split", "open_dataset"]


def open_dataset(path: str, seed: int = 0, validation_share: float | None = None) -> Dataset:
    """Opens the data set at `path`.

    Args:
        path: where it lies.
        seed: draws the splits that it leaves open.
        validation_share: share of its training images that becomes a validation split where it has none of its own;
            None: `held_out.SHARE`. 0: there is no validation split, its images are for training too.

    Recognised, in this order: a folder with dataset.json (data/prepare.py), TFRecord files named like those of TF-slim,
    the Model Garden or TFDS, a tree of class folders.

    Raises:
        UserError: nothing that is known, a fault that can be seen from outside, naming the file, or a share of a data
            set that has a validation split.
    """
    opened = _open(path, seed, held_out.SHARE if validation_share is None else validation_share)
    if validation_share is None or "validation" not in opened.splits:
        return opened
    if validation_share == 0:
        rest = {name: split for name, split in opened.splits.items() if name != "validation"}
        rest["train"] = splits.joined(rest["train"], opened.splits["validation"])
        return replace(opened, splits=rest)
    if not opened.splits["validation"].drawn:
        raise UserError(
            f"--validation_share={validation_share}: {path} has a validation split of its own; leave the flag out, or "
            "give 0 to train on that split too"
        )
    return opened


def _open(path: str, seed: int, share: float) -> Dataset:
    if not os.path.isdir(path):
        raise UserError(f"--dataset={path}: no such directory")
    if (Path(path) / records.INFO_FILE).exists():
        return _open_prepared(path, seed, share)
    files = external_records.find_files(path)
    if files:
        return external_records.open_records(path, files, seed, share)
    if class_folders.is_tree(path):
        return class_folders.open_tree(path, seed, share)
    raise UserError(
        f"--dataset={path}: neither dataset.json, nor TFRecord files, nor class folders are in this directory"
    )


def _open_prepared(path: str, seed: int, share: float) -> Dataset:
    info = records.read_info(Path(path))
    if not {"train", "validation", "test"} & set(info.splits):
        raise UserError(f"{path}: dataset.json has no split train, validation or test; prepare the data set again", 1)
    opened: dict[str, Split] = {}
    notes: list[str] = []
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
        index = os.path.join(path, records.index_name(name))
        opened[name] = splits.record_split(files, counts, records.parse_example, size, index=index)
        if name == "train" and "validation" not in info.splits and share:
            parse = records.parse_example
            opened |= splits.with_held_out(files, counts, parse, size, seed=seed, share=share, notes=notes, index=index)
    return Dataset(info, opened, path, tuple(notes))
