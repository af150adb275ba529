"""A part of a prepared data set: fewer training images, or unequally many of its classes.

    python experiments/subset.py --source datasets/cifar10-16px --out datasets/cifar10-16px-250 \\
        --train 250 --validation 100
    python experiments/subset.py --source datasets/cifar10 --out datasets/cifar10-unequal --train 4000 --ratio 20

Of each class the first images in the records' order, which is mixed, are taken. --validation takes that many further
training images of each class for a validation split; where the source has no test split, its validation split then
becomes the test split. Splits that are not named stay whole. The means stay those of the whole training split.
"""

import argparse
import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a script: sys.path begins with experiments/ instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import train
from common import errors
from common.errors import UserError
from common.input import records
from common.input.records import Shard, SplitInfo


def counts(most: int, classes: int, ratio: float) -> list[int]:
    """Images of each class: `most` of the first, falling geometrically to most / ratio of the last."""
    return [round(most * ratio ** (-place / max(classes - 1, 1))) for place in range(classes)]


def choose(labels: Sequence[int], wanted: Sequence[int], further: int) -> tuple[list[int], list[int]]:
    """Places of the first `wanted[label]` records of each label, and of the `further` ones after them.

    Raises UserError where there are not enough of them.
    """
    seen = [0] * len(wanted)
    first, second = [], []
    for place, label in enumerate(labels):
        if seen[label] < wanted[label]:
            first.append(place)
        elif seen[label] < wanted[label] + further:
            second.append(place)
        seen[label] += 1
    short = [label for label, count in enumerate(seen) if count < wanted[label] + further]
    if short:
        raise UserError(f"class {short[0]} has {seen[short[0]]} training images, fewer than were asked for", 1)
    return first, second


def write_split(folder: Path, name: str, content: Sequence[bytes], labels: Sequence[int], classes: int) -> SplitInfo:
    """Writes records into one shard."""
    import tensorflow as tf

    file = records.shard_name(name, 0, 1)
    with tf.io.TFRecordWriter(str(folder / file)) as writer:
        for record in content:
            writer.write(record)
    shard = Shard(file, len(content), os.path.getsize(folder / file), records.checksum(folder / file))
    return SplitInfo((shard,), tuple(labels.count(label) for label in range(classes)))


def copy_split(source: Path, folder: Path, name: str, split: SplitInfo) -> SplitInfo:
    """Copies the shards of a split, under a name that may be another."""
    count, shards = len(split.shards), []
    for number, shard in enumerate(split.shards):
        file = records.shard_name(name, number, count)
        shutil.copyfile(source / shard.file, folder / file)
        shards.append(dataclasses.replace(shard, file=file))
    return SplitInfo(tuple(shards), split.per_class)


def make(source: Path, out: Path, most: int, validation: int, ratio: float) -> records.DatasetInfo:
    """Writes the part. `dataset.json` comes last."""
    train.start_tensorflow()
    import tensorflow as tf

    info = records.read_info(source)
    if (out / records.INFO_FILE).exists():
        raise UserError(f"--out={out}: there is a data set already; remove it or name another folder", 1)
    out.mkdir(parents=True, exist_ok=True)
    files = [str(source / shard.file) for shard in info.splits["train"].shards]
    content = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    labels = [int(records.parse_example(record)[1]) for record in content]
    classes = len(info.classes)
    first, second = choose(labels, counts(most, classes, ratio), validation)

    def part(name: str, places: list[int]) -> SplitInfo:
        return write_split(out, name, [content[at] for at in places], [labels[at] for at in places], classes)

    splits = {"train": part("train", first)}
    whole = {name: split for name, split in info.splits.items() if name != "train"}
    if validation:
        splits["validation"] = part("validation", second)
        spare = whole.pop("validation", None)
        if "test" not in whole and spare is not None:
            whole["test"] = spare
    splits |= {name: copy_split(source, out, name, split) for name, split in whole.items()}
    kept = {"name": out.name, "splits": splits, "mean_image": None, "extra": {"part_of": info.name}}
    made = dataclasses.replace(info, **kept)
    records.write_info(out, made)
    return made


def main(words: list[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="a folder that data/prepare.py has made")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--train", type=int, required=True, help="training images of each class, of the first one")
    parser.add_argument("--validation", type=int, default=0, help="further ones of each class for validation")
    parser.add_argument("--ratio", type=float, default=1.0, help="how many times the images of the last class")
    options = parser.parse_args(words)
    if options.train < 1 or options.validation < 0 or options.ratio < 1:
        raise UserError("--train and --ratio are at least 1, --validation at least 0")
    made = make(options.source, options.out, options.train, options.validation, options.ratio)
    print(f"{options.out}: " + ", ".join(f"{split.examples:,} {name}" for name, split in made.splits.items()))


if __name__ == "__main__":
    with errors.ending_in_a_line("subset.py"):
        main()
