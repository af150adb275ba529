"""The course's pictures of update rules and learning-rate rules, made by running the real ones.

    python benchmarks/optimizers.py --out pictures

writes bowl.png, saddle.png and ravine.png (trajectories of all optimizers and their losses), schedules.png (the
learning-rate rules over 100 epochs) and race.gif (all optimizers on all three surfaces). About a minute on a CPU.

The optimizers come from `common.optimizers.make_optimizer`, the schedules from `common.schedules.make_schedule`. Each
optimizer has one setting for all surfaces, `SETTINGS`. The variable that is trained is the displacement from the start:
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

from common.recipe import OPTIMIZERS, Recipe  # noqa: E402
from common.schedules import make_schedule  # noqa: E402

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
# Okabe & Ito's colours, told apart by all common kinds of colour vision, and a marker for print.
STYLES = {
    "sgd": ("#000000", "o"),
    "momentum": ("#0072B2", "s"),
    "nesterov": ("#56B4E9", "D"),
    "adagrad": ("#009E73", "^"),
    "rmsprop": ("#E69F00", "v"),
    "adam": ("#D55E00", "P"),
    "adadelta": ("#CC79A7", "X"),
    "adagrad_da": ("#7A5C00", "<"),
}
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

    from common.optimizers import apply_gradients, make_optimizer

    rule = make_optimizer(Recipe(optimizer=optimizer, schedule="constant", **SETTINGS[optimizer]))
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


def losses(surface: Surface, places: np.ndarray) -> np.ndarray:
    """Height of each place above the surface's lowest point: (..., 2) -> (...)."""
    return surface.value(places[..., 0], places[..., 1]) - surface.value(*surface.minima[0])


