import inspect
import json

import numpy as np
import pytest
import tensorflow as tf

import tables
import train
from cli import registry
from common.errors import UserError
from network_costs import MULTIPLY_ADDS, PARAMETERS

# Small enough to be quick, large enough for the arithmetic.
SIZES = {name: 8 for name in PARAMETERS if registry.find(name).image_size == 32} | {
    "alexnet": 67,
    "alexnet_two_towers": 67,
    "googlenet": 79,
    "inception_v3": 107,
    "lenet5": 32,
    "lenet5_1998": 32,
    "zfnet": 63,
    "zfnet_wide": 63,
    "cnn_f": 55,
    "cnn_m": 57,
    "cnn_s": 55,
    "nin": 67,
    "fractalnet20": 32,
    "fractalnet40": 32,
}
# A column that is dropped in a step has no gradient.
OPTIONS = {"fractalnet20": {"drop_path": 0.0}, "fractalnet40": {"drop_path": 0.0}}
# Deeper nets than others of the same blocks, which take long to build: they are left to the slow tests.
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
    "vgg13_bn",
    "vgg16_bn",
    "vgg19_bn",
    "zfnet_wide",
    "preresnet101",
    "preresnet152",
    "preresnet200",
    "resnet101v2",
    "resnet152v2",
    "preresnet110",
    "preresnet164",
    "preresnet1001",
    "wrn22_8",
    "wrn28_10",
    "wrn40_4",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext29_16x64d",
    "resnet110_stochastic_depth",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "se_resnet32",
    "se_resnet44",
    "se_resnet56",
    "se_resnet110",
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


def members(names=PARAMETERS):
    return [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in names]


def test_every_network_has_its_entry():
    assert registry.ARCHITECTURES.keys() == PARAMETERS.keys()


@pytest.mark.parametrize("name", members())
def test_parameters(name):
    assert tables.costs(name)[0] == PARAMETERS[name]


@pytest.mark.parametrize("name", members(MULTIPLY_ADDS))
def test_multiply_adds(name):
    assert tables.summarise(name).totals.multiply_adds / 1e6 == pytest.approx(MULTIPLY_ADDS[name], abs=0.051)


@pytest.mark.parametrize("name", members())
def test_forward_and_backward(name):
    """Finite, and a gradient for every variable."""
    architecture, size = registry.find(name), SIZES.get(name, 32)
    options = {"auxiliary": True} if architecture.auxiliary_weight else {}
    options |= {"stochastic_depth": 1.0} if "stochastic_depth" in architecture.defaults else {}  # no block left out
    model = architecture.build(classes=7, image_size=size, **options, **OPTIONS.get(name, {}))
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
    assert all(script in registry.ARCHITECTURES for script in scripts)


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
        ("lenet5", 32, 7, ()),
        ("lenet5_1998", 32, 7, ("--ema", "0")),
        ("vgg11_bn", 32, 2, ("--ema", "0")),
        ("zfnet", 63, 8, ("--ema", "0")),
        ("cnn_m", 57, 8, ("--ema", "0")),
        ("nin_cifar", 16, 9, ("--ema", "0")),
        ("squeezenet1_1", 33, 14, ("--ema", "0")),
        ("densenet40_12", 16, 2, ("--ema", "0")),
        ("fractalnet20", 32, 4, ("--ema", "0", "--learning_rate", "0.002", "--dropout", "0", "--batch_size", "8")),
        ("mobilenet_025", 32, 8, ("--ema", "0")),
        ("inception_v2", 33, 4, ("--ema", "0")),
        ("preresnet50", 33, 4, ("--ema", "0")),
        ("wrn16_8", 8, 4, ("--ema", "0")),
        ("resnext50_32x4d", 33, 4, ("--ema", "0")),
        ("resnet110_stochastic_depth", 8, 6, ("--ema", "0", "--learning_rate", "0.02")),
        ("se_resnet50", 33, 4, ("--ema", "0")),
    ],
)
def test_learns_digits(monkeypatch, tmp_path, arch, size, epochs, options):
    """One to four hundred steps of batch 32 at a small image size: far above the 10 % of chance."""
    monkeypatch.chdir(tmp_path)
    architecture = registry.find(arch)
    script = registry.script(architecture)
    monkeypatch.setattr("sys.argv", [script])
    arguments = ["--mode", "train", "--arch", arch, "--image_size", str(size), "--batch_size", "32"]

    train.main(None if script == "train.py" else architecture.family, [*arguments, "--epochs", str(epochs), *options])

    assert json.loads((tmp_path / "ckpt" / arch / "results.json").read_text())["top1"] > 0.6
