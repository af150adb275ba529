"""Any image classification set of TensorFlow Datasets: `tfds:NAME` or `tfds:NAME/CONFIG`.

    pip install tensorflow-datasets==4.9.10
    python data/prepare.py --source tfds:imagenette/320px-v2 --out DIR

It is downloaded the first time, to TFDS_DATA_DIR or ~/tensorflow_datasets. Encoded images are copied as they are. The
order is TFDS' own, which is a shuffled one; splits that are missing are cut off from the end of train.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import UserError, printable
from common.input import records
from data import writer
from data.repair import Unusable
from data.source import Item, Shares, Source

PREFIX = "tfds:"
SPLITS = ("train", "validation", "test")


def _builder(name: str):
    """TFDS' builder of a data set. Raises UserError where TFDS is not installed or has no such set."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"{PREFIX}{name}: tensorflow-datasets is not installed: pip install tensorflow-datasets==4.9.10", 1
        ) from error
    try:
        return tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"{PREFIX}{name}: TFDS has no such data set ({str(error).splitlines()[0]})") from error


def read(name: str, image_key: str, label_key: str, items: Sequence[Item]) -> Iterator[tuple[Item, bytes | Unusable]]:
    """Reads rows of one TFDS split (`path`), neighbours from the first item's `offset` to the last one's."""
    import tensorflow_datasets as tfds

    if not items:
        return
    rows = _builder(name).as_dataset(
        split=f"{items[0].path}[{items[0].offset}:{items[-1].offset + 1}]",
        decoders={image_key: tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1),  # files one after another: the order of the split
        shuffle_files=False,
    )
    for item, row in zip(items, rows, strict=True):
        yield item._replace(label=int(row[label_key])), row[image_key].numpy()


def _keys(name: str, info) -> tuple[str, str]:
    """The names of the image and its class: TFDS' supervised keys, or the only features of their kinds."""
    import tensorflow_datasets as tfds

    kinds = tfds.features.Image, tfds.features.ClassLabel
    keys = tuple(info.supervised_keys or ())
    if len(keys) == 2 and all(isinstance(info.features[key], kind) for key, kind in zip(keys, kinds, strict=True)):
        return keys
    found = [[key for key, feature in info.features.items() if isinstance(feature, kind)] for kind in kinds]
    if [len(keys) for keys in found] != [1, 1]:
        listed = ", ".join(info.features)
        raise UserError(f"{PREFIX}{name}: not a set of images with one class each; its features are {listed}", 1)
    return found[0][0], found[1][0]


def open_source(name: str, shares: Shares = Shares()) -> Source:  # noqa: B008
    """Lists a TFDS data set, after having it downloaded and prepared by TFDS where it is not yet.

    Raises:
        UserError: not installed, not known, not available, or not a set of images with one class each.
    """
    name = name.removeprefix(PREFIX)
    builder = _builder(name)
    try:
        builder.download_and_prepare()
    except Exception as error:  # a downloader may raise anything
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{PREFIX}{name}: TFDS cannot provide it ({text})", 1) from error
    image_key, label_key = _keys(name, builder.info)
    ranges = {
        split: (split, 0, builder.info.splits[split].num_examples) for split in SPLITS if split in builder.info.splits
    }
    if "train" not in ranges:
        raise UserError(f"{PREFIX}{name}: it has no split train, only {', '.join(builder.info.splits)}", 1)
    total, settings = ranges["train"][2], {}
    if "validation" not in ranges:
        missing = {"validation": shares.validation} | ({} if "test" in ranges else {"test": shares.test})
        settings = {f"{split}_share": share for split, share in missing.items()}
        for split, share in missing.items():
            end = ranges["train"][2]
            start = end - round(share * total)
            if start < end:
                ranges |= {split: ("train", start, end), "train": ("train", 0, start)}
    return Source(
        kind="tfds",
        name=name.replace("/", "_"),
        classes=tuple(printable(text) for text in builder.info.features[label_key].names),
        splits={
            split: [Item(f"{split}/{row - start:07d}", -1, place, row) for row in range(start, end)]
            for split in SPLITS
            if split in ranges
            for place, start, end in (ranges[split],)
        },
        read=functools.partial(read, name, image_key, label_key),
        settings=settings | {"version": str(builder.info.full_name)},
        shuffled=True,
    )


def prepare(name: str, folder: Path) -> None:
    """Writes the TFDS data set `tfds:NAME` to `folder`; does nothing where it is whole."""
    if not records.is_whole(folder):
        writer.write(open_source(name), Path(folder), writer.Options(), quiet=False)
