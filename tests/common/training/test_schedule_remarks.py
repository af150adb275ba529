"""What the start says of a schedule that the run is too short for."""

import pytest

from common.recipe import Recipe
from common.training.schedules import fitted, remarks


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"schedule": "piecewise", "schedule_boundaries": (32000, 48000)},
         "piecewise drops at 32,000 and 48,000 steps, but the run has 440"),
        ({"schedule": "piecewise", "schedule_boundaries": (439, 440)},
         "piecewise drops at 440 steps, but the run has 440"),
        ({"schedule": "piecewise", "schedule_boundaries": (439,)}, None),
        ({"schedule": "step", "schedule_every": 5}, "step drops every 5 epochs, but the run has 5 epochs"),
        ({"schedule": "step", "schedule_every": 4.5}, None),
        ({"schedule": "sgdr", "schedule_every": 6}, "the first cycle of sgdr takes 6 epochs, but the run has 5 epochs"),
        ({"schedule": "cyclical", "schedule_every": 5}, None),
        ({"schedule": "plateau", "plateau_patience": 4},
         "plateau drops after epoch 5 at the earliest, but the run has 5 epochs"),
        ({"schedule": "plateau", "plateau_patience": 3}, None),
        ({"schedule": "cosine", "warmup": "gradual", "warmup_epochs": 5.0},
         "the warm-up takes 5 epochs, but the run has 5 epochs"),
        ({"schedule": "cosine", "warmup": "gradual", "warmup_epochs": 4.0}, None),
    ],
)  # fmt: skip
def test_a_schedule_that_never_acts_is_named(fields, line):
    found = remarks(Recipe(epochs=5, **fields), 88)
    assert found == ([] if line is None else [f"note: {line}"])


@pytest.mark.parametrize(
    ("fields", "steps", "line"),
    [
        ({"epochs": 90, "schedule": "piecewise", "schedule_boundaries": (4000, 32000, 48000)}, 704,
         "piecewise drops at 2,844 and 4,267 steps, but the run has 704"),  # 704 / (90 * 88) of 32,000 and 48,000
        ({"epochs": 5, "schedule": "step", "schedule_every": 10}, 220,
         "step drops every 5 epochs, but the run has 2.5 epochs"),
        ({"epochs": 5, "schedule": "step", "schedule_every": 4.5}, 220, None),
        ({"epochs": 5, "schedule": "plateau", "plateau_patience": 3}, 140,
         "plateau drops after epoch 2 at the earliest, but the run has 1.6 epochs"),
        ({"epochs": 5, "schedule": "plateau", "plateau_patience": 3}, 308, None),  # 2 validations of 4
    ],
)  # fmt: skip
def test_a_schedule_that_never_acts_within_a_time_is_named(fields, steps, line):
    """Epochs of 88 steps; the schedule is fitted into so many steps."""
    recipe = Recipe(**fields)
    found = remarks(fitted(recipe, steps / (88 * recipe.epochs)), 88, steps)
    assert found == ([] if line is None else [f"note: {line}"])
