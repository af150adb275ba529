"""`--minutes`: the number of steps that there is time for, from the speed measured at the start."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common import distribution
from common.errors import UserError
from common.input import read_errors
from common.training import dead_units, trainer
from common.training.run_state import Job
from common.training.train_step import make_train_step

SECONDS, STEPS = 8.0, 200  # of the measurement, whichever comes first
BATCHES = 5  # of the validation's
DISK = 200e6  # bytes a second that a checkpoint is written at, flushed
ENDING = 8.0  # seconds for the error analysis and the page behind the test


def seconds_per_step(job: Job, most: int = 3, seconds: float = math.inf) -> tuple[float, float]:
    """Mean wall time of a step, and the time of the first, which holds the tracing. The weights are trained meanwhile.

    Args:
        job: its steps.
        most, seconds: how many steps after the first are measured, or for how long, whichever comes first. Of
            several workers, whose steps wait for one another, the first whose time is over ends it for all.

    Raises:
        UserError: an image cannot be read.
    """
    start = time.perf_counter()
    step, any_worker = make_train_step(job), distribution.make_any(job.devices)
    with read_errors.named(job.splits["train"]):
        batches = iter(distribution.distribute(job.training(0), job.devices))

    def take() -> None:
        with read_errors.named(job.splits["train"]):
            batch = next(batches)
        step(*batch).numpy()

    job.optimizer.learning_rate.assign(job.schedule.rate(0))
    take()
    any_worker(False)  # traces it
    traced, done = time.perf_counter(), 0
    while done < most and not any_worker(time.perf_counter() - traced >= seconds):
        take()
        done += 1
    return (time.perf_counter() - traced) / done, traced - start


def measure(job: Job) -> tuple[float, float, float]:
    """Seconds of a step, of one validation image, and of the tracing of both. The job's weights are trained meanwhile.

    Without a validation an image is taken to cost a third of its part of a step, the forward pass. Raises UserError
    where an image cannot be read.
    """
    each, tracing = seconds_per_step(job, STEPS, SECONDS)
    if job.validation is None:
        return each, each / job.recipe.batch_size / 3, tracing
    evaluate = dead_units.WatchedStep(job.model, job.devices, job.jit, job.finish)
    begun = time.perf_counter()
    clock: list[float] = []
    batches = iter(distribution.distribute(job.validation(), job.devices))
    while len(clock) < BATCHES:
        with read_errors.named(job.splits["validation"]):
            batch = next(batches, None)
        if batch is None:
            break
        evaluate(*batch).numpy()
        clock.append(time.perf_counter())
    later = (clock[-1] - clock[0]) / (len(clock) - 1) if len(clock) > 1 else clock[0] - begun
    return each, later / job.recipe.batch_size, tracing + clock[0] - begun


@contextmanager
def untrained(job: Job) -> Iterator[None]:
    """Within it a job that is new may train; afterwards each of its variables is what it was, to the bit."""
    variables = [variable for group in trainer.groups(job).values() for variable in group]
    before = [variable.numpy() for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def steps_in(
    seconds: float, each: float, image: float, validated: int, tested: int, per_epoch: int, saved_bytes: int
) -> int:
    """The steps that fit into `seconds`; 0 where not even one does.

    A checkpoint and a validation follow every epoch, and the last step of a run that ends in the midst of one.

    Args:
        seconds: that are left.
        each, image: seconds of a step and of an image in a test.
        validated, tested: images of the validation and of the test.
        per_epoch: steps of an epoch.
        saved_bytes: of a checkpoint.
    """
    left = max(0.0, seconds - image * tested - ENDING)
    pause = image * validated + saved_bytes / DISK
    epochs, rest = divmod(left, per_epoch * each + pause)
    return int(epochs) * per_epoch + max(0, int((rest - pause) / each))


def seconds_of_one(each: float, image: float, validated: int, tested: int, saved_bytes: int) -> float:
    """The seconds that a run of one step takes; the arguments are those of `steps_in`."""
    return each + image * (validated + tested) + saved_bytes / DISK + ENDING


def fit(job: Job, minutes: float, begun: float) -> int:
    """The steps with which the run ends `minutes` after `begun` (of time.perf_counter), the same for all workers.

    The job is new, and is so again afterwards. Raises UserError where not even one step fits.
    """
    with untrained(job):
        each, image, tracing = measure(job)
    saved = sum(4 * variable.shape.num_elements() for group in trainer.groups(job).values() for variable in group)
    if job.save_every:
        each += saved / DISK / job.save_every
    if job.log_gradients:
        tracing *= 2  # a second step is traced, which measures them
    sizes = {name: split.examples for name, split in job.splits.items()}
    validated = sizes.get("validation", 0) if job.validation else 0
    tested = sizes.get("test", validated)
    spent = time.perf_counter() - begun + tracing  # the run traces its steps anew
    steps = steps_in(60 * minutes - spent, each, image, validated, tested, job.steps_per_epoch, saved)
    steps = distribution.from_chief(steps, job.devices)
    if not steps:
        least = spent + seconds_of_one(each, image, validated, tested, saved)
        raise UserError(
            f"--minutes={minutes:g}: too short; the start, one step, its checkpoint, a validation and the test take "
            f"about {math.ceil(least / 6) / 10:.1f} minutes"
        )
    return steps
