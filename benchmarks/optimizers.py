"""The course's pictures of optimizers and schedules, made by running the real ones.

    python benchmarks/optimizers.py --out pictures

writes bowl.png, saddle.png and ravine.png (trajectories of all optimizers and their losses), schedules.png (the
schedules over 100 epochs) and race.gif (all optimizers on all three surfaces). About a minute on a CPU.

The optimizers come from `optimizers.make_optimizer`, the schedules from `schedules.make_schedule`. Each optimizer has
one setting for all surfaces, `SETTINGS`. The variable that is trained is the displacement from the start:
ftrl and adagrad_da build their weights up from zero, the others do not care where zero lies. Without L1 the three rules
in `SAME` retrace another one, and share its line.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import drawing
from common.recipe import Recipe
from common.training.optimizers import OPTIMIZERS
from common.training.schedules import make_schedule

STEPS = 240
SETTINGS = {
    "sgd": {"learning_rate": 0.03},
    "momentum": {"learning_rate": 0.012},
    "nesterov": {"learning_rate": 0.012},
    "adagrad": {"learning_rate": 0.4},
    "rmsprop": {"learning_rate": 0.05},
    "adam": {"learning_rate": 0.3},
    "adadelta": {"learning_rate": 1.0, "epsilon": 1e-3},  # with 1e-7 it hardly leaves the start in 240 steps
    "ftrl": {"learning_rate": 0.4},
    "adagrad_da": {"learning_rate": 0.4},
    "proximal_gradient_descent": {"learning_rate": 0.03},
    "proximal_adagrad": {"learning_rate": 0.4},
}
OTHERS = {"learning_rate": 0.01}
SAME = {"proximal_gradient_descent": "sgd", "proximal_adagrad": "adagrad", "ftrl": "adagrad"}  # while l1 is 0


@dataclass(frozen=True)
class Surface:
    """A function of the plane: `value(x, y)` works on arrays and on tensors, so it holds no library's functions."""

    name: str
    title: str
    value: Callable
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]  # the lowest points
    traps: tuple[tuple[float, float], ...]  # where a rule may get stuck: a saddle, a local minimum
    window: tuple[float, float, float, float]  # x from, to, y from, to
    top: float  # highest contour

    def height(self, places: np.ndarray) -> np.ndarray:
        """Height of each place above the lowest point: (..., 2) -> (...)."""
        return self.value(places[..., 0], places[..., 1]) - self.value(*self.minima[0])


SURFACES = (
    Surface(
        "bowl",
        "badly conditioned bowl: 50 times steeper in y than in x",
        lambda x, y: (x**2 + 50.0 * y**2) / 2.0,
        (-4.0, 1.5),
        ((0.0, 0.0),),
        (),
        (-5.0, 2.5, -1.8, 2.0),
        80.0,
    ),
    Surface(
        "saddle",
        "saddle: the start lies a hundredth beside the ridge",
        lambda x, y: 2.0 * x**2 - y**2 + y**4 / 8.0,
        (-1.5, 0.01),
        ((0.0, 2.0), (0.0, -2.0)),
        ((0.0, 0.0),),
        (-2.0, 1.6, -1.2, 3.0),
        6.0,
    ),
    Surface(
        "ravine",
        "curved ravine with a local minimum on the way",
        lambda x, y: 6.0 * (y - x**2 / 6.0) ** 2 + x**4 / 8.0 - 0.75 * x**2 - 0.5 * x,
        (-3.0, 2.4),
        ((1.879385, 0.588681),),
        ((-1.532089, 0.391216),),
        (-3.5, 3.5, -1.2, 3.0),
        14.0,
    ),
)


def trajectory(surface: Surface, optimizer: str, steps: int = STEPS) -> np.ndarray:
    """The places an optimizer visits from the surface's start: (steps + 1, 2) float64.

    The gradient is TensorFlow's, the rule is the recipe's; l1 and weight decay are off. A rule that runs away is cut
    off: its places become NaN from there on.
    """
    import keras
    import tensorflow as tf

    from common.training.optimizers import apply_gradients, make_optimizer

    rule = make_optimizer(Recipe(optimizer=optimizer, schedule="constant", **SETTINGS.get(optimizer, OTHERS)))
    moved = keras.Variable(np.zeros(2), dtype="float64", name="kernel")
    rule.build([moved])
    start = tf.constant(surface.start, tf.float64)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            x, y = tf.unstack(start + tf.convert_to_tensor(moved))
            value = surface.value(x, y)
        apply_gradients(rule, [tape.gradient(value, moved.value)], [moved])

    places = np.full((steps + 1, 2), np.nan)
    places[0] = surface.start
    for index in range(1, steps + 1):
        step()
        place = np.asarray(surface.start) + moved.numpy()
        if not np.abs(place).max() < 1e3:
            break
        places[index] = place
    return places


