import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tables
import train
from cli import registry
from common.errors import UserError

# Trainable parameters of every registered network, at the paper's number of classes. The heads of GoogLeNet apart.
PARAMETERS = {
    "alexnet": 62378344,
    "alexnet_two_towers": 60965224,
    "vgg11": 132863336,
    "vgg11_lrn": 132863336,
    "vgg13": 133047848,
    "vgg16_1x1": 133638952,
    "vgg16": 138357544,
    "vgg19": 143667240,
    "googlenet": 6998552,
    "resnet18": 11689512,
    "resnet34": 21797672,
    "resnet50": 25557032,
    "resnet101": 44549160,
    "resnet152": 60192808,
    "plain18": 11515688,
    "plain34": 21623848,
    "resnet20": 269722,
    "resnet32": 464154,
    "resnet44": 658586,
    "resnet56": 853018,
    "resnet110": 1727962,
    "resnet1202": 19421274,  # the paper: 19.4M
    "plain20": 269722,
    "plain32": 464154,
    "plain44": 658586,
    "plain56": 853018,
    "nin": 7595176,
    "nin_cifar": 966986,
    "squeezenet1_0": 1248424,
    "squeezenet1_1": 1235496,
    "fractalnet20": 33724618,
    "fractalnet40": 76106634,
    "densenet121": 7978856,
    "densenet169": 14149480,
    "densenet201": 20013928,
    "densenet161": 28681000,
    "densenet40_12": 1019722,
    "densenet100_12": 6979642,
    "densenet100_24": 27249082,
    "densenet_bc100_12": 769162,
    "densenet_bc250_24": 15324406,
    "densenet_bc190_40": 25624430,
    "mobilenet": 4231976,
    "mobilenet_075": 2585560,
    "mobilenet_050": 1331592,
    "mobilenet_025": 470072,
}
# Small enough to be quick, large enough for the arithmetic.
SIZES = {name: 8 for name in PARAMETERS if registry.find(name).image_size == 32} | {
    "alexnet": 67,
    "alexnet_two_towers": 67,
    "googlenet": 79,
    "nin": 67,
    "fractalnet20": 32,
    "fractalnet40": 32,
}
# A column that is dropped in a step has no gradient.
OPTIONS = {"fractalnet20": {"drop_path": 0.0}, "fractalnet40": {"drop_path": 0.0}}
# Deeper nets than others of the same blocks: their steps are left to the slow tests, as is resnet1202 altogether.
DEEP = {
    "resnet44",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnet1202",
    "plain32",
    "plain44",
    "plain56",
    "vgg19",
    "fractalnet40",
    "densenet169",
    "densenet201",
    "densenet161",
    "densenet100_12",
    "densenet100_24",
    "densenet_bc100_12",
    "densenet_bc250_24",
    "densenet_bc190_40",
}


def members(slow):
    return [pytest.param(name, marks=pytest.mark.slow if name in slow else ()) for name in PARAMETERS]


def test_every_network_has_its_entry():
    assert registry.ARCHITECTURES.keys() == PARAMETERS.keys()


@pytest.mark.parametrize("name", members(slow={"resnet1202", "densenet_bc250_24", "densenet_bc190_40"}))
def test_parameters(name):
    assert tables.costs(name)[0] == PARAMETERS[name]


@pytest.mark.parametrize("name", members(slow=DEEP))
def test_forward_and_backward(name):
    """Finite, and a gradient for every variable."""
    keras.utils.set_random_seed(0)
    architecture, size = registry.find(name), SIZES.get(name, 32)
    auxiliary = {"auxiliary": True} if architecture.auxiliary_weight else {}
    model = architecture.build(classes=7, image_size=size, **auxiliary, **OPTIONS.get(name, {}))
    images = np.random.default_rng(0).normal(0.0, 60.0, (4, size, size, 3)).astype("float32")

    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(model(images, training=True))
        losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant([0, 1, 2, 3]), y) for y in outputs]
        loss = tf.add_n([tf.reduce_mean(each) for each in losses])
    gradients = tape.gradient(loss, model.trainable_variables)

    assert len({variable.path for variable in model.variables}) == len(model.variables)
    assert [y.shape for y in outputs] == [(4, 7)] * len(outputs)
    assert all(y.dtype == tf.float32 for y in outputs)
    assert np.isfinite(loss)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path
        assert np.any(gradient.numpy()), variable.path


@pytest.mark.parametrize("name", PARAMETERS)
def test_options_and_recipe_name_what_build_defaults_to(name):
    architecture = registry.find(name)
    defaults = {key: value.default for key, value in inspect.signature(architecture.build).parameters.items()}

    assert {option.name: option.default for option in architecture.own_options}.items() <= defaults.items()
    assert defaults["image_size"] == architecture.image_size
    assert architecture.style.initializer == architecture.recipe.initializer
    assert defaults["dropout"] == architecture.recipe.dropout


def test_families_hold_their_members():
    scripts = ["alexnet", "vgg16", "googlenet", "resnet34"]
    assert list(registry.FAMILIES)[:4] == scripts
    assert all(member.family == family for family, members in registry.FAMILIES.items() for member in members)
    assert all(family in registry.ARCHITECTURES for family in scripts)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--arch: 'resnet43' is not known; did you mean resnet\d+\?"):
        registry.find("resnet43")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "size", "epochs", "options"),
    [
        ("vgg16", 64, 3, ("--ema", "0")),
        ("googlenet", 79, 10, ("--ema", "0")),  # leaves ln(10) after some 150 steps
        ("resnet34", 64, 6, ()),
    ],
)
def test_learns_digits(monkeypatch, tmp_path, arch, size, epochs, options):
    """One to four hundred steps of batch 32 at a small image size: far above the 10 % of chance."""
    monkeypatch.chdir(tmp_path)
    architecture = registry.find(arch)
    monkeypatch.setattr("sys.argv", [f"{architecture.family}.py"])
    arguments = ["--mode", "train", "--arch", arch, "--image_size", str(size), "--batch_size", "32"]

    train.main(architecture.family, [*arguments, "--epochs", str(epochs), *options])

    assert json.loads((tmp_path / "ckpt" / arch / "results.json").read_text())["top1"] > 0.6
