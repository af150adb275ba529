"""The methods of `--mode visualize` at work: each makes its sheets and gives their names."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cli import survey_methods
from cli.look import Look, NotFittingError
from common.visualization import (
    activations,
    class_activation,
    filters,
    gradients,
    maps,
    maximization,
    occlusion,
    pixels,
    sheets,
)
from common.visualization.methods import METHODS
from common.visualization.sheets import Cell

FILTERS, CHANNELS, CLASSES = 256, 8, 10  # shown at most: of the first convolution, of a layer, of the network


def draw_filters(look: Look) -> list[str]:
    """The filters of the first convolution, at most `FILTERS` of them."""
    found = filters.first_filters(look.model, look.preprocessing.channels)[:FILTERS]
    name, size = filters.first_convolution(look.model).name, found.shape[1]
    cells = [Cell(picture) for picture in sheets.to_bytes(found)]
    heading = f"{look.config.arch}: {len(found)} filters of {name}, {size}x{size}"
    sheets.grid(look.out / "filters.png", cells, 16 if len(cells) > 64 else 8, heading, inches=0.5)
    return ["filters.png"]


def draw_activations(look: Look) -> list[str]:
    """For each layer its strongest channels, a row a picture; of a layer without maps all its values, as a square."""
    shown, written = look.shown, []
    for layer in look.layers:
        values = activations.activations(look.model, layer, shown.inputs, look.at_once)
        cells, heads = [], ["picture", "all values"]
        if values.ndim == 4:
            channels = look.units_of(layer, values.max(axis=(1, 2)), CHANNELS)
            heads = ["picture", *(f"channel {channel}" for channel in channels)]
        for place, (picture, title) in enumerate(zip(shown.pictures, shown.titles, strict=True)):
            cells.append(Cell(picture, title))
            if values.ndim == 4:
                one = values[place][..., channels]
                largest = np.maximum(values[..., channels].max(axis=(0, 1, 2)), 1e-12)
                cells += [Cell(picture) for picture in _brightness(np.moveaxis(one / largest, -1, 0))]
            else:
                cells.append(Cell(_brightness(_square(values[place]) / max(values.max(), 1e-12))))
        file = f"activations-{layer.name}.png"
        size = "x".join(map(str, layer.output.shape[1:]))
        heading = f"{look.config.arch}: activations of {layer.name}, {size}"
        sheets.grid(look.out / file, cells, len(heads), heading, inches=1.0, heads=heads)
        written.append(file)
    return written


def _brightness(values: np.ndarray) -> np.ndarray:
    """Values, 0 and below black and 1 white, as (..., 3) uint8."""
    return np.repeat(sheets.to_bytes(values)[..., None], 3, -1)


def _square(values: np.ndarray) -> np.ndarray:
    """(D,) as a square picture, filled up with zeros."""
    side = int(np.ceil(np.sqrt(len(values))))
    return np.pad(values, (0, side * side - len(values))).reshape(side, side)


def _attribution(look: Look, name: str, seen: np.ndarray, note: str = "") -> list[str]:
    """The sheet of one method that makes a picture of a picture: both side by side, two pairs a row."""
    shown = look.shown
    look.compared[name] = seen
    cells = []
    for picture, title, made in zip(shown.pictures, shown.titles, seen, strict=True):
        cells += [Cell(picture, title), Cell(made)]
    heading = f"{look.config.arch}: {METHODS[name].title}{note}"
    sheets.grid(look.out / f"{name}.png", cells, min(6, len(cells)), heading, inches=1.6)
    return [f"{name}.png"]


def draw_occlusion(look: Look) -> list[str]:
    """By how much covering each part lowers the probability of the class."""
    size, stride = occlusion.default_size(look.config.image_size)
    found = occlusion.occlusion(
        look.model,
        look.shown.inputs,
        look.shown.classes,
        size,
        stride,
        at_once=look.at_once,
        report=look.progress("squares"),
    )
    pairs = zip(look.shown.pictures, found.drop(look.config.image_size), strict=True)
    seen = np.stack([sheets.heat(picture, drop, both_signs=True) for picture, drop in pairs])
    return _attribution(look, "occlusion", seen, f", square of {size} pixels")


def _of_gradients(name: str, compute: Callable, draw: Callable, unit: str = "pictures") -> Callable[[Look], list[str]]:
    """A method that makes a picture of a gradient (S, S, 3); `unit` is what its progress counts."""

    def make(look: Look) -> list[str]:
        shown = look.shown
        found = compute(look.model, shown.inputs, shown.classes, at_once=look.at_once, report=look.progress(unit))
        seen = np.stack([draw(one) for one in pixels.rgb(found, look.preprocessing)])
        return _attribution(look, name, seen)

    return make


def _strength(gradient: np.ndarray) -> np.ndarray:
    return sheets.grey(gradients.saliency(gradient[None])[0])


def draw_integrated(look: Look) -> list[str]:
    """Integrated gradients from a black picture, summed over colours."""
    shown = look.shown
    black, _ = look.extremes
    found = gradients.integrated_gradients(
        look.model,
        shown.inputs,
        shown.classes,
        black,
        at_once=look.at_once,
        report=look.progress("pictures"),
    )
    pairs = zip(shown.pictures, found.attributions.sum(-1), strict=True)
    seen = np.stack([sheets.heat(picture, one, both_signs=True) for picture, one in pairs])
    missed = np.max(np.abs(found.gap) / np.maximum(np.abs(found.difference), 1e-12))
    return _attribution(look, "integrated", seen, f" (sums to {missed:.1%})")


def draw_grad_cam(look: Look) -> list[str]:
    """Grad-CAM at the last maps."""
    shown, report = look.shown, look.progress("pictures")
    found = class_activation.grad_cam(look.model, shown.inputs, shown.classes, None, look.at_once, report)
    return _attribution(look, "gradcam", _overlaid(look, found, both_signs=False))


def draw_cam(look: Look) -> list[str]:
    """Class activation maps."""
    if class_activation.ending(look.model) is None:
        raise NotFittingError(f"{look.config.arch} does not end in global average pooling; see gradcam")
    shown, report = look.shown, look.progress("pictures")
    found = class_activation.class_activation_map(look.model, shown.inputs, shown.classes, look.at_once, report)
    return _attribution(look, "cam", _overlaid(look, found, both_signs=True))


def _overlaid(look: Look, found: np.ndarray, both_signs: bool) -> np.ndarray:
    large = class_activation.enlarge(found, look.config.image_size)
    pairs = zip(look.shown.pictures, large, strict=True)
    return np.stack([sheets.heat(picture, one, both_signs) for picture, one in pairs])


def draw_maximization(look: Look) -> list[str]:
    """Pictures for the classes, of more than `CLASSES` those of the shown pictures, and for units of each layer."""
    count = len(look.config.classes)
    asked = np.arange(count) if look.target is None and count <= CLASSES else np.unique(look.shown.classes)[:CLASSES]
    names = [sheets.short(look.config.names[label], 18) for label in asked]
    written = [_maximised(look, None, asked.tolist(), names, "maximization-classes.png")]
    for layer in look.layers:
        values = activations.activations(look.model, layer, look.shown.inputs, look.at_once)
        values = values.max(axis=(1, 2)) if values.ndim == 4 else values
        units = look.units_of(layer, values)
        titles = [f"unit {unit}" for unit in units]
        written.append(_maximised(look, layer, units, titles, f"maximization-{layer.name}.png"))
    return written


def _maximised(look: Look, layer: Any, units: list[int], titles: list[str], file: str) -> str:
    ascent = maximization.Ascent(jitter=max(1, look.config.image_size // 16))
    report = look.progress("steps")
    found, reached = maximization.maximise(look.model, units, *look.extremes, layer, ascent, report)
    pictures = sheets.to_bytes(pixels.rgb(found, look.preprocessing))
    cells = [
        Cell(picture, f"{title}\nscore {score:.3g}")
        for picture, title, score in zip(pictures, titles, reached, strict=True)
    ]
    what = "classes" if layer is None else f"units of {layer.name}"
    heading = f"{look.config.arch}: pictures that maximise {what}"
    sheets.grid(look.out / file, cells, 5 if layer is None else 6, heading)
    return file


def comparison(look: Look) -> str:
    """What all methods made of the shown pictures, a row a picture."""
    shown, cells = look.shown, []
    for place, (picture, title) in enumerate(zip(shown.pictures, shown.titles, strict=True)):
        cells += [Cell(picture, title), *(Cell(seen[place]) for seen in look.compared.values())]
    heads = ["picture", *look.compared]
    heading = f"{look.config.arch}: what the classes were recognised by"
    sheets.grid(look.out / "methods.png", cells, len(heads), heading, inches=1.2, heads=heads)
    return "methods.png"


DRAW: dict[str, Callable[[Look], list[str]]] = {
    "filters": draw_filters,
    "activations": draw_activations,
    "occlusion": draw_occlusion,
    "saliency": _of_gradients("saliency", gradients.gradient, _strength),
    "smoothgrad": _of_gradients("smoothgrad", gradients.smooth_gradient, _strength, "copies"),
    "guided": _of_gradients("guided", gradients.guided_backpropagation, sheets.signed),
    "integrated": draw_integrated,
    "gradcam": draw_grad_cam,
    "cam": draw_cam,
    "maximization": draw_maximization,
    "exciting": survey_methods.draw_exciting,
    "neighbours": survey_methods.draw_neighbours,
    "pca": survey_methods.draw_map("pca", maps.pca),
    "tsne": survey_methods.draw_map("tsne", maps.tsne),
}
