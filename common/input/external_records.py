"""ImageNet records, and others in their layouts, as TF-slim, the Model Garden and TFDS write them.

    TF-slim, Model Garden   train-00000-of-01024; image/encoded, image/class/label 1..1000 (0 is the background class),
                            image/class/synset. Other TF-slim sets: NAME_train_00000-of-00005.tfrecord, labels from 0,
                            class names in labels.txt beside them.
    TFDS                    NAME-train.tfrecord-00000-of-01024; image, label from 0, file_name. label.labels.txt and
                            features.json have the classes, dataset_info.json the counts.

Which it is, the first record tells. Counts that no file tells are taken from the records' headers.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import color_statistics, held_out, splits
from common.input.records import DatasetInfo, Shard, SplitInfo, record_lengths
from common.input.splits import Dataset

# Krizhevsky 2012 does not print its figures. Mean: of the Caffe models (VGG, ResNet); std and the principal components
# of RGB/255: of fb.resnet.torch.
IMAGENET = color_statistics.Statistics(
    mean=(123.68, 116.78, 103.94),
    std=(58.393, 57.12, 57.375),
    eigenvalues=(0.2175, 0.0188, 0.0045),
    eigenvectors=((-0.5675, -0.5808, -0.5836), (0.7192, -0.0045, -0.6948), (0.4009, -0.8140, 0.4203)),
)
IMAGENET_CLASSES = 1000
NAMED_WITHIN = 25_000  # records in which every class's synset is looked for

_NAME = re.compile(
    r"(?:(?P<set>.+?)[-_])?(?P<split>train|validation|valid|val|test)(?P<ending>\.tfrecords?)?[-_]"
    r"(?P<number>\d{5})-of-(?P<shards>\d{5})(?P<late_ending>\.tfrecords?)?"
)
_SPLITS = {"valid": "validation", "val": "validation"}

Files = dict[str, list[str]]


def find_files(path: str) -> Files:
    """Record files by split, in their order, in a folder or in its folders train, validation and test.

    Raises UserError where a split's files are incomplete or of more than one set.
    """
    places = [path, *(os.path.join(path, name) for name in ("train", "validation", "val", "valid", "test"))]
    found: dict[str, dict[int, str]] = {}
    wanted: dict[str, tuple] = {}
    for place in filter(os.path.isdir, places):
        for name in sorted(os.listdir(place)):
            match = _NAME.fullmatch(name)
            if not match:
                continue
            split = _SPLITS.get(match["split"], match["split"])
            kind = place, match["set"], int(match["shards"])
            if wanted.setdefault(split, kind) != kind:
                raise UserError(
                    f"{os.path.join(place, name)}: the {split} files are of more than one set; separate them", 1
                )
            found.setdefault(split, {})[int(match["number"])] = os.path.join(place, name)
    for split, files in found.items():
        place, _, shards = wanted[split]
        missing = sorted(set(range(shards)) - set(files))
        if missing:
            raise UserError(
                f"{place}: {len(missing)} of {shards} {split} files are missing, number {missing[0]} first", 1
            )
    return {
        split: [found[split][i] for i in sorted(found[split])]
        for split in ("train", "validation", "test")
        if split in found
    }


def _first(file: str) -> tf.train.Example:
    """The first record of a file. Raises UserError where there is none to be read."""
    try:
        for record in tf.data.TFRecordDataset(os.fsencode(file)).take(1).as_numpy_iterator():
            return tf.train.Example.FromString(record)
    except tf.errors.OpError as error:
        raise UserError(f"{file}: damaged, or no TFRecord file", 1) from error
    except Exception as error:  # protobuf's DecodeError, whose module moves between versions
        raise UserError(f"{file}: its first record is no tf.train.Example", 1) from error
    raise UserError(f"{file}: empty", 1)


def _parser(fields: tuple[str, str, str], first_label: int, classes: int) -> splits.Parse:
    encoded_name, label_name, file_name = fields

    def parse(serialized):
        found = tf.io.parse_single_example(
            serialized,
            {
                encoded_name: tf.io.FixedLenFeature([], tf.string),
                label_name: tf.io.FixedLenFeature([], tf.int64),
                file_name: tf.io.FixedLenFeature([], tf.string, default_value=""),
            },
        )
        label = found[label_name]
        allowed = f"is outside {first_label}..{first_label + classes - 1}"
        inside = tf.logical_and(label >= first_label, label < first_label + classes)
        with tf.control_dependencies([tf.debugging.Assert(inside, ["label", label, allowed])]):
            return found[encoded_name], tf.cast(label - first_label, tf.int32), found[file_name]

    return parse


SLIM = ("image/encoded", "image/class/label", "image/filename")
TFDS = ("image", "label", "file_name")


def _json(path: str) -> dict:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error})", 1) from error


def _lines(*paths: str) -> list[str]:
    for path in filter(os.path.exists, paths):
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read().splitlines()
    return []


def _synsets(files: Files) -> tuple[tuple[str, ...], list[str]]:
    """(class names, words): synsets by label as the records have them; where one does not turn up, its number."""
    names: dict[int, str] = {}
    words: dict[int, str] = {}
    paths = [os.fsencode(file) for split in ("validation", "train") for file in files.get(split, ())]
    fields = {
        name: tf.io.FixedLenFeature([], dtype, default_value=default)
        for name, dtype, default in (
            ("image/class/label", tf.int64, 0),
            ("image/class/synset", tf.string, ""),
            ("image/class/text", tf.string, ""),
        )
    }
    sampled = tf.data.TFRecordDataset(paths).take(NAMED_WITHIN).batch(64)
    for batch in machine.parallel_map(sampled, lambda some: tf.io.parse_example(some, fields)).as_numpy_iterator():
        for label, synset, text in zip(*(batch[name] for name in fields), strict=True):
            if synset and label not in names:
                names[label], words[label] = synset.decode("utf-8", "replace"), text.decode("utf-8", "replace")
        if len(names) >= IMAGENET_CLASSES:
            break
    labels = range(1, IMAGENET_CLASSES + 1)
    return tuple(names.get(label, str(label)) for label in labels), [words.get(label, "") for label in labels]


@dataclass(frozen=True)
class _Layout:
    """How a set's records are to be read: names of image, label and file name; classes; what the first label is."""

    name: str
    fields: tuple[str, str, str]
    classes: tuple[str, ...]
    first_label: int
    imagenet: bool
    counts: dict[str, list[int]] = field(default_factory=dict)
    extra: dict = field(default_factory=dict)


