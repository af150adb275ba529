"""What the tests of the networks share: each network's summary, built once in a test run."""

import functools

from cli import registry
from common.nn import summary


@functools.cache
def summarise(name: str, **options) -> summary.Summary:
    """The summary of a network with the paper's number of classes and image size."""
    architecture = registry.find(name)
    return summary.summarise(architecture, None, architecture.image_size, **options)


def outputs(name: str, *kinds: str) -> list[str]:
    """`name HxWxC` of every layer of some kinds, in order; of all layers where no kind is given."""
    return [
        f"{row.name} {'x'.join(map(str, row.output))}" for row in summarise(name).rows if not kinds or row.kind in kinds
    ]


def fields(name: str) -> dict[str, int]:
    """Receptive field by layer."""
    return {row.name: row.receptive_field for row in summarise(name).rows}


def costs(name: str, **options) -> tuple[int, int]:
    """Trainable parameters, and multiply-adds in millions, rounded."""
    totals = summarise(name, **options).totals
    return totals.trainable_parameters, round(totals.multiply_adds / 1e6)
