"""What the tests of imported weights share: networks of keras.applications, and this program's filled from arrays."""

import keras
import numpy as np

from cli import import_weights, registry, setup, weight_names
from common.runs import checkpoints
from common.runs import config as runs
from common.weights import weight_layouts


def pictures(size, count=2):
    """Noise (count, size, size, 3) float32, from picture to picture stronger and of another colour.

    Of pictures that are alike on average a deep network with random weights makes nearly the same.
    """
    random = np.random.default_rng(3)
    strength = np.linspace(1.0, 4.0, count)[:, None, None, None]
    noise = random.normal(size=(count, size, size, 3)) + random.normal(size=(count, 1, 1, 3))
    return (strength * noise).astype(np.float32)


def loaded(path, arch=None):
    """The network in a weight file, by way of its run directory, and its configuration."""
    run = import_weights.import_run(str(path), arch)
    config = runs.read(run)
    model = setup.build_model(registry.find(config.arch), config)
    checkpoints.restore_weights(checkpoints.best(run), model)
    return model, config


def filled(arrays, size=None, arch=None):
    """The same without a run directory, for large networks; `arch` decides where several fit."""
    found = weight_names.recognise(arrays, "made here")
    architecture = registry.find(arch or found.archs[0])
    options = architecture.defaults | found.options
    size = size or found.image_size or architecture.image_size
    model = architecture.build(classes=found.classes, image_size=size, **options)
    names = {layer.name: found.rename(layer.name) for layer in model.layers if layer.get_weights()}
    weight_layouts.fill(model, names, found.arrays, found.layout, "made here")
    return model, found


def assert_same(found, wanted):
    """To 1e-4 of the largest output of each image; the images differ by far more."""
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * scale)
    assert np.abs(wanted[0] - wanted[1]).max() > 0.01 * scale


def applications(name, size, **arguments):
    """A network of keras.applications with weights that are all of consequence."""
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=5, classifier_activation=None, **arguments
    )
    random = np.random.default_rng(0)
    for variable in model.variables:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind in ("bias", "beta", "moving_mean"):
            variable.assign(random.normal(0, 0.1, variable.shape))
        elif kind in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.7, 1.1, variable.shape))
    return model
