"""What residual networks have beside the vocabulary of the slides: pre-activation, stochastic depth, gates, SE."""

from common.architecture import Option
from common.lazy import lazy
from common.nn import initializers, layers
from common.settings import Setting
from common.style import current

gated = lazy("common.nn.gated_sum")
squeeze_excitation = lazy("common.nn.squeeze_excitation")
stochastic = lazy("common.nn.stochastic_depth")

STOCHASTIC_DEPTH = Setting(
    "residual blocks: probability with which the last one takes part in a training step, falling to it linearly from 1 "
    "(Huang 2016: 0.5); 1: all always",
    above=0,
    most=1,
)
OPTION = Option("stochastic_depth", 1.0, STOCHASTIC_DEPTH)


def survivals(last: float, blocks: int) -> list[float]:
    """Probability p_l = 1 - l / L (1 - p_L) with which block l = 1 ... L takes part in a step (Huang 2016, equation 4).

    Raises UserError where `last`, p_L, is not in (0, 1].
    """
    STOCHASTIC_DEPTH.check("stochastic_depth", last)
    return [1.0 - block / blocks * (1.0 - last) for block in range(1, blocks + 1)]


def preactivation(x, name: str):
    """The style's normalisation and activation, before a convolution."""
    return layers.relu(layers.norm(x, name=name), name=f"{name}_relu")


def plain_conv(x, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool | None = None, name=None):
    """A convolution with nothing behind it, in a network that normalises before; a bias where nothing is normalised."""
    bias = current().norm == "none" if bias is None else bias
    standardize = current().norm != "none"
    return layers.conv(
        x, filters, size, stride, padding, relu=False, bias=bias, norm=False, standardize=standardize, name=name
    )


def branch(x, survival: float, name: str):
    """What the branch of a block takes in: x, which stochastic depth may empty. `add` must end the block."""
    return x if survival == 1.0 else stochastic.Survival(survival, name=f"{name}_survival")(x)


def add(y, shortcut, survival: float, name: str):
    """The end of a block: its branch y, which counts for `survival` when tested, and its shortcut."""
    if survival == 1.0:
        return layers.add(y, shortcut, name=f"{name}_add")
    return stochastic.StochasticSum(survival, name=f"{name}_add")([y, shortcut])


def gated_add(y, shortcut, x, kind: str, stride: int, bias: float, name: str):
    """The end of a block with gates: its branch, its shortcut, what it takes in; the rest as in gated_sum.py."""
    initial = initializers.make_initializer(current().initializer)
    return gated.GatedSum(kind, stride, bias, initial, name=f"{name}_add")([y, shortcut, x])


def squeeze_excite(x, reduction: int, name: str):
    """x with each channel scaled by what the whole map says."""
    initial = initializers.make_initializer(current().initializer)
    return squeeze_excitation.SqueezeExcitation(reduction, initial, name=f"{name}_se")(x)
