"""Our networks against the same networks in stock Keras, keras.applications and PyTorch, on this machine.

    python benchmarks/throughput.py --arch resnet20 --batch_size 32 --rounds 3      a minute
    python benchmarks/throughput.py                                                 half an hour and more on a CPU
    python benchmarks/throughput.py --peers torch --mode train --csv throughput.csv --png throughput.png
    python benchmarks/throughput.py --arch alexnet --mode train --peers none --dataset PATH    from JPEGs too

Each contender is a process of its own (benchmarks/contenders.py) on all cores, fed with one synthetic batch; freed
memory is kept in all of them, as the program does. They take turns, a few seconds each, in an order that rotates from
round to round, and only one computes at a time: what slows the machine down meanwhile strikes all of them. A ratio is
the median over the rounds of our images/s divided by the peer's in the same round. PyTorch runs eagerly and compiled,
with the batch among --torch_batches, multiples of ours, at which it is fastest (ours among --our_batches); a network in
bfloat16 is held against the fastest variant of both precisions. Utilisation is 6 (testing: 2) x multiply-adds x
images/s over the rate of a matrix product in the same precision, which takes its turn as well.

With --dataset our training also takes batches of the data set's JPEGs from the program's own input, in place of the
synthetic one, and the bare decoder takes turns too: training at t images/s and decoding at d allow 1 / (1/t + 1/d)
together, if the cores had nothing else to do.

Peers are optional: pip install -r requirements-optional.txt brings PyTorch; a peer that is missing is left out.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import graph as graphs
from benchmarks.contenders import APPLICATIONS, Task, build_ours
from benchmarks.limits import MATRIX
from benchmarks.turns import Contender, Worker, ratio, run, write_csv
from common import processor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ARCHITECTURES = "alexnet,vgg16,googlenet,resnet34,resnet50,resnet20"
PEERS = ("keras", "applications", "torch")
BATCH = 32
BATCHES = {"alexnet": 64, "vgg16": 16}  # of these families
SMALL_BATCH = 128  # of networks for images of 32 pixels


@dataclass(frozen=True)
class Result:
    """One contender's line.

    Attributes:
        processor, instruction_sets, onednn_limit: `processor.describe()`'s name, sets and limit, where it was measured.
        arch, mode, precision, batch_size, image_size, contender: what was measured.
        images_per_second: median over the rounds; `lowest` and `highest` beside it.
        ours_is: our images/s over this contender's, the median of the rounds' ratios.
        utilisation: share of the matrix product's rate that the network's multiply-adds reach.
        peak_gflops: that rate, in the same precision.
        megabytes: the most memory the process held.
        first_step_seconds: from the process' start to the end of its first step.
        rounds: how many.
    """

    processor: str
    instruction_sets: str
    onednn_limit: str
    arch: str
    mode: str
    precision: str
    batch_size: int
    image_size: int
    contender: str
    images_per_second: float
    lowest: float
    highest: float
    ours_is: float
    utilisation: float
    peak_gflops: float
    megabytes: float
    first_step_seconds: float
    rounds: int


def contenders(arch: str, mode: str, options: argparse.Namespace) -> list[Contender]:
    """Who takes part: ours and the peak in every precision asked for, and the peers that there are."""
    from cli import registry

    architecture = registry.find(arch)
    size = options.image_size or architecture.image_size
    usual = SMALL_BATCH if architecture.image_size == 32 else BATCHES.get(architecture.family, BATCH)
    batch = options.batch_size or usual
    classes = max(10 if architecture.image_size == 32 else 1000, options.classes)
    from_jpegs = mode == "train" and options.dataset is not None
    plain = Task("ours", arch, mode, "float32", batch, size, classes)
    described = {"keras", "torch"} & set(options.peers)
    graph = graphs.to_json(graphs.describe(build_ours(plain))) if described else None
    found = []
    for precision in options.precision:
        # kind, name, compile
        wanted = [("peak", "matrix product", False), ("ours", "ours", False)]
        wanted += [("ours", "ours, XLA", True)] * options.jit
        wanted += [("jpegs", "ours, JPEGs", False), ("decode", "decoder", False)] * from_jpegs
        wanted += [("keras", "stock Keras", False)] * ("keras" in options.peers)
        wanted += [("applications", "keras.applications", False)] * (
            "applications" in options.peers and arch in APPLICATIONS
        )
        wanted += [("torch", "PyTorch", False), ("torch", "PyTorch, compiled", True)] * ("torch" in options.peers)
        for kind, name, compiled in wanted:
            needed = graph if kind in ("keras", "torch") else None
            dataset = options.dataset if kind in ("jpegs", "decode") else None
            task = Task(kind, arch, mode, precision, batch, size, classes, compiled, needed, dataset)
            allowed = {"torch": options.torch_batches, "ours": options.our_batches}.get(kind, ["1"])
            found.append(Contender(name, kind, task, tuple(map(int, allowed))))
    return found


def results(workers: list[Worker], multiply_adds: int) -> list[Result]:
    """A line for every contender that computes the network."""
    lines, machine = [], processor.describe()
    for worker in workers:
        task, rates = worker.contender.task, worker.images_per_second
        if worker.contender.owner in ("peak", "decode"):
            continue
        ours, peak = (_find(workers, owner, task.precision) for owner in ("ours", "peak"))
        products = [peak.steps / seconds for seconds in peak.seconds]
        flops = 2 * MATRIX**3 * statistics.median(products)
        operations = (6 if task.mode == "train" else 2) * multiply_adds
        lines.append(
            Result(
                processor=machine.name,
                instruction_sets=" + ".join(machine.sets),
                onednn_limit=machine.limit,
                arch=task.arch,
                mode=task.mode,
                precision=task.precision,
                batch_size=task.batch_size,
                image_size=task.image_size,
                contender=worker.contender.name,
                images_per_second=statistics.median(rates),
                lowest=min(rates),
                highest=max(rates),
                ours_is=ratio(ours.images_per_second, rates),
                utilisation=operations * ratio(rates, [2 * MATRIX**3 * product for product in products]),
                peak_gflops=flops / 1e9,
                megabytes=worker.megabytes,
                first_step_seconds=worker.first,
                rounds=len(rates),
            )
        )
    return lines


def _find(workers: list[Worker], owner: str, precision: str) -> Worker:
    return next(w for w in workers if w.contender.owner == owner and w.contender.task.precision == precision)


def verdicts(workers: list[Worker]) -> list[str]:
    """`alexnet train float32: 1.12 x PyTorch (eager, float32)`, for every precision and every peer there is.

    The rival is the peer's fastest variant: of float32 for our float32, of both precisions for our bfloat16.
    """
    lines = []
    for precision in dict.fromkeys(worker.contender.task.precision for worker in workers):
        ours = _find(workers, "ours", precision)
        if any(worker.contender.owner == "jpegs" for worker in workers):
            lines.append(_from_jpegs(ours, *(_find(workers, owner, precision) for owner in ("jpegs", "decode"))))
        allowed = {precision, "float32"}
        for owner in PEERS:
            rivals = [w for w in workers if w.contender.owner == owner and w.contender.task.precision in allowed]
            if rivals:
                best = max(rivals, key=lambda worker: statistics.median(worker.images_per_second))
                times = ratio(ours.images_per_second, best.images_per_second)
                task = ours.contender.task
                batch = f", batch {best.batch}" if best.batch != task.batch_size else ""
                lines.append(
                    f"{task.arch} {task.mode} {precision}: {times:.2f} x {best.contender.name} "
                    f"({best.contender.task.precision}{batch})"
                )
    return lines


def _from_jpegs(ours: Worker, jpegs: Worker, decoder: Worker) -> str:
    """`alexnet train float32: from JPEGs 14.8 images/s, 99 % of what training and decoding (4,600) allow together`."""
    pairs = zip(ours.images_per_second, decoder.images_per_second, strict=True)
    share = ratio(jpegs.images_per_second, [1 / (1 / trained + 1 / decoded) for trained, decoded in pairs])
    rates = [statistics.median(worker.images_per_second) for worker in (jpegs, decoder)]
    task = ours.contender.task
    return (
        f"{task.arch} {task.mode} {task.precision}: from JPEGs {rates[0]:.1f} images/s, {share:.1%} of what training "
        f"and decoding ({rates[1]:,.0f}) allow together"
    )


def table(lines: list[Result]) -> str:
    """The results for people."""
    first = lines[0]
    head = f"{first.arch}, {first.mode}, {first.image_size}x{first.image_size}"
    columns = "images/s    lowest   highest   ours is   used      MB  first step"
    rows = [f"contender           precision       batch   {columns}"]
    for line in lines:
        rows.append(
            f"{line.contender:19s} {line.precision:14s} {line.batch_size:6d} {line.images_per_second:10.1f} "
            f"{line.lowest:9.1f} {line.highest:9.1f} {line.ours_is:8.2f}x {line.utilisation:6.1%} "
            f"{line.megabytes:7.0f} {line.first_step_seconds:9.1f}s"
        )
    peaks = {line.precision: line.peak_gflops for line in lines}
    peak = ", ".join(f"{precision} {rate:.0f} GFLOP/s" for precision, rate in peaks.items())
    return "\n".join([head, f"matrix product: {peak}", *rows])


def multiply_adds(arch: str, mode: str, classes: int, image_size: int) -> int:
    """Of one image, in training with the auxiliary classifiers."""
    from cli import registry
    from common.nn import cost, summary

    counted = summary.summarise(registry.find(arch), classes, image_size)
    return cost.add_up(counted.rows + (counted.heads if mode == "train" else ())).multiply_adds


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    listed = {"type": lambda text: text.split(",")}
    parser.add_argument("--arch", default=ARCHITECTURES.split(","), help=f"default {ARCHITECTURES}", **listed)
    parser.add_argument(
        "--precision",
        default=["auto"],
        help="float32, mixed_bfloat16; default float32, and the program's own",
        **listed,
    )
    parser.add_argument("--peers", default=list(PEERS), help=f"any of {', '.join(PEERS)}, or none", **listed)
    parser.add_argument("--mode", default=["train", "test"], help="train, test; default both", **listed)
    parser.add_argument("--batch_size", type=int, help="default 64 AlexNet, 16 VGG, 128 at 32 pixels, else 32")
    batches = "multiples of the batch that {} may choose from, as far as memory goes (default {})"
    parser.add_argument("--torch_batches", default=["1", "2", "4"], help=batches.format("PyTorch", "1,2,4"), **listed)
    parser.add_argument("--our_batches", default=["1"], help=batches.format("ours", "1"), **listed)
    parser.add_argument("--image_size", type=int, help="in pixels (default: the paper's)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    parser.add_argument("--seconds", type=float, default=4, help="length of a turn, at least a step (default 4)")
    parser.add_argument("--jit", action="store_true", help="ours under XLA too")
    parser.add_argument("--dataset", help="records or class folders of JPEGs: ours trains from them too")
    parser.add_argument("--csv", type=Path, help="write the results there")
    parser.add_argument("--png", type=Path, help="draw the results there")
    options = parser.parse_args(arguments)
    known = {"precision": ("auto", "float32", "mixed_bfloat16"), "peers": (*PEERS, "none"), "mode": ("train", "test")}
    for name, allowed in known.items():
        wrong = set(getattr(options, name)) - set(allowed)
        if wrong:
            parser.error(f"--{name}: {', '.join(sorted(wrong))} is not one of {', '.join(allowed)}")
    for name in ("torch_batches", "our_batches"):
        multiples = getattr(options, name)
        if not all(multiple.isdecimal() and int(multiple) for multiple in multiples):
            parser.error(f"--{name}={','.join(multiples)}: give whole numbers from 1, e.g. 1,2,4")
    if "mixed_bfloat16" in options.precision and processor.describe().aborts_in_bfloat16:
        parser.error(f"--precision: under {processor.LIMIT} as it is set bfloat16 ends the process; leave it out")
    return options


def _classes(dataset: str) -> int:
    """Of a data set. Ends with a line that names it where it cannot be opened."""
    from common.errors import UserError
    from common.input import datasets

    try:
        return len(datasets.open_dataset(dataset).info.classes)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def main(arguments: list[str] | None = None) -> None:
    """Measures every network in every mode and prints tables and ratios."""
    options = parse(arguments)
    options.classes = _classes(options.dataset) if options.dataset else 0
    if options.precision == ["auto"]:
        from common import distribution

        options.precision = list(dict.fromkeys(["float32", distribution.resolve_precision("auto")]))
    print(processor.describe().text, flush=True)
    every, verdict, begun = [], [], time.monotonic()
    for arch in options.arch:
        for mode in options.mode:
            found = contenders(arch, mode, options)
            task = found[0].task
            workers = run(found, options.rounds, options.seconds)
            lines = results(workers, multiply_adds(arch, mode, task.classes, task.image_size))
            every, verdict = every + lines, verdict + verdicts(workers)
            print(table(lines), end="\n\n", flush=True)
            if options.csv:
                write_csv(every, options.csv)
    print(*verdict, f"{time.monotonic() - begun:.0f} seconds", sep="\n")
    if options.png:
        from benchmarks import drawing

        drawing.throughput(every, options.png)
        print(f"see {options.png}")


if __name__ == "__main__":
    main()
