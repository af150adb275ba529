import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import images as made
import tiny
from cli import registry
from common import recipe
from common.architecture import Architecture
from common.errors import UserError
from common.nn import layers
from common.recipe import Recipe
from common.runs import checkpoints
from common.runs import config as runs
from common.style import styled
from common.training import finetuning, optimizers
from common.training.optimizers import OPTIMIZERS


def trainable(model):
    return {variable.path for variable in model.trainable_variables}


def head_of(model):
    return {variable.path for layer in finetuning.classifiers(model) for variable in layer.trainable_variables}


def test_conv_freezes_all_but_the_fully_connected_layers():
    model = registry.find("vgg11").build(classes=3, image_size=32)
    finetuning.freeze(model, "conv")
    assert trainable(model) == {f"{name}/{part}" for name in ("fc6", "fc7", "fc8") for part in ("kernel", "bias")}
    model = tiny.build()
    finetuning.freeze(model, "conv")
    assert trainable(model) == {"fc/kernel", "fc/bias"}


def test_a_layers_name_freezes_it_and_what_it_depends_on():
    model = registry.find("resnet20").build(shortcut="B")
    finetuning.freeze(model, "conv3_1_relu")  # the first block of the second stage; its shortcut too
    frozen = {layer.name for layer in model.layers if layer.weights and not layer.trainable}
    convolutions = {"conv1", *(f"conv2_{block}_conv{i}" for block in (1, 2, 3) for i in (1, 2))}
    convolutions |= {"conv3_1_conv1", "conv3_1_conv2", "conv3_1_shortcut"}
    assert frozen == convolutions | {f"{name}_bn" for name in convolutions}


@pytest.mark.parametrize(
    ("layer", "said"), [("conv9", "has no such layer; did you mean conv"), ("fc", "nothing of tiny is left to train")]
)
def test_what_cannot_be_frozen(layer, said):
    with pytest.raises(UserError, match=said):
        finetuning.freeze(tiny.build(), layer)


def test_the_start_says_which_layers_train_at_which_rate():
    settings = Recipe(learning_rate=0.001)
    assert finetuning.rates(tiny.build(), settings) is None
    model = tiny.build()
    finetuning.freeze(model, "conv1")
    assert finetuning.rates(model, dataclasses.replace(settings, freeze="conv1")) == (
        "conv1 frozen; conv1_bn to fc (4 layers) at 0.001"
    )
    both = dataclasses.replace(settings, freeze="conv1", head_learning_rate=0.25)
    assert finetuning.rates(model, both) == "conv1 frozen; conv1_bn to conv2_bn (3 layers) at 0.001; fc at 0.25"
    deep = registry.find("googlenet").build(classes=3, image_size=96, auxiliary=True)
    text = finetuning.rates(deep, dataclasses.replace(settings, head_learning_rate=0.5))
    assert text.startswith("conv1 to ")
    assert text.endswith("(3 layers) at 0.5")  # the classifier and the two auxiliary ones


@styled(initializer="he")
def convolutional(classes=10, image_size=16, dropout=0.25):
    """As Network in Network ends: the scores are the means of the last maps."""
    x = image = layers.image_input(image_size)
    x = layers.conv(x, 8, 3, padding=1, name="conv1")
    x = layers.dropout(layers.max_pool(x, 4, 4, name="pool1"), dropout, name="dropout")
    x = layers.conv(x, classes, 1, name="conv2")
    return layers.network(image, layers.global_avg_pool(x, name="pool2"), name="convolutional")


CONV2 = {"conv2/kernel", "conv2/bias"}


def test_a_convolution_that_is_averaged_is_a_classifier():
    model = convolutional()
    assert head_of(model) == CONV2
    finetuning.freeze(model, "conv")
    assert trainable(model) == CONV2
    model = convolutional(norm="batch")
    of_norm = {"conv2_bn/gamma", "conv2_bn/beta"}
    assert head_of(model) == {"conv2/kernel"} | of_norm
    assert [layer.name for layer in finetuning.classifiers(tiny.build())] == ["fc"]
    heads = finetuning.classifiers(registry.find("googlenet").build(classes=3, image_size=96, auxiliary=True))
    assert [layer.output.shape[-1] for layer in heads] == [3, 3, 3]
    assert all(isinstance(layer, keras.layers.Dense) for layer in heads)


