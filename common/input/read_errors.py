"""Which file was it? TensorFlow's errors from inside a pipeline say what went wrong, not where."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from common import machine
from common.errors import UserError, printable
from common.input import images
from common.input.splits import Split
from common.progress import Progress

ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)


def name_the_fault(split: Split, error: tf.errors.OpError) -> str:
    """One line that names the file, and the record in it, behind an error of a pipeline over `split`.

    Looks for a missing file, then reads the split through: every byte for a DataLossError, and decodes every image for
    another one, as fast as the disk and the decoder allow; stderr says so, with progress. Where nothing is found, the
    error's own first line.

    Args:
        split: what the failed pipeline read.
        error: one of `ERRORS`, as it came out of the pipeline.
    """
    total = sum(split.counts) or split.examples
    what = f"{total:,} records in {len(split.files):,} files" if split.records else f"{total:,} image files"
    print(f"searching for the damaged one among {what}; each is read once more", file=sys.stderr, flush=True)
    progress = Progress(total, unit="records" if split.records else "images", stream=sys.stderr)
    try:
        return _search(split, error, progress)
    finally:
        progress.close()


def _search(split: Split, error: tf.errors.OpError, progress: Progress) -> str:
    for file in split.files:
        if not os.path.exists(file):
            return f"{printable(file)}: missing; put it back, or prepare the data set again"
    found = _in_records(split, error, progress) if split.records else _in_files(split, progress)
    return found or f"no damaged file found in {len(split.files)}; TensorFlow says: {_first_line(error)}"


@contextmanager
def named(split: Split) -> Iterator[None]:
    """Reading inside it raises UserError (exit code 1) that names the damaged or vanished file."""
    try:
        yield
    except ERRORS as error:
        raise UserError(name_the_fault(split, error), 1) from error


@contextmanager
def writing(run: Path) -> Iterator[None]:
    """Writing to a run directory inside it raises UserError (exit code 1) where disk or rights do not allow it."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else _first_line(error)
        raise UserError(
            f"{run}: writing failed ({reason}); the earlier checkpoints are intact: free some space or repair the "
            "directory, and run the same command again",
            1,
        ) from error


def _first_line(error: tf.errors.OpError) -> str:
    """What an error says, without the place in the graph where it was raised."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    said = next((line for line in lines if not line.endswith(":") and "[[" not in line), error.message)
    said = said.rsplit("}} ", 1)[-1].split(" [Op:")[0].rstrip(".")
    return re.sub(r"^Error in user-defined function .* with iterator: \S+: ", "", said)


def _failure(dataset: tf.data.Dataset, check: Callable, progress: Progress) -> tuple[int, tf.errors.OpError] | None:
    """(number of the first element for which `check` fails, its error), None where all pass."""
    passed = 0
    try:
        for _ in machine.parallel_map(dataset, check).batch(1).prefetch(2):
            passed += 1
            progress.update(progress.done + 1)
    except ERRORS as error:
        return passed, error
    return None


def _decodes(split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """element -> its label, once its image could be decoded."""

    def decode(element):
        encoded, label, _ = split.parse(element)
        with tf.control_dependencies([images.decode(encoded)]):
            return tf.identity(label)

    return decode


def _in_records(split: Split, error: tf.errors.OpError, progress: Progress) -> str | None:
    check = tf.strings.length if isinstance(error, tf.errors.DataLossError) else _decodes(split)
    for file in split.files:
        stored = tf.data.TFRecordDataset(os.fsencode(file))
        failure = _failure(stored, check, progress)
        if failure is None:
            continue
        number, cause = failure
        if isinstance(cause, tf.errors.DataLossError):
            return f"{printable(file)}: damaged at record {number} ({_first_line(cause)}); fetch or prepare it again"
        name = _image_name(stored.skip(number).take(1))
        return f"{printable(file)}: record {number}{name}: {_first_line(cause)}; prepare the data set again"
    return None


def _image_name(stored: tf.data.Dataset) -> str:
    """The name of the image that a record holds, to be put behind the record's number."""
    for record in stored.as_numpy_iterator():
        try:
            features = tf.train.Example.FromString(record).features.feature
        except Exception:  # protobuf's DecodeError, whose module moves between versions
            return ""
        for key in ("image/filename", "file_name"):
            if key in features:
                return " (" + ", ".join(map(printable, features[key].bytes_list.value)) + ")"
    return ""


def _in_files(split: Split, progress: Progress) -> str | None:
    failure = _failure(split.serialized(None), _decodes(split), progress)
    if failure is None:
        return None
    number, cause = failure
    advice = "remove it, or use data/prepare.py, which repairs or leaves out such files (or --skip_bad_images)"
    return f"{printable(split.files[number])}: {_first_line(cause)}; {advice}"