def _slim(path: str, file: str, files: Files, features: set[str]) -> _Layout:
    folders = dict.fromkeys((os.path.dirname(file), path))
    lines = _lines(*(os.path.join(folder, "labels.txt") for folder in folders))
    if lines:  # of lines such as "0:daisy"
        return _Layout("TF-slim", SLIM, tuple(line.split(":", 1)[-1] for line in lines if line), 0, False)
    if "image/class/synset" not in features and ".tfrecord" in file:
        raise UserError(
            f"{file}: neither dataset.json nor labels.txt is beside it to say what its labels mean; "
            "if data/prepare.py was writing here, let it finish",
            1,
        )
    classes, words = _synsets(files)
    return _Layout("TF-slim", SLIM, classes, 1, True, extra={"words": words} if any(words) else {})


def _tfds(folder: str, file: str, set_name: str) -> _Layout:
    label = _json(os.path.join(folder, "features.json")).get("featuresDict", {}).get("features", {}).get("label", {})
    imagenet = set_name.startswith("imagenet2012")
    classes = int(label.get("classLabel", {}).get("numClasses", 0)) or IMAGENET_CLASSES * imagenet
    names = _lines(os.path.join(folder, "label.labels.txt")) or [str(number) for number in range(classes)]
    if not names:
        raise UserError(f"{file}: neither label.labels.txt nor features.json is beside it to name the classes", 1)
    splits_told = _json(os.path.join(folder, "dataset_info.json")).get("splits", [])
    counts = {split["name"]: [int(length) for length in split["shardLengths"]] for split in splits_told}
    return _Layout("TFDS", TFDS, tuple(names), 0, imagenet, counts)


