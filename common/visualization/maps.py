"""A map of pictures: points that are near each other where the network's features are.

PCA: the plane of the largest variance. t-SNE: L. van der Maaten, G. Hinton, "Visualizing Data using t-SNE", 2008,
https://www.jmlr.org/papers/v9/vandermaaten08a.html; by scikit-learn, which approximates it (Barnes-Hut).
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

DIMENSIONS = 30  # before t-SNE (section 4.1)
PERPLEXITY = 30.0  # "typical values are between 5 and 50" (section 2)
LEAST = 4  # pictures, of which a map can be made


def pca(features: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """(N, D) -> (N, dimensions), or fewer where N or D is smaller."""
    return PCA(min(dimensions, *features.shape), random_state=0).fit_transform(features)


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, D) -> (N, 2), of the first principal components; at least four pictures."""
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    return made.fit_transform(pca(features, DIMENSIONS).astype(np.float32))


def unit_square(points: np.ndarray) -> np.ndarray:
    """Points (N, 1 or 2) moved and scaled so that they fill [0, 1] along each axis."""
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    low, span = points.min(0), np.ptp(points, axis=0)
    return (points - low) / np.where(span > 0, span, 1.0)


def cells(points: np.ndarray, side: int, reach: int = 2) -> list[tuple[int, int] | None]:
    """A place for each point on a square grid: its own cell, or the nearest free one, None where none is near.

    Args:
        points: (N, 2) in the unit square, x to the right and y upwards.
        side: cells in a row.
        reach: how many rows and columns away a free cell is looked for.
    """
    around = sorted(
        ((row, column) for row in range(-reach, reach + 1) for column in range(-reach, reach + 1)),
        key=lambda step: (step[0] ** 2 + step[1] ** 2, step),
    )
    taken: set[tuple[int, int]] = set()
    found: list[tuple[int, int] | None] = []
    for x, y in points:
        row, column = round((1 - y) * (side - 1)), round(x * (side - 1))
        near = ((row + down, column + right) for down, right in around)
        free = (cell for cell in near if cell not in taken and min(cell) >= 0 and max(cell) < side)
        found.append(next(free, None))
        if found[-1] is not None:
            taken.add(found[-1])
    return found


def thumbnails(
    places: list[tuple[int, int] | None],
    pictures: np.ndarray,
    colours: np.ndarray,
    side: int,
    edge: int = 2,
    paper: int = 255,
) -> np.ndarray:
    """Pictures at their places, each in a frame of its colour.

    Args:
        places: N cells, row and column, or None for a picture that is left out.
        pictures: (N, t, t, 3) uint8.
        colours: (N, 3) uint8.
        side: of the map, in cells.
        edge: width of the frames in pixels.
        paper: what stands where no picture is.

    Returns:
        (H, H, 3) uint8.
    """
    cell = pictures.shape[1] + 2 * edge
    sheet = np.full((side * cell, side * cell, 3), paper, np.uint8)
    for place, picture, colour in zip(places, pictures, colours, strict=True):
        if place is not None:
            row, column = place
            part = sheet[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            part[:] = colour
            part[edge : cell - edge, edge : cell - edge] = picture
    return sheet
