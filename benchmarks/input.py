"""How fast pictures come in: the decoder alone, our pipelines, and PyTorch's DataLoader with PIL, on this machine.

    python benchmarks/input.py --dataset PATH                     two minutes
    python benchmarks/input.py --dataset PATH --crop scale --csv input.csv

PATH is whatever --dataset of the program takes. The limit is `decode`: JPEG bytes that lie in memory, decoded whole
(`tf.io.decode_jpeg`, the exact DCT), nothing else; of a data set without JPEGs its PNGs. Ours read the files as well,
and crop, resize, flip, subtract the mean and make batches. `bytes` is our training input under --device_normalise on,
as the device gets it; `bytes, then mean` subtracts the mean here, from whole batches. The loader does the same work as
our training on as many processes as there are cores, if PyTorch is there (pip install -r requirements-optional.txt); it
is given the bytes in memory where ours reads records.

All take turns, a few seconds each, in an order that rotates from round to round: what slows the machine down meanwhile
strikes all of them. A ratio is the median over the rounds of the ratio within a round. At the end an epoch of training
batches is read while the memory of the process is watched.
"""

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.loader_torch import turn
from benchmarks.turns import ratio, write_csv

ROOT = Path(__file__).resolve().parents[1]
CROPS = ("random", "scale", "inception", "pad")
JPEG, PNG = b"\xff\xd8", b"\x89PNG"  # how their bytes begin
DECODED = 2000  # images that the decoder and the loader are given, as far as there are

Turn = Callable[[float], float]  # seconds -> images/s


@dataclass(frozen=True)
class Result:
    """One contender's line: images/s (median, lowest, highest of the rounds), times `decode`, times the loader."""

    contender: str
    images_per_second: float
    lowest: float
    highest: float
    of_decode: float
    of_loader: float | None


class Loader:
    """The DataLoader's process. Raises RuntimeError with its last words where it ends."""

    def __init__(self, sources: list[str | bytes], task: dict, folder: Path):
        listed = folder / "sources.pickle"
        listed.write_bytes(pickle.dumps(sources))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(ROOT / "benchmarks/loader_torch.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes)
        self._say(json.dumps({"sources": str(listed)} | task))

    def _say(self, line: str) -> None:
        try:
            print(line, file=self._process.stdin)
        except OSError as error:
            raise RuntimeError(self._last_words()) from error

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]

    def turn(self, seconds: float) -> float:
        """Images/s."""
        self._say(str(seconds))
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(self._last_words())
        return json.loads(answer)

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()


def encoded(split, dataset: str, kinds: tuple[bytes, ...] = (JPEG,)) -> list[bytes]:
    """Those of a split's first files that are of the first of these kinds that there are, as bytes.

    Raises UserError, naming `dataset`, if there is none.
    """
    from common.errors import UserError

    listed = list(split.serialized(None).take(DECODED).map(lambda element: split.parse(element)[0]).as_numpy_iterator())
    for kind in kinds:
        found = [content for content in listed if content.startswith(kind)]
        if found:
            return found
    named = " or a ".join({JPEG: "JPEG", PNG: "PNG"}[kind] for kind in kinds)
    raise UserError(f"--dataset={dataset}: none of the first {DECODED} training images is a {named}", 1)


def decoding(contents: list[bytes], batch_size: int) -> Iterator:
    """The limit, endlessly: every element stands for `batch_size` JPEGs, or PNGs, that were decoded."""
    import tensorflow as tf

    from common import machine
    from common.input import images

    def decode(content):
        if contents[0].startswith(PNG):
            return tf.shape(tf.io.decode_png(content, channels=3))
        return tf.shape(tf.io.decode_jpeg(content, channels=3, dct_method=images.DCT))

    listed = tf.data.Dataset.from_tensor_slices(contents).repeat()
    decoded = machine.parallel_map(listed, decode).batch(batch_size, drop_remainder=True)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # as ours
    return iter(decoded.prefetch(2).with_options(options))


def rounds(contenders: dict[str, Turn], count: int, seconds: float) -> dict[str, list[float]]:
    """Images/s of every contender in every round. Each has a short turn before that does not count."""
    names = list(contenders)
    for name in names:
        contenders[name](min(seconds, 1.0))
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            rates[name].append(contenders[name](seconds))
    return rates


def results(rates: dict[str, list[float]]) -> list[Result]:
    """A line for every contender."""
    loader = rates.get("loader")
    return [
        Result(
            name,
            statistics.median(own),
            min(own),
            max(own),
            ratio(own, rates["decode"]),
            ratio(own, loader) if loader else None,
        )
        for name, own in rates.items()
    ]