def schedule_rates(
    epochs: int = 100, steps_per_epoch: int = 20, **fields
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A schedule over a run: (time in epochs, learning rate, epochs at which cycles end).

    A plateau needs a validation accuracy to look at. It is given one that closes a quarter of the gap to a ceiling each
    epoch, a ceiling that rises with every drop of the rate, as it does in training.
    """
    rule = make_schedule(Recipe(**fields), steps_per_epoch, epochs * steps_per_epoch)
    rates, accuracy, first = [], 0.0, fields.get("learning_rate", Recipe.learning_rate)
    for epoch in range(epochs):
        rates += [rule.rate(epoch * steps_per_epoch + step) for step in range(steps_per_epoch)]
        accuracy += 0.25 * (0.9 - 0.3 * (rates[-1] / first) ** 0.5 - accuracy)
        rule.observe(accuracy)
    times = np.arange(epochs * steps_per_epoch) / steps_per_epoch
    return times, np.array(rates), [step / steps_per_epoch for step in rule.cycle_ends()]


def pyplot():
    """matplotlib without a display, in the pictures' style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False})
    return plt


def label(optimizer: str) -> str:
    """What a legend calls a line: its rule, those that retrace it, its settings."""
    names = [optimizer, *(name for name, other in SAME.items() if other == optimizer)]
    settings = SETTINGS[optimizer]
    note = f"rate {settings['learning_rate']:g}" + (
        f", epsilon {settings['epsilon']:g}" if "epsilon" in settings else ""
    )
    return " = ".join(names) + f"  ({note})"


def draw_surface(axes, surface: Surface) -> None:
    """Contours (close together at the bottom), start, minima, traps."""
    left, right, bottom, top = surface.window
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    height = losses(surface, np.stack([x, y], -1))
    levels = surface.top * np.linspace(0.03, 1.0, 16) ** 2
    axes.contourf(x, y, height, [height.min() - 1, *levels], cmap="Greys", alpha=0.35, extend="max")
    axes.contour(x, y, height, levels, colors="#9a9a9a", linewidths=0.6)
    axes.plot(*surface.start, "o", color="white", mec="black", ms=9, mew=1.5, zorder=9)
    axes.annotate("start", surface.start, (6, 7), textcoords="offset points", weight="bold", zorder=9)
    for place in surface.minima:
        if bottom < place[1] < top:
            axes.plot(*place, "*", color="white", mec="black", ms=17, mew=1.2, zorder=4)
    for place in surface.traps:
        axes.plot(*place, "x", color="black", ms=10, mew=2, zorder=4)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")


def draw_trajectories(surface: Surface, paths: dict[str, np.ndarray], out: Path) -> None:
    """NAME.png: the surface with every path, and every loss by step."""
    plt = pyplot()
    figure, (plane, curve) = plt.subplots(1, 2, figsize=(14, 6.2), width_ratios=[1.35, 1], layout="constrained")
    draw_surface(plane, surface)
    for name, (colour, marker) in STYLES.items():
        path = paths[name]
        # a marker every 10 steps shows the pace
        plane.plot(*path.T, color=colour, lw=1.8, marker=marker, markevery=(10, 10), ms=4.5, mec="white", mew=0.4)
        curve.plot(losses(surface, path).clip(1e-6), color=colour, lw=1.8, marker=marker, markevery=(10, 20), ms=5)
        plane.plot([], [], color=colour, lw=1.8, marker=marker, label=label(name))
    plane.set_title(surface.title, loc="left")
    curve.set(yscale="log", ylim=(1e-6, None), xlim=(0, STEPS), xlabel="step")
    curve.set_title("height above the minimum (cut at 1e-6)", loc="left")
    curve.grid(alpha=0.25)
    notes = (
        "star: minimum" + ("; cross: saddle or local minimum" if surface.traps else "") + "; a marker every 10 steps"
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False, title=notes)
    figure.savefig(out / f"{surface.name}.png", dpi=110)
    plt.close(figure)


def schedule_panels() -> list[tuple[str, bool, dict[str, dict]]]:
    """The panels of schedules.png: (title, logarithmic, {label: recipe fields})."""
    base = {"learning_rate": 0.1}
    step = {"schedule": "step", "learning_rate": 0.1}
    gradual = {"warmup": "gradual", "warmup_epochs": 5.0}
    piecewise = {"schedule": "piecewise", "schedule_boundaries": (1000, 1500)}
    cosine = {"schedule": "cosine"}
    panels = [
        ("plateau: x0.1 when validation stops improving", True, {"patience 5": {"schedule": "plateau"}}),
        (
            "step: x factor every N epochs",
            True,
            {
                "x0.96 / 8": step | {"schedule_factor": 0.96, "schedule_every": 8.0},
                "x0.5 / 5": step | {"schedule_factor": 0.5, "schedule_every": 5.0},
                "x0.1 / 20": step | {"schedule_factor": 0.1, "schedule_every": 20.0},
            },
        ),
        ("piecewise: x0.1 at given steps", True, {"steps 1,000 and 1,500": piecewise}),
        (
            "exponential: exp(-k t)",
            False,
            {f"k = {k}": {"schedule": "exponential", "schedule_rate": k} for k in (0.02, 0.05, 0.1)},
        ),
        (
            "inverse time: 1 / (1 + k t)",
            False,
            {f"k = {k}": {"schedule": "inverse_time", "schedule_rate": k} for k in (0.02, 0.1, 0.5)},
        ),
        (
            "cosine: once over the run",
            False,
            {"cosine": cosine, "to a minimum": cosine | {"minimum_learning_rate": 0.02}},
        ),
        (
            "sgdr: warm restarts; dots: snapshots",
            False,
            {
                "20 epochs, x1": {"schedule": "sgdr", "schedule_every": 20.0},
                "10 epochs, x2": {"schedule": "sgdr", "schedule_every": 10.0, "cycle_multiplier": 2.0},
            },
        ),
        (
            "cyclical: triangles; dots: snapshots",
            False,
            {"20 epochs": {"schedule": "cyclical", "schedule_every": 20.0, "minimum_learning_rate": 0.02}},
        ),
        (
            "constant, behind each warm-up",
            False,
            {
                "none": {"schedule": "constant"},
                "constant": {"schedule": "constant", "warmup": "constant", "warmup_epochs": 15.0},
                "gradual": {"schedule": "constant"} | gradual | {"warmup_epochs": 30.0},
            },
        ),
    ]
    return [(title, log, {name: base | fields for name, fields in rules.items()}) for title, log, rules in panels]


def draw_schedules(out: Path) -> None:
    """schedules.png: every rule over 100 epochs."""
    plt = pyplot()
    figure, grid = plt.subplots(3, 3, figsize=(14, 9.5), sharex=True, layout="constrained")
    for axes, (title, log, rules) in zip(grid.flat, schedule_panels(), strict=True):
        for (name, fields), colour in zip(rules.items(), ("#0072B2", "#D55E00", "#009E73"), strict=False):
            times, rates, ends = schedule_rates(**fields)
            axes.plot(times, rates, color=colour, lw=2, label=name)
            axes.plot(
                ends, np.full(len(ends), rates.min()), "o", color=colour, ms=6, mec="white", clip_on=False, zorder=5
            )
        axes.set_title(title, loc="left")
        axes.set(xlim=(0, 100), yscale="log" if log else "linear")
        axes.set_ylim(*((5e-5, 0.2) if log else (0, 0.115)))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9, loc="best")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    for axes in grid[:, 0]:
        axes.set_ylabel("learning rate")
    figure.savefig(out / "schedules.png", dpi=110)
    plt.close(figure)


