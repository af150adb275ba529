"""Pictures of RESULTS.md: curves, points, grids, bubbles of what results.csv and curves/ have."""

import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.transforms import Bbox
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.drawing import plt
from common.runs import files
from experiments import tables
from experiments.design import Picture
from experiments.drawn import DIGEST, ERRORS, Data
from experiments.tables import Line

# Okabe & Ito's colours, told apart by all common kinds of colour vision; further lines are dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A5C00")
DASHES = ("-", "--", ":")
AREA = 14.0  # square points for a million parameters
LEGEND = (1, 10, 50)  # million parameters
# Where a bubble's name may stand, in points: to the right or left of its edge, up or down from its centre.
BESIDE = tuple((right, up) for up in (-3, 8, -14, 19, -25, 30, -36) for right in (3, -3))
WIDTH, DPI = 8.0, 100
MOST_BYTES = 100_000


def style(number: int, dashes: int = 0) -> dict[str, Any]:
    """Colour and dashes of the n-th line."""
    dashes += number // len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "ls": DASHES[dashes % len(DASHES)]}


def styles(lines: Sequence[Line | None]) -> list[dict[str, Any]]:
    """Of each line; where all have a row and a column, colours stand for rows and dashes for columns."""
    cells = [(line.row, line.column) for line in lines if line and line.row]
    if len(cells) < len(lines):
        return [style(number) for number in range(len(lines))]
    rows, columns = (list(dict.fromkeys(places)) for places in zip(*cells, strict=True))
    return [style(rows.index(row), columns.index(column)) for row, column in cells]


def errors(data: Data, picture: Picture, axes: Any) -> None:
    """He et al. 2016, Figure 6: errors in per cent against epochs, training thin, validation thick."""
    for number, line in enumerate(data.lines(picture)):
        epochs = data.per_step(line, "epochs")
        if epochs is None:
            continue
        for series, width in zip(ERRORS, (1.0, 2.2), strict=True):
            x, y = data.curve(line, series)
            if not x.size:
                continue
            label = line.title if width == 1.0 else None
            axes.plot(x * epochs, 100 * (1 - y), lw=width, label=label, marker="o" if width > 1 else "", ms=4,
                      **style(number))  # fmt: skip
    axes.set(xlabel="epoch", ylabel="error, %")
    widths = {curve.get_linewidth() for curve in axes.lines}
    for width, label in ((1.0, "thin: training"), (2.2, "thick: validation")):
        if width in widths:
            axes.plot([], [], lw=width, color="#777777", label=label)
    axes.legend(frameon=False)


def curves(data: Data, picture: Picture, axes: Any) -> None:
    """The first series of each run, mean over its seeds, against steps."""
    _curves(data, picture, axes, data.lines(picture))


def best(data: Data, picture: Picture, axes: Any) -> None:
    """The same of the best run of each group; against steps or `minutes` of processor time."""
    _curves(data, picture, axes, data.lines(picture))


def _curves(data: Data, picture: Picture, axes: Any, lines: Sequence[Line]) -> None:
    split, _, figure = picture.series[0].partition("_")
    factor, what = (100, "top-1, %") if figure == "top1" else (1, figure)
    for line, drawn in zip(lines, styles(lines), strict=True):
        x, y = data.curve(line, picture.series[0])
        scale = data.per_step(line, "processor_minutes") if picture.x == "minutes" else 1.0
        if scale is None or not x.size:
            continue
        axes.plot(x * scale, factor * y, lw=1.6, label=line.title, **drawn)
    across = "minutes of processor time, a run's start and test shared out over its steps"
    across = across if picture.x == "minutes" else picture.x or "step"
    several = any(len(tables.rows_of(line, data.rows)) > 1 for line in lines)
    mean = ", mean over the seeds" if several else ""
    axes.set(xlabel=across, ylabel=f"{'training' if split == 'train' else split} {what}{mean}")
    if picture.log:
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8.5, ncols=1 + len(lines) // 7)


def lines(data: Data, picture: Picture, axes: Any) -> None:
    """Several series of one run against what they are counted in."""
    line = data.lines(picture)[0]
    for series, drawn in zip(picture.series, styles([data.run(name) for name in picture.series]), strict=True):
        x, y = data.curve(line, series)
        axes.plot(x, y, lw=1.6, marker="o", ms=3, label=data.label(series), **drawn)
    axes.set(xlabel=picture.x, ylabel="standard deviation")
    if picture.log:
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8.5, ncols=1 + len(picture.series) // 7)


def points(data: Data, picture: Picture, axes: Any) -> None:
    """Each row's figure as a point, a line of the picture for each run, a bar at the mean."""
    shown = data.lines(picture)
    for number, line in enumerate(shown):
        found = [100 * value for value in tables.values(tables.rows_of(line, data.rows), picture.series[0])]
        axes.plot(found, [number] * len(found), "o", color=COLOURS[0], alpha=0.7, ms=6)
        if found:
            axes.plot([statistics.fmean(found)] * 2, [number - 0.3, number + 0.3], color="#333333", lw=1.5)
    axes.set_yticks(range(len(shown)), [line.title for line in shown])
    axes.invert_yaxis()
    axes.set(xlabel=f"{tables.FIGURES[picture.series[0]].title}, %; the bar is the mean")


