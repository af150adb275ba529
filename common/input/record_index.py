"""Where each record lies in its TFRecord file, so that a worker reads its own records and no others.

The index of a split is an array of the lengths of its records' data, in the stored order: SPLIT.index.npy, uint32,
which data/prepare.py writes beside the shards. For other people's records, and for data sets from before there was one,
it is made once from the records' headers and kept beside the files, or, where nothing may be written there, in the
user's cache (XDG_CACHE_HOME, ~/.cache).
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import records

CACHE = "ilsvrc-networks"
AHEAD = 8  # places in the files that are read at the same time
TOGETHER = 16  # records that are asked for at once


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
        for paths in filter(None, (self._prepared, *([path] for path in self._caches()))):
            with contextlib.suppress(OSError, ValueError, EOFError):
                found = np.concatenate([np.load(path) for path in paths])
                if self._fits(found):
                    return found
        with ThreadPoolExecutor(16) as threads:
            lengths = np.array([n for part in threads.map(records.record_lengths, self.files) for n in part], np.uint32)
        if not self._fits(lengths):
            raise UserError(f"{self.files[0]}: these files hold other numbers of records than is said of them", 1)
        for path in self._caches():
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                temporary = f"{path}.{os.getpid()}.tmp"
                Path(temporary).write_bytes(records.index_bytes(lengths))
                os.replace(temporary, path)
                break
        return lengths

    def _fits(self, lengths: np.ndarray) -> bool:
        """Do the records fill the files?"""
        if lengths.shape != (self.starts[-1],) or not len(lengths):
            return False
        sums = np.concatenate([[0], np.cumsum(lengths.astype(np.int64) + records.FRAME)])[self.starts]
        return np.diff(sums).tolist() == [os.path.getsize(file) for file in self.files]

    def _caches(self) -> tuple[str, str]:
        """Where an index that was made may lie: it is of files of these names, sizes and times."""
        told = [(os.path.abspath(file), os.path.getsize(file), os.stat(file).st_mtime_ns) for file in self.files]
        name = f"{hashlib.sha256(repr(told).encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.npy"
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        beside = os.path.dirname(os.path.abspath(self.files[0]))
        return os.path.join(beside, f".index-{name}"), os.path.join(cache, CACHE, f"index-{name}")

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
        starts, (begins, sizes) = tf.constant(self.starts, tf.int64), self.places
        chosen = None if ids is None else tf.constant(ids)

        @tf.autograph.experimental.do_not_convert
        def read(file, begin, size):
            stored = tf.raw_ops.TFRecordDatasetV2(
                filenames=file[None], compression_type="", buffer_size=size, byte_offsets=begin[None]
            )
            return tf.data.experimental.from_variant(stored, tf.TensorSpec([], tf.string)).take(1)

        @tf.autograph.experimental.do_not_convert
        def read_some(some):
            records_of = some if chosen is None else tf.gather(chosen, some)
            files = tf.gather(paths, tf.searchsorted(starts, records_of, side="right") - 1)
            found = files, tf.gather(begins, records_of), tf.cast(tf.gather(sizes, records_of), tf.int64)
            return tf.data.Dataset.from_tensor_slices(found).flat_map(read)

        return machine.parallel_interleave(ranks.batch(TOGETHER), read_some, AHEAD, TOGETHER)
