"""What reading costs each of several workers: on a set of ImageNet's size, one process takes the part of a worker.

    python benchmarks/reading.py                            two minutes, 150 MB of disk for as long
    python benchmarks/reading.py --workers 1,8,64 --records 1281167 --kilobytes 110

The set is made for it: records of random bytes in 1,000 files, all of them links to the same one, so that what is read
lies in memory and the disk has no part in it. A worker orders, reads and parses (no picture is decoded) its part of
an epoch; the cost is processor time, so that other programs disturb it little. Of a long epoch the first `--read`
records are read, and what its start took is shared out over all that the worker has in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 256
FILES = 1000
IMAGENET = 1_281_167


@dataclass(frozen=True)
class Cost:
    """What one worker needs.

    Attributes:
        start: seconds from the order's beginning to its first record, the index read.
        megabytes: by how much its memory rose until then.
        record: microseconds of processor time for each of its own records, its share of the start included.
    """

    start: float
    megabytes: float
    record: float


def make(folder: Path, records_in_all: int, size: int, files: int = FILES) -> None:
    """Writes a prepared data set of records with `size` bytes of image in so many files, each a link to one of two."""
    import numpy as np
    import tensorflow as tf

    from common.input import records

    each, more = divmod(records_in_all, files)
    content = np.random.default_rng(0).bytes(size)
    row = records.encode_example(content, 0, "c", 1, 1, "made", "JPEG")
    shards = []
    for number in range(files):
        count = each + (number < more)
        name = records.shard_name("train", number, files)
        model = folder / f"{count}.records"
        if not model.exists():
            with tf.io.TFRecordWriter(str(model)) as writer:
                for _ in range(count):
                    writer.write(row)
        os.link(model, folder / name)
        shards.append(records.Shard(name, count, count * (len(row) + records.FRAME), ""))
    (folder / records.index_name("train")).write_bytes(records.index_bytes(np.full(records_in_all, len(row))))
    split = records.SplitInfo(tuple(shards), (records_in_all,))
    records.write_info(folder, records.DatasetInfo("made", ("c",), {"train": split}, (0.0,) * 3, (1.0,) * 3))


def _memory(which: str) -> float:
    """A figure of /proc/self/status in MB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))


def measure(folder: Path, worker: int, workers: int, read: int) -> Cost:
    """Reads a worker's part of an epoch, at most `read` records of it."""
    from common import machine
    from common.input import datasets, records
    from common.input.order import order

    machine.keep_freed_memory()  # as the program does
    split = datasets.open_dataset(str(folder), validation_share=0.0).splits["train"]
    own = split.examples // BATCH * BATCH // workers
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before, used, begun = _memory("VmRSS"), time.process_time(), time.perf_counter()
    ordered = order(split, batch_size=BATCH, seed=1, worker=worker, workers=workers)
    parsed = machine.parallel_map(ordered, lambda number, element: (number, records.parse_example(element)[1]))
    found = iter(parsed.batch(BATCH // workers))
    next(found)
    start, start_used, rise = time.perf_counter() - begun, time.process_time() - used, _memory("VmHWM") - before
    done, used = 0, time.process_time()
    while done < min(read, own) - BATCH // workers:
        next(found)
        done += BATCH // workers
    each = (time.process_time() - used) / done
    return Cost(start, rise, 1e6 * (each + start_used / own))


def main() -> None:
    """Prints a line for every number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,8,64", help="how many there are (default 1,8,64)")
    parser.add_argument("--records", type=int, default=IMAGENET, help=f"in an epoch (default {IMAGENET})")
    parser.add_argument("--kilobytes", type=float, default=110, help="of a record (default 110)")
    parser.add_argument("--read", type=int, default=20_000, help="records that a worker reads at most (default 20000)")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # FOLDER WORKER WORKERS: in a process of its own
    options = parser.parse_args()
    if options.part:
        folder, worker, workers = options.part
        print(json.dumps(vars(measure(Path(folder), int(worker), int(workers), options.read))))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.records, round(1000 * options.kilobytes))
        print(f"{options.records:,} records of {options.kilobytes:g} KB; processor time for each of a worker's own")
        print("workers  us a record  of one worker's  start, s  memory, MB")
        first = None
        for workers in map(int, options.workers.split(",")):
            command = [sys.executable, __file__, "--read", str(options.read), "--part", folder]
            command += [str(workers // 2), str(workers)]
            found = Cost(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
            first = first or found
            times = found.record / first.record
            print(f"{workers:7d} {found.record:12.1f} {times:16.2f} {found.start:9.2f} {found.megabytes:11.0f}")


if __name__ == "__main__":
    main()
