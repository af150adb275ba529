"""The methods of `--mode visualize` that look at many pictures: exciting ones, neighbours, maps."""

from collections.abc import Callable

import numpy as np

from cli.look import Look
from common.visualization import exciting_pictures, maps, neighbours, sheets
from common.visualization.methods import METHODS
from common.visualization.sheets import Cell

NEIGHBOURS = 7  # of each picture
RIGHT, WRONG = "#0072B2", "#D55E00"  # blue and orange, which everybody can tell apart


def draw_exciting(look: Look) -> list[str]:
    """For units of each layer the nine pictures that excite them most, cut down to what the unit sees."""
    survey, most = look.survey, exciting_pictures.MOST
    chosen = {layer.name: look.units_of(layer, survey.peaks[layer.name].values) for layer in look.layers}
    best = {(name, unit): survey.peaks[name].strongest(unit, most) for name, units in chosen.items() for unit in units}
    wanted = np.unique(np.concatenate(list(best.values())))
    parts = look.source.batches(survey.numbers[wanted], look.preprocessing, look.at_once)
    pictures = np.concatenate([look.show(inputs) for inputs, _ in parts])
    place_of = {number: place for place, number in enumerate(wanted.tolist())}
    written = []
    for layer in look.layers:
        cells = []
        for unit in chosen[layer.name]:
            for number in best[layer.name, unit].tolist():
                where = survey.peaks[layer.name].places[number, unit]
                part = exciting_pictures.seen(pictures[place_of[number]], layer, where)
                cells.append(Cell(part, sheets.short(look.config.names[survey.labels[number]], 14)))
        file = f"exciting-{layer.name}.png"
        heading = f"{look.config.arch}: what excites units of {layer.name} most, of {len(survey.numbers):,} pictures"
        rows = [f"unit {unit}" for unit in chosen[layer.name]]
        sheets.grid(look.out / file, cells, min(most, len(survey.numbers)), heading, inches=0.9, rows=rows)
        written.append(file)
    return written


def draw_neighbours(look: Look) -> list[str]:
    """For some pictures the others whose features are nearest."""
    survey = look.survey
    queries = np.unique(np.linspace(0, len(survey.numbers) - 1, look.most_shown).round().astype(int))
    found, distances = neighbours.nearest(survey.features, queries, NEIGHBOURS)
    wanted = np.concatenate([queries[:, None], found], 1)
    flat, places = np.unique(wanted, return_inverse=True)
    parts = look.source.batches(survey.numbers[flat], look.preprocessing, look.at_once)
    pictures = np.concatenate([look.show(inputs) for inputs, _ in parts])[places].reshape(
        *wanted.shape, *look.shown.pictures.shape[1:]
    )
    cells = []
    for row, query in enumerate(queries):
        label = survey.labels[query]
        cells.append(Cell(pictures[row, 0], sheets.short(look.config.names[label], 16)))
        for column, other in enumerate(found[row]):
            same = survey.labels[other] == label
            name = sheets.short(look.config.names[survey.labels[other]], 14)
            title = f"{name}\n{distances[row, column]:.3g}"
            cells.append(Cell(pictures[row, column + 1], title, RIGHT if same else WRONG))
    heading = f"{look.config.arch}: nearest neighbours by {look.features.name}, of {len(survey.numbers):,} pictures"
    sheets.grid(look.out / "neighbours.png", cells, wanted.shape[1], heading, inches=1.0)
    return ["neighbours.png"]


def draw_map(name: str, project: Callable[[np.ndarray], np.ndarray]) -> Callable[[Look], list[str]]:
    """A map of the pictures by their features."""

    def make(look: Look) -> list[str]:
        survey = look.survey
        points = maps.unit_square(project(survey.features))
        classes = sheets.colours(len(look.config.classes))
        side = survey.thumbnails.shape[1]
        across = 1000 // (side + 4)  # of a map of 1,000 pixels, the frames included
        places = maps.cells(points, across)
        sheet = maps.thumbnails(places, survey.thumbnails, classes[survey.labels], across)
        present = np.unique(survey.labels)
        legend = [(look.config.names[label], classes[label]) for label in present] if len(present) <= 20 else []
        what = METHODS[name].title.rpartition(", ")[2]
        heading = f"{look.config.arch}: {len(points):,} pictures by {look.features.name}, {what}"
        sheets.whole(look.out / f"{name}.png", sheet, heading, legend)
        return [f"{name}.png"]

    return make
