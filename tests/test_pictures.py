"""Every method of visualization on one network of each family, in float32 and bfloat16."""

import keras
import numpy as np
import pytest

from cli import registry
from common import distribution
from common.nn import graph_rewrite
from common.visualization import (
    activations,
    class_activation,
    exciting_pictures,
    filters,
    gradients,
    maximization,
    occlusion,
    scores,
)

# The lightest of each family, at a small size, and every kind of layer with a gradient of its own.
CHOSEN = {
    "alexnet_two_towers": 67,
    "vgg11_lrn": 32,
    "googlenet": 79,
    "resnet20": 16,
    "lenet5": 32,
    "zfnet": 63,
    "cnn_f": 55,
    "nin_cifar": 16,
    "squeezenet1_1": 63,
    "fractalnet20": 32,
    "densenet40_12": 16,
    "mobilenet_025": 64,
    "inception_v2": 64,
    "resnet50v2": 32,
    "wrn16_8": 16,
    "resnext50_32x4d": 32,
    "resnet110_stochastic_depth": 16,
    "se_resnet20": 16,
}
OPTIONS = {"resnet20": {"norm": "group"}, "wrn16_8": {"activation": "prelu"}, "vgg11_lrn": {"activation": "elu"}}
QUICK = {"lenet5"}
MEMBERS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CHOSEN]


def test_there_is_one_of_each_family():
    assert {registry.find(name).family for name in CHOSEN} == set(registry.FAMILIES)


def network(name: str, precision: str):
    keras.utils.set_random_seed(1)
    architecture, size = registry.find(name), CHOSEN[name]
    heads = {"auxiliary": True} if architecture.auxiliary_weight else {}
    with distribution.precision(precision):
        model = architecture.build(classes=4, image_size=size, **heads, **OPTIONS.get(name, {}))
    pictures = np.random.default_rng(0).normal(0, 60, (2, size, size, 3)).astype(np.float32)
    return graph_rewrite.main_path(model), pictures, np.array([1, 3])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", MEMBERS)
def test_every_method_gives_finite_pictures(name, precision):
    model, x, classes = network(name, precision)
    size = CHOSEN[name]
    black, white = np.full(x.shape[1:], -120, np.float32), np.full(x.shape[1:], 135, np.float32)
    layer = class_activation.last_map(model)
    found = {
        "filters": filters.first_filters(model),
        "activations": activations.activations(model, layer, x),
        "gradient": gradients.gradient(model, x, classes),
        "smooth": gradients.smooth_gradient(model, x, classes, samples=2),
        "guided": gradients.guided_backpropagation(model, x, classes),
        "integrated": gradients.integrated_gradients(model, x, classes, black, most_steps=4).attributions,
        "occlusion": occlusion.occlusion(model, x, classes, size // 2, size // 2).drop(size),
        "gradcam": class_activation.grad_cam(model, x, classes),
        "peaks": exciting_pictures.peaks(model, layer, x).values,
    }
    ascent = maximization.Ascent(steps=2)
    found["class"], _ = maximization.maximise(model, [0, 2], black, white, ascent=ascent)
    found["unit"], _ = maximization.maximise(model, [0], black, white, layer, ascent)
    if class_activation.ending(model):
        found["cam"] = class_activation.class_activation_map(model, x, classes)
    for method, values in found.items():
        assert values.dtype in (np.float32, np.float64), method
        assert np.isfinite(values).all(), method
    score = scores.predict(model, x)[np.arange(2), classes]
    assert np.isfinite(score).all()
    # A class whose map is nowhere above zero, before weights were trained, has the score 0 and no gradient.
    assert found["gradient"].any((1, 2, 3))[score != 0].all()
    assert found["gradient"].shape == found["guided"].shape == x.shape
    assert activations.last_of_each_size(model)
    place = exciting_pictures.peaks(model, layer, x).places[0, 0]
    assert exciting_pictures.seen(np.zeros(x.shape[1:], np.uint8), layer, place).size
