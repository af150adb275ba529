"""How long a run is: the steps of its epochs, or those that there is time for; and whether it has come to its end."""

import dataclasses
from pathlib import Path
from typing import Any

from cli import budget
from cli.plan import Plan
from common.runs import checkpoints
from common.runs import config as runs
from common.runs.files import read_json
from common.training import schedules, trainer
from common.training.run_state import Job


def steps(run: Plan) -> tuple[int, int]:
    """The steps of an epoch and of the whole run, if nothing ends it sooner."""
    recipe = run.config.recipe
    assert recipe.epochs is not None  # resolved
    steps_per_epoch = run.data.splits["train"].examples // recipe.batch_size
    return steps_per_epoch, run.config.steps or steps_per_epoch * recipe.epochs


def is_finished(run: Plan, checkpoint: checkpoints.Checkpoint) -> bool:
    """Whether the run that left this last checkpoint is trained and tested; its epochs may have been raised since."""
    steps_per_epoch, total = steps(run)
    ended = checkpoint.step >= total or trainer.ended_by(run.config.recipe, steps_per_epoch, checkpoint.state)
    return bool(checkpoint.state["finished"] and ended and _is_tested(run.run, checkpoint))


def _is_tested(run: Path, checkpoint: checkpoints.Checkpoint) -> bool:
    """Whether results.json is of the best checkpoint, not of the best before epochs were added."""
    file, best = run / runs.RESULTS_FILE, checkpoint.state.get("best_step") or checkpoint.step
    tested = str(read_json(file).get("checkpoint", "")) if file.exists() else ""
    return Path(tested).name == checkpoints.folder_at(run, best).name


def end(run: Plan, checkpoint: checkpoints.Checkpoint) -> str:
    """A line that says that the run is finished, and what ended it where that was not its length."""
    steps_per_epoch, total = steps(run)
    flag = trainer.ended_by(run.config.recipe, steps_per_epoch, checkpoint.state)
    line = f"{run.run} is finished"
    if flag is None or checkpoint.step >= total:
        return line
    return (
        f"{line}: {flag} ended it at step {checkpoint.step} of {total}; train on from it with --restore {run.run} and "
        "another --ckpt"
    )


def fit_into_time(job: Job, run: Plan, begun: float) -> tuple[Job, Plan]:
    """Both with the number of steps that `--minutes` has time for, counted from `begun` (of time.perf_counter)."""
    assert run.config.minutes is not None
    if run.devices.chief:
        print(f"measuring the speed, to fit the run into {run.config.minutes:g} minutes", flush=True)
    config = dataclasses.replace(run.config, steps=budget.fit(job, run.config.minutes, begun))
    return dataclasses.replace(job, **timing(config, job.steps_per_epoch)), dataclasses.replace(run, config=config)


def timing(config: runs.RunConfig, steps_per_epoch: int) -> dict[str, Any]:
    """What of a `Job` depends on the number of steps."""
    recipe, steps = config.recipe, config.steps
    assert recipe.epochs is not None  # resolved
    whole = steps_per_epoch * recipe.epochs
    timed = recipe if steps is None else schedules.fitted(recipe, steps / whole)
    schedule = schedules.make_schedule(timed, steps_per_epoch, steps or whole, fixed_length=steps is not None)
    return {"length": steps, "schedule": schedule}


def text(job: Job, config: runs.RunConfig) -> str:
    """How long the run is: `10 epochs of 390 steps`, or `1,234 steps (3.2 epochs), which fit into 10 minutes`."""
    if config.minutes is None:
        return f"{job.recipe.epochs} epoch{'s' if job.recipe.epochs != 1 else ''} of {job.steps_per_epoch} steps"
    if config.steps is None:
        return f"as many steps as fit into {config.minutes:g} minutes"
    epochs = config.steps / job.steps_per_epoch
    return f"{config.steps:,} steps ({epochs:.1f} epochs), which fit into {config.minutes:g} minutes"
