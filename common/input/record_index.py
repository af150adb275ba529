"""Where each record lies in its TFRecord file, so that a worker reads its own records and no others.

The index of a split is an array of the lengths of its records' data, in the stored order: SPLIT.index.npy, uint32,
which data/prepare.py writes beside the shards. For other people's records, and for data sets from before there was one,
it is made once, when it is first needed, from the records' headers, and kept in the user's cache (XDG_CACHE_HOME,
~/.cache): nothing is written beside data that another program made. Where the cache cannot be written it is made anew
each time.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import records

CACHE = "ilsvrc-networks"
AHEAD = 8  # places in the files that are read at the same time
TOGETHER = 32  # records that are asked for at once
LOOKED_AT = 64  # records whose stored length is compared with what an index says


class RecordFiles:
    """The TFRecord files of a split.

    Args:
        files: paths in their order.
        counts: records in each.
        prepared: the index that data/prepare.py wrote, or several for files of several splits; where there is none, one
            is made and cached.
    """

    def __init__(self, files: Sequence[str], counts: Sequence[int], prepared: Sequence[str] = ()):
        self.files, self.counts, self._prepared = tuple(files), tuple(counts), tuple(prepared)
        self.starts = np.cumsum([0, *self.counts])  # number of the first record of each file

    @cached_property
    def places(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(records in all,) each: where a record begins in its file, int64, how many bytes it takes there, int32."""
        sizes = self._lengths().astype(np.int64) + records.FRAME
        begins = np.cumsum(sizes) - sizes
        begins -= np.repeat(begins[np.minimum(self.starts[:-1], len(sizes) - 1)], self.counts)
        return tf.constant(begins), tf.constant(sizes.astype(np.int32))

    def _lengths(self) -> np.ndarray:
        cached = self._cached()
        for paths in filter(None, (self._prepared, (cached,))):
            with contextlib.suppress(OSError, ValueError, EOFError):
                found = np.concatenate([np.load(path) for path in paths])
                if self._fits(found):
                    return found
        with ThreadPoolExecutor(16) as threads:
            lengths = np.array([n for part in threads.map(records.record_lengths, self.files) for n in part], np.uint32)
        if lengths.shape != (self.starts[-1],):
            raise UserError(f"{self.files[0]}: these files hold other numbers of records than is said of them", 1)
        with contextlib.suppress(OSError):
            _keep(cached, records.index_bytes(lengths))
        return lengths

    def _fits(self, lengths: np.ndarray) -> bool:
        """Do records of these lengths fill the files, and have some of them theirs in fact?

        So an index is found out that was left from other files, even of the same sizes.
        """
        if lengths.shape != (self.starts[-1],) or not len(lengths):
            return False
        ends = np.concatenate([[0], np.cumsum(lengths.astype(np.int64) + records.FRAME)])
        before = ends[self.starts]
        if np.diff(before).tolist() != [os.path.getsize(file) for file in self.files]:
            return False
        some = np.unique(np.linspace(0, len(lengths) - 1, LOOKED_AT).astype(int))
        files = np.searchsorted(self.starts, some, side="right") - 1
        return all(
            records.length_at(self.files[file], int(ends[record] - before[file])) == lengths[record]
            for record, file in zip(some, files, strict=True)
        )

    def _cached(self) -> str:
        """Where an index that was made lies: it is of files of these names, sizes and times."""
        told = [(os.path.abspath(file), os.path.getsize(file), os.stat(file).st_mtime_ns) for file in self.files]
        name = hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return os.path.join(cache, CACHE, f"index-{name}.npy")

    def with_files_of(self, other: "RecordFiles") -> "RecordFiles":
        """These files and those of another split behind them; the same where both are of the same files."""
        if self.files == other.files:
            return self
        files, counts = (*self.files, *other.files), (*self.counts, *other.counts)
        known = self._prepared and other._prepared
        return RecordFiles(files, counts, (*self._prepared, *other._prepared) if known else ())

    def fetch(self, ranks: tf.data.Dataset, ids: np.ndarray | None) -> tf.data.Dataset:
        """Ranks -> the records' bytes, int64 and string scalars, in their order; reads these records alone.

        A record whose checksum is wrong is a tf.errors.DataLossError, as in reading a file through.

        Args:
            ranks: of the records wanted.
            ids: (ranks,) int64, the record of each rank; None: the same number.
        """
        paths = tf.constant([os.fsencode(file) for file in self.files])
        starts, begins = tf.constant(self.starts, tf.int64), self.places[0]
        chosen = None if ids is None else tf.constant(ids)

        @tf.autograph.experimental.do_not_convert
        def read_some(some):
            records_of = some if chosen is None else tf.gather(chosen, some)
            count = tf.size(some, tf.int64)
            records_of = tf.ensure_shape(tf.pad(records_of, [[0, TOGETHER - count]]), [TOGETHER])
            files = tf.gather(paths, tf.searchsorted(starts, records_of, side="right") - 1)
            # A data set for each, of which the first record is taken, all in one call: a call for each would take as
            # long as the reading. One after the other: they are too small to be handed to other threads.
            each = []
            places = tf.split(files, TOGETHER), tf.split(tf.gather(begins, records_of), TOGETHER)
            for file, begin in zip(*places, strict=True):
                with tf.control_dependencies([tf.data.experimental.to_variant(one) for one in each[-1:]]):
                    each.append(_from(file, begin))
            return tf.data.Dataset.choose_from_datasets(each, tf.data.Dataset.range(count))

        return machine.parallel_interleave(ranks.batch(TOGETHER), read_some, AHEAD, TOGETHER)


def _from(file: tf.Tensor, begin: tf.Tensor) -> tf.data.Dataset:
    """The records of a file, (1,) string, from a place on, (1,) int64, read one by one."""
    stored = tf.raw_ops.TFRecordDatasetV2(
        filenames=file, compression_type="", buffer_size=tf.constant(0, tf.int64), byte_offsets=begin
    )
    return tf.data.experimental.from_variant(stored, tf.TensorSpec([], tf.string))


def _keep(path: str, content: bytes) -> None:
    """Writes a file that is whole or absent, whoever else writes it at the same time."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(".tmp", dir=folder)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