@pytest.mark.slow
def test_a_convolutional_classifier_is_replaced_and_trained_at_its_own_rate(monkeypatch, tmp_path, capsys):
    tiny.register(monkeypatch, tmp_path)
    network = Architecture("convolutional", "alexnet", convolutional, 16, tiny.RECIPE, "made for the tests")
    monkeypatch.setitem(registry.ARCHITECTURES, network.name, network)
    made.tree(Path("photos"), {"oak": 30, "ash": 30})
    tiny.start("first", "--arch", "convolutional", "--epochs", "1")
    capsys.readouterr()
    tuned = ("--freeze", "conv", "--head_learning_rate", "0.5", "--epochs", "1", "--batch_size", "16")
    tiny.start("second", "--arch", "convolutional", "--restore", "first", "--dataset", "photos", *tuned)
    printed = capsys.readouterr().out
    assert "2 variables taken; new layers: conv2; the classifier is new, as the classes are others" in printed
    assert "conv1 frozen; conv2 at 0.5" in printed
    before, after = weights("first"), weights("second")
    assert (before["conv2/kernel"].shape, after["conv2/kernel"].shape) == ((1, 1, 8, 10), (1, 1, 8, 2))
    np.testing.assert_array_equal(before["conv1/kernel"], after["conv1/kernel"])


def moved(name: str, learning_rate: float, head: float | None, gradients) -> list[np.ndarray]:
    """Kernels of a network of two layers, the second its classifier, after some steps of a rule; and of its head."""
    settings = Recipe(optimizer=name, learning_rate=learning_rate, head_learning_rate=head, momentum=0.9)
    image = keras.Input((2,))
    hidden = keras.layers.Dense(2, use_bias=False, name="body")(image)
    model = keras.Model(image, keras.layers.Dense(2, use_bias=False, name="head")(hidden))
    for variable in model.trainable_variables:
        variable.assign([[0.5, -0.25], [1.0, 2.0]])
    optimizer = optimizers.make_optimizer(settings)
    optimizer.build(model.trainable_variables)
    finetuning.set_rates(optimizer, model, settings)
    for step, gradient in enumerate(gradients):
        optimizer.learning_rate.assign(learning_rate * (1.0 if step < 2 else 0.1))  # a drop: both rates fall
        optimizers.apply_gradients(optimizer, [tf.constant(gradient)] * 2, model.trainable_variables)
    return [variable.numpy() for variable in model.trainable_variables]


GRADIENTS = np.random.default_rng(0).normal(size=(4, 2, 2)).astype(np.float32)


