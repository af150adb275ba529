"""The TFRecord schema and dataset.json: what a prepared data set looks like on disk.

A prepared data set is a folder with

    dataset.json                       `DatasetInfo`, written last: a folder without it is not finished
    SPLIT-00000-of-00004.tfrecord ...  `tf.train.Example`s with the field names ImageNet's records have
    SPLIT.index.npy                    (records,) uint32: the length of each record's data, in the stored order
    mean_image.npy                     optional, (256, 256, 3) float32, 0..255

Labels run from 0 to classes - 1. TensorFlow is imported by the functions that need it: what is known of a data set can
be read and written without.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import machine
from common.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

FORMAT = 2
HEADER, FRAME = 12, 16  # bytes before a record's data in a TFRecord file; bytes around it
INFO_FILE = "dataset.json"


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: name relative to the folder, number of examples, size in bytes, SHA-256 in hex."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitInfo:
    """One split: its shards in order and the number of examples of each class, by label."""

    shards: tuple[Shard, ...]
    per_class: tuple[int, ...]

    @property
    def examples(self) -> int:
        """Number of examples in all shards."""
        return sum(shard.examples for shard in self.shards)


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set: written by data/, read by everything else.

    Attributes:
        name: short name, for people.
        classes: class names by label.
        splits: by name; `train` always, `validation` and `test` where they exist.
        mean, std: per channel (RGB) over every pixel of the training split, 0..255.
        eigenvalues, eigenvectors: of the 3x3 covariance of the training pixels' RGB divided by 255 (Krizhevsky 2012,
            section 4.1), largest first; `eigenvectors[i]` belongs to `eigenvalues[i]`.
        flip: False where a mirrored image would be another class (digits, text).
        suggested: fields of a `Recipe` that fit this data set better than a network's own, where it is unlike ImageNet
            in size; the command line overrides them.
        mean_image: file name of the mean image, or None.
        extra: what else the source tells; `words`, by label, of ImageNet.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eigenvalues: tuple[float, ...] = (0.0, 0.0, 0.0)
    eigenvectors: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    flip: bool = True
    suggested: dict = field(default_factory=dict)
    mean_image: str | None = None
    extra: dict = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """What the classes mean, by label; () where the source does not tell."""
        return tuple(map(str, self.extra.get("words", ())))


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Writes dataset.json under a temporary name and renames it: it is whole or absent."""
    path = Path(folder) / INFO_FILE
    text = json.dumps({"format": FORMAT} | dataclasses.asdict(info), indent=1, ensure_ascii=False)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    os.replace(temporary, path)


def read_info(folder: Path) -> DatasetInfo:
    """Reads dataset.json. Raises UserError where it is missing, damaged or of another format."""
    path = Path(folder) / INFO_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        version = values.pop("format")
        if version != FORMAT:
            raise UserError(f"{path}: format {version}, this program reads {FORMAT}; prepare the data set again", 1)
        values["splits"] = {
            name: SplitInfo(tuple(Shard(**shard) for shard in split["shards"]), tuple(split["per_class"]))
            for name, split in values["splits"].items()
        }
        for name in ("classes", "mean", "std", "eigenvalues"):
            values[name] = tuple(values[name])
        values["eigenvectors"] = tuple(tuple(row) for row in values["eigenvectors"])
        return DatasetInfo(**values)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no prepared data set here") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); prepare the data set again", 1) from error


def is_whole(folder: Path) -> bool:
    """Whether a prepared data set is there with every shard at its full length (checksums: see `verify`)."""
    try:
        info = read_info(folder)
        shards = [shard for split in info.splits.values() for shard in split.shards]
        return all((Path(folder) / shard.file).stat().st_size == shard.bytes for shard in shards)
    except (UserError, OSError):
        return False


def shard_name(split: str, index: int, shards: int) -> str:
    """File name of one shard, e.g. `train-00003-of-00016.tfrecord`."""
    return f"{split}-{index:05d}-of-{shards:05d}.tfrecord"


def index_name(split: str) -> str:
    """File name of a split's index."""
    return f"{split}.index.npy"


def index_bytes(lengths: Sequence[int] | np.ndarray) -> bytes:
    """The content of an index."""
    content = io.BytesIO()
    np.save(content, np.asarray(lengths, np.uint32))
    return content.getvalue()


