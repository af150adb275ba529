import numpy as np
import pytest
import tensorflow as tf

import tables
import train
from cli import registry
from common.errors import UserError
from zoo import nin


def test_costs():
    # Trainable parameters and multiply-adds in millions.
    for name, parameters, millions in (("nin", 7595176, 1100.19), ("nin_cifar", 966986, 222.49)):
        totals = tables.summarise(name).totals
        assert totals.trainable_parameters == parameters
        assert round(totals.multiply_adds / 1e6, 2) == millions


def test_every_output():
    assert ", ".join(tables.outputs("nin", "convolution", "max pool")) == (
        "conv1 54x54x96, cccp1 54x54x96, cccp2 54x54x96, pool1 27x27x96, "
        "conv2 27x27x256, cccp3 27x27x256, cccp4 27x27x256, pool2 13x13x256, "
        "conv3 13x13x384, cccp5 13x13x384, cccp6 13x13x384, pool3 6x6x384, "
        "conv4 6x6x1024, cccp7 6x6x1024, cccp8 6x6x1000"
    )
    assert ", ".join(tables.outputs("nin_cifar", "convolution", "max pool")) == (
        "conv1 32x32x192, cccp1 32x32x160, cccp2 32x32x96, pool1 16x16x96, "
        "conv2 16x16x192, cccp3 16x16x192, cccp4 16x16x192, pool2 8x8x192, "
        "conv3 8x8x192, cccp5 8x8x192, cccp6 8x8x10"
    )


@pytest.mark.parametrize(("name", "last"), [("nin", "cccp8"), ("nin_cifar", "cccp6")])
def test_relu_follows_every_convolution_and_the_means_of_the_last_maps_are_the_logits(name, last):
    model = registry.find(name).build(classes=10, image_size=67 if name == "nin" else 12)
    convolutions = [layer.name for layer in model.layers if layer.name.startswith(("conv", "cccp"))]
    assert [f"{name}_relu" in convolutions for name in convolutions if "_" not in name] == [True] * (
        12 if name == "nin" else 9
    )
    images = tf.random.stateless_normal((2, *model.input.shape[1:]), [1, 2]) * 60.0
    maps = type(model)(model.input, model.get_layer(f"{last}_relu").output)(images).numpy()
    np.testing.assert_allclose(model(images), maps.mean((1, 2)), rtol=1e-5, atol=1e-6)
    assert (maps >= 0).all()
    assert maps.max() > 0


def test_the_second_pool_takes_maxima_or_averages():
    kinds = {}
    for pool2 in ("max", "average"):
        rows = {row.name: row for row in tables.summarise("nin_cifar", pool2=pool2).rows}
        kinds[rows["pool2"].kind] = (rows["pool2"].kernel, rows["pool2"].stride, rows["pool2"].ceil)
    assert kinds == {"max pool": (3, 2, True), "average pool": (3, 2, True)}
    with pytest.raises(UserError, match="--pool2: 'mean' is not known"):
        registry.find("nin_cifar").build(pool2="mean")


@pytest.mark.parametrize(("name", "smallest"), [("nin", 55), ("nin_cifar", 6)])
def test_the_smallest_image(name, smallest):
    build = registry.find(name).build
    assert build(classes=3, image_size=smallest).output.shape == (None, 3)
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        build(classes=3, image_size=smallest - 1)


@pytest.mark.parametrize(("name", "narrow"), [("nin", {"conv1", "conv3", "cccp8"}), ("nin_cifar", {"conv1"})])
def test_initial_weights_are_the_authors(name, narrow):
    build = registry.find(name).build
    size = registry.find(name).image_size
    for layer in build(image_size=size).layers:
        if layer.name.startswith(("conv", "cccp")) and "_" not in layer.name:
            deviation = 0.01 if layer.name in narrow else 0.05
            assert np.std(layer.kernel) == pytest.approx(deviation, rel=0.06), layer.name
    other = build(image_size=size, initializer="he").get_layer("conv1").kernel
    assert np.std(other) == pytest.approx((2 / np.prod(other.shape[:-1])) ** 0.5, rel=0.06)


def test_recipes():
    assert nin.IMAGENET_RECIPE.batch_size * 450000 / 1281167 == pytest.approx(22.5, abs=0.05)
    assert nin.IMAGENET_RECIPE.schedule_every == round(64 * 200000 / 1281167)
    recipe = nin.CIFAR_RECIPE
    assert recipe.schedule_boundaries == (200 * (45000 // 128), 230 * (45000 // 128))
    assert (recipe.epochs, recipe.dropout, recipe.weight_decay) == (260, 0.5, 1e-4)
    assert recipe.head_learning_rate == recipe.learning_rate / 10
    assert registry.find("nin_cifar").style.classifier_initializer is None
    assert registry.find("nin").style.classifier_initializer == nin.IMAGENET_RECIPE.classifier_initializer


@pytest.mark.slow
def test_the_last_layer_learns_at_its_own_rate_from_the_start(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    train.main(None, ["--mode", "train", "--arch", "nin_cifar", "--image_size", "8", "--dry_run"])
    assert "conv1 to cccp5 (8 layers) at 0.01; cccp6 at 0.001" in capsys.readouterr().out
