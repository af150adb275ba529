"""How long runs take: from the speed of earlier ones, else from a table."""

from collections.abc import Iterable, Mapping

from experiments.work import Job

# Images/s in training, batch 128, two cores of an AMD EPYC Zen 4, bfloat16: (network, image size; 0 is its own).
TRAINING = {
    ("resnet20", 0): 950,
}
UNKNOWN = 300.0
TESTING = 3.0  # times as fast as training
START = 0.4  # minutes that a process needs beside its steps: imports, tracing, the test's pictures


def measured(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str, str], float]:
    """Minutes of the runs in results.csv by (comparison, run, budget): the mean over their seeds."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["outcome"] == "finished":
            found.setdefault((row["comparison"], row["run"], row["budget"]), []).append(float(row["minutes"]))
    return {key: sum(minutes) / len(minutes) for key, minutes in found.items()}


def minutes(job: Job, known: Mapping[tuple[str, str, str], float]) -> float:
    """What a job is expected to take: what the same took with another seed, else by the speed of its network."""
    before = known.get((job.comparison, job.line, job.budget))
    if before is not None:
        return before
    speed = TRAINING.get((job.arch, job.image_size), TRAINING.get((job.arch, 0), UNKNOWN))
    return job.images / (speed * (1 if job.trains else TESTING)) / 60 + START
