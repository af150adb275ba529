"""Sheets of pictures, drawn and written as PNG files; and arrays made visible."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

SMALL = 64  # pixels, below which a picture is shown with its pixels as squares
DPI = 100
SHARPEST = 99.5  # percentile that is shown as the largest value, so that single pixels do not darken the rest


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: (H, W, 3) uint8, a title above it, and the colour of its frame, if any."""

    picture: np.ndarray
    title: str = ""
    frame: str | None = None


def short(name: str, most: int = 22) -> str:
    """A name short enough for a title, `$` not taken for a formula."""
    name = name.encode("utf-8", "replace").decode()
    return (name if len(name) <= most else name[: most - 1] + "…").replace("$", r"\$")


def grey(values: np.ndarray) -> np.ndarray:
    """Values (H, W), not negative, as (H, W, 3) uint8: 0 black, the largest white."""
    largest = max(float(np.percentile(values, SHARPEST)), 1e-30)
    return np.repeat(_bytes(values / largest)[..., None], 3, -1)


def signed(values: np.ndarray) -> np.ndarray:
    """Values (H, W, 3) of either sign as uint8: 0 is mid-grey, the largest white or black."""
    largest = max(float(np.percentile(np.abs(values), SHARPEST)), 1e-30)
    return _bytes(0.5 + values / (2 * largest))


def heat(picture: np.ndarray, values: np.ndarray, both_signs: bool) -> np.ndarray:
    """Values (H, W) as colours over a faded picture (H, W, 3) uint8.

    With both signs red is above 0 and blue below it, else from blue, 0, to red, the largest.
    """
    faded = picture @ np.array([0.299, 0.587, 0.114]) / 255
    largest = max(float(np.percentile(np.abs(values), SHARPEST)), 1e-30)
    scaled = np.clip(values / largest, -1, 1)
    if both_signs:
        colour, share = np.where(scaled[..., None] > 0, [0.85, 0.05, 0.05], [0.05, 0.25, 0.9]), np.abs(scaled)
        share = 0.75 * share[..., None]
        return _bytes((1 - share) * (0.35 + 0.65 * faded[..., None]) + share * colour)
    colour = matplotlib.colormaps["turbo"](scaled)[..., :3]
    return _bytes(0.5 * faded[..., None] + 0.5 * colour)


def _bytes(values: np.ndarray) -> np.ndarray:
    """0..1 as 0..255 uint8."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Pictures of 0..1 as uint8."""
    return _bytes(pictures)


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (S, S, 3) uint8 at (side, side, 3): averaged where it is larger."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def grid(
    path: Path,
    cells: Sequence[Cell],
    columns: int,
    heading: str,
    inches: float = 1.5,
    heads: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> None:
    """Writes a sheet of cells, row by row.

    Args:
        path: of the PNG.
        cells: at least one.
        columns: in a row.
        heading: above all.
        inches: width and height of a cell, of 100 pixels each.
        heads: above the columns.
        rows: before the rows.
    """
    lines = -(-len(cells) // columns)
    titled = any(cell.title for cell in cells)
    title = (0.17 * max(cell.title.count("\n") + 1 for cell in cells) + 0.06) if titled else 0.06
    left, top = 0.1 + 0.085 * max(map(len, rows), default=0), 0.42 + (0.22 if heads else 0)
    needed = 0.095 * len(heading) + 0.2
    width = max(left + columns * (inches + 0.08) + 0.1, needed)
    height = top + lines * (inches + title) + 0.1
    figure = Figure(figsize=(width, height))
    figure.text(0.12 / width, 1 - 0.26 / height, heading, fontsize=12, weight="bold", va="center")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        x, y = left + column * (inches + 0.08), height - top - (row + 1) * (inches + title)
        axes = figure.add_axes((x / width, y / height, inches / width, inches / height))
        small = max(cell.picture.shape[:2]) < SMALL
        axes.imshow(cell.picture, interpolation="nearest" if small else "antialiased")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=cell.frame is not None, color=cell.frame or "none", linewidth=2.5)
        if cell.title:
            axes.set_title(cell.title, fontsize=8.5, pad=3)
        if row == 0 and column < len(heads):
            figure.text(
                (x + inches / 2) / width, 1 - 0.53 / height, heads[column], fontsize=9, ha="center", va="center"
            )
        if column == 0 and row < len(rows):
            figure.text(0.12 / width, (y + inches / 2) / height, rows[row], fontsize=9, va="center")
    write(path, figure)


def whole(path: Path, picture: np.ndarray, heading: str, legend: Sequence[tuple[str, np.ndarray]] = ()) -> None:
    """Writes one large picture (H, W, 3) uint8 pixel by pixel, below a heading and the names of colours, if any."""
    height, width = (side / DPI for side in picture.shape[:2])
    per_row = max(1, int(width / 1.5))
    legend_lines = -(-len(legend) // per_row)
    top = 0.45 + 0.24 * legend_lines
    figure = Figure(figsize=(width, height + top))
    figure.text(0.1 / width, 1 - 0.24 / (height + top), heading, fontsize=12, weight="bold", va="center")
    for number, (name, colour) in enumerate(legend):
        row, column = divmod(number, per_row)
        x, y = (0.1 + column * 1.5) / width, 1 - (0.52 + 0.24 * row) / (height + top)
        figure.text(x, y, "■", color=colour / 255, fontsize=12, va="center")
        figure.text(x + 0.2 / width, y, short(name, 16), fontsize=9, va="center")
    axes = figure.add_axes((0, 0, 1, height / (height + top)))
    axes.imshow(picture, interpolation="none")
    axes.axis("off")
    write(path, figure)


def write(path: Path, figure: Figure) -> None:
    """Writes a figure as a PNG without an alpha channel, compressed as far as it goes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    Image.open(drawn).convert("RGB").save(path, optimize=True)


def colours(count: int) -> np.ndarray:
    """(count, 3) uint8: colours that can be told apart, ten of them strong, further ones around the circle of hues."""
    if count <= 10:
        return _bytes(matplotlib.colormaps["tab10"](np.arange(count))[:, :3])
    hues = np.stack([np.arange(count) / count, np.full(count, 0.75), np.full(count, 0.85)], -1)
    return _bytes(matplotlib.colors.hsv_to_rgb(hues))
