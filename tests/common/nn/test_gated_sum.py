import keras
import numpy as np
import pytest

from common.nn import all_layers
from common.nn.gated_sum import GatedSum


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def values(rng, *shape):
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["constant", "exclusive_gate", "shortcut_gate"])
def test_gated_sums_are_their_formulas(rng, kind, stride):
    x, branch, shortcut = values(rng, 2, 6, 6, 3), *values(rng, 2, 2, 6 // stride, 6 // stride, 4)
    layer = GatedSum(kind, stride, bias_start=-6.0)
    layer.build([branch.shape, shortcut.shape, x.shape])
    if kind == "constant":
        assert layer.weights == []
        expected = 0.5 * shortcut + 0.5 * branch
    else:
        np.testing.assert_array_equal(layer.bias, np.full(4, -6.0))
        kernel, bias = values(rng, 1, 1, 3, 4), values(rng, 4)
        layer.set_weights([kernel, bias])
        gate = 1 / (1 + np.exp(-(x[:, ::stride, ::stride] @ kernel[0, 0] + bias)))
        expected = (1 - gate) * shortcut + (gate * branch if kind == "exclusive_gate" else branch)

    np.testing.assert_allclose(layer([branch, shortcut, x]), expected, rtol=1e-5, atol=1e-5)


def test_costs_of_a_gate():
    x, branch = keras.Input((6, 6, 3)), keras.Input((3, 3, 4))
    for kind, multiply_adds in (("constant", 0), ("exclusive_gate", 3 * 4 * 9)):
        layer = GatedSum(kind, 2)
        layer([branch, branch, x])
        assert all_layers.rule(layer).multiply_adds(layer, (3, 3, 4), (3, 3, 4)) == multiply_adds


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'open' is none of constant"):
        GatedSum("open")
