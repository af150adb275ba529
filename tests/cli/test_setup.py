"""What a run is put together from: the recipe out of network, data set and command line."""

import pytest

from cli import flags, registry, setup
from common.errors import UserError
from common.input import records


def resolved(arch: str, *arguments: str, **suggested):
    """The recipe of `arch` under a data set's suggestions and the command line."""
    info = records.DatasetInfo("made", ("a", "b"), {}, (0.0,) * 3, (1.0,) * 3, suggested=suggested)
    return setup.resolve(flags.parse(["--mode=train", *arguments]), registry.find(arch), info)


def test_the_command_line_comes_before_the_data_set_and_that_before_the_network():
    assert resolved("alexnet").batch_size == 128
    assert resolved("alexnet", batch_size=32).batch_size == 32
    assert resolved("alexnet", "--batch_size=16", batch_size=32).batch_size == 16


@pytest.mark.parametrize(
    ("arch", "arguments", "suggested", "rate"),
    [
        ("vgg16", (), {}, 0.01),
        ("vgg16", ("--batch_size=64",), {}, 0.0025),
        ("vgg16", (), {"batch_size": 64}, 0.0025),
        ("vgg19", ("--batch_size=1024",), {}, 0.04),
        ("resnet34", ("--batch_size=32",), {}, 0.0125),
        ("resnet34", ("--batch_size=32", "--learning_rate=0.02"), {}, 0.02),
        ("resnet34", ("--batch_size=32",), {"learning_rate": 0.03}, 0.03),
        ("resnet34", ("--batch_size=32", "--learning_rate_batch=0"), {}, 0.1),
        ("resnet34", ("--batch_size=32", "--learning_rate=0.4", "--learning_rate_batch=128"), {}, 0.1),
        ("alexnet", ("--batch_size=64",), {}, 0.01),  # no batch of its own: the rate holds for any
        ("resnet20", ("--batch_size=32",), {}, 0.1),
    ],
)
def test_the_learning_rate_follows_the_batch_where_the_recipe_says_so(arch, arguments, suggested, rate):
    recipe = resolved(arch, *arguments, **suggested)
    assert recipe.learning_rate == pytest.approx(rate, rel=1e-12)


def test_a_named_recipe_comes_before_the_data_set_where_it_changes_the_labs():
    suggested = {"batch_size": 32, "epochs": 14, "crop": "random"}
    assert resolved("resnet18", **suggested).epochs == 14
    found = resolved("resnet18", "--recipe=modern", **suggested)
    assert (found.epochs, found.crop, found.batch_size) == (600, "inception", 32)
    assert found.learning_rate == pytest.approx(0.5 * 32 / 1024)
    assert resolved("resnet18", "--recipe=modern", "--epochs=5", **suggested).epochs == 5


def test_a_suggestion_that_is_no_field_is_named():
    with pytest.raises(UserError, match="suggests batchsize, which no recipe has"):
        resolved("alexnet", batchsize=3)
