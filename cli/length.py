"""How long a run is: the steps of its epochs, or those that there is time for."""

import dataclasses
from typing import Any

from cli import budget
from cli.plan import Plan
from common.runs import config as runs
from common.training import schedules
from common.training.run_state import Job


def fit_into_time(job: Job, run: Plan, begun: float) -> tuple[Job, Plan]:
    """Both with the number of steps that `--minutes` has time for, which goes into config.json."""
    assert run.config.minutes is not None
    if run.devices.chief:
        print(f"measuring the speed, to fit the run into {run.config.minutes:g} minutes", flush=True)
    config = dataclasses.replace(run.config, steps=budget.fit(job, run.config.minutes, begun))
    if run.devices.chief:
        runs.rewrite(run.run, config)
    return dataclasses.replace(job, **timing(config, job.steps_per_epoch)), dataclasses.replace(run, config=config)


def timing(config: runs.RunConfig, steps_per_epoch: int) -> dict[str, Any]:
    """What of a `Job` depends on the number of steps."""
    recipe, steps = config.recipe, config.steps
    assert recipe.epochs is not None  # resolved
    whole = steps_per_epoch * recipe.epochs
    timed = recipe if steps is None else schedules.fitted(recipe, steps / whole)
    return {"length": steps, "schedule": schedules.make_schedule(timed, steps_per_epoch, steps or whole)}


def text(job: Job, config: runs.RunConfig) -> str:
    """How long the run is: `10 epochs of 390 steps`, or `1,234 steps (3.2 epochs), which fit into 10 minutes`."""
    if config.minutes is None:
        return f"{job.recipe.epochs} epochs of {job.steps_per_epoch} steps"
    if config.steps is None:
        return f"as many steps as fit into {config.minutes:g} minutes"
    epochs = config.steps / job.steps_per_epoch
    return f"{config.steps:,} steps ({epochs:.1f} epochs), which fit into {config.minutes:g} minutes"