def record_lengths(path: str | Path) -> list[int]:
    """The lengths of the records' data in a TFRecord file. Raises UserError where they lead astray.

    A record is 8 bytes of length, 4 of checksum, the data, 4 of checksum. No data is read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size, place = os.fstat(file.fileno()).st_size, 0
            lengths: list[int] = []
            while place < size:
                header = os.pread(file.fileno(), HEADER, place)
                length = int.from_bytes(header[:8], "little")
                place += FRAME + length
                if len(header) < HEADER or place > size:
                    raise UserError(f"{path}: truncated or damaged in record {len(lengths)}; fetch the file again", 1)
                lengths.append(length)
            return lengths
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", 1) from error


def length_at(path: str | Path, place: int) -> int:
    """The length of the data of the record that begins at a byte of a TFRecord file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return int.from_bytes(os.pread(file.fileno(), 8, place), "little")


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encode_example(
    encoded: bytes, label: int, text: str, height: int, width: int, filename: str, image_format: str
) -> bytes:
    """One serialized `tf.train.Example` in ImageNet's field names.

    Args:
        encoded: JPEG or PNG bytes, RGB.
        label: 0..classes-1.
        text: the class name.
        height, width: pixels.
        filename: where the image came from, for messages and predictions.
        image_format: "JPEG" or "PNG".
    """
    import tensorflow as tf

    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    fields: dict[str, bytes | int] = {
        "image/encoded": encoded,
        "image/format": image_format.encode(),
        "image/class/label": label,
        "image/class/text": text.encode("utf-8", "surrogateescape"),
        "image/height": height,
        "image/width": width,
        "image/colorspace": b"RGB",
        "image/channels": 3,
        "image/filename": filename.encode("utf-8", "surrogateescape"),
    }
    features = tf.train.Features(feature={name: feature(value) for name, value in fields.items()})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def parse_example(serialized: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
    """Serialized Example (scalar string) -> (encoded bytes, label int32, file name), all scalars."""
    import tensorflow as tf

    found = tf.io.parse_single_example(
        serialized,
        {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            "image/filename": tf.io.FixedLenFeature([], tf.string, default_value=""),
        },
    )
    return found["image/encoded"], tf.cast(found["image/class/label"], tf.int32), found["image/filename"]


def verify(folder: Path) -> Iterator[tuple[Shard, str | None]]:
    """Reads every shard of a prepared data set through: its bytes, its records, and each image in them.

    Yields:
        each shard with its first fault, or None: missing, another length or checksum than dataset.json has, another
        number of records or of a class's records, a record that is no Example, an image that cannot be decoded.

    Raises:
        UserError: there is no readable dataset.json.
    """
    info = read_info(folder)
    for split in info.splits.values():
        counts, sound = [0] * len(info.classes), True
        for shard in split.shards:
            fault = _fault(Path(folder) / shard.file, shard, counts)
            sound = sound and fault is None
            if sound and shard is split.shards[-1] and tuple(counts) != split.per_class:
                fault = "the split's images per class are not those of dataset.json"
            yield shard, fault


def _fault(path: Path, shard: Shard, counts: list[int]) -> str | None:
    """The first fault of one shard, or None; adds its labels to `counts`, images of each class."""
    import tensorflow as tf

    def check(serialized):
        encoded, label, name = parse_example(serialized)
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return label, name, tf.size(image)

    if not path.exists():
        return "missing"
    if path.stat().st_size != shard.bytes:
        return f"{path.stat().st_size} bytes long instead of {shard.bytes}"
    examples = 0
    try:
        checked = machine.parallel_map(tf.data.TFRecordDataset(str(path)), check)
        for label, name, size in checked.as_numpy_iterator():
            if not 0 <= label < len(counts) or not size:
                return f"record {examples} ({name.decode(errors='backslashreplace')}): label {label}, {size} values"
            counts[label] += 1
            examples += 1
    except tf.errors.DataLossError:
        return f"corrupted at record {examples}"
    except tf.errors.OpError as error:
        return f"record {examples} cannot be decoded ({error.message.splitlines()[0][-80:]})"
    if examples != shard.examples:
        return f"{examples} records instead of {shard.examples}"
    return None if checksum(path) == shard.sha256 else "its checksum is not the one in dataset.json"
