"""What the methods of `--mode visualize` work on: a trained network, and the pictures it is looked at with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cli.picture_source import Source
from common.input import pipeline
from common.nn import layers
from common.progress import Progress
from common.runs.config import RunConfig
from common.visualization import exciting_pictures, maps, pixels, scores, sheets

PIXELS_AT_ONCE = 32 * 224 * 224  # of a batch: what such a network's gradient needs of memory
MOST_SURVEYED = 2000  # pictures of a split that exciting pictures, neighbours and maps are sought among
UNITS = 6  # of each layer


class NotFittingError(Exception):
    """A method that does not fit the network or the pictures; the message says why."""


@dataclass(frozen=True)
class Shown:
    """The few pictures that are looked into: inputs, as uint8, the class asked about, a title and the name of each."""

    inputs: np.ndarray
    pictures: np.ndarray
    classes: np.ndarray
    titles: list[str]


@dataclass(frozen=True)
class Survey:
    """What was kept of many pictures: numbers, labels, features (N, D), thumbnails, and the peaks of each layer."""

    numbers: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    features: np.ndarray
    thumbnails: np.ndarray
    peaks: dict[str, exciting_pictures.Peaks]


@dataclass
class Look:
    """A trained network, the pictures to look at, and what was asked for.

    Attributes:
        model, config: the network's main path and its configuration.
        features: the layer in whose space neighbours and maps are.
        source: the pictures.
        layers, units: to look into; None: the units with the highest values.
        target: the class to ask about; None: the predicted one.
        most_shown: pictures that are looked into one by one.
        batch_size: None: as many as fit.
        out: the folder of the sheets.
        compared: by method what it made of each shown picture, (N, S, S, 3) uint8.
    """

    model: Any
    config: RunConfig
    features: Any
    source: Source
    layers: list
    units: tuple[int, ...] | None
    target: int | None
    most_shown: int
    batch_size: int | None
    out: Path
    compared: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def at_once(self) -> int:
        """Pictures in a batch."""
        return self.batch_size or max(1, min(128, PIXELS_AT_ONCE // self.config.image_size**2))

    @cached_property
    def preprocessing(self) -> pipeline.Preprocessing:
        """Of the run."""
        return pipeline.Preprocessing(**self.config.preprocessing)

    @cached_property
    def show(self) -> Callable[[np.ndarray], np.ndarray]:
        """Inputs as pictures."""
        return pixels.shower(self.preprocessing)

    @cached_property
    def extremes(self) -> tuple[np.ndarray, np.ndarray]:
        """A black and a white input."""
        return pixels.extremes(self.preprocessing)

    def progress(self, unit: str) -> scores.Report:
        """Says how far a method is."""
        shown: list[Progress] = []

        def report(done: int, total: int) -> None:
            shown.extend([] if shown else [Progress(total, unit=unit)])
            shown[0].update(done)
            if done == total:
                shown[0].close()

        return report

    @cached_property
    def shown(self) -> Shown:
        """The pictures that are looked into."""
        numbers = self.source.evenly(self.most_shown)
        parts = list(self.source.batches(numbers, self.preprocessing, self.at_once))
        inputs, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        probability = scores.softmax(scores.predict(self.model, inputs, self.at_once))
        predicted = probability.argmax(1)
        asked = predicted if self.target is None else np.full(len(inputs), self.target)
        titles = []
        for place, name in enumerate(self.source.names(numbers)):
            title = f"{sheets.short(self.config.names[asked[place]], 16)} {probability[place, asked[place]]:.0%}"
            if self.source.labelled:
                title += f"\nis {sheets.short(self.config.names[labels[place]], 18)}"
            else:
                title += f"\n{sheets.short(name, 20)}"
            titles.append(title)
        return Shown(inputs, self.show(inputs), asked, titles)

    @cached_property
    def survey(self) -> Survey:
        """One pass over many pictures. Raises NotFittingError where there are too few."""
        if self.source.examples < maps.LEAST:
            raise NotFittingError(f"it needs {maps.LEAST} pictures or more")
        numbers = self.source.evenly(MOST_SURVEYED)
        return _survey(self, numbers)

    def units_of(self, layer: Any, values: np.ndarray, most: int = UNITS) -> list[int]:
        """The units of a layer to show: those asked for, or those with the highest of `values` (N, C)."""
        if self.units is not None:
            return list(self.units)
        return exciting_pictures.highest(values, most)


def _survey(look: Look, numbers: np.ndarray) -> Survey:
    """The pass behind `Look.survey`."""
    outputs = [look.model.outputs[0], look.features.output, *(layer.output for layer in look.layers)]
    cut = layers.network(look.model.inputs[0], outputs, "survey")

    def of_batch(inputs):
        logits, values, *maps_of = cut(inputs, training=False)
        values = tf.reduce_mean(values, [1, 2]) if len(values.shape) == 4 else values
        return logits, tf.cast(values, tf.float32), [exciting_pictures.peaks_of(one) for one in maps_of]

    compute = scores.compiled(of_batch, look.model)
    report, side = look.progress("pictures"), min(look.config.image_size, 32)
    parts, small, labels = [], [], []
    for inputs, label in look.source.batches(numbers, look.preprocessing, look.at_once):
        parts.append(tf.nest.map_structure(lambda tensor: tensor.numpy(), compute(tf.constant(inputs))))
        small += [sheets.thumbnail(picture, side) for picture in look.show(inputs)]
        labels.append(label)
        report(len(small), len(numbers))
    logits, values, peaks = tf.nest.map_structure(lambda *each: np.concatenate(each), *parts)
    return Survey(
        numbers,
        np.concatenate(labels) if look.source.labelled else logits.argmax(1),
        logits.argmax(1),
        values,
        np.stack(small),
        {layer.name: exciting_pictures.Peaks(*one) for layer, one in zip(look.layers, peaks, strict=True)},
    )
