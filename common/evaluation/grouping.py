"""Pictures of many shapes, put into batches of one shape each."""

from collections.abc import Iterator

import numpy as np


def by_shape(elements: Iterator[tuple], at_once: int, held: int) -> Iterator[tuple]:
    """Batches of elements whose arrays agree in shape, at most `at_once` in each; at most `held` wait meanwhile.

    Where more would wait, the largest group goes first. Every element comes out once.
    """
    groups: dict[tuple, list[tuple]] = {}
    waiting = 0
    for element in elements:
        shape = tuple(np.shape(part) for part in element)
        group = groups.setdefault(shape, [])
        group.append(element)
        waiting += 1
        if len(group) == at_once or waiting > held:
            shape = shape if len(group) == at_once else max(groups, key=lambda key: len(groups[key]))
            ready = groups.pop(shape)
            waiting -= len(ready)
            yield _stacked(ready)
    for group in groups.values():
        yield _stacked(group)


def _stacked(group: list[tuple]) -> tuple:
    return tuple(np.stack(parts) for parts in zip(*group, strict=True))