def label(optimizer: str) -> str:
    """What a legend calls a line: its rule, those that retrace it, its settings."""
    names = [optimizer, *(name for name, other in SAME.items() if other == optimizer)]
    settings = {"learning_rate": "rate", "epsilon": "epsilon"}
    note = ", ".join(f"{settings[field]} {value:g}" for field, value in SETTINGS.get(optimizer, OTHERS).items())
    return f"{' = '.join(names)}  ({note})"


def schedule_curve(epochs: int = 100, steps_per_epoch: int = 20, **fields) -> drawing.Curve:
    """A schedule over a run. `fields` are the recipe's.

    A plateau needs a validation accuracy to look at. It is given one that closes a quarter of the gap to a ceiling each
    epoch, a ceiling that rises with every drop of the rate, as it does in training.
    """
    recipe = Recipe(**fields)
    rule = make_schedule(recipe, steps_per_epoch, epochs * steps_per_epoch)
    rates, accuracy = [], [0.0]
    for epoch in range(epochs):
        rates += [rule.rate(epoch * steps_per_epoch + step) for step in range(steps_per_epoch)]
        ceiling = 0.9 - 0.3 * (rates[-1] / recipe.learning_rate) ** 0.5
        accuracy.append(accuracy[-1] + 0.25 * (ceiling - accuracy[-1]))
        rule.observe(accuracy[-1])
    return drawing.Curve(
        epochs=np.arange(epochs * steps_per_epoch) / steps_per_epoch,
        rates=np.array(rates),
        snapshots=[step / steps_per_epoch for step in rule.cycle_ends()],
        accuracy=np.array(accuracy) if recipe.schedule == "plateau" else None,
    )


def schedule_panels() -> list[drawing.Panel]:
    """The panels of schedules.png, each with its rules."""

    def panel(title: str, logarithmic: bool = False, **curves: dict) -> drawing.Panel:
        curves = {name: schedule_curve(**{"learning_rate": 0.1} | fields) for name, fields in curves.items()}
        return drawing.Panel(title, logarithmic, curves)

    def rule(schedule: str, **fields) -> dict:
        return {"schedule": schedule, **fields}

    return [
        panel("plateau: x0.1 when validation stops improving", True, **{"patience 5": rule("plateau")}),
        panel(
            "step: x factor every N epochs",
            True,
            **{
                "x0.96 every 8": rule("step", schedule_factor=0.96, schedule_every=8.0),
                "x0.5 every 5": rule("step", schedule_factor=0.5, schedule_every=5.0),
                "x0.1 every 20": rule("step", schedule_factor=0.1, schedule_every=20.0),
            },
        ),
        panel(
            "piecewise: x0.1 at given steps",
            True,
            **{"1,000 and 1,500 of 2,000": rule("piecewise", schedule_boundaries=(1000, 1500))},
        ),
        panel(
            "exponential: exp(-k t)",
            **{f"k = {k}": rule("exponential", schedule_rate=k) for k in (0.02, 0.05, 0.1)},
        ),
        panel(
            "inverse time: 1 / (1 + k t)",
            **{f"k = {k}": rule("inverse_time", schedule_rate=k) for k in (0.02, 0.1, 0.5)},
        ),
        panel(
            "cosine: once over the run",
            **{"to 0": rule("cosine"), "to a minimum of 0.02": rule("cosine", minimum_learning_rate=0.02)},
        ),
        panel(
            "sgdr: cosine with warm restarts",
            **{
                "20 epochs, x1": rule("sgdr", schedule_every=20.0),
                "10 epochs, x2": rule("sgdr", schedule_every=10.0, cycle_multiplier=2.0),
            },
        ),
        panel(
            "cyclical: triangles",
            **{"20 epochs": rule("cyclical", schedule_every=20.0, minimum_learning_rate=0.02)},
        ),
        panel(
            "constant, behind each warm-up",
            none=rule("constant"),
            constant=rule("constant", warmup="constant", warmup_epochs=15.0),
            gradual=rule("constant", warmup="gradual", warmup_epochs=30.0),
        ),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Draws everything into --out."""
    parser = argparse.ArgumentParser(description="Pictures of the optimizers and the schedules.")
    parser.add_argument(
        "--out", type=Path, default=Path("pictures"), help="folder for the pictures (default: pictures)"
    )
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    drawing.schedules(schedule_panels(), out / "schedules.png")
    labels = {name: label(name) for name in OPTIMIZERS if name not in SAME}
    race = [(surface, {name: trajectory(surface, name) for name in labels}) for surface in SURFACES]
    for surface, paths in race:
        drawing.trajectories(surface, paths, labels, out / f"{surface.name}.png")
    drawing.race(race, labels, out / "race.gif")
    for name in ("schedules.png", *(f"{surface.name}.png" for surface in SURFACES), "race.gif"):
        print(out / name)


if __name__ == "__main__":
    main()