def test_momentum_at_two_rates_is_the_formula():
    body, head = moved("momentum", 0.01, 0.25, GRADIENTS)
    for found, rate in ((body, 0.01), (head, 0.25)):
        x, v = np.array([[0.5, -0.25], [1.0, 2.0]]), np.zeros((2, 2))
        for step, g in enumerate(GRADIENTS.astype(np.float64)):
            v = 0.9 * v - rate * (1.0 if step < 2 else 0.1) * g
            x = x + v
        np.testing.assert_allclose(found, x, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_rule_moves_each_part_as_if_alone_at_its_rate(name):
    body, head = moved(name, 0.01, 0.08, GRADIENTS)
    np.testing.assert_array_equal(body, moved(name, 0.01, None, GRADIENTS)[0])
    np.testing.assert_allclose(head, moved(name, 0.08, None, GRADIENTS)[1], rtol=1e-5)
    assert np.abs(body - head).max() > 1e-4


def weights(run: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoints.newest(Path(run)).folder / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
    return {
        name.removeprefix("model/").split("/.ATTR")[0].replace(".S", "/"): reader.get_tensor(name) for name in names
    }


@pytest.fixture
def pretrained(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    tiny.start("first", "--epochs", "1")


def test_layer_decay_multiplies_the_rate_of_each_layer_below_the_classifier():
    settings = Recipe(learning_rate=0.5, layer_decay=0.5)
    model = registry.find("vgg11").build(classes=3, image_size=32)
    names = [f"conv{n}" for n in ("1_1", "2_1", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2")] + ["fc6", "fc7", "fc8"]
    assert finetuning.rate_factors(model, settings) == {name: 0.5 ** (10 - i) for i, name in enumerate(names)}

    normalised = finetuning.rate_factors(registry.find("resnet20").build(), settings)
    assert normalised["fc"] == 1.0
    assert normalised["conv4_3_conv2"] == normalised["conv4_3_conv2_bn"] == 0.5
    assert normalised["conv1"] == normalised["conv1_bn"] == 0.5**19

    resnet18 = finetuning.rate_factors(registry.find("resnet18").build(classes=3, image_size=32), settings)
    assert resnet18["conv1"] == 0.5**17  # 16 convolutions above it; the projections lie beside two of them
    for block in ("conv3_1", "conv4_1", "conv5_1"):
        assert resnet18[f"{block}_shortcut"] == resnet18[f"{block}_shortcut_bn"] == resnet18[f"{block}_conv2"]

    googlenet = registry.find("googlenet").build(classes=3, image_size=79, auxiliary=True)
    factors = finetuning.rate_factors(googlenet, settings)
    assert factors["conv1"] == 0.5**21  # the paper's 22 layers, the classifier at the full rate
    ends = {factors[f"inception_5b_{end}"] for end in ("1x1", "3x3", "5x5", "pool_proj")}
    assert ends == {0.5}
    assert (factors["aux_4a_fc"], factors["aux_4a_conv"], factors["aux_4a_logits"]) == (0.5, 0.25, 1.0)

    head = dataclasses.replace(settings, head_learning_rate=2.0)
    assert finetuning.rate_factors(model, head)["fc8"] == 4.0
    assert finetuning.rate_factors(model, head)["fc7"] == 0.5
    assert finetuning.rates(model, settings).startswith("conv1_1 at 0.000488; conv2_1 at 0.000977; ...; ")


def test_layer_decay_moves_the_weights_by_its_factors():
    model, settings = tiny.build(), Recipe(optimizer="sgd", learning_rate=0.5, layer_decay=0.25)
    optimizer = optimizers.make_optimizer(settings)
    optimizer.build(model.trainable_variables)
    finetuning.set_rates(optimizer, model, settings)
    before = [v.numpy() for v in model.trainable_variables]
    ones = [tf.ones(v.shape) for v in model.trainable_variables]
    optimizers.apply_gradients(optimizer, ones, model.trainable_variables)
    factors = finetuning.rate_factors(model, settings)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_allclose(old - variable.numpy(), 0.5 * factors[variable.path.split("/")[0]], rtol=1e-4)
    assert sorted(set(factors.values()))[-2:] == [0.25, 1.0]


def test_training_on_leaves_what_is_frozen_to_the_bit(pretrained, capsys):
    tuned = ("--restore", "first", "--freeze", "conv1_bn", "--head_learning_rate", "0.1", "--epochs", "1")
    tiny.start("second", *tuned)
    before, after = weights("first"), weights("second")
    kept = {name for name in before if np.array_equal(before[name], after[name])}
    norm = {f"conv1_bn/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert {name for name in kept if "seed" not in name} == {"conv1/kernel"} | norm
    config = runs.read(Path("second"))
    assert (config.recipe.freeze, config.recipe.head_learning_rate) == ("conv1_bn", 0.1)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        tiny.start("second", *tuned[:-3], "0.2", "--epochs", "1")
    assert "head_learning_rate: 0.1 -> 0.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting",
    [("--freeze", "conv"), ("--head_learning_rate", "0.1"), ("--head_learning_rate", "1"), ("--layer_decay", "0.9")],
)
def test_nothing_is_frozen_at_its_initial_values(monkeypatch, tmp_path, capsys, setting):
    tiny.register(monkeypatch, tmp_path)
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", *setting)
    assert caught.value.code == 2
    assert f"{setting[0]} is for training on" in capsys.readouterr().err
    assert not Path("run").exists()


def test_older_configurations_are_read():
    values = json.loads(json.dumps({"learning_rate": 0.5}))
    read = recipe.from_dict(values)
    assert (read.freeze, read.head_learning_rate, read.learning_rate) == (None, None, 0.5)
    with pytest.raises(UserError, match="--head_learning_rate=-1"):
        Recipe(head_learning_rate=-1)