def resident() -> float:
    """Memory of this process, MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(batches: Iterator, steps: int, samples: int = 10) -> list[tuple[int, float]]:
    """(batches read, MB) at regular places of `steps` batches."""
    found = []
    for step in range(1, steps + 1):
        next(batches)
        if step * samples // steps > len(found):
            found.append((step, resident()))
    return found


def table(lines: list[Result]) -> str:
    """The results for people."""
    rows = ["contender            images/s    lowest   highest  of decode  of loader"]
    for line in lines:
        times = "" if line.of_loader is None else f"{line.of_loader:9.2f}x"
        rows.append(
            f"{line.contender:18s} {line.images_per_second:10.0f} {line.lowest:9.0f} {line.highest:9.0f} "
            f"{line.of_decode:9.0%} {times}".rstrip()
        )
    return "\n".join(rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="prepared records, others' records or class folders")
    parser.add_argument("--crop", choices=CROPS, default="random", help="of our training (default random)")
    parser.add_argument("--image_size", type=int, default=224, help="in pixels (default 224)")
    parser.add_argument("--batch_size", type=int, default=64, help="default 64")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a turn, at least a batch (default 3)")
    parser.add_argument(
        "--processor_time",
        action="store_true",
        help="images a second of processor time, which other programs disturb less; without the loader",
    )
    parser.add_argument("--no_loader", action="store_true", help="without PyTorch's DataLoader")
    parser.add_argument("--csv", type=Path, help="write the results there")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, folder: Path, say=print) -> list[Result]:
    """Opens the data set, lets all take turns, and watches the memory. `folder`: for what the loader reads.

    Raises UserError for a data set that cannot be opened or holds neither JPEGs nor PNGs.
    """
    import tensorflow as tf

    from common.input import datasets, device_part, pipeline
    from common.machine import keep_freed_memory
    from common.recipe import Recipe

    keep_freed_memory()  # as the program does; the bare decoder has it too
    data, batch = datasets.open_dataset(options.dataset), options.batch_size
    split = data.splits["train"]
    recipe = Recipe(crop=options.crop, flip=True)
    prepared = pipeline.preprocessing(recipe, data.info, options.image_size, data.path)
    contents = encoded(split, options.dataset, (JPEG, PNG))
    size = statistics.mean(map(len, contents)) / 1024
    say(
        f"{data.info.name}: {split.examples:,} training images, {size:.1f} KB each, "
        f"{options.image_size} pixels, batch {batch}, {os.cpu_count()} cores"
    )

    def training(as_bytes: bool = False) -> Iterator:
        settings = {"batch_size": batch, "seed": 0, "as_bytes": as_bytes}
        return iter(pipeline.training(split, prepared, recipe, data.info, **settings))

    finish = tf.function(device_part.finisher(prepared))
    iterators = {
        "decode": decoding(contents, batch),
        f"train, {options.crop} crop": training(),
        "bytes": training(as_bytes=True),
        "bytes, then mean": (finish(images) for images, _ in training(as_bytes=True)),
        "test": iter(pipeline.evaluation(split, prepared, batch_size=batch).repeat()),
    }
    clock = time.process_time if options.processor_time else time.perf_counter
    contenders = {name: lambda seconds, made=m: turn(made, batch, seconds, clock) for name, m in iterators.items()}
    loader = None
    try:
        if not (options.no_loader or options.processor_time):
            task = {"short_side": prepared.resize, "size": options.image_size, "mean": list(prepared.mean)}
            task |= {"batch_size": batch, "workers": os.cpu_count()}
            loader = Loader(contents if split.records else list(split.files), task, folder)
            try:
                loader.turn(0.1)
                contenders["loader"] = loader.turn
            except RuntimeError as error:
                say(f"loader: left out, {error}")
        lines = results(rounds(contenders, options.rounds, options.seconds))
    finally:
        if loader:
            loader.close()
    say(table(lines))
    iterators.clear()
    contenders.clear()
    for step, megabytes in memory(training(), max(1, split.examples // batch)):
        say(f"after {step * batch:,} images of the epoch: {megabytes:.0f} MB")
    return lines


def main() -> None:
    """Measures and prints."""
    from common.errors import UserError

    options = parse()
    try:
        with tempfile.TemporaryDirectory() as folder:
            lines = measure(options, Path(folder))
        if options.csv:
            write_csv(lines, options.csv)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