def grid(data: Data, picture: Picture, axes: Any) -> None:
    """Rows as lines over the columns, with the seeds' standard deviation."""
    shown = [line for line in data.lines(picture) if line.row]
    columns = list(dict.fromkeys(line.column for line in shown))
    for number, row in enumerate(dict.fromkeys(line.row for line in shown)):
        across = [line for line in shown if line.row == row]
        found = [tables.values(tables.rows_of(line, data.rows), picture.series[0]) for line in across]
        kept = [(columns.index(line.column), values) for line, values in zip(across, found, strict=True) if values]
        means = [100 * statistics.fmean(values) for _, values in kept]
        spreads = [100 * statistics.stdev(values) if len(values) > 1 else math.nan for _, values in kept]
        axes.errorbar([x for x, _ in kept], means, spreads, marker="o", capsize=3, lw=1.6, label=row, **style(number))
    axes.set_xticks(range(len(columns)), columns)
    what = tables.FIGURES[picture.series[0]].title
    axes.set(xlabel=picture.x, ylabel=f"{what}, %: mean and standard deviation")
    alone = any(len(tables.values(tables.rows_of(line, data.rows), picture.series[0])) == 1 for line in shown)
    note = "without a bar: one seed" if alone else None
    axes.legend(
        frameon=False, fontsize=8.5, title=note, title_fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )


def bubbles(data: Data, picture: Picture, axes: Any) -> None:
    """Canziani et al. 2016: accuracy against multiply-adds, the area in proportion to the parameters."""
    named: list[tuple[str, float, float, float]] = []
    for number, line in enumerate(data.lines(picture)):
        found = tables.rows_of(line, data.rows)
        means = [tables.values(found, name) for name in ("multiply_adds", "top1", "parameters")]
        if all(means):
            cost, top1, parameters = map(statistics.fmean, means)
            axes.scatter(cost / 1e6, 100 * top1, area(parameters), color=style(number)["color"], alpha=0.55)
            named.append((line.title, cost / 1e6, 100 * top1, math.sqrt(area(parameters) / math.pi)))
    axes.margins(x=0.14, y=0.1)
    axes.set(xscale="log", xlabel="multiply-adds of one image, millions", ylabel="test top-1, %")
    shown = [axes.scatter([], [], area(1e6 * millions), color="#999999", alpha=0.55) for millions in LEGEND]
    labels = [f"{millions} million" for millions in LEGEND]
    axes.legend(shown, labels, title="parameters", frameon=False, labelspacing=1.2, borderpad=1.0,
                loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    name_apart(axes, named)


def area(parameters: float) -> float:
    """Of a bubble, in square points."""
    return AREA * parameters / 1e6 + 8


def name_apart(axes: Any, named: Sequence[tuple[str, float, float, float]]) -> None:
    """Writes (text, x, y, radius in points) beside the bubbles.

    Each text stands at the first of `BESIDE` where it covers no bubble and no earlier text, else where it covers the
    fewest.
    """
    figure = axes.get_figure()
    figure.canvas.draw()  # the layout, in which texts have their size
    points = figure.dpi / 72
    taken: list[Any] = []
    for _, x, y, radius in named:
        (across, up), half = axes.transData.transform((x, y)), radius * points
        taken.append(Bbox([[across - half, up - half], [across + half, up + half]]))

    def write(text: str, x: float, y: float, place: tuple[float, float]) -> Any:
        side = "left" if place[0] > 0 else "right"
        label = axes.annotate(text, (x, y), place, textcoords="offset points", fontsize=8.5, ha=side)
        label.set_in_layout(False)
        return label

    for text, x, y, radius in named:
        covered: dict[tuple[float, float], int] = {}
        for right, up in BESIDE:
            place = (math.copysign(abs(right) + radius, right), up)
            label = write(text, x, y, place)
            covered[place] = label.get_window_extent(figure.canvas.get_renderer()).count_overlaps(taken)
            label.remove()
        label = write(text, x, y, min(covered, key=lambda place: covered[place]))
        taken.append(label.get_window_extent(figure.canvas.get_renderer()))


KINDS = {
    "errors": errors, "curves": curves, "best": best, "lines": lines, "points": points, "grid": grid,
    "bubbles": bubbles,
}  # fmt: skip


def draw(data: Data, picture: Picture, file: Path) -> None:
    """Draws a picture into a PNG of at most `MOST_BYTES`, of 64 colours, with the digest of what it is drawn of."""
    height = 1.4 + 0.36 * len(data.lines(picture)) if picture.kind == "points" else 4.6
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    KINDS[picture.kind](data, picture, axes)
    axes.grid(alpha=0.25)
    image = io.BytesIO()
    figure.savefig(image, dpi=DPI)
    plt.close(figure)
    with Image.open(image) as drawn:
        few = drawn.convert("RGB").quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    chunk = PngInfo()
    chunk.add_text(DIGEST, data.digest(picture))
    small = io.BytesIO()
    few.save(small, "PNG", optimize=True, pnginfo=chunk)
    assert small.tell() <= MOST_BYTES, f"{file} has {small.tell()} bytes"
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(file, small.getvalue())
