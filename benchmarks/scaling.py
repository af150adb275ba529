"""ImageNet on many GPUs, on paper: what a step computes, moves and reads, and where a network stops scaling.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --arch vgg16,resnet34 --gpus 1,8,64,512 --batch 32 --peak 989 --network 50

Nothing is run: parameters and multiply-adds come from the networks themselves, the rates from the flags. The defaults
are an A100's data sheet (312 TFLOP/s in bfloat16, 300 GB/s each way over NVLink), eight to a machine, 25 GB/s
(200 Gb/s) of network a machine, and 40 % of the peak reached. docs/scaling.md explains the formulas.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ARCHITECTURES = "alexnet,vgg16,googlenet,resnet34,resnet50,resnet152"
EPOCH = 1_281_167  # training images of ILSVRC 2012
JPEG = 0.11e6  # bytes, their mean size (138 GB in all)


@dataclass(frozen=True)
class Machine:
    """FLOP/s that a GPU reaches, bytes/s each way between GPUs and between machines, GPUs a machine."""

    flops: float
    link: float
    network: float
    gpus: int


@dataclass(frozen=True)
class Cost:
    """One network: bytes of its float32 gradients, and FLOPs of a training step per image."""

    name: str
    gradients: float
    flops: float


def cost(name: str) -> Cost:
    """Of the network as it trains, auxiliary classifiers included, with 1,000 classes at the paper's image size."""
    from cli import registry
    from common.nn import cost, summary

    architecture = registry.find(name)
    table = summary.summarise(architecture, None, architecture.image_size)
    totals = cost.add_up(table.rows + table.heads)
    return Cost(name, 4.0 * totals.trainable_parameters, 6.0 * totals.multiply_adds)


def reduce_seconds(gradients: float, gpus: int, machine: Machine) -> float:
    """Of a ring: 2 (N - 1) / N of the gradients pass through its slowest link, past one machine the network."""
    rate = machine.link if gpus <= machine.gpus else machine.network
    return 2.0 * (gpus - 1) / gpus * gradients / rate


def row(network: Cost, gpus: int, batch: int, machine: Machine) -> dict[str, float]:
    """One line of the table: a step of `batch` images a GPU on `gpus` of them.

    Returns:
        compute_ms, reduce_ms: of a step; efficiency_serial and efficiency_overlapped: share of the time that computes,
        with the reduction after the backward pass and hidden behind it; images: per second over all, serial; read:
        GB/s of JPEG files a machine; epoch_minutes: over ILSVRC 2012; least_batch: images a GPU with which computing
        takes as long as reducing.
    """
    compute = batch * network.flops / machine.flops
    reduce = reduce_seconds(network.gradients, gpus, machine)
    images = gpus * batch / (compute + reduce)
    return {
        "compute_ms": 1e3 * compute,
        "reduce_ms": 1e3 * reduce,
        "efficiency_serial": compute / (compute + reduce),
        "efficiency_overlapped": compute / max(compute, reduce),
        "images": images,
        "read": images * JPEG / 1e9 / max(gpus / machine.gpus, 1),
        "epoch_minutes": EPOCH / images / 60,
        "least_batch": reduce * machine.flops / network.flops,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default=ARCHITECTURES, help=f"networks (default {ARCHITECTURES})")
    parser.add_argument("--gpus", default="1,8,64,512", help="how many (default 1,8,64,512)")
    parser.add_argument("--batch", type=int, default=64, help="images a GPU (default 64)")
    parser.add_argument("--peak", type=float, default=312, help="TFLOP/s of a GPU (default 312)")
    parser.add_argument("--utilisation", type=float, default=0.4, help="share of it that is reached (default 0.4)")
    parser.add_argument("--link", type=float, default=300, help="GB/s each way between GPUs of a machine (default 300)")
    parser.add_argument("--network", type=float, default=25, help="GB/s each way between machines (default 25)")
    parser.add_argument("--per_machine", type=int, default=8, help="GPUs a machine (default 8)")
    options = parser.parse_args()
    machine = Machine(
        1e12 * options.peak * options.utilisation, 1e9 * options.link, 1e9 * options.network, options.per_machine
    )
    print(
        "network    gradients GPUs  compute   reduce  serial  overlapped       images/s  files GB/s  epoch  least batch"
    )
    print("                  MB           ms       ms     efficiency                          a machine   min    a GPU")
    for name in options.arch.split(","):
        network = cost(name)
        for gpus in map(int, options.gpus.split(",")):
            line = row(network, gpus, options.batch, machine)
            print(
                f"{name:10s} {network.gradients / 1e6:9.0f} {gpus:4d} {line['compute_ms']:8.1f} "
                f"{line['reduce_ms']:8.1f}  {line['efficiency_serial']:6.0%}  {line['efficiency_overlapped']:10.0%} "
                f"{line['images']:14,.0f}  {line['read']:10.1f}  {line['epoch_minutes']:5.1f}"
                f" {line['least_batch']:12.0f}"
            )


if __name__ == "__main__":
    main()