def draw_race(paths: dict[str, dict[str, np.ndarray]], out: Path, frames: int = 80) -> None:
    """race.gif: the paths grow, all surfaces side by side; the pace slackens as the steps get small."""
    from PIL import Image

    plt = pyplot()
    figure, grid = plt.subplots(1, len(SURFACES), figsize=(13, 5.2), layout="constrained")
    lines = []
    for axes, surface in zip(grid, SURFACES, strict=True):
        draw_surface(axes, surface)
        axes.set_title(surface.title, loc="left", fontsize=9)
        for name, (colour, marker) in STYLES.items():
            line = axes.plot([], [], color=colour, lw=1.6, marker=marker, ms=8, mec="white", zorder=6)[0]
            lines.append((line, paths[surface.name][name]))
    handles = [line for line, _ in lines[: len(STYLES)]]
    figure.legend(handles, [label(name) for name in STYLES], loc="outside lower center", ncols=3, frameon=False)
    pictures = []
    for step in np.unique(np.rint(np.linspace(0, 1, frames) ** 1.7 * STEPS).astype(int)):
        for line, path in lines:
            line.set_data(*path[: step + 1].T)
            line.set_markevery([step])
        figure.suptitle(f"step {step}", x=0.02, ha="left", weight="bold")
        figure.canvas.draw()
        pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]))
    plt.close(figure)
    palette = pictures[-1].quantize(128, dither=Image.Dither.NONE)
    shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [90] * (len(shown) - 1) + [2500]
    shown[0].save(out / "race.gif", save_all=True, append_images=shown[1:], duration=durations, loop=0, optimize=False)


def main(arguments: list[str] | None = None) -> None:
    """Draws everything into --out."""
    parser = argparse.ArgumentParser(description="Pictures of the optimizers and the learning-rate rules.")
    parser.add_argument(
        "--out", type=Path, default=Path("pictures"), help="folder for the pictures (default: pictures)"
    )
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    draw_schedules(out)
    paths = {s.name: {name: trajectory(s, name) for name in OPTIMIZERS} for s in SURFACES}
    for surface in SURFACES:
        draw_trajectories(surface, paths[surface.name], out)
    draw_race(paths, out)
    print("\n".join(str(path) for path in sorted(out.glob("*.*"))))


if __name__ == "__main__":
    main()
