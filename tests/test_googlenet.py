import keras
import numpy as np
import pytest

import googlenet
import tables
from common.errors import UserError

# Table 1: output, params as printed (units of 1,024), multiply-adds in millions as printed.
TABLE = {
    "conv1": ("112x112x64", 2.7, 34),
    "pool1": ("56x56x64", None, None),
    "conv2": ("56x56x192", 112, 360),
    "pool2": ("28x28x192", None, None),
    "inception_3a": ("28x28x256", 159, 128),
    "inception_3b": ("28x28x480", 380, 304),
    "pool3": ("14x14x480", None, None),
    "inception_4a": ("14x14x512", 364, 73),
    "inception_4b": ("14x14x512", 437, 88),
    "inception_4c": ("14x14x512", 463, 100),
    "inception_4d": ("14x14x528", 580, 119),
    "inception_4e": ("14x14x832", 840, 170),
    "pool4": ("7x7x832", None, None),
    "inception_5a": ("7x7x832", 1072, 54),
    "inception_5b": ("7x7x1024", 1388, 71),
    "pool5": ("1024", None, None),
    "dropout": ("1024", None, None),
    "fc": ("1000", 1000, 1),
}
MISPRINTED_OPS = {"conv1": 118, "inception_5a": 51}
# What the rows' own channels make where the printed figure is off: conv1 wholly, the modules by 1 to 8 per cent.
OFF_PARAMS = {
    "conv1": 9.2,
    "inception_4a": 367,
    "inception_4c": 497,
    "inception_4d": 591,
    "inception_4e": 847,
    "inception_5a": 1018,
    "inception_5b": 1409,
}


def block(name):
    """The rows of one line of the table: a module's branches, conv2 with its reduction."""
    rows = tables.summarise("googlenet").rows
    return [row for row in rows if row.name == name or row.name.startswith(f"{name}_")]


@pytest.mark.parametrize(("name", "output"), [(name, row[0]) for name, row in TABLE.items()])
def test_output_sizes(name, output):
    row = next(row for row in block(name) if row.name == name)

    assert "x".join(map(str, row.output)) == output


@pytest.mark.parametrize(("name", "printed"), [(name, row[2]) for name, row in TABLE.items() if row[2]])
def test_the_ops_column(name, printed):
    found = sum(row.multiply_adds for row in block(name)) / 1e6

    # The column is rounded here and cut off there: less than one million off, but for the two misprints.
    assert abs(found - MISPRINTED_OPS.get(name, printed)) < 1.0
    if name in MISPRINTED_OPS:
        assert abs(found - printed) > 2.0


@pytest.mark.parametrize(("name", "printed"), [(name, row[1]) for name, row in TABLE.items() if row[1]])
def test_the_params_column(name, printed):
    biases = sum(row.output[-1] for row in block(name) if row.parameters)
    found = (sum(row.parameters for row in block(name)) - biases) / 1024

    # The column leaves the biases out, counts in units of 1,024, and is rounded here and cut off there.
    assert abs(found - OFF_PARAMS.get(name, printed)) <= (0.1 if name == "conv1" else 1.0)


def test_the_whole():
    summary = tables.summarise("googlenet")
    heads = sum(row.parameters for row in summary.heads)

    assert tables.costs("googlenet") == (6998552, 1583)
    assert summary.totals.trainable_parameters + heads == 13378280
    assert summary.share("fully connected", "parameters") == pytest.approx(14.9, abs=0.3)  # printed of 6.9M
    assert summary.share("convolution", "multiply_adds") == pytest.approx(99.9, abs=0.06)


def test_22_layers_with_weights_one_behind_the_other():
    modules = len(googlenet.TABLE)  # two convolutions deep each

    assert (
        len([row for row in tables.summarise("googlenet").rows if row.name in ("conv1", "conv2_reduce", "conv2", "fc")])
        == 4
    )
    assert 3 + 2 * modules + 1 == 22


def test_the_heads():
    found = [
        ("x".join(map(str, row.output)), row.kind, row.kernel, row.stride)
        for row in tables.summarise("googlenet").heads
    ]
    one = [
        ("4x4x512", "average pool", 5, 3),
        ("4x4x128", "convolution", 1, 1),
        ("1024", "fully connected", None, None),
        ("1024", "dropout", None, None),
        ("1000", "fully connected", None, None),
    ]

    assert found == [*one, ("4x4x528", *one[0][1:]), *one[1:]]


@pytest.fixture(scope="module")
def pair():
    keras.utils.set_random_seed(1)
    return googlenet.build(5, 79, auxiliary=True), googlenet.build(5, 79)


def test_the_heads_change_no_name_of_the_network(pair):
    trained, tested = ({v.path: tuple(v.shape) for v in model.variables} for model in pair)

    assert tested.items() < trained.items()
    assert {path.split("_")[0] for path in trained.keys() - tested.keys()} == {"aux"}


def test_weights_of_training_give_the_same_logits_without_heads(pair):
    trained, tested = pair
    values = {variable.path: variable.value for variable in trained.variables}
    for variable in tested.variables:
        variable.assign(values[variable.path])
    x = np.random.default_rng(0).normal(0, 60, (2, 79, 79, 3)).astype("float32")

    logits, after_4a, after_4d = trained(x, training=False)

    np.testing.assert_allclose(tested(x, training=False), logits, rtol=1e-5, atol=1e-6)
    assert logits.shape == after_4a.shape == after_4d.shape == (2, 5)


def test_the_heads_hang_where_the_paper_has_them(pair):
    model = pair[0]

    assert model.output_names == ["fc", "aux_4a_logits", "aux_4d_logits"]
    assert model.get_layer("aux_4a_pool").input is model.get_layer("inception_4a").output
    assert model.get_layer("aux_4d_pool").input is model.get_layer("inception_4d").output


def test_dropout_rates_and_loss_weight(pair):
    rates = {layer.name: layer.rate for layer in pair[0].layers if hasattr(layer, "rate")}

    assert rates == {"dropout": 0.4, "aux_4a_dropout": 0.7, "aux_4d_dropout": 0.7}
    assert googlenet.ARCHITECTURES[0].auxiliary_weight == 0.3


@pytest.mark.parametrize(("auxiliary", "smallest"), [(False, 47), (True, 79)])
def test_the_smallest_image(auxiliary, smallest):
    assert googlenet.build(3, smallest, auxiliary=auxiliary).get_layer("pool4").output.shape[1] >= 1
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        googlenet.build(3, smallest - 1, auxiliary=auxiliary)


def test_the_labs_recipe():
    recipe = googlenet.LAB

    assert (recipe.optimizer, recipe.momentum, recipe.learning_rate, recipe.weight_decay) == (
        "momentum",
        0.9,
        0.01,
        0.0002,
    )
    assert (recipe.schedule, recipe.schedule_factor, recipe.schedule_every, recipe.dropout) == ("step", 0.96, 8, 0.4)
    assert googlenet.PAPER["crop"] == "inception"
