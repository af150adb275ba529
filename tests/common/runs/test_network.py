from dataclasses import replace

import keras
import pytest

from common.architecture import Architecture
from common.recipe import Recipe
from common.runs import network
from common.runs.config import RunConfig


@pytest.mark.parametrize(
    ("dropout", "weight", "imported", "more"),
    [
        (None, 0.0, None, {}),
        (0.3, 0.0, None, {"dropout": 0.3}),
        (0.0, 0.3, None, {"dropout": 0.0, "auxiliary": True}),
        (0.0, 0.3, {"file": "weights.npz"}, {"dropout": 0.0}),  # weights of a network as it is tested
    ],
)
def test_a_network_is_built_as_its_configuration_says(dropout, weight, imported, more):
    given = {}

    def build(**arguments):
        given.update(arguments, policy=keras.config.dtype_policy().name)
        return "the model"

    recipe = Recipe(initializer="glorot", dropout=dropout)
    architecture = Architecture("small", "alexnet", build, 32, recipe, "made for the tests", auxiliary_weight=weight)
    config = RunConfig("small", {"shortcut": "C"}, ("ash", "elm", "oak"), 24, {}, recipe, "", 3, "mixed_bfloat16")
    config = replace(config, imported=imported)
    assert network.build(architecture, config) == "the model"
    wanted = {"classes": 3, "image_size": 24, "shortcut": "C", "initializer": "glorot", "policy": "mixed_bfloat16"}
    assert given == wanted | {"classifier_initializer": None} | more
    assert keras.config.dtype_policy().name == "float32"