def _layout(path: str, files: Files, set_name: str) -> _Layout:
    """The layout that the first record shows. Raises UserError where it shows none, or its classes are not known."""
    file = next(iter(files.values()))[0]
    features = set(_first(file).features.feature)
    if set(SLIM[:2]) <= features:
        return _slim(path, file, files, features)
    if set(TFDS[:2]) <= features:
        return _tfds(os.path.dirname(file), file, set_name)
    raise UserError(
        f"{file}: its records hold {', '.join(sorted(features)) or 'nothing'}; needed are {' and '.join(SLIM[:2])} "
        f"(TF-slim, Model Garden) or {' and '.join(TFDS[:2])} (TFDS)",
        1,
    )


def _colours(files: Files, parse: splits.Parse) -> color_statistics.Statistics:
    """Measured on the first records of every training file."""
    paths = files.get("train") or next(iter(files.values()))
    each = -(-splits.MEASURED // len(paths))
    names = tf.data.Dataset.from_tensor_slices([os.fsencode(file) for file in paths])
    some = names.flat_map(lambda file: tf.data.TFRecordDataset(file).take(each))
    return splits.measure_colours(some.map(lambda record: parse(record)[0]))


def open_records(path: str, files: Files, seed: int, share: float = held_out.SHARE) -> Dataset:
    """Opens the record files that `find_files` found in `path`.

    A test split without labels is left out. Without a validation split, a `share` of the training images, drawn by
    `seed`, becomes one. Counts come from dataset_info.json or the records' headers.

    Raises:
        UserError: the first record is of neither layout, or nothing says what the classes are; a truncated file.
    """
    match = _NAME.fullmatch(os.path.basename(next(iter(files.values()))[0]))
    set_name = (match and match["set"]) or os.path.basename(os.path.abspath(path))
    layout = _layout(path, files, set_name)
    parse = _parser(layout.fields, layout.first_label, len(layout.classes))
    last = layout.first_label + len(layout.classes) - 1
    notes = [f"{layout.name} records, labels {layout.first_label}..{last}"]
    opened, infos = {}, {}
    for split, paths in files.items():
        if split == "test":
            label = _first(paths[0]).features.feature[layout.fields[1]].int64_list.value
            if not label or label[0] < layout.first_label:
                notes.append("the test files are left out: their images have no labels")
                continue
        counts = layout.counts.get(split, [])
        if len(counts) != len(paths):
            with ThreadPoolExecutor(16) as pool:
                counts = [len(lengths) for lengths in pool.map(record_lengths, paths)]
        sizes = [os.path.getsize(file) for file in paths]
        mean_size = sum(sizes) / max(sum(counts), 1)
        opened[split] = splits.record_split(paths, counts, parse, mean_size)
        shards = zip(paths, counts, sizes, strict=True)
        infos[split] = SplitInfo(tuple(Shard(os.path.relpath(p, path), n, size, "") for p, n, size in shards), ())
        if split == "train" and "validation" not in files and share:
            opened |= splits.with_held_out(paths, counts, parse, mean_size, seed=seed, share=share, notes=notes)
    if layout.imagenet:
        found = IMAGENET
        notes.append("colours: the published ones of ImageNet")
    else:
        found = _colours(files, parse)
        notes.append(f"colours measured on up to {splits.MEASURED:,} training images")
    info = DatasetInfo(
        set_name,
        layout.classes,
        infos,
        found.mean,
        found.std,
        found.eigenvalues,
        found.eigenvectors,
        extra=layout.extra,
    )
    return Dataset(info, opened, path, tuple(notes))
