"""The network that a run's configuration describes."""

from typing import TYPE_CHECKING

from common import distribution
from common.architecture import Architecture
from common.runs.config import RunConfig

if TYPE_CHECKING:
    import keras


def build(architecture: Architecture, config: RunConfig) -> "keras.Model":
    """The network as it is trained, its weights as they begin, with auxiliary classifiers where it has some.

    Imported weights are those of the network as it is tested: with them it has none.
    Call it inside the strategy's scope. Keras draws the seeds from Python's `random`.
    """
    arguments = dict(config.options)
    if config.recipe.dropout is not None:
        arguments["dropout"] = config.recipe.dropout
    if architecture.auxiliary_weight and not config.imported:
        arguments["auxiliary"] = True
    with distribution.precision(config.precision):
        return architecture.build(
            classes=len(config.classes),
            image_size=config.image_size,
            initializer=config.recipe.initializer,
            classifier_initializer=config.recipe.classifier_initializer,
            **arguments,
        )
