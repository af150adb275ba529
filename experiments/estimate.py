"""How long runs take: from the speed of earlier ones, else from a table."""

import re
from collections.abc import Iterable, Mapping

from experiments.work import Job

# Images/s in training, batch 128, two cores of an AMD EPYC Zen 4, bfloat16: (network, image size; 0 is its own). The
# first was measured, the others follow from their multiply-adds and kinds of layers.
TRAINING = {
    ("resnet20", 0): 950, ("plain20", 0): 950, ("se_resnet20", 0): 700, ("resnet32", 0): 560,
    ("resnet56", 0): 310, ("plain56", 0): 310, ("nin_cifar", 0): 300, ("lenet5", 0): 5000,
    ("vgg11", 32): 250, ("vgg16", 32): 150, ("vgg11_bn", 32): 350, ("resnet18", 32): 900, ("resnet18", 64): 250,
    ("resnet18", 96): 130, ("mobilenet_050", 32): 1500, ("squeezenet1_1", 64): 900, ("alexnet", 67): 600,
    ("alexnet_two_towers", 67): 600, ("googlenet", 79): 250, ("alexnet", 0): 50, ("vgg16", 0): 4, ("googlenet", 0): 25,
    ("resnet34", 0): 15, ("resnet20", 16): 1800,
}  # fmt: skip
UNKNOWN = 300.0
TESTING = 3.0  # times as fast as training
# A batch of fewer images does not fill the processor with a network that makes more images/s; what is left of it then.
SLOW_BELOW, FAST, SLOW = 32, 100, 0.35
START = 0.25  # minutes that a process needs beside its steps: imports, tracing, the test's pictures


def measured(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """Minutes of the runs in results.csv by their command without its seeds: the mean over these."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["outcome"] == "finished":
            found.setdefault(_without_seeds(row["command"]), []).append(float(row["minutes"]))
    return {key: sum(minutes) / len(minutes) for key, minutes in found.items()}


def minutes(job: Job, known: Mapping[str, float]) -> float:
    """What a job is expected to take: what the same took with another seed, else by the speed of its network."""
    before = known.get(_without_seeds(job.text))
    if before is not None:
        return before
    if job.minutes:
        return job.minutes
    speed = TRAINING.get((job.arch, job.image_size), TRAINING.get((job.arch, 0), UNKNOWN))
    if 0 < job.batch < SLOW_BELOW and speed > FAST and job.trains:
        speed *= SLOW
    return job.images / (speed * (1 if job.trains else TESTING)) / 60 + START


def _without_seeds(command: str) -> str:
    return re.sub(r"--seed \d+|seed-[\d+]+", "", command)
