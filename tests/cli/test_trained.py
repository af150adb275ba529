"""Which layers training takes over from other weights."""

import dataclasses

import numpy as np
import pytest

import tiny
from cli import trained
from common.architecture import Architecture
from common.runs import checkpoints
from common.runs.config import RunConfig

ANIMALS = tuple(f"animal {n}" for n in range(10))
TREES = tuple(f"tree {n}" for n in range(10))
TINY = Architecture("tiny", "alexnet", tiny.build, 16, tiny.RECIPE, "made for the tests")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of `tiny` for ten animals, all of whose weights are 2."""
    run = tmp_path_factory.mktemp("run")
    model = tiny.build()
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0, np.float32))
    folder = checkpoints.save(run, {"step": 1}, {"model": model.variables})
    config = RunConfig("tiny", {}, ANIMALS, 16, {}, tiny.RECIPE, "", 0, "float32")
    return trained.Trained(run, config, TINY, lambda: checkpoints.open_checkpoint(folder))


def taken(source, classes, architecture=TINY):
    """The layers whose kernels were taken from the source; what is said."""
    model = tiny.build(classes=len(classes))
    said = trained.transfer(source, architecture, model, classes)
    kernels = {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}
    assert {name for name, kernel in kernels.items() if (kernel == 2.0).any()} == {
        name for name, kernel in kernels.items() if (kernel == 2.0).all()
    }
    return {name for name, kernel in kernels.items() if (kernel == 2.0).all()}, said.partition(" new layers: ")[2]


def test_the_classifier_is_taken_for_the_same_classes(source):
    assert taken(source, ANIMALS) == ({"conv1", "conv2", "fc"}, "none")


@pytest.mark.parametrize("classes", [TREES, TREES[:3], ANIMALS[::-1]])
def test_a_classifier_of_other_classes_is_new_even_if_there_are_as_many(source, classes):
    said = "fc; the classifier is new, as the classes are others"
    assert taken(source, classes) == ({"conv1", "conv2"}, said)


def test_imported_weights_name_no_classes_so_their_classifier_is_taken_where_it_fits(source):
    config = dataclasses.replace(source.config, imported={"file": "a.npz"}, classes=tuple(map(str, range(10))))
    imported = dataclasses.replace(source, config=config)
    said = "none; the classifier is taken for the data set's: imported weights do not name their classes"
    assert taken(imported, TREES) == ({"conv1", "conv2", "fc"}, said)
    assert taken(imported, TREES[:3]) == ({"conv1", "conv2"}, "fc")


def test_a_network_that_inherits_the_classifier_inherits_none_of_other_classes(source):
    heir = dataclasses.replace(TINY, name="heir", inherits=("conv1", "fc"))
    assert taken(source, ANIMALS, heir)[0] == {"conv1", "fc"}
    assert taken(source, TREES, heir)[0] == {"conv1"}
