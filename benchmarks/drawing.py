"""How the benchmarks draw: surfaces with trajectories, learning-rate curves, the race, bars of throughput."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False})

# Okabe & Ito's colours, told apart by all common kinds of colour vision; the markers serve in print.
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
OTHERS = ("#666666", "*")
_CURVES = ("#0072B2", "#D55E00", "#009E73")


@dataclass(frozen=True)
class Curve:
    """A schedule's run: the rate at each time, the epochs that end a cycle, and the accuracy a plateau was shown."""

    epochs: np.ndarray
    rates: np.ndarray
    snapshots: list[float]
    accuracy: np.ndarray | None = None


@dataclass(frozen=True)
class Panel:
    """One panel of schedules.png: curves by label."""

    title: str
    logarithmic: bool
    curves: dict[str, Curve]


def _surface(axes, surface) -> None:
    """Contours, close together at the bottom, and the start, the minima and the traps."""
    left, right, bottom, top = surface.window
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    height = surface.height(np.stack([x, y], -1))
    levels = surface.top * np.linspace(0.03, 1.0, 16) ** 2
    axes.contourf(x, y, height, [height.min() - 1, *levels], cmap="Greys", alpha=0.28, extend="max")
    axes.contour(x, y, height, levels, colors="#9a9a9a", linewidths=0.5)
    axes.plot(*surface.start, "o", color="white", mec="black", ms=9, mew=1.5, zorder=9)
    axes.annotate("start", surface.start, (3, 9), textcoords="offset points", weight="bold", ha="right", zorder=9)
    for place in surface.minima:
        if bottom < place[1] < top:
            axes.plot(*place, "*", color="white", mec="black", ms=17, mew=1.2, zorder=4)
    for place in surface.traps:
        axes.plot(*place, "x", color="black", ms=10, mew=2, zorder=4)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")


def trajectories(surface, paths: dict[str, np.ndarray], labels: dict[str, str], file: Path) -> None:
    """The surface with every path (steps + 1, 2), and beside it the height of each path by step."""
    figure, (plane, curve) = plt.subplots(1, 2, figsize=(14, 6.4), width_ratios=[1.35, 1], layout="constrained")
    _surface(plane, surface)
    for name, text in labels.items():
        colour, marker = STYLES.get(name, OTHERS)
        style = {"color": colour, "lw": 1.8, "marker": marker, "mec": "white", "mew": 0.5}
        plane.plot(*paths[name].T, **style, ms=6, markevery=(10, 10))
        curve.plot(surface.height(paths[name]), **style, ms=7, markevery=(10, 20))
        plane.plot([], [], **style, ms=8, label=text)
    plane.set_title(surface.title, loc="left")
    steps = len(next(iter(paths.values()))) - 1
    curve.set(yscale="log", xlim=(0, steps), xlabel="step")
    curve.set_ylim(1e-6, 2 * surface.height(np.array(surface.start)))
    curve.set_title("height above the lowest point", loc="left")
    curve.grid(alpha=0.25)
    traps = "; cross: saddle or local minimum" if surface.traps else ""
    title = f"star: lowest point{traps}; on the surface a marker every 10 steps"
    figure.legend(loc="outside lower center", ncols=3, frameon=False, title=title)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def schedules(panels: list[Panel], file: Path) -> None:
    """Every panel, three a row, over the same epochs."""
    figure, grid = plt.subplots(len(panels) // 3, 3, figsize=(14, 9.5))
    for axes, panel in zip(grid.flat, panels, strict=True):
        for (name, curve), colour in zip(panel.curves.items(), _CURVES, strict=False):
            axes.plot(curve.epochs, curve.rates, color=colour, lw=2, label=name)
            if curve.snapshots:
                low = np.full(len(curve.snapshots), curve.rates.min())
                axes.plot(curve.snapshots, low, "o", color=colour, ms=7, mec="white", clip_on=False, zorder=5)
            if curve.accuracy is not None:
                twin = axes.twinx()
                twin.plot(curve.accuracy, color="#777777", lw=1.2, ls="--")
                twin.set(ylim=(0, 1.35), yticks=[0, 0.5, 1])
                twin.annotate("validation top-1 (made up)", (98, 0.95), ha="right", fontsize=9, color="#555555")
        if any(curve.snapshots for curve in panel.curves.values()):
            axes.plot([], [], "o", color="#777777", ms=7, mec="white", label="snapshots")
        axes.set_title(panel.title, loc="left")
        axes.set(xlim=(0, 100), yscale="log" if panel.logarithmic else "linear", xlabel="epoch", ylabel="learning rate")
        axes.set_ylim(*((5e-5, 0.5) if panel.logarithmic else (0, 0.135)))
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9, loc="upper right", ncols=3, columnspacing=0.9, handlelength=1.0)
    figure.tight_layout(h_pad=1.5, w_pad=1.5)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _palette() -> Image.Image:
    """Every line's colour and its blends with white, for smooth edges, then greys: what a GIF of the race needs."""
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour, _ in STYLES.values()])
    blends = [share * colours + (1 - share) * 255 for share in np.linspace(0.25, 1.0, 6)]
    greys = np.repeat(np.linspace(0, 255, 64)[:, None], 3, axis=1)
    image = Image.new("P", (1, 1))
    image.putpalette(np.rint(np.concatenate([*blends, greys])).astype(np.uint8).tobytes())
    return image


