"""What reading costs each of several workers: on a set of ImageNet's size, this process takes the part of a worker.

    python benchmarks/reading.py                            two minutes, 300 MB of disk for as long
    python benchmarks/reading.py --workers 1,8,64 --records 1281167

The set is made for it: records of one picture, 500x375 pixels and about 110 KB of JPEG as ImageNet's are on average, in
1,000 files that are links to one or two, so that what is read lies in memory and the disk has no part in it. Each
worker takes 256 images of every global batch, for it alone and for the others. Two costs a record of its own:

    read    ordered, read, parsed
    ready   ordered, read, parsed, decoded, cropped, normalised, in a batch: the input of a training

Both are processor time, so that other programs disturb them less, and the parts take turns; a ratio is the median of
the turns'. To a record's own time is added its share of what the order of an epoch takes.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.input import resident
from benchmarks.turns import ratio

OWN_BATCH = 256  # images a worker
FILES = 1000
IMAGENET = 1_281_167  # training images of ILSVRC 2012
JPEG = 110_000  # bytes at most
TURNS = {"read": 10, "ready": 2}  # batches in a turn


@dataclass
class Worker:
    """One of several workers.

    Attributes:
        workers: how many there are.
        batches: what it reads, by kind.
        start: seconds from the order's beginning to its first records, index read and graphs traced.
        megabytes: by how much the memory rose until then.
        ordering: microseconds of processor time a record for its part of an epoch's order, where that is made first.
        costs: microseconds of processor time a record, by kind, in every turn.
    """

    workers: int
    batches: dict[str, Iterator]
    start: float
    megabytes: float
    ordering: float
    costs: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in TURNS})

    def turn(self, kind: str) -> None:
        """Reads for a turn, and waits until the threads have read ahead again what they had before."""
        _settle()
        used = time.process_time()
        for _ in range(TURNS[kind]):
            next(self.batches[kind])
        each = 1e6 * (_settle() - used) / (TURNS[kind] * OWN_BATCH)
        self.costs[kind].append(each + self.ordering)


def _settle() -> float:
    """Waits until no thread computes. Returns the processor time that the process has used, in seconds."""
    used = -1.0
    while time.process_time() - used > 0.005:
        used = time.process_time()
        time.sleep(0.1)
    return used


def picture() -> bytes:
    """A JPEG of noise, 500x375, in the best quality that fits into `JPEG` bytes."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8)).resize((500, 375))
    noisy = np.clip(np.asarray(smooth) + random.normal(0, 20, (375, 500, 1)), 0, 255).astype(np.uint8)
    for quality in range(95, 0, -5):
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= JPEG:
            break
    return buffer.getvalue()


def make(folder: Path, examples: int, files: int = FILES) -> int:
    """Writes a prepared data set of so many records in so many files. Returns the size of a record."""
    import numpy as np
    import tensorflow as tf

    from common.input import records

    row = records.encode_example(picture(), 0, "c", 375, 500, "made", "JPEG")
    shards = []
    for number in range(files):
        count = examples // files + (number < examples % files)
        name, first = records.shard_name("train", number, files), folder / f"{count}.records"
        if not first.exists():
            with tf.io.TFRecordWriter(str(first)) as writer:
                for _ in range(count):
                    writer.write(row)
        os.link(first, folder / name)
        shards.append(records.Shard(name, count, first.stat().st_size, ""))
    (folder / records.index_name("train")).write_bytes(records.index_bytes(np.full(examples, len(row))))
    split = records.SplitInfo(tuple(shards), (examples,))
    records.write_info(folder, records.DatasetInfo("made", ("c",), {"train": split}, (120.0,) * 3, (60.0,) * 3))
    return len(row)


def start(folder: Path, workers: int) -> Worker:
    """Opens the data set as the middle one of so many workers and reads its first records."""
    import tensorflow as tf

    from common import machine
    from common.input import datasets, pipeline, records
    from common.input.order import order
    from common.recipe import Recipe

    data = datasets.open_dataset(str(folder), validation_share=0.0)
    split = data.splits["train"]
    part = {"batch_size": OWN_BATCH * workers, "seed": 1, "worker": workers // 2, "workers": workers}
    before, begun = resident(), time.perf_counter()
    parsed = machine.parallel_map(order(split, **part), lambda number, element: records.parse_example(element)[:2])
    batches = {"read": iter(parsed.batch(OWN_BATCH).prefetch(2))}
    next(batches["read"])
    seconds, megabytes = time.perf_counter() - begun, resident() - before
    recipe = Recipe(crop="random", flip=True)
    prepared = pipeline.preprocessing(recipe, data.info, 224, str(folder))
    batches["ready"] = iter(pipeline.training(split, prepared, recipe, data.info, **part))
    ordering, own = 0.0, split.examples // part["batch_size"] * OWN_BATCH
    if workers > 1:
        ranks = tf.function(lambda seed: split.ranks(seed, tf.range(own, dtype=tf.int64)))
        ranks(tf.constant(1, tf.int64))
        used = time.process_time()
        ranks(tf.constant(2, tf.int64))
        ordering = 1e6 * (time.process_time() - used) / own
    return Worker(workers, batches, seconds, megabytes, ordering)


def table(found: list[Worker]) -> str:
    """A line for every number of workers; ratios to the first."""
    rows = ["workers  ordering, us  read, us  ratio  ready, us  ratio  start, s  memory, MB"]
    for one in found:
        line = f"{one.workers:7d} {one.ordering:13.1f}"
        for kind, width in (("read", 9), ("ready", 10)):
            own, first = one.costs[kind], found[0].costs[kind]
            line += f" {statistics.median(own):{width}.1f} {ratio(own, first):6.2f}"
        rows.append(f"{line} {one.start:9.2f} {one.megabytes:11.0f}")
    return "\n".join(rows)


def main() -> None:
    """Prints a line for every number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,8,64", help="how many (default 1,8,64)")
    parser.add_argument("--records", type=int, default=IMAGENET, help=f"in an epoch (default {IMAGENET})")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    options = parser.parse_args()

    from common.machine import keep_freed_memory

    keep_freed_memory()  # as the program does
    with tempfile.TemporaryDirectory() as folder:
        size = make(Path(folder), options.records)
        print(f"{options.records:,} records of {size / 1000:.0f} KB; processor time for each of a worker's own")
        found = [start(Path(folder), workers) for workers in map(int, options.workers.split(","))]
        for kind in TURNS:
            for number in range(options.rounds + 1):
                for worker in found:
                    worker.turn(kind)
                    if number == 0:  # does not count
                        worker.costs[kind].clear()
    print(table(found))


if __name__ == "__main__":
    main()
