"""What the trainer needs to know of a run, for the tests of single steps."""

from pathlib import Path

import numpy as np

from common import distribution
from common.recipe import Recipe
from common.training import optimizers, run_state, schedules


def make_job(model, recipe: Recipe, **more) -> run_state.Job:
    """A run of a hundred steps, an epoch each, on one device; no data but what `more` gives."""
    optimizer = optimizers.make_optimizer(recipe)
    optimizer.build(model.trainable_variables)
    fields = {
        "run": Path("nowhere"),
        "model": model,
        "optimizer": optimizer,
        "average": None,
        "schedule": schedules.make_schedule(recipe, 1, 100),
        "recipe": recipe,
        "auxiliary_weight": 0.0,
        "devices": distribution.choose("one"),
        "splits": {},
        "training": None,
        "validation": None,
        "steps_per_epoch": 1,
        "identity": {"classes": 10},
        "mean": np.zeros(3),
    }
    return run_state.Job(**fields | more)
