"""Ways to convolve groups of channels on this machine: TensorFlow's own, group by group, one block-diagonal kernel.

    python benchmarks/grouped_convolution.py                        two minutes
    python benchmarks/grouped_convolution.py --rounds 3 --precision float32

native          `tf.nn.conv2d` with a kernel (3, 3, C / groups, C); left out where TensorFlow lacks its gradient, as on
                CPUs without oneDNN's kernels
slices          a convolution for each group, and a concatenation
block-diagonal  one convolution of all channels, its kernel zero between groups: `groups` times the multiply-adds
depthwise       `tf.nn.depthwise_conv2d`, for as many groups as channels

They take turns in one process, forward and backward (both gradients), and a ratio to the first way is the median over
the rounds. common/nn/grouped_convolution.py and depthwise.py take what is fastest here.
"""

import argparse
import csv
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Groups, channels, side of the map, stride: AlexNet's conv4 in two towers, conv3_x of ResNeXt-50 32x4d and of
# ResNeXt-101 64x4d, MobileNet's middle and one of its strided layers.
CASES = ((2, 384, 13, 1), (32, 256, 28, 1), (64, 512, 28, 1), (512, 512, 14, 1), (256, 256, 28, 2))


@dataclass(frozen=True)
class Result:
    """One way in one case: medians in milliseconds, and the medians of the rounds' ratios to the first way."""

    groups: int
    channels: int
    side: int
    stride: int
    precision: str
    way: str
    forward_ms: float
    backward_ms: float
    forward_ratio: float
    backward_ratio: float


def block_diagonal(x, kernel, stride: int, padding: str):
    """The groups as one convolution of all channels: (N, H, W, C), (k, k, C / groups, C) -> (N, H', W', C)."""
    import numpy as np
    import tensorflow as tf

    within, filters = kernel.shape[2], kernel.shape[3]
    groups = x.shape[-1] // within
    own = np.kron(np.eye(groups), np.ones((within, filters // groups)))
    full = tf.tile(kernel, [1, 1, groups, 1]) * tf.constant(own, kernel.dtype)
    return tf.nn.conv2d(x, full, stride, padding)


def ways(groups: int, channels: int) -> dict[str, Callable]:
    """The ways that make sense at so many groups, the native one first where it can be trained."""
    import tensorflow as tf

    from common.nn import depthwise, grouped_convolution

    found: dict[str, Callable] = {"native": tf.nn.conv2d} if grouped_convolution.has_gradient() else {}
    if groups < channels:
        found["slices"] = grouped_convolution.by_slices
    else:
        found["depthwise"] = depthwise.convolve
    return found | {"block-diagonal": block_diagonal}


def passes(way: Callable, x, kernel, stride: int) -> tuple[Callable, Callable]:
    """Compiled: forward, and backward to x and the kernel, for which the forward values are not needed."""
    import tensorflow as tf

    @tf.function
    def forward(x, kernel):
        return way(x, kernel, stride, "SAME")

    @tf.function
    def backward(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = way(x, kernel, stride, "SAME")
        return tape.gradient(y, [x, kernel], tf.ones_like(y))

    return (lambda: forward(x, kernel)), (lambda: backward(x, kernel))


def milliseconds(run: Callable, times: int) -> float:
    """Of one call, the mean of so many."""
    start = time.perf_counter()
    for _ in range(times):
        result = run()
    first = result[0] if isinstance(result, list) else result
    first.numpy()
    return 1000 * (time.perf_counter() - start) / times


def compare(case: tuple[int, int, int, int], precision: str, batch: int, rounds: int, times: int) -> list[Result]:
    """Every way in one case, in turns."""
    import tensorflow as tf

    groups, channels, side, stride = case
    dtype = tf.bfloat16 if precision == "bfloat16" else tf.float32
    x = tf.cast(tf.random.stateless_normal((batch, side, side, channels), [1, 2]), dtype)
    kernel = tf.cast(tf.random.stateless_normal((3, 3, channels // groups, channels), [3, 4]), dtype)
    runs = {name: passes(way, x, kernel, stride) for name, way in ways(groups, channels).items()}
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in runs}
    for number in range(-1, rounds):  # the first builds the graphs
        for name, both in runs.items():
            for run, found in zip(both, taken[name], strict=True):
                spent = milliseconds(run, times if number >= 0 else 1)
                if number >= 0:
                    found.append(spent)
    first = next(iter(taken.values()))
    return [
        Result(
            *case,
            precision,
            name,
            *(statistics.median(one) for one in found),
            *(
                statistics.median(a / b for a, b in zip(one, other, strict=True))
                for one, other in zip(found, first, strict=True)
            ),
        )
        for name, found in taken.items()
    ]


def table(results: list[Result]) -> str:
    """For people."""
    lines = ["groups  channels  map      precision  way             forward ms  backward   times the first"]
    for one in results:
        size = f"{one.side}x{one.side}/{one.stride}"
        lines.append(
            f"{one.groups:6d}  {one.channels:8d}  {size:8s} {one.precision:9s}  {one.way:14s}"
            f"  {one.forward_ms:10.2f}  {one.backward_ms:8.2f}   {one.forward_ratio:5.2f}  {one.backward_ratio:5.2f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measures all cases in every precision asked for and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="float32,bfloat16", help="default float32,bfloat16")
    parser.add_argument("--batch_size", type=int, default=8, help="images (default 8)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (default 5)")
    parser.add_argument("--times", type=int, default=3, help="calls a turn (default 3)")
    parser.add_argument("--csv", type=Path, help="write the results there")
    options = parser.parse_args(arguments)

    import train

    train.start_tensorflow()
    results = []
    for precision in options.precision.split(","):
        for case in CASES:
            found = compare(case, precision, options.batch_size, options.rounds, options.times)
            print(table(found) if not results else table(found).split("\n", 1)[1], flush=True)
            results += found
    if options.csv:
        with open(options.csv, "w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, list(asdict(results[0])), lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, results))


if __name__ == "__main__":
    main()
