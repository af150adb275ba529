"""Writing one shard, in whatever process: read, repair, measure, write, rename, and leave a note of what was done."""

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from common.input import records
from common.input.color_statistics import Sums, measure
from data.quiet import quiet_libraries
from data.repair import Unusable, repair
from data.source import Item

WORK = ".prepare"  # the folder inside the data set's that holds unfinished work
MEAN_IMAGE_SIZE = 256


@dataclass(frozen=True)
class Job:
    """One shard to be written: `items` in their order, read by `read`, into `folder`/`file`.

    `measured`: take part in the colour statistics; `mean_image`: in the mean image too.
    """

    folder: Path
    file: str
    items: list[Item]
    read: Callable
    classes: tuple[str, ...]
    resize: int | None
    measured: bool
    mean_image: bool

    def elsewhere(self, folder: Path) -> "Job":
        """The same shard in another folder, without statistics."""
        return dataclasses.replace(self, folder=folder, measured=False, mean_image=False)


@dataclass(frozen=True)
class Note:
    """What a finished shard holds: kept beside the unfinished data set, so that work can go on from there."""

    shard: records.Shard
    per_class: tuple[int, ...]
    sums: Sums
    skipped: tuple[tuple[str, str], ...]
    repaired: tuple[tuple[str, str], ...]


def note_path(folder: Path, file: str) -> Path:
    """Where the note of a shard lies."""
    return folder / WORK / f"{file}.json"


def sum_path(folder: Path, file: str) -> Path:
    """Where the sum of a shard's images lies, (256, 256, 3) uint32."""
    return folder / WORK / f"{file}.npy"


def replace(path: Path, content: bytes) -> None:
    """Writes a file that is whole or absent."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def read_note(folder: Path, file: str) -> Note | None:
    """The note of a shard that is finished and has its full length, else None."""
    try:
        values = json.loads(note_path(folder, file).read_bytes())
        if (folder / file).stat().st_size != values["shard"]["bytes"]:
            return None
        sums = values["sums"]
        return Note(
            records.Shard(**values["shard"]),
            tuple(values["per_class"]),
            Sums(sums["pixels"], tuple(sums["first"]), tuple(tuple(row) for row in sums["second"])),
            tuple((name, reason) for name, reason in values["skipped"]),
            tuple((name, what) for name, what in values["repaired"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def centre_square(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 scaled to a short side of 256 (bilinear, antialiased), its middle (256, 256, 3) cut out."""
    height, width = pixels.shape[:2]
    scale = MEAN_IMAGE_SIZE / min(height, width)
    size = (max(MEAN_IMAGE_SIZE, round(width * scale)), max(MEAN_IMAGE_SIZE, round(height * scale)))
    scaled = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    top, left = (scaled.shape[0] - MEAN_IMAGE_SIZE) // 2, (scaled.shape[1] - MEAN_IMAGE_SIZE) // 2
    return scaled[top : top + MEAN_IMAGE_SIZE, left : left + MEAN_IMAGE_SIZE]


def write_shard(job: Job, tick: Callable[[int], None]) -> None:
    """Writes a shard and its note; `tick(1)` after every image. Raises OSError where the disk does not take it."""
    import tensorflow as tf

    temporary = job.folder / WORK / f"{job.file}.{os.getpid()}.tmp"
    counts = [0] * len(job.classes)
    sums, skipped, repaired = Sums(), [], []
    image_sum = np.zeros((MEAN_IMAGE_SIZE, MEAN_IMAGE_SIZE, 3), np.uint32)
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for item, data in job.read(job.items):
                tick(1)
                try:
                    if isinstance(data, Unusable):
                        raise data
                    if not 0 <= item.label < len(job.classes):
                        raise Unusable(f"label {item.label} is none of the {len(job.classes)} classes")
                    with quiet_libraries():
                        picture = repair(data, item.name, job.resize)
                except Unusable as reason:
                    skipped.append((item.name, str(reason)))
                    continue
                if picture.done:
                    repaired.append((item.name, picture.done))
                if job.measured:
                    sums += measure(picture.pixels)
                if job.mean_image:
                    image_sum += centre_square(picture.pixels)
                counts[item.label] += 1
                height, width = picture.pixels.shape[:2]
                text = job.classes[item.label]
                writer.write(
                    records.encode_example(picture.encoded, item.label, text, height, width, item.name, picture.format)
                )
        _finish(job, temporary, counts, image_sum, sums, skipped, repaired)
    except (tf.errors.OpError, OSError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        text = error.message if isinstance(error, tf.errors.OpError) else error.strerror or str(error)
        raise OSError(f"{job.folder / job.file}: {text.split(';')[-1].strip()}") from None


def _finish(job: Job, temporary: Path, counts: list[int], image_sum: np.ndarray, sums: Sums, skipped, repaired) -> None:
    """Gives the shard its name, then writes the note: a note stands for a shard that is safely on the disk."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    shard = records.Shard(job.file, sum(counts), temporary.stat().st_size, records.checksum(temporary))
    if job.mean_image:
        array = io.BytesIO()
        np.save(array, image_sum)
        replace(sum_path(job.folder, job.file), array.getvalue())
    os.replace(temporary, job.folder / job.file)
    note = Note(shard, tuple(counts), sums, tuple(skipped), tuple(repaired))
    replace(note_path(job.folder, job.file), json.dumps(dataclasses.asdict(note)).encode())
