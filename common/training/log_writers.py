"""What a person sees of a run: the progress line, metrics.csv, TensorBoard."""

import csv
import io
import math
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

METRICS_FILE = "metrics.csv"
EVENTS_FOLDER = "tensorboard"
COLUMNS = ("step", "epoch", "split", "learning_rate", "data_loss", "l2_loss", "loss", "top1", "top5")


def duration(seconds: float) -> str:
    """Seconds as people say them: 42s, 3m05s, 2h07m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes}m{seconds:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


@dataclass
class Progress:
    """The progress line: one live line on a terminal, a plain line each time it is due elsewhere."""

    stream: io.TextIOBase = field(default_factory=lambda: sys.stdout)
    width: int = 0

    def show(self, text: str) -> None:
        """Redraws the live line on a terminal, prints a plain one elsewhere."""
        if not self.stream.isatty():
            print(text, file=self.stream, flush=True)
            return
        columns = os.get_terminal_size(self.stream.fileno()).columns
        text = text[: max(columns - 1, 20)]
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)

    def say(self, text: str) -> None:
        """A line that stays, on either."""
        if self.stream.isatty() and self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.width = 0
        print(text, file=self.stream, flush=True)


def progress_text(row: dict, total: int, epochs: int, rate: float, waiting: float, remaining: float) -> str:
    """`epoch 3/16  step 27/144  loss 0.5321 (data 0.3012 + l2 0.2309)  top1 0.9062  12.9 images/s ...  ETA 15m02s`."""
    return (
        f"epoch {row['epoch']}/{epochs}  step {row['step']}/{total}  loss {row['loss']:.4f} "
        f"(data {row['data_loss']:.4f} + l2 {row['l2_loss']:.4f})  top1 {row['top1']:.4f}  {rate:.1f} images/s  "
        f"data wait {waiting:.0%}  lr {row['learning_rate']:.3g}  ETA {duration(remaining)}"
    )


class Profiler:
    """Profiles some steps for TensorBoard, into RUN/tensorboard/plugins/profile.

    Args:
        run: the run directory.
        steps: first and last step, counted from 1 over the whole run; None: none at all.
    """

    def __init__(self, run: Path, steps: tuple[int, int] | None):
        self.folder, self.steps, self.running = str(Path(run) / EVENTS_FOLDER), steps, False

    def step(self, number: int) -> AbstractContextManager:
        """Marks what happens within it as step `number`; starts the profiler at the first one (or within the range)."""
        if self.steps and not self.running and self.steps[0] <= number <= self.steps[1]:
            tf.profiler.experimental.start(self.folder)
            self.running = True
        return tf.profiler.experimental.Trace("train", step_num=number, _r=1) if self.running else nullcontext()

    def last(self, number: int) -> bool:
        """True after the last step."""
        return self.running and number >= self.steps[1]

    def stop(self) -> None:
        """Writes the profile, if one is being taken."""
        if self.running:
            self.running = False
            tf.profiler.experimental.stop()


class MetricsFile:
    """metrics.csv: one row a logging interval and one a validation, nothing in it that a rerun would change.

    Losses and rates are written with all their digits, so two files can be compared byte for byte.
    """

    def __init__(self, run: Path):
        self.path = Path(run) / METRICS_FILE
        if not self.path.exists():
            self.path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def add(self, row: dict) -> None:
        """Appends one row and flushes it to the disk."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, step: int) -> None:
        """Drops the rows after `step`, and a row torn by a kill, so that a resumed run writes them again once."""
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",")[0]) <= step]
        temporary = self.path.with_suffix(".csv.tmp")
        temporary.write_text("".join([",".join(COLUMNS) + "\n", *kept]), encoding="utf-8")
        os.replace(temporary, self.path)


def rewind(run: Path, step: int) -> None:
    """Removes what a run wrote after `step`, from metrics.csv and TensorBoard's events; -1: all of it."""
    MetricsFile(run).rewind(step)
    _rewind_events(Path(run) / EVENTS_FOLDER, step)


def _rewind_events(folder: Path, step: int) -> None:
    """Removes from TensorBoard's event files what lies after `step`: a resumed run would draw it a second time."""
    for path in sorted(Path(folder).glob("events.*")):
        kept, dropped = [], False
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if tf.compat.v1.Event.FromString(record).step <= step:
                    kept.append(record)
                else:
                    dropped = True
        except tf.errors.DataLossError:  # the record that was being written when the process was killed
            dropped = True
        if not dropped:
            continue
        if not kept:
            path.unlink()
            continue
        temporary = path.with_name(f".{path.name}")
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in kept:
                writer.write(record)
        os.replace(temporary, path)


class TensorBoard:
    """Scalars, pictures and the recipe, in RUN/tensorboard or a folder in it. Steps are global steps."""

    def __init__(self, run: Path, folder: str = ""):
        self.writer = tf.summary.create_file_writer(str(Path(run) / EVENTS_FOLDER / folder))

    def scalars(self, step: int, prefix: str, values: dict) -> None:
        """One point of each curve `prefix/name`."""
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{prefix}/{name}", value)

    def text(self, name: str, markdown: str, step: int = 0) -> None:
        """A page of the text tab."""
        with self.writer.as_default(step=step):
            tf.summary.text(name, markdown)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """One picture, (H, W, 3) uint8."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, picture[None])

    def flush(self) -> None:
        """Hands what was added to the disk."""
        self.writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self.writer.close()


def tile(pictures: np.ndarray, gap: int = 1) -> np.ndarray:
    """(N, H, W, C) uint8 pictures -> one nearly square sheet (rows * (H + gap) - gap, ..., C), white between them."""
    count, height, width, channels = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def input_sheet(images: np.ndarray, mean: np.ndarray, most: int = 16) -> np.ndarray:
    """The first images of a batch (N, H, W, 3) with their mean added back, as one sheet of uint8."""
    return tile(np.clip(np.rint(images[:most] + mean), 0, 255).astype(np.uint8), gap=4)


def filter_sheet(kernel: np.ndarray) -> np.ndarray:
    """The filters of a first convolution (k, k, 3, N), each stretched to 0..255 and enlarged, as one sheet of uint8."""
    filters = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    span = np.maximum(filters.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
    enlarge = max(1, 32 // filters.shape[1])
    filters = np.rint((filters - low) / span * 255).astype(np.uint8)
    return tile(filters.repeat(enlarge, axis=1).repeat(enlarge, axis=2), gap=2)


class Clock:
    """Images per second and the share of time waiting for data, between two readings; pauses are left out."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Starts a new interval."""
        self.start, self.waited, self.images = time.perf_counter(), 0.0, 0

    def count(self, images: int, waited: float) -> None:
        """Counts one step: its images, and the seconds it waited for them."""
        self.images += images
        self.waited += waited

    def read(self) -> tuple[float, float]:
        """(images/s, share of time waiting 0..1) since the last reset."""
        elapsed = max(time.perf_counter() - self.start, 1e-9)
        return self.images / elapsed, self.waited / elapsed
