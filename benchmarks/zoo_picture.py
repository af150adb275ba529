"""The picture of docs/zoo.md: published error against multiply-adds, bubbles of the size of the parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.drawing import plt
from cli import registry

if TYPE_CHECKING:
    from benchmarks.zoo import Figures, Reference

# Lines of descent, by family; colours of Okabe & Ito, told apart by all common kinds of colour vision.
LINES = {
    "AlexNet, ZFNet, CNN-F, M, S, VGG": ("#777777", ("alexnet", "zfnet", "vgg_cnn", "vgg16")),
    "Inception": ("#009E73", ("googlenet", "inception")),
    "ResNet, stochastic depth": ("#0072B2", ("resnet34", "stochastic_depth")),
    "ResNet v2": ("#56B4E9", ("preresnet",)),
    "Wide ResNet, ResNeXt": ("#D55E00", ("wide_resnet", "resnext")),
    "SENet": ("#CC79A7", ("senet",)),
    "DenseNet, FractalNet": ("#E69F00", ("densenet", "fractalnet")),
    "NIN, SqueezeNet, MobileNet": ("#7A5C00", ("nin", "squeezenet", "mobilenet")),
}
AREA = 8.0  # square points for a million parameters
STEPS = [3.0, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0]  # points from a bubble's edge to its label
ANGLES = np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 67, 292, 112, 248])


@dataclass(frozen=True)
class Bubble:
    """One network: its name, where it stands, its parameters, its colour, and whether one crop was measured."""

    name: str
    multiply_adds: float
    error: float
    parameters: float
    colour: str
    one_crop: bool

    @property
    def radius(self) -> float:
        """In points."""
        return (AREA * self.parameters / 1e6 / np.pi) ** 0.5


def bubbles(references: "Sequence[Reference]", figures: "Mapping[str, Figures]", data: str) -> list[Bubble]:
    """The networks with a published top-1 error on a data set, the largest first, so that small ones stay on top."""
    colours = {family: colour for colour, families in LINES.values() for family in families}
    found = []
    for one in references:
        if one.top1 and one.measured_on.startswith(data):
            counted, family = figures[one.arch], registry.find(one.arch).family
            plain = one.measured_on in ("ImageNet, 1 crop", "CIFAR-10")
            place = counted.multiply_adds, float(one.top1), counted.parameters
            found.append(Bubble(one.arch, *place, colours[family], plain))
    return sorted(found, key=lambda bubble: -bubble.parameters)


def draw(references: "Sequence[Reference]", figures: "Mapping[str, Figures]", file: Path) -> None:
    """Both panels: ImageNet, and CIFAR-10 below it."""
    figure, (imagenet, cifar) = plt.subplots(2, 1, figsize=(12, 14.5), height_ratios=[1.75, 1], layout="constrained")
    panels = (
        (imagenet, "ImageNet", (33, 35000), (19.3, 52), (20, 21, 22, 23, 25, 30, 35, 40, 50), 16),
        (cifar, "CIFAR-10", (33, 16000), (3.2, 9.6), (3.5, 4, 5, 6, 7, 8, 9), 1),
    )
    for axes, data, across, up, ticks, floor in panels:
        stretched = partial(_stretch, floor), partial(_unstretch, floor)
        axes.set_yscale("function", functions=stretched)
        axes.set(xscale="log", xlim=across, ylim=up, xlabel="multiply-adds of one image, millions")
        axes.set_ylabel("published top-1 error, %")
        axes.set_yticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.set_xticks([tick for tick in (100, 300, 1000, 3000, 10000) if across[0] < tick < across[1]])
        axes.set_xticklabels([f"{int(tick):,}" for tick in axes.get_xticks()])
        axes.grid(alpha=0.25)
        axes.set_title(data, loc="left", weight="bold")
    _legend(imagenet)
    figure.canvas.draw()  # places everything
    for axes, data, *_ in panels:
        shown = bubbles(references, figures, data)
        for bubble in shown:
            style = {"facecolor": bubble.colour, "alpha": 0.55, "linewidth": 0}
            axes.scatter(bubble.multiply_adds, bubble.error, AREA * bubble.parameters / 1e6, **style, zorder=3)
            edge = {"facecolor": "none", "edgecolor": bubble.colour, "ls": "-" if bubble.one_crop else ":"}
            axes.scatter(bubble.multiply_adds, bubble.error, AREA * bubble.parameters / 1e6, **edge, lw=1.3, zorder=4)
        _label(figure, axes, shown)
    figure.savefig(file, dpi=100)
    plt.close(figure)
    with Image.open(file) as picture:  # with 256 colours it has a third of the bytes
        few = picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def _stretch(floor: float, error: np.ndarray) -> np.ndarray:
    """Where an error stands on its axis: the better the networks, the closer they are, and the more room they need."""
    return np.log(np.maximum(error - floor, 1e-3))


def _unstretch(floor: float, place: np.ndarray) -> np.ndarray:
    return np.exp(place) + floor


def _legend(axes: Any) -> None:
    """Colours, and the size of some bubbles."""
    lines = [axes.scatter([], [], 70, color=colour, alpha=0.7, lw=0, label=name) for name, (colour, _) in LINES.items()]
    colours = axes.legend(handles=lines, frameon=False, loc="upper right", fontsize=9.5, borderaxespad=0.3)
    axes.add_artist(colours)
    sizes = [axes.scatter([], [], AREA * n, color="#999999", alpha=0.6, lw=0, label=f"{n}M") for n in (1, 10, 50, 140)]
    sizes.append(axes.scatter([], [], 110, facecolor="none", edgecolor="#555555", ls=":", lw=1.3, label="not one crop"))
    axes.legend(
        handles=sizes, frameon=False, loc="lower left", bbox_to_anchor=(0.02, 0.02), fontsize=9.5, labelspacing=1.5,
        title="parameters", borderpad=0.9, handletextpad=1.3, handlelength=3,
    )  # fmt: skip


def _label(figure: Any, axes: Any, shown: list[Bubble]) -> None:
    """Writes each name next to its bubble, where it covers least, with a thin line where it stands further off."""
    scale = figure.dpi / 72
    window = axes.get_window_extent()
    centres = np.array([axes.transData.transform((bubble.multiply_adds, bubble.error)) for bubble in shown])
    radii = np.array([bubble.radius * scale for bubble in shown])
    placed: list[np.ndarray] = []
    crowd = np.array([np.sum(np.hypot(*(centres - centre).T) < 60) for centre in centres])
    for index in np.argsort(-crowd, kind="stable"):
        text = axes.text(0, 0, shown[index].name, fontsize=8.2)
        extent = text.get_window_extent()
        size = np.array([extent.width, extent.height])
        text.remove()
        best = None
        for step in STEPS:
            for turn in ANGLES:
                away = np.array([np.cos(turn), np.sin(turn)])
                middle = centres[index] + away * (radii[index] + step * scale) + away * size / 2
                box = np.concatenate([middle - size / 2, middle + size / 2])
                cost = _cover(box, placed, centres, radii, window) + 0.35 * step
                if best is None or cost < best[0]:
                    best = cost, box, step
        _, box, step = best
        placed.append(box)
        corner = axes.transData.inverted().transform((box[:2] + box[2:]) / 2)
        axes.text(*corner, shown[index].name, fontsize=8.2, ha="center", va="center", zorder=6)
        if step > STEPS[1]:
            nearest = np.clip(centres[index], box[:2], box[2:])
            ends = axes.transData.inverted().transform([centres[index], nearest])
            axes.plot(*ends.T, color="#333333", lw=0.6, marker=".", ms=2.5, markevery=[0], zorder=5)


def _cover(box: np.ndarray, placed: list[np.ndarray], centres: np.ndarray, radii: np.ndarray, window: Any) -> float:
    """How bad a place for a label is: what it hides of other labels and of bubbles, and what leaves the axes."""
    low, high = box[:2], box[2:]
    bad = 0.0
    for other in placed:
        over = np.minimum(high, other[2:]) - np.maximum(low, other[:2]) + 2
        bad += 1000 if (over > 0).all() else 0
    gaps = np.clip(centres, low, high) - centres
    bad += 25 * np.sum(np.hypot(*gaps.T) < radii + 1)
    outside = low[0] < window.x0 + 3 or low[1] < window.y0 + 3 or high[0] > window.x1 - 3 or high[1] > window.y1 - 3
    return bad + 1000 * outside