def race(contests: list[tuple], labels: dict[str, str], file: Path, frames: int = 70) -> None:
    """An animated GIF: all (surface, paths) side by side, the paths growing; slowly at first, where steps are long."""
    figure, grid = plt.subplots(1, len(contests), figsize=(13, 5.4), dpi=80, layout="constrained", squeeze=False)
    lines = []
    for axes, (surface, paths) in zip(grid[0], contests, strict=True):
        _surface(axes, surface)
        axes.set_title(surface.title.split(":")[0], loc="left")
        for name in labels:
            colour, marker = STYLES.get(name, OTHERS)
            line = axes.plot([], [], color=colour, lw=1.8, marker=marker, ms=9, mec="white", zorder=6)[0]
            lines.append((line, paths[name]))
    handles = [line for line, _ in lines[: len(labels)]]
    figure.legend(handles, labels.values(), loc="outside lower center", ncols=3, frameon=False)
    count = figure.suptitle("step 000", x=0.01, ha="left", weight="bold")
    pictures = []
    steps = len(lines[0][1]) - 1
    for step in np.unique(np.rint(np.linspace(0, 1, frames) ** 1.7 * steps).astype(int)):
        for line, path in lines:
            line.set_data(*path[: step + 1].T)
            line.set_markevery([step])
        count.set_text(f"step {step}")
        figure.canvas.draw()
        pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]))
    plt.close(figure)
    shown = [picture.quantize(palette=_palette(), dither=Image.Dither.NONE) for picture in pictures]
    durations = [100] * (len(shown) - 1) + [2500]
    shown[0].save(file, save_all=True, append_images=shown[1:], duration=durations, loop=0)


_BARS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7")


def throughput(lines: list, file: Path) -> None:
    """A panel for each mode and precision: every contender's speed as a multiple of ours, images/s at the bars."""
    panels = list(dict.fromkeys((line.mode, line.precision) for line in lines))
    names = list(dict.fromkeys(line.contender for line in lines))
    networks = list(dict.fromkeys(line.arch for line in lines))
    size = (1.5 + 6 * len(panels), 1.6 + 0.26 * len(networks) * (len(names) + 1))
    figure, grid = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False, sharey=True)
    for axes, panel in zip(grid[0], panels, strict=True):
        shown = [line for line in lines if (line.mode, line.precision) == panel]
        for number, name in enumerate(names):
            bars = [line for line in shown if line.contender == name]
            places = [networks.index(line.arch) + (number + 0.5) / (len(names) + 1) - 0.5 for line in bars]
            speeds = [1 / line.ours_is for line in bars]
            drawn = axes.barh(places, speeds, 0.9 / (len(names) + 1), color=_BARS[number % len(_BARS)])
            axes.bar_label(drawn, [f"{line.images_per_second:,.3g}" for line in bars], padding=3, fontsize=8)
        axes.axvline(1.0, color="#777777", lw=0.8, ls="--", zorder=0)
        axes.set_title(f"{panel[0]}, {panel[1]}", loc="left")
        axes.set(xlabel="speed, ours = 1; at the bars images/s", yticks=range(len(networks)), yticklabels=networks)
        axes.margins(x=0.12)
    grid[0][0].invert_yaxis()
    handles = [plt.Rectangle((0, 0), 1, 1, color=_BARS[number % len(_BARS)]) for number in range(len(names))]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
