"""Every network takes every normalisation and activation."""

import pytest

import tables
from cli import registry
from common.errors import UserError
from common.nn import layers

# Layers that a normalisation follows (DenseNet: precedes), and layers that an activation does, one network a family.
COUNTS = {
    "lenet5": (2, 4),
    "lenet5_1998": (3, 6),
    "vgg11": (8, 10),
    "zfnet": (5, 7),
    "cnn_f": (5, 7),
    "nin_cifar": (8, 8),  # the maps of the classes have a ReLU, whatever the others have
    "squeezenet1_1": (25, 25),
    "densenet40_12": (39, 39),
    "fractalnet20": (35, 35),
    "mobilenet_025": (27, 27),
}
KINDS = {"batch": "batch norm", "layer": "layer norm", "instance": "instance norm", "group": "group norm"}


@pytest.mark.parametrize("name", COUNTS)
def test_a_normalisation_and_an_activation_reach_every_layer(name):
    norms, activations = COUNTS[name]
    kinds = [row.kind for row in tables.summarise(name, norm="layer", activation="prelu").rows]

    assert (kinds.count("layer norm"), kinds.count("PReLU")) == (norms, activations)
    without = [row.kind for row in tables.summarise(name, norm="none").rows]
    assert not set(without) & set(KINDS.values())


@pytest.mark.parametrize("norm", KINDS)
def test_each_normalisation_by_its_name(norm):
    rows = tables.summarise("squeezenet1_1", norm=norm, norm_groups=8).rows

    assert [row.kind for row in rows].count(KINDS[norm]) == 25
    assert norm in layers.NORMS


@pytest.mark.parametrize("name", COUNTS)
def test_maxout_gives_more_channels_or_is_refused_where_it_stands_alone(name):
    if name in ("lenet5_1998", "densenet40_12", "fractalnet20"):  # behind a pool of its own, a norm, a dropout
        with pytest.raises(UserError, match=r"--activation=maxout: .* stands alone"):
            registry.find(name).build(activation="maxout")
        return
    plain = {row.name: row for row in tables.summarise(name).rows}
    rows = {row.name: row for row in tables.summarise(name, activation="maxout").rows}
    doubled = [row for row in rows.values() if row.kind == "maxout"]

    assert len(doubled) == COUNTS[name][1]
    for row in doubled:
        layer = row.name.removesuffix("_maxout")
        assert row.output == plain[layer].output
        assert rows[layer].output == (*row.output[:-1], 2 * row.output[-1])
