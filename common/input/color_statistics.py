"""Colour statistics of a training split, exact: sums of whole numbers, so that any order and any split add up the same.

Mean and covariance are taken over every pixel of every image, as in Krizhevsky 2012 (section 4.1: "we perform PCA on
the set of RGB pixel values throughout the ImageNet training set").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np

_CHUNK = 1 << 20  # pixels turned into float64 at a time: 24 MB


@dataclass(frozen=True)
class Sums:
    """Over some pixels: how many, the sum of each channel (3 numbers), the sums of products (3 rows of 3)."""

    pixels: int = 0
    first: tuple[int, ...] = (0, 0, 0)
    second: tuple[tuple[int, ...], ...] = ((0, 0, 0), (0, 0, 0), (0, 0, 0))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.pixels + other.pixels,
            tuple(a + b for a, b in zip(self.first, other.first, strict=True)),
            tuple(
                tuple(a + b for a, b in zip(mine, theirs, strict=True))
                for mine, theirs in zip(self.second, other.second, strict=True)
            ),
        )


@dataclass(frozen=True)
class Statistics:
    """Per channel mean and std, 0..255, and the principal components of RGB/255; see `records.DatasetInfo`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]


def measure(pixels: np.ndarray) -> Sums:
    """The sums of one or more images, (..., 3) uint8. float64 holds every sum exactly up to 10^11 pixels."""
    flat = pixels.reshape(-1, 3)
    first, second = np.zeros(3), np.zeros((3, 3))
    for start in range(0, len(flat), _CHUNK):
        chunk = flat[start : start + _CHUNK].astype(np.float64)
        first += chunk.sum(axis=0)
        second += chunk.T @ chunk
    return Sums(len(flat), tuple(map(int, first)), tuple(tuple(map(int, row)) for row in second))


def total(sums: Iterable[Sums]) -> Sums:
    """All of them added up."""
    return sum(sums, Sums())


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def summarise(sums: Sums) -> Statistics:
    """Mean, std (of the population) and eigen-decomposition of the covariance; at least one pixel is needed.

    An eigenvector's sign is free: its largest component is made positive. Eigenvalues and eigenvectors are rounded to
    10 decimals, because the last digits differ from one linear-algebra library to the next.
    """
    n = sums.pixels
    # n^2 times the covariance is a whole number: nothing is lost to cancellation.
    covariance = np.array(
        [[(sums.second[i][j] * n - sums.first[i] * sums.first[j]) / n**2 for j in range(3)] for i in range(3)]
    )
    values, columns = np.linalg.eigh(covariance / 255.0**2)
    vectors = [vector * np.sign(vector[np.argmax(np.abs(vector))]) for vector in columns.T[::-1]]
    return Statistics(
        mean=_three(value / n for value in sums.first),
        std=_three(sqrt(covariance[i, i]) for i in range(3)),
        eigenvalues=tuple(round(max(0.0, float(value)), 10) for value in values[::-1]),
        eigenvectors=tuple(tuple(round(float(value), 10) + 0.0 for value in vector) for vector in vectors),
    )
